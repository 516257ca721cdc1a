// Package database declares the real servers of a local run. Each is started
// on the run's volumes, keeps a load of numbered records going, and is started
// once more on the volumes that were restored, to be checked there.
package database

import (
	"context"

	"github.com/quiesce/quiesce/local/ledger"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/run"
)

// Database is one kind of server for one run. Its methods are called one at a
// time in the order Start, Load, Settings, Settings, Acks, Stop, Check; Kill and
// Occupy come between Load and Acks from another goroutine.
type Database interface {
	// Start makes an empty server with its data in the place's first folder and
	// its log in the last, and starts it.
	Start(ctx context.Context, p Place) error

	// Application is what a policy says so that this server is quiesced. It may
	// be called before Start, then without what only a started one has.
	Application() policy.Application

	// Load writes numbered records until Acks, each to several tables in the
	// same order. It returns once the first one is acknowledged.
	Load(ctx context.Context) error

	// Acks stops the load and returns its acknowledgements, in order.
	Acks(ctx context.Context) ([]ledger.Ack, error)

	// Settings renders those that a quiesce could leave changed, for comparison.
	Settings(ctx context.Context) (string, error)

	// Kill ends every session that is not the load's own from outside, as an
	// operator does, and reports whether there was one. It is called while the
	// filesystems are frozen: it opens no connection then.
	Kill(ctx context.Context) bool

	// Occupy starts a statement that holds a quiesce off until Acks, and
	// returns when it runs.
	Occupy(ctx context.Context) error

	// Stop ends the server. The place's folders can be unmounted afterwards.
	Stop(ctx context.Context) error

	// Check starts a second server on restored folders, reads what it holds,
	// lets the server check itself, and stops it. How much must hold depends
	// on what was proved of the set.
	Check(ctx context.Context, p Place, proved run.Consistency) (Checked, error)
}

// Logs is how much a server's logs hold, on which it depends what becomes of a
// copy that is not one point in time.
type Logs string

const (
	Brief    Logs = ""         // as much as a run of seconds fills
	Small    Logs = "small"    // as little as the server can do with
	Ordinary Logs = "ordinary" // what the server takes if nobody says anything
)

// Place is where a server lives.
type Place struct {
	Folders []string // on the volumes, one each, in order; the first holds the data, the last the log
	Room    string   // a short private path outside of them, for socket, pid and error log
	Env     []string // of every process, so that it is found and killed whatever happens
	Own     func(pid int) error
}

// Checked is what a restored server showed.
type Checked struct {
	Tables     []ledger.Volume // the numbered records of each table, in writing order
	RecoveryMs float64         // from the server's start until it answers
	Findings   []string        // what is broken, in sentences; empty for nothing
	Notes      []string        // what is not as it was, and was not promised to be
}
