package session

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/protocol"
)

func TestHoldLost(t *testing.T) {
	lost := func(r *rig, want int) protocol.Evidence {
		r.t.Helper()
		reply := r.verb(protocol.Thaw, fault.HoldLost)
		if got := ExitCode(reply); got != want {
			r.t.Errorf("exit code %d, want %d", got, want)
		}
		if reply.Evidence.Application != nil && reply.Evidence.Application.Held {
			r.t.Error("application held")
		}
		if reply.Evidence.Phase != protocol.Released {
			r.t.Errorf("phase %s", reply.Evidence.Phase)
		}
		return *reply.Evidence
	}
	run(t, "thawed by somebody else", func(r *rig) {
		r.begin(script, "")
		r.verb(protocol.Freeze, "")
		r.m.foreignThaw("/data")
		time.Sleep(10 * time.Millisecond)
		r.verb(protocol.Probe, fault.HoldLost)
		lost(r, ExitAlreadyThawed)
	})
	run(t, "thawed and frozen again by somebody else", func(r *rig) {
		r.begin(none, "")
		r.verb(protocol.Freeze, "")
		r.m.foreignThaw("/data")
		r.m.foreignFreeze("/data")
		r.m.disks["/data"].refused = "foreign"
		e := lost(r, ExitAlreadyThawed)
		if !r.m.isFrozen("/data") {
			r.t.Error("thawed what it had not frozen")
		}
		if e.Filesystems[0].HeldAt.IsZero() || !e.Filesystems[1].HeldAt.IsZero() {
			r.t.Errorf("evidence: %+v", e.Filesystems)
		}
	})
	run(t, "freeze deadline", func(r *rig) {
		r.begin(script, "")
		r.verb(protocol.Freeze, "")
		time.Sleep(10 * time.Second)
		if r.m.isFrozen("/data") || r.m.isFrozen("/log") {
			r.t.Error("still frozen at the deadline")
		}
		e := lost(r, ExitAutoThawed)
		if e.Thaw.Reason != "deadline" || !e.AutoThawed {
			r.t.Errorf("evidence: %+v", e)
		}
		r.happened("pre", "freeze /log", "freeze /data", "thaw /data", "thaw /log", "post")
	})
	run(t, "session deadline", func(r *rig) {
		r.begin(script, "")
		time.Sleep(3 * time.Minute)
		lost(r, ExitAutoThawed)
		r.happened("pre", "post")
		r.ask(beginRequest("r2", none, "/data"), "")
		r.ask(request(protocol.Thaw, "r2"), "")
	})
	run(t, "guard dies", func(r *rig) {
		r.begin(none, "")
		r.verb(protocol.Freeze, "")
		close(r.p.vols[0].dead)
		time.Sleep(10 * time.Millisecond)
		if r.m.isFrozen("/data") || r.m.isFrozen("/log") {
			r.t.Error("frozen with no guard")
		}
		if e := lost(r, ExitAlreadyThawed); e.Thaw.Reason != "guard" {
			r.t.Errorf("evidence: %+v", e.Thaw)
		}
	})
}

func TestFreezeFails(t *testing.T) {
	undone := func(r *rig, want fault.Code) protocol.Evidence {
		r.t.Helper()
		e := r.verb(protocol.Freeze, want).Evidence
		if e.Hold != "" || e.Phase != protocol.Quiesced {
			r.t.Errorf("evidence: %+v", e)
		}
		r.verb(protocol.Freeze, want) // replayed, not tried again
		r.verb(protocol.Thaw, "")
		return *e
	}
	run(t, "frozen by somebody else", func(r *rig) {
		r.m.disks["/log"].depth = -1
		r.m.foreignFreeze("/log")
		r.m.disks["/log"].refused = ""
		r.begin(none, "")
		undone(r, fault.ForeignFreeze)
		if !r.m.isFrozen("/log") {
			r.t.Error("thawed what it had not frozen")
		}
		r.happened("freeze /data", "thaw /data")
		r.m.foreignThaw("/log")
	})
	run(t, "refused", func(r *rig) {
		r.m.disks["/log"].freezeErr = fault.New(fault.FreezeRefused, "operation not supported")
		r.begin(none, "")
		undone(r, fault.FreezeRefused)
	})
	run(t, "not the filesystem that was named", func(r *rig) {
		r.m.disks["/log"].refused = "other device"
		r.begin(none, "")
		undone(r, fault.FreezeRefused)
		r.happened()
	})
	run(t, "guard cannot be armed", func(r *rig) {
		r.m.disks["/log"].armErr = fault.New(fault.Internal, "no process")
		r.begin(none, "")
		undone(r, fault.Internal)
		r.happened()
	})
	run(t, "tripwire is not seen blocked", func(r *rig) {
		r.m.disks["/log"].noTripwire = true
		r.begin(none, "")
		undone(r, fault.FreezeRefused)
	})
	run(t, "call hangs a while", func(r *rig) {
		r.m.disks["/log"].takes = 12 * time.Second
		r.begin(none, "")
		undone(r, fault.FreezeTimedOut)
	})
	run(t, "call hangs for longer than anybody waits", func(r *rig) {
		r.m.disks["/log"].takes = 40 * time.Second
		r.begin(none, "")
		r.verb(protocol.Freeze, fault.ThawFailed)
		if r.m.isFrozen("/data") {
			r.t.Error("the one that did freeze was not thawed")
		}
		r.verb(protocol.Thaw, fault.ThawFailed)
		time.Sleep(time.Minute)
		r.verb(protocol.Thaw, "")
	})
}

