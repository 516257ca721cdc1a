package session

import (
	"context"
	"testing"
	"time"

	"github.com/quiesce/quiesce/guest/application"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/protocol"
)

// server is an application of the machine that sessions hold by adapters.
type server struct {
	m       *machine
	takes   time.Duration
	refuse  error // of Quiesce
	lost    error // of StillHeld
	stuck   error // of Release
	yields  int   // after so many refusals it is released all the same; 0: never
	undone  []byte
	journal application.Journal
}

var held = protocol.Application{Kind: "mariadb", TimeoutSeconds: 10}

// serve puts a server on the rig's machine.
func (r *rig) serve() *server {
	s := &server{m: r.m}
	r.m.apps = map[string]application.New{"mariadb": func(_ protocol.Application, j application.Journal) (application.Adapter, error) {
		s.journal = j
		return s, nil
	}}
	return s
}

// asked notes the call, and that nothing is asked of it while a filesystem is
// frozen.
func (s *server) asked(what string) {
	for mount := range s.m.disks {
		if s.m.isFrozen(mount) {
			what += " while " + mount + " is frozen"
		}
	}
	s.m.log(what)
}

func (s *server) Look(context.Context) (protocol.Server, error) {
	return protocol.Server{Kind: "mariadb", Version: "1"}, s.refuse
}

func (s *server) Quiesce(ctx context.Context) (application.Held, error) {
	s.asked("quiesce")
	if err := s.journal([]byte(`{"read":"only"}`)); err != nil {
		return application.Held{}, err
	}
	select {
	case <-time.After(s.takes):
	case <-ctx.Done():
		return application.Held{}, ctx.Err()
	}
	return application.Held{SessionID: "7", Version: "1", Killed: 2}, s.refuse
}

func (s *server) StillHeld(context.Context) error { s.asked("held?"); return s.lost }

func (s *server) Release(context.Context) (map[string]string, error) {
	s.asked("release")
	if s.yields > 0 {
		if s.yields--; s.yields == 0 {
			s.stuck = nil
		}
	}
	return map[string]string{"label": "x"}, s.stuck
}

func (s *server) Undo(_ context.Context, journal []byte) error {
	s.asked("undo")
	s.undone = journal
	return s.stuck
}

