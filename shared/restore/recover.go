package restore

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/protocol"
	"github.com/quiesce/quiesce/shared/run"
)

// Recover asks for copies that come to life on the instance: mounted, and with
// their server's recovery behind them. All of it may be left out.
type Recover struct {
	At             string            `json:"at,omitempty"`             // the folder below which all is mounted by its old path; by default /mnt/ and the restore's id
	Mounts         map[string]string `json:"mounts,omitempty"`         // other places, by the old mount point or the volume
	Application    string            `json:"application,omitempty"`    // the server that recovers, by default the set's own; none: only mounted
	Check          string            `json:"check,omitempty"`          // the user's own check, on the instance
	TimeoutMinutes int               `json:"timeoutMinutes,omitempty"` // for all of it; 60 if it is 0
}

// NoServer is the kind with which copies are only mounted.
const NoServer = "none"

// Limits of a recovery. The execution, and a flow of so many events, outlast it;
// its document holds what is asked for three times.
const (
	usualMinutes      = 60
	MaxRecoverMinutes = 240
	maxAt             = 96
	maxRecover        = 2 << 10
)

// bytes is how much of the document the request takes.
func (r Recover) bytes() int {
	text, _ := json.Marshal(r) // of texts and a number it always succeeds
	return len(text)
}

// WithDefaults is the request with everything written out but the server, which
// the set knows.
func (r Recover) WithDefaults(restoreID string) Recover {
	if r.At == "" {
		r.At = "/mnt/" + restoreID
	}
	if r.TimeoutMinutes == 0 {
		r.TimeoutMinutes = usualMinutes
	}
	return r
}

// checkRecover refuses what cannot be read as a request for copies that live.
func (r Request) checkRecover() error {
	q := r.Recover
	switch {
	case r.Unmounted && r.Action != Cleanup:
		return fault.Input("request.unmounted", "is for the action %s", Cleanup)
	case q == nil:
		return nil
	case r.Mode != Volumes:
		return fault.Input("request.recover", "is for the mode %s: in place the machine itself recovers when it starts", Volumes)
	case r.Scratch:
		return fault.Input("request.recover", "is not for a test, which brings its copies to life by itself")
	case q.bytes() > maxRecover:
		return fault.Input("request.recover", "wants at most %d bytes, got %d", maxRecover, q.bytes())
	case q.Application != "" && q.Application != NoServer && !slices.Contains(protocol.Recoverable, q.Application):
		return fault.Input("request.recover.application", "wants %s or %s, got %q", strings.Join(protocol.Recoverable, ", "), NoServer, q.Application)
	case len(q.At) > maxAt:
		return fault.Input("request.recover.at", "is longer than %d bytes", maxAt)
	case q.TimeoutMinutes < 0 || q.TimeoutMinutes > MaxRecoverMinutes:
		return fault.Input("request.recover.timeoutMinutes", "wants 1 to %d, got %d", MaxRecoverMinutes, q.TimeoutMinutes)
	}
	if q.At != "" {
		if err := protocol.CheckMountPoint("request.recover.at", q.At); err != nil {
			return err
		}
	}
	if q.Check != "" {
		if err := protocol.CheckPath("request.recover.check", q.Check); err != nil {
			return err
		}
	}
	taken := map[string]bool{}
	for _, of := range slices.Sorted(maps.Keys(q.Mounts)) {
		field, at := "request.recover.mounts["+of+"]", q.Mounts[of]
		if err := protocol.CheckMountPoint(field, at); err != nil {
			return err
		}
		if taken[at] {
			return fault.Input(field, "%s is asked for twice", at)
		}
		taken[at] = true
	}
	return nil
}

// Revival is how the copies are to come to life, with everything written out.
type Revival struct {
	Recover
	Arch   string  `json:"arch"`   // of the helper on the instance
	Places []Mount `json:"places"` // where what is mounted, as far as the set tells
}

// Mount is a filesystem of a set and where it is to be.
type Mount struct {
	Origin string `json:"origin"`        // the volume that it was on
	Was    string `json:"was,omitempty"` // where it was mounted; empty: the set does not tell
	At     string `json:"at,omitempty"`  // empty: what the filesystem itself tells decides
}

// Recovery is how far the helper is with bringing copies to life, or with taking
// their mounts away. The definition waits while it is pending.
type Recovery struct {
	State     string                 `json:"state"` // of a Progress: pending, done
	CommandID string                 `json:"commandId"`
	SentAt    time.Time              `json:"sentAt"`
	Reply     *protocol.RecoverReply `json:"reply"` // null until it has answered, and of mounts that are taken away
	Record    run.Record             `json:"record"`
}
