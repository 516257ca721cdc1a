package protocol

import (
	"time"

	"github.com/quiesce/quiesce/shared/fault"
)

// Evidence is what the helper recorded during one session: facts, no verdict.
type Evidence struct {
	RunID       string               `json:"runId"`
	BootID      string               `json:"bootId"`
	Phase       Phase                `json:"phase"`
	Hold        string               `json:"hold,omitempty"` // random, made once every tripwire was seen blocked
	Application *ApplicationEvidence `json:"application,omitempty"`
	Filesystems []FilesystemEvidence `json:"filesystems,omitempty"`
	Newcomers   []Mount              `json:"newcomers,omitempty"` // mounted since the plan was made, hence not held
	Thaw        *ThawEvidence        `json:"thaw,omitempty"`
	FrozenMs    float64              `json:"frozenMs"` // first freeze succeeded to last thaw done, monotonic
	AutoThawed  bool                 `json:"autoThawed,omitempty"`
	Lost        []Loss               `json:"lost,omitempty"` // every sign that the hold was not whole
}

// Phase is how far a session has come.
type Phase string

const (
	Opening   Phase = "opening"
	Quiescing Phase = "quiescing"
	Quiesced  Phase = "quiesced" // also when there is no application to quiesce
	Freezing  Phase = "freezing"
	Frozen    Phase = "frozen"
	Thawing   Phase = "thawing"
	Released  Phase = "released"
)

// Stamp is one moment on both clocks of the instance. Mono is CLOCK_MONOTONIC
// in nanoseconds: it orders moments of one boot, whatever the wall clock does.
type Stamp struct {
	Mono int64     `json:"mono"`
	Wall time.Time `json:"wall,omitzero"` // left out of a long reply
}

// IsZero reports whether the moment never came.
func (s Stamp) IsZero() bool { return s.Mono == 0 && s.Wall.IsZero() }

// Loss is one sign that the hold broke.
type Loss struct {
	Code    fault.Code `json:"code"`
	Subject string     `json:"subject"` // a mount, "application", "helper"
	Message string     `json:"message"`
	At      Stamp      `json:"at"`
}

// ApplicationEvidence tells what was done to the application. Held is true
// only if the hold was seen before the freeze and again after the thaw, before
// the release. A script's hold is proved by its post-script's success. Of a
// document the instance knows nothing but that it may have been sent.
type ApplicationEvidence struct {
	Kind       string        `json:"kind"`
	QuiesceAt  Stamp         `json:"quiesceAt,omitzero"`  // first thing done to it
	QuiescedAt Stamp         `json:"quiescedAt,omitzero"` // zero: not quiesced
	SessionID  string        `json:"sessionId,omitempty"` // of the connection that holds it
	Version    string        `json:"version,omitempty"`   // of the server
	Mode       string        `json:"mode,omitempty"`      // in which it was held, where the kind has several
	Killed     int           `json:"killed,omitempty"`    // queries ended to get the lock, as the policy lets them
	Held       bool          `json:"held"`
	ReleasedAt Stamp         `json:"releasedAt,omitzero"`
	Files      Files         `json:"files,omitempty"` // what a restore needs besides the volumes
	Pre        *ScriptResult `json:"pre,omitempty"`
	Post       *ScriptResult `json:"post,omitempty"`
	Error      *Failure      `json:"error,omitempty"`
}

// Resting reports that the application was touched and not released again, as
// far as the evidence goes; of none, that it was not touched.
func (e *Evidence) Resting() bool {
	if e == nil || e.Application == nil {
		return false
	}
	a := e.Application
	return a.Kind != "none" && a.Kind != "document" && !a.QuiesceAt.IsZero() && a.ReleasedAt.IsZero()
}

// Files are small texts by their names, such as a backup label.
type Files map[string]string

// ScriptResult is how one script ended. Its output stays on the instance.
type ScriptResult struct {
	Path     string  `json:"path"`
	Attempts int     `json:"attempts"`
	ExitCode int     `json:"exitCode"`
	TimedOut bool    `json:"timedOut,omitempty"`
	Ms       float64 `json:"ms"`
	Output   string  `json:"output,omitempty"` // where on the instance its output is kept
}

// FilesystemEvidence is one filesystem's way through the window.
type FilesystemEvidence struct {
	Mount      string `json:"mount"`
	Device     string `json:"device"`
	Type       string `json:"type"`
	ReadOnly   bool   `json:"readOnly,omitempty"` // nothing to hold
	Presync    Flush  `json:"presync"`
	FreezeAt   Stamp  `json:"freezeAt,omitzero"`  // the call began
	FrozenAt   Stamp  `json:"frozenAt,omitzero"`  // the call succeeded; zero: not frozen
	BlockedAt  Stamp  `json:"blockedAt,omitzero"` // its tripwire was seen blocked
	HeldAt     Stamp  `json:"heldAt,omitzero"`    // seen blocked still, after the snapshot call had ended
	ThawAt     Stamp  `json:"thawAt,omitzero"`    // the thaw began
	ThawedAt   Stamp  `json:"thawedAt,omitzero"`  // the thaw returned
	Thaw       string `json:"thaw,omitempty"`     // ok, not-frozen, or the error
	GuardFired bool   `json:"guardFired,omitempty"`
}

// Flush is what the presync wrote before the window.
type Flush struct {
	Rounds int     `json:"rounds"`
	Bytes  int64   `json:"bytes"`
	Ms     float64 `json:"ms"`
}

// ThawEvidence is the request that ended the hold, as its sender put it.
type ThawEvidence struct {
	Reason    string `json:"reason"` // ThawRequest's, or "deadline", "guard", "hold-lost", "terminated", "daemon-died"
	CallEnded string `json:"callEnded,omitempty"`
	At        Stamp  `json:"at"`
}