func TestApplication(t *testing.T) {
	window := []string{"freeze /log", "freeze /data", "thaw /data", "thaw /log"}
	order := func(before []string, after ...string) []string {
		return append(append(append([]string{}, before...), window...), after...)
	}
	run(t, "held", func(r *rig) {
		r.serve()
		if a := r.begin(held, "").Evidence.Application; a.SessionID != "7" || a.Version != "1" || a.Killed != 2 || a.QuiescedAt.IsZero() || a.Held {
			r.t.Errorf("evidence: %+v", a)
		}
		r.verb(protocol.Freeze, "")
		e := r.verb(protocol.Thaw, "").Evidence
		if a := e.Application; !a.Held || a.ReleasedAt.IsZero() || a.Files["label"] != "x" || a.ReleasedAt.Mono < e.Filesystems[0].ThawedAt.Mono {
			r.t.Errorf("evidence: %+v", a)
		}
		r.verb(protocol.Thaw, "") // replayed
		r.happened(order([]string{"quiesce"}, "held?", "release")...)
	})
	run(t, "lost in the window", func(r *rig) {
		s := r.serve()
		r.begin(held, "")
		r.verb(protocol.Freeze, "")
		s.lost = fault.New(fault.HoldLost, "its session has ended")
		reply := r.verb(protocol.Thaw, fault.HoldLost)
		a := reply.Evidence.Application
		if a.Held || a.ReleasedAt.IsZero() || a.Error == nil || reply.Evidence.AutoThawed || ExitCode(reply) != ExitFailed {
			r.t.Errorf("evidence: %+v", a)
		}
		if l := reply.Evidence.Lost; len(l) != 1 || l[0].Subject != "application" || l[0].Code != fault.HoldLost {
			r.t.Errorf("lost: %+v", l)
		}
	})
	run(t, "not had: released at once, the freeze still may", func(r *rig) {
		s := r.serve()
		s.refuse = fault.New(fault.ApplicationBusy, "a long query")
		reply := r.begin(held, fault.ApplicationBusy)
		if reply.Evidence.Application.ReleasedAt.IsZero() || ExitCode(reply) != ExitPreFailed {
			r.t.Errorf("evidence: %+v", reply.Evidence.Application)
		}
		r.verb(protocol.Freeze, "")
		if e := r.verb(protocol.Thaw, "").Evidence; e.Application.Held || len(e.Lost) > 0 {
			r.t.Errorf("evidence: %+v", e)
		}
		r.happened(order([]string{"quiesce", "release"})...)
	})
	run(t, "it never answers", func(r *rig) {
		r.serve().takes = time.Hour
		began := time.Now()
		r.begin(held, fault.ApplicationBusy)
		if took := time.Since(began); took > 20*time.Second {
			r.t.Errorf("it took %v", took)
		}
		r.verb(protocol.Thaw, "")
		r.happened("quiesce", "release")
	})
	run(t, "ended while it is quiesced", func(r *rig) {
		r.serve().takes = 8 * time.Second
		go r.h.Handle(context.Background(), beginRequest("r1", held, "/data"))
		time.Sleep(time.Second)
		r.verb(protocol.Thaw, "")
		r.happened("quiesce", "release")
	})
	run(t, "not released", func(r *rig) {
		s := r.serve()
		r.begin(held, "")
		r.verb(protocol.Freeze, "")
		s.stuck = fault.New(fault.ApplicationRefused, "it did not take the order")
		reply := r.verb(protocol.Thaw, fault.ApplicationRefused)
		if a := reply.Evidence.Application; !a.ReleasedAt.IsZero() || a.Held || ExitCode(reply) != ExitPostFailed || reply.Evidence.Phase != protocol.Released {
			r.t.Errorf("evidence: %+v", a)
		}
	})
	run(t, "released at the third time of asking", func(r *rig) {
		s := r.serve()
		r.begin(held, "")
		r.verb(protocol.Freeze, "")
		s.stuck, s.yields = fault.New(fault.ApplicationRefused, "it did not take the order"), 3
		if a := r.verb(protocol.Thaw, "").Evidence.Application; a.ReleasedAt.IsZero() || !a.Held {
			r.t.Errorf("evidence: %+v", a)
		}
		r.happened(order([]string{"quiesce"}, "held?", "release", "release", "release")...)
	})
	run(t, "the session's deadline", func(r *rig) {
		r.serve()
		r.begin(held, "")
		time.Sleep(3 * time.Minute)
		r.happened("quiesce", "held?", "release")
		r.verb(protocol.Thaw, fault.HoldLost)
	})
	run(t, "a crash is undone from the journal", func(r *rig) {
		s := r.serve()
		r.begin(held, "")
		r.verb(protocol.Freeze, "")
		r.restart()
		e := r.verb(protocol.Thaw, fault.HoldLost).Evidence
		if string(s.undone) != `{"read":"only"}` || e.Application.ReleasedAt.IsZero() || e.Application.Held {
			r.t.Errorf("undone %q, evidence %+v", s.undone, e.Application)
		}
	})
	run(t, "a thaw that hangs: nothing is asked of it that could hang too", func(r *rig) {
		r.serve()
		r.begin(held, "")
		r.verb(protocol.Freeze, "")
		r.m.disks["/data"].thawErr = fault.New(fault.ThawFailed, "no answer")
		r.verb(protocol.Thaw, fault.ThawFailed)
		r.m.disks["/data"].thawErr = nil
		reply := r.verb(protocol.Thaw, "")
		if reply.Evidence.Application.Held {
			r.t.Error("held, and nobody has looked")
		}
		for _, what := range r.m.history() {
			if what == "held? while /data is frozen" {
				r.t.Error("it was asked while a filesystem was frozen")
			}
		}
	})
	run(t, "a kind that is not there", func(r *rig) {
		r.serve()
		other := held
		other.Kind = "redis"
		r.begin(other, fault.InvalidInput)
		r.verb(protocol.Freeze, "")
		r.verb(protocol.Thaw, "")
	})
	run(t, "looked for", func(r *rig) {
		s := r.serve()
		req := request(protocol.DryRun, "r1")
		req.DryRun = &protocol.DryRunRequest{Application: &held}
		if d := r.ask(req, "").DryRun; d.Server == nil || d.Server.Version != "1" || d.NoServer != nil {
			r.t.Errorf("seen: %+v", d)
		}
		s.refuse = fault.New(fault.ApplicationNotFound, "no socket")
		if d := r.ask(req, "").DryRun; d.Server != nil || d.NoServer == nil || d.NoServer.Code != fault.ApplicationNotFound {
			r.t.Errorf("seen: %+v", d)
		}
		r.happened()
	})
}
