package session

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/protocol"
)

// rig is a helper on a machine in memory, in virtual time.
type rig struct {
	t *testing.T
	m *machine
	p *process
	h *Helper
}

func run(t *testing.T, name string, do func(*rig)) {
	t.Run(name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			m := newMachine("/data", "/log")
			m.disks["/log"].depth = 1 // in a file on /data
			r := &rig{t: t, m: m}
			r.restart()
			do(r)
			r.restart() // whatever is still going on ends here
			time.Sleep(time.Hour)
			synctest.Wait()
			for mount, d := range m.disks {
				if d.frozen && d.thawErr == nil && !d.refusedForeign() {
					t.Errorf("%s was left frozen", mount)
				}
			}
		})
	})
}

// refusedForeign marks a disk that a test left frozen by somebody else.
func (d *disk) refusedForeign() bool { return d.refused == "foreign" }

func (r *rig) restart() {
	if r.p != nil {
		r.p.kill()
		synctest.Wait()
	}
	r.p = r.m.process()
	r.h = New(r.p, Options{})
}

var script = protocol.Application{Kind: "script", PreScript: "/pre", PostScript: "/post", TimeoutSeconds: 10}

func beginRequest(run string, app protocol.Application, mounts ...string) protocol.Request {
	b := protocol.BeginRequest{SessionSeconds: 120, FreezeSeconds: 10, Application: app, Filesystems: []protocol.Filesystem{}}
	for i, m := range mounts {
		b.Filesystems = append(b.Filesystems, protocol.Filesystem{Mount: m, Device: string(rune('1'+i)) + ":0"})
	}
	return protocol.Request{Version: protocol.Version, Verb: protocol.Begin, RunID: run, Begin: &b}
}

func request(verb protocol.Verb, run string) protocol.Request {
	return protocol.Request{Version: protocol.Version, Verb: verb, RunID: run}
}

func (r *rig) ask(req protocol.Request, want fault.Code) protocol.Reply {
	r.t.Helper()
	reply := r.h.Handle(r.t.Context(), req)
	var got fault.Code
	if reply.Error != nil {
		got = reply.Error.Code
	}
	if got != want {
		r.t.Fatalf("%s: got %q (%+v), want %q", req.Verb, got, reply.Error, want)
	}
	return reply
}

func (r *rig) begin(app protocol.Application, want fault.Code) protocol.Reply {
	r.t.Helper()
	return r.ask(beginRequest("r1", app, "/data", "/log"), want)
}

func (r *rig) verb(v protocol.Verb, want fault.Code) protocol.Reply {
	r.t.Helper()
	return r.ask(request(v, "r1"), want)
}

func (r *rig) happened(want ...string) {
	r.t.Helper()
	got := r.m.history()
	if !slices.Equal(got, want) {
		r.t.Errorf("happened %q, want %q", got, want)
	}
}

var none = protocol.Application{Kind: "none"}

func TestCycle(t *testing.T) {
	run(t, "held", func(r *rig) {
		r.begin(script, "")
		frozen := r.verb(protocol.Freeze, "")
		if frozen.Evidence.Hold == "" || frozen.Evidence.Phase != protocol.Frozen {
			r.t.Fatalf("not held: %+v", frozen.Evidence)
		}
		time.Sleep(2 * time.Second)
		r.verb(protocol.Probe, "")
		req := request(protocol.Thaw, "r1")
		req.Thaw = &protocol.ThawRequest{Reason: "snapshot-taken", CallEnded: frozen.Evidence.Hold}
		e := r.ask(req, "").Evidence
		r.happened("pre", "freeze /log", "freeze /data", "thaw /data", "thaw /log", "post")
		for _, f := range e.Filesystems {
			if f.Thaw != "ok" || f.BlockedAt.IsZero() || f.HeldAt.Mono <= f.BlockedAt.Mono || f.ThawedAt.IsZero() {
				r.t.Errorf("evidence of %s: %+v", f.Mount, f)
			}
		}
		if !e.Application.Held || e.Thaw.CallEnded != e.Hold || e.FrozenMs < 2000 || e.Phase != protocol.Released || len(e.Lost) > 0 {
			r.t.Errorf("evidence: %+v", e)
		}
	})
	run(t, "replayed", func(r *rig) {
		r.begin(script, "")
		r.begin(script, "")
		first := r.verb(protocol.Freeze, "")
		again := r.verb(protocol.Freeze, "")
		if !again.Replayed || first.Replayed || again.Evidence.Hold != first.Evidence.Hold {
			r.t.Errorf("freeze replayed as %+v", again)
		}
		r.verb(protocol.Thaw, "")
		second := request(protocol.Thaw, "r1")
		second.Thaw = &protocol.ThawRequest{Reason: "late", CallEnded: first.Evidence.Hold}
		reply := r.ask(second, "")
		if !reply.Replayed || reply.Evidence.Thaw.CallEnded != "" {
			r.t.Errorf("a later thaw rewrote who ended the hold: %+v", reply.Evidence.Thaw)
		}
		r.restart()
		if reply := r.verb(protocol.Freeze, ""); !reply.Replayed {
			r.t.Error("not replayed by the next process")
		}
		r.happened("pre", "freeze /log", "freeze /data", "thaw /data", "thaw /log", "post")
	})
	run(t, "nothing to freeze", func(r *rig) {
		r.ask(beginRequest("r1", script), "")
		if r.verb(protocol.Freeze, "").Evidence.Hold == "" {
			r.t.Error("no hold")
		}
		if e := r.verb(protocol.Thaw, "").Evidence; !e.Application.Held {
			r.t.Errorf("not held: %+v", e.Application)
		}
	})
	run(t, "read-only", func(r *rig) {
		r.m.disks["/log"].readOnly = true
		r.begin(none, "")
		r.verb(protocol.Freeze, "")
		e := r.verb(protocol.Thaw, "").Evidence
		r.happened("freeze /data", "thaw /data")
		if !e.Filesystems[0].ReadOnly {
			r.t.Errorf("evidence: %+v", e.Filesystems)
		}
	})
}