func TestThawFails(t *testing.T) {
	run(t, "then works", func(r *rig) {
		r.begin(script, "")
		r.verb(protocol.Freeze, "")
		r.m.disks["/data"].thawErr = errors.New("input/output error")
		reply := r.verb(protocol.Thaw, fault.ThawFailed)
		if reply.Error.Field != "/data" || r.m.isFrozen("/log") || reply.Evidence.Application.Post == nil {
			r.t.Errorf("reply: %+v", reply.Error)
		}
		r.m.disks["/data"].thawErr = nil
		if reply := r.verb(protocol.Thaw, ""); reply.Replayed || reply.Evidence.Phase != protocol.Released {
			r.t.Errorf("reply: %+v", reply)
		}
	})
}

func TestProcessDies(t *testing.T) {
	for name, die := range map[string]func(*rig){
		"frozen": func(r *rig) { r.verb(protocol.Freeze, "") },
		"freezing": func(r *rig) {
			r.m.disks["/data"].takes = 3 * time.Second
			go r.h.Handle(context.Background(), request(protocol.Freeze, "r1"))
			time.Sleep(time.Second)
		},
		"quiesced": func(*rig) {},
	} {
		run(t, name+", keeper recovers", func(r *rig) {
			r.begin(script, "")
			die(r)
			r.restart()
			if err := r.h.Recover(r.t.Context(), "r1"); err != nil {
				r.t.Fatal(err)
			}
			time.Sleep(5 * time.Second)
			if r.m.isFrozen("/data") || r.m.isFrozen("/log") {
				r.t.Error("left frozen")
			}
			reply := r.verb(protocol.Thaw, fault.HoldLost)
			if e := reply.Evidence; !e.AutoThawed || e.Application.Held || e.Application.Post == nil || e.Thaw.Reason != "daemon-died" {
				r.t.Errorf("evidence: %+v", e)
			}
		})
		run(t, name+", thaw recovers", func(r *rig) {
			r.begin(script, "")
			die(r)
			r.restart()
			r.verb(protocol.Freeze, fault.NoSession)
			r.verb(protocol.Thaw, fault.HoldLost)
			if h := r.m.history(); h[len(h)-1] != "post" {
				r.t.Errorf("post script did not come last: %q", h)
			}
		})
		run(t, name+", next begin recovers", func(r *rig) {
			r.begin(script, "")
			die(r)
			r.restart()
			r.ask(request(protocol.Freeze, "r2"), fault.RunInProgress)
			r.ask(beginRequest("r2", none, "/data"), "")
			if !slices.Contains(r.m.history(), "post") {
				r.t.Error("not released")
			}
			r.ask(request(protocol.Thaw, "r2"), "")
		})
	}
	run(t, "machine restarts", func(r *rig) {
		r.begin(script, "")
		r.verb(protocol.Freeze, "")
		r.restart()
		time.Sleep(time.Second)
		r.m.boot = "boot-2"
		r.m.foreignFreeze("/data") // nobody's business
		r.verb(protocol.Thaw, fault.HoldLost)
		if !r.m.isFrozen("/data") {
			r.t.Error("thawed what this boot's session had not frozen")
		}
		r.m.foreignThaw("/data")
	})
	run(t, "told to go", func(r *rig) {
		r.begin(script, "")
		r.verb(protocol.Freeze, "")
		r.h.End(r.t.Context(), "terminated")
		r.happened("pre", "freeze /log", "freeze /data", "thaw /data", "thaw /log", "post")
		r.verb(protocol.Thaw, fault.HoldLost)
	})
}

func TestTripwireFails(t *testing.T) {
	run(t, "still ours to thaw", func(r *rig) {
		r.begin(none, "")
		r.verb(protocol.Freeze, "")
		r.p.vols[0].send(Sign{Kind: Blind, At: r.m.stamp()})
		time.Sleep(10 * time.Millisecond)
		if r.m.isFrozen("/data") || r.m.isFrozen("/log") {
			r.t.Error("left frozen without a proof to gain")
		}
		r.verb(protocol.Thaw, fault.HoldLost)
	})
}

// Whatever becomes of a record that cannot be written, nothing stays frozen.
func TestRecordCannotBeSaved(t *testing.T) {
	run(t, "from the start", func(r *rig) {
		r.m.saveErr = errors.New("no space left")
		r.begin(script, fault.Internal)
		r.happened()
	})
	run(t, "from the freeze on", func(r *rig) {
		r.begin(none, "")
		r.m.saveErr = errors.New("no space left")
		r.verb(protocol.Freeze, fault.Internal)
		r.verb(protocol.Thaw, "")
		r.m.saveErr = nil
	})
}
