// Package cloudtest is the one suite that every provider passes. It tests the
// contract that package cloud states in its comments, over the provider's own
// wire protocol, in virtual time: waiting for a delivery timeout costs nothing.
package cloudtest

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
)

// Harness is one account of a provider, made anew for every test, and the
// levers by which the suite troubles it.
type Harness struct {
	Provider cloud.Provider
	Keeper   cloud.Keeper
	Restorer cloud.Restorer

	// Curator is of the same Region, Abroad of another. Key is a key of the
	// account there, ManagedKey the provider's own there.
	Curator, Abroad cloud.Curator
	Key, ManagedKey string

	Running Target // its agent answers
	Stopped string
	Absent  string // well-formed, but of no instance

	AbsentDisk, AbsentSnapshot string // well-formed too
	Zone, OtherZone            string // the running instance's, and another
	Place                      Place  // where one like it can be launched; zero: nowhere

	// Trouble is what the next call of an operation on the wire meets.
	Trouble func(Op, Kind)
	// Attempts counts an operation's calls on the wire so far.
	Attempts func(Op) int
	// Guest puts the helper on the running instance; the suite's default
	// answers "ok".
	Guest func(Guest)
	// Register makes a user's document known that has the parameters command
	// and executionId as published ones have them, and one more that is
	// optional; it runs on the running instance. Nil: the provider has none.
	Register func(name string, run Script)
	// Agent connects the running instance's agent or cuts it off.
	Agent func(online bool)
	// Fetch gets what a URL names, as an instance would.
	Fetch func(url string) ([]byte, error)
	// Received is what has arrived on the bus, in order.
	Received func() []Received
	// Wait starts a state of the workflow that waits, and returns its token
	// and whether it has ended.
	Wait func() (token string, ended func() bool)
	// Test starts an execution of the restore test's workflow that goes on until
	// it is ended. Nil where events tell of the end of one.
	Test func(name, input string) (end func())
	// Unstoppable tells that a command which runs ends by its own limit,
	// whoever cancels it.
	Unstoppable bool
	// Hold keeps a snapshot from being deleted.
	Hold func(how Hold, id string)
	// Windows is a running Windows instance whose agent answers, empty where the
	// provider has none; its Guest answers requests for shadow copies. Played
	// puts what AWS's document does on it, step by step, and Component writes a
	// snapshot's tags as the instance does by rights of its own.
	Windows   string
	Played    func(func(ctx context.Context, step string, parameters map[string]string) Answer)
	Component func(snapshot string, tags map[string]string)
	// Refuse lets the bus take the n-th entry (from 0) of the next batch only
	// at a second attempt. Nil where a batch is taken whole or not at all.
	Refuse func(n int)
}

// Target is the running instance: with a boot volume and at least two data
// volumes, all supported, without snapshots yet.
type Target struct {
	ID   string
	Arch string
	Tags map[string]string
	Boot string
	Data []string
}

// Op is an operation of the port that the suite troubles.
type Op string

const (
	CreateSet Op = "CreateSet"
	FindSet   Op = "FindSet"
	Send      Op = "Send"
	Publish   Op = "Publish"
	SaveToken Op = "SaveToken"
	FindToken Op = "FindToken"
	EndWait   Op = "EndWait"
	Delete    Op = "Delete"
	Copy      Op = "Copy"

	ReadDocument Op = "ReadDocument"

	MakeDisk   Op = "MakeDisk"
	FindDisks  Op = "FindDisks"
	AttachDisk Op = "AttachDisk"
	DetachDisk Op = "DetachDisk"
	BindDisk   Op = "BindDisk"
	MarkDisk   Op = "MarkDisk"
	UnmarkDisk Op = "UnmarkDisk"
	DeleteDisk Op = "DeleteDisk"
	StopHost   Op = "StopHost"
	StartHost  Op = "StartHost"
	ResetDisk  Op = "ResetDisk"
	DropSet    Op = "DropSet"

	MakeImage  Op = "MakeImage"
	FindImages Op = "FindImages"
	DropImage  Op = "DropImage"
	Launch     Op = "Launch"
	FindHosts  Op = "FindHosts"
	EndHost    Op = "EndHost"
)

// Kind is what a call meets.
type Kind string

const (
	LostReply Kind = "lost reply" // done, but not answered
	Throttle  Kind = "throttle"   // not done
	Deny      Kind = "deny"       // not done
)

// Hold is what speaks against deleting a snapshot.
type Hold string

const (
	Locked Hold = "locked"
	Shared Hold = "shared" // which keeps nobody from deleting it but us
	Imaged Hold = "imaged"
)

// Guest is the helper on an instance. Its context ends when the agent kills it.
type Guest func(ctx context.Context, verb string, request []byte) Answer

// Script is what a user's document does, told its parameters by name.
type Script func(ctx context.Context, parameters map[string]string) Answer

// Answer is how the helper or a document ended.
type Answer struct {
	Stdout, Stderr string
	ExitCode       int
}

// Received is one event as a subscriber sees it.
type Received struct {
	Source, Type string
	Time         time.Time
	Resources    []string
	Detail       []byte
}

type test struct {
	name string
	do   func(*testing.T, Harness)
}

// Run runs the suite. Each test has a bubble of virtual time of its own, in
// which harness is called: what it starts must end by its t.Cleanup.
func Run(t *testing.T, harness func(*testing.T) Harness) {
	for _, group := range [][]test{instances, sets, agent, documents, assets, bus, waits, fleet, keeper, curator, restorer, resetter, imager, windows, broken} {
		for _, test := range group {
			t.Run(test.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { test.do(t, harness(t)) })
			})
		}
	}
}

// wantCode fails unless the error is the fault.
func wantCode(t *testing.T, err error, want fault.Code) {
	t.Helper()
	if got := fault.CodeOf(err); got != want {
		t.Errorf("got %q (%v), want %q", got, err, want)
	}
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// within waits in virtual time until done says so.
func within(t *testing.T, limit time.Duration, what string, done func() bool) {
	t.Helper()
	for started := time.Now(); !done(); time.Sleep(250 * time.Millisecond) {
		if time.Since(started) > limit {
			t.Fatalf("%s: not within %s", what, limit)
		}
	}
}