func TestOrderOfVerbs(t *testing.T) {
	run(t, "unknown run", func(r *rig) {
		for _, v := range []protocol.Verb{protocol.Freeze, protocol.Probe, protocol.Status, protocol.Thaw} {
			r.verb(v, fault.NoSession)
		}
	})
	run(t, "begin after a thaw that overtook it", func(r *rig) {
		r.verb(protocol.Thaw, fault.NoSession)
		r.ask(beginRequest("r1", script, "/data"), fault.NoSession)
		r.verb(protocol.Thaw, fault.NoSession)
		r.happened()
		r.ask(beginRequest("r2", script, "/data"), "")
		r.ask(request(protocol.Thaw, "r2"), "")
	})
	run(t, "another run", func(r *rig) {
		r.begin(none, "")
		r.verb(protocol.Freeze, "")
		if reply := r.ask(beginRequest("r2", none, "/data"), fault.RunInProgress); reply.Error.Field != "r1" {
			r.t.Errorf("names %q", reply.Error.Field)
		}
		r.ask(request(protocol.Freeze, "r2"), fault.RunInProgress)
		r.ask(request(protocol.Thaw, "r2"), fault.NoSession)
		r.verb(protocol.Probe, "")
		r.verb(protocol.Thaw, "")
		r.ask(beginRequest("r3", none, "/data"), "")
		r.ask(request(protocol.Thaw, "r3"), "")
		r.verb(protocol.Status, "")
	})
	run(t, "freeze after thaw", func(r *rig) {
		r.begin(none, "")
		r.verb(protocol.Thaw, "")
		r.verb(protocol.Freeze, fault.NoSession)
		r.happened()
	})
	run(t, "probe before freeze", func(r *rig) {
		r.begin(none, "")
		r.verb(protocol.Probe, fault.HoldLost)
		r.verb(protocol.Thaw, "")
	})
	run(t, "too late", func(r *rig) {
		req := beginRequest("r1", none, "/data")
		req.NotAfter = time.Now().Add(-time.Second)
		r.ask(req, fault.TooLate)
		r.begin(none, "")
		req = request(protocol.Freeze, "r1")
		req.NotAfter = time.Now().Add(-time.Second)
		r.ask(req, fault.TooLate)
		req = request(protocol.Thaw, "r1")
		req.NotAfter = time.Now().Add(-time.Hour)
		r.ask(req, "")
		r.happened()
	})
	run(t, "too late after the flush", func(r *rig) {
		r.m.disks["/data"].dirty = int64(5 * time.Second)
		r.begin(none, "")
		req := request(protocol.Freeze, "r1")
		req.NotAfter = time.Now().Add(time.Second)
		r.ask(req, fault.TooLate)
		r.verb(protocol.Thaw, "")
		r.happened()
	})
	run(t, "thaw during the pre script", func(r *rig) {
		r.m.scripts["pre"] = func() (int, time.Duration) { return 0, 8 * time.Second }
		done := make(chan protocol.Reply, 1)
		go func() { done <- r.h.Handle(context.Background(), beginRequest("r1", script, "/data")) }()
		time.Sleep(time.Second)
		r.verb(protocol.Thaw, "")
		if reply := <-done; reply.Error == nil {
			r.t.Error("begin succeeded")
		}
		r.happened("pre", "post")
	})
	run(t, "thaw during the freeze", func(r *rig) {
		r.m.disks["/data"].takes = time.Second
		r.begin(none, "")
		done := make(chan protocol.Reply, 1)
		go func() { done <- r.h.Handle(context.Background(), request(protocol.Freeze, "r1")) }()
		time.Sleep(500 * time.Millisecond)
		r.verb(protocol.Thaw, "")
		if reply := <-done; reply.Error == nil {
			r.t.Error("freeze succeeded")
		}
		if r.m.isFrozen("/data") || r.m.isFrozen("/log") {
			r.t.Error("left frozen")
		}
	})
	run(t, "a verb under way is joined", func(r *rig) {
		r.m.scripts["pre"] = func() (int, time.Duration) { return 0, 5 * time.Second }
		go r.h.Handle(context.Background(), beginRequest("r1", script, "/data"))
		time.Sleep(time.Second)
		r.ask(beginRequest("r1", script, "/data"), "")
		r.verb(protocol.Thaw, "")
		r.happened("pre", "post")
	})
}

