// Package session is the helper's state machine: one run at a time is begun,
// frozen, thawed and released, whoever asks and whoever dies. It touches the
// machine only through Host, so that the real helper and a simulated machine
// run the very same code.
package session

import (
	"context"
	"time"

	"github.com/quiesce/quiesce/guest/application"
	"github.com/quiesce/quiesce/shared/protocol"
)

// Host is the machine under a session. Every method may be called from several
// goroutines. Time is package time's clock plus Stamp; nothing else is waited
// on, so that a Host made inside a testing/synctest bubble runs in virtual time.
type Host interface {
	// Stamp reads both clocks. Never blocks, never fails.
	Stamp() protocol.Stamp

	// BootID names this boot: a freeze does not outlive it.
	BootID() string

	// Survey looks at the machine and changes nothing. ActiveRun and Server,
	// also those of what is Found, are left to the caller. Codes: ScriptUnsafe with the field, Internal.
	Survey(ctx context.Context, req protocol.DryRunRequest) (protocol.DryRunReply, error)

	// RunScript checks one script's safety and runs it once. It blocks until
	// the script has ended; when its timeout or ctx ends, the script's whole
	// process group is killed first. The result is filled even on error.
	// Not idempotent. Codes: ScriptUnsafe (did not run), ScriptFailed,
	// ScriptTimedOut.
	RunScript(ctx context.Context, s Script) (protocol.ScriptResult, error)

	// Application makes the adapter of an application other than scripts, and
	// touches nothing yet. Codes: InvalidInput with the field.
	Application(app protocol.Application, journal application.Journal) (application.Adapter, error)

	// Open verifies that each filesystem is still the one named and may be
	// frozen, and readies what freezing it needs: no process has to be
	// started between the first Arm and the last Thaw. All or nothing: on
	// error nothing stays open. Codes: FreezeRefused naming the mount.
	Open(ctx context.Context, run string, want []protocol.Filesystem, allowRoot bool) ([]Volume, error)

	// Rescue thaws one filesystem that a dead predecessor froze in this run
	// and this boot, unless a guard of that run did so or its tripwire shows
	// that the freeze there was no longer the run's. It waits for a freeze
	// call in progress to end. Idempotent. Codes: ThawFailed.
	Rescue(ctx context.Context, run string, fs protocol.Filesystem) (Thawed, error)

	// Records returns what was saved, newest first; a bounded number of old
	// runs is kept.
	Records() ([]Record, error)

	// Save replaces the record of its run, atomically. It is called inside
	// the frozen window too, and must not touch a filesystem to be frozen.
	Save(Record) error
}

// Script is one call of a user's script.
type Script struct {
	Run     string
	Stage   string // pre or post
	Path    string
	Timeout time.Duration
}

// Volume is one filesystem in a session's hands, between Open and Close.
type Volume interface {
	// About tells what Open found.
	About() About

	// Flush writes out what is dirty, once, and returns how many bytes the
	// device took meanwhile. Blocks; ctx ends only the waiting.
	Flush(ctx context.Context) (int64, error)

	// Arm starts the guard, which thaws at the deadline (on the monotonic
	// clock) or when this process dies. It returns once the guard has said
	// that it is armed. Codes: Internal.
	Arm(ctx context.Context, deadline protocol.Stamp) error

	// Freeze makes the one freeze call. When ctx ends first it returns ctx's
	// error while the call goes on: Thaw is owed then. On any other error
	// nothing is frozen. Codes: ForeignFreeze, FreezeRefused, HoldLost.
	Freeze(ctx context.Context) (Span, error)

	// Blocked waits until the tripwire is seen blocked on the frozen
	// filesystem and returns when. Codes: HoldLost, FreezeRefused.
	Blocked(ctx context.Context) (protocol.Stamp, error)

	// Held reports whether the tripwire has been blocked without a break
	// since Blocked returned. Never blocks.
	Held() bool

	// Thaw ends the freeze. It waits for a freeze call in progress to end;
	// when ctx ends first the guard still owes the thaw. Where the tripwire
	// got through nothing is sent, because what is frozen now is somebody
	// else's. Idempotent. Codes: ThawFailed.
	Thaw(ctx context.Context) (Thawed, error)

	// Signs delivers what nobody here asked for, and is closed by Close.
	Signs() <-chan Sign

	// Close disarms the guard, once thawed, and lets everything go. After it
	// no thaw is sent by anyone. Idempotent, does not block on the device.
	Close()
}

// About is one filesystem as it was opened. Deeper ones freeze first.
type About struct {
	Mount    string
	Device   string
	Type     string
	ReadOnly bool // nothing to hold: only Close is called
	Depth    int
}

// Span is a call's beginning and end.
type Span struct{ Began, Ended protocol.Stamp }

// Thawed is how a thaw ended. WasFrozen is false when the kernel said that
// there was nothing to thaw. ByGuard: the guard did it unasked.
type Thawed struct {
	Span
	WasFrozen bool
	ByGuard   bool
}

// Sign is something that happened to a frozen volume unasked.
type Sign struct {
	Kind SignKind
	At   protocol.Stamp
	Thaw *Thawed // of a guard that fired
}

// SignKind tells signs apart.
type SignKind string

const (
	Tripped    SignKind = "tripped"     // somebody else thawed: the tripwire got through
	GuardFired SignKind = "guard-fired" // the guard thawed at its deadline
	GuardDied  SignKind = "guard-died"  // nothing stands behind the freeze any more
	Blind      SignKind = "blind"       // the tripwire failed: still frozen, but unproved
)

// Record is all that a session knows, as it is kept beyond its process.
type Record struct {
	RunID    string                           `json:"runId"`
	OpenedAt protocol.Stamp                   `json:"openedAt"`
	EndsAt   protocol.Stamp                   `json:"endsAt"`
	Begin    protocol.BeginRequest            `json:"begin"`
	Evidence protocol.Evidence                `json:"evidence"`
	Journal  []byte                           `json:"journal,omitempty"` // the adapter's last entry
	Replies  map[protocol.Verb]protocol.Reply `json:"replies,omitempty"`
}

// Released reports whether nothing is left to undo.
func (r Record) Released() bool { return r.Evidence.Phase == protocol.Released }

// Options tune a session. The zero value is what the helper uses.
type Options struct {
	SkipFlush bool // freeze with whatever is dirty; to measure what the flush is worth
}