func TestScripts(t *testing.T) {
	fails := func() (int, time.Duration) { return 3, time.Millisecond }
	run(t, "pre fails: post runs, freeze still may", func(r *rig) {
		r.m.scripts["pre"] = fails
		e := r.begin(script, fault.ScriptFailed).Evidence
		if e.Application.Error == nil || e.Application.Post == nil || e.Phase != protocol.Quiesced {
			r.t.Errorf("evidence: %+v", e.Application)
		}
		r.verb(protocol.Freeze, "")
		if e := r.verb(protocol.Thaw, "").Evidence; e.Application.Held {
			r.t.Error("held")
		}
		r.happened("pre", "post", "freeze /log", "freeze /data", "thaw /data", "thaw /log")
	})
	run(t, "retries", func(r *rig) {
		tries := 0
		r.m.scripts["pre"] = func() (int, time.Duration) { tries++; return 3 - tries, time.Millisecond }
		app := script
		app.Retries = 3
		e := r.begin(app, "").Evidence
		if e.Application.Pre.Attempts != 3 {
			r.t.Errorf("attempts: %+v", e.Application.Pre)
		}
		r.verb(protocol.Thaw, "")
	})
	run(t, "pre times out", func(r *rig) {
		r.m.scripts["pre"] = func() (int, time.Duration) { return 0, time.Minute }
		e := r.begin(script, fault.ScriptTimedOut).Evidence
		if !e.Application.Pre.TimedOut {
			r.t.Errorf("evidence: %+v", e.Application.Pre)
		}
		r.verb(protocol.Thaw, "")
		r.happened("pre", "post")
	})
	run(t, "post fails", func(r *rig) {
		r.m.scripts["post"] = fails
		r.begin(script, "")
		r.verb(protocol.Freeze, "")
		reply := r.verb(protocol.Thaw, fault.ScriptFailed)
		if reply.Evidence.Application.Held || reply.Evidence.Phase != protocol.Released || ExitCode(reply) != ExitPostFailed {
			r.t.Errorf("evidence: %+v", reply.Evidence)
		}
	})
}

func TestCheck(t *testing.T) {
	deny := func(field string, change func(*protocol.Request)) {
		t.Helper()
		req := beginRequest("r1", script, "/data")
		change(&req)
		err := Check(req)
		var f *fault.Error
		if !errors.As(err, &f) || f.Code != fault.InvalidInput || f.Field != field {
			t.Errorf("got %v, want %s refused", err, field)
		}
	}
	deny("version", func(r *protocol.Request) { r.Version = 2 })
	deny("runId", func(r *protocol.Request) { r.RunID = "../x" })
	deny("runId", func(r *protocol.Request) { r.RunID = "" })
	deny("verb", func(r *protocol.Request) { r.Verb = "reboot" })
	deny("begin", func(r *protocol.Request) { r.Begin = nil })
	deny("begin.sessionSeconds", func(r *protocol.Request) { r.Begin.SessionSeconds = 0 })
	deny("begin.freezeSeconds", func(r *protocol.Request) { r.Begin.FreezeSeconds = 0 })
	deny("begin.filesystems.device", func(r *protocol.Request) { r.Begin.Filesystems[0].Device = "sda" })
	deny("begin.filesystems.device", func(r *protocol.Request) {
		r.Begin.Filesystems = append(r.Begin.Filesystems, r.Begin.Filesystems[0])
	})
	for _, p := range []string{"data", "/data/", "/a//b", "/a/../b", "/a$b", "/a`b", "/a\"b", "/a'b", "/a\nb", "/a\\b", ""} {
		deny("begin.filesystems.mount", func(r *protocol.Request) { r.Begin.Filesystems[0].Mount = p })
	}
	deny("begin.application.kind", func(r *protocol.Request) { r.Begin.Application.Kind = "magic" })
	deny("begin.application.preScript", func(r *protocol.Request) { r.Begin.Application.PreScript = "pre;rm" })
	deny("begin.application.retries", func(r *protocol.Request) { r.Begin.Application.Retries = 4 })
	if err := Check(beginRequest("r1", script, "/data", "/a b/ä")); err != nil {
		t.Error(err)
	}
}
