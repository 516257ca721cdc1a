package session

import (
	"context"
	"time"

	"github.com/quiesce/quiesce/guest/application"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/protocol"
)

// byDocument is an application that the user's document brings to rest, sent by
// the steps through the provider's agent. That the session was opened for it
// tells the thaw that a post-script is owed; no helper can send it.
const byDocument = "document"

// A server is asked so often to let go, with so long in between.
const (
	releaseTries = 4
	releasePause = 500 * time.Millisecond
)

// begin quiesces the application. When that fails it is released at once, for
// a quiesce that failed may have done half of its work; the session stays open,
// so that the run may still freeze.
func (s *session) begin(protocol.Request) error {
	if err := s.enter(s.work); err != nil {
		return err
	}
	defer s.leave()
	if s.work.Err() != nil {
		return s.ending()
	}
	app := s.rec.Begin.Application
	if app.Kind == "none" {
		s.note(func(e *protocol.Evidence) { e.Phase = protocol.Quiesced })
		return s.save()
	}
	if app.Kind == byDocument {
		s.note(func(e *protocol.Evidence) {
			e.Phase = protocol.Quiesced
			e.Application = &protocol.ApplicationEvidence{Kind: app.Kind, QuiesceAt: s.host.Stamp()}
		})
		return s.save()
	}
	adapter, err := s.adapt(app)
	if err != nil {
		s.note(func(e *protocol.Evidence) { e.Phase = protocol.Quiesced })
		s.save()
		return err
	}
	s.note(func(e *protocol.Evidence) {
		e.Phase = protocol.Quiescing
		e.Application = &protocol.ApplicationEvidence{Kind: app.Kind, QuiesceAt: s.host.Stamp()}
	})
	// The record comes first: whoever recovers must know that it was begun.
	if err := s.save(); err != nil {
		return err
	}
	s.app = adapter
	held, err := s.quiesce(app)
	if err != nil {
		s.note(func(e *protocol.Evidence) { e.Application.Error = protocol.FailureOf(err) })
		s.release(false)
		s.note(func(e *protocol.Evidence) { e.Phase = protocol.Quiesced })
		s.save()
		return err
	}
	s.note(func(e *protocol.Evidence) {
		e.Application.QuiescedAt = s.host.Stamp()
		e.Application.SessionID, e.Application.Version, e.Application.Mode, e.Application.Killed = held.SessionID, held.Version, held.Mode, held.Killed
		e.Phase = protocol.Quiesced
	})
	return s.save()
}

// quiesce asks the adapter, within all that the policy allows it: a server that
// does not answer must not occupy the session.
func (s *session) quiesce(app protocol.Application) (application.Held, error) {
	ctx, cancel := context.WithTimeoutCause(s.work, patience(app),
		fault.New(fault.ApplicationBusy, "%s was not at rest after %v", app.Kind, patience(app)))
	defer cancel()
	held, err := s.app.Quiesce(ctx)
	switch {
	case err != nil && s.work.Err() != nil && app.Kind != "script":
		return held, s.ending()
	case err != nil && fault.CodeOf(err) == fault.Internal && ctx.Err() != nil:
		return held, fault.Wrap(fault.ApplicationBusy, err, "%s", context.Cause(ctx))
	}
	return held, err
}

// adapt makes the adapter of an application. Scripts are the host's to run, the
// rest is its adapters'.
func (s *session) adapt(app protocol.Application) (application.Adapter, error) {
	if app.Kind == "script" {
		return &scripts{host: s.host, run: s.run, app: app, ran: s.ran}, nil
	}
	left := time.Duration(s.rec.EndsAt.Mono - s.host.Stamp().Mono)
	app.HoldSeconds = int(left/time.Second) + 1
	return s.host.Application(app, s.journal)
}

// journal keeps an adapter's entry in the record, where whoever recovers finds
// it.
func (s *session) journal(entry []byte) error {
	s.mu.Lock()
	s.rec.Journal = entry
	s.mu.Unlock()
	return s.save()
}

// ran enters a script's result into the evidence.
func (s *session) ran(stage string, res protocol.ScriptResult) {
	s.note(func(e *protocol.Evidence) { scripted(e.Application, stage, res) })
}

// release lets the application go, once. It is owed as soon as quiescing it
// was attempted. The hold is looked at first, unless a filesystem may still be
// frozen: then nothing is asked of the application that could hang.
func (s *session) release(thawed bool) {
	s.mu.Lock()
	a := s.rec.Evidence.Application
	if a == nil || s.app == nil || !a.ReleasedAt.IsZero() || a.Post != nil {
		s.mu.Unlock()
		return
	}
	quiesced := !a.QuiescedAt.IsZero()
	app := s.rec.Begin.Application
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), letting(app))
	defer cancel()
	held := false
	if quiesced && thawed {
		err := s.app.StillHeld(ctx)
		held = err == nil
		if err != nil {
			s.loseApplication(err)
		}
	}
	files, err := s.app.Release(ctx)
	for try := 1; err != nil && app.Kind != "script" && try < releaseTries && ctx.Err() == nil; try++ {
		select { // a script has retries of its own; what a server refused once need not stay changed
		case <-time.After(releasePause):
			files, err = s.app.Release(ctx)
		case <-ctx.Done():
		}
	}
	s.note(func(e *protocol.Evidence) {
		released(e, held, err, s.host.Stamp())
		e.Application.Files = files
	})
	s.save()
}

// loseApplication records that the application's hold broke.
func (s *session) loseApplication(err error) {
	failure := protocol.FailureOf(err)
	s.note(func(e *protocol.Evidence) {
		e.Lost = append(e.Lost, protocol.Loss{Code: failure.Code, Subject: "application", Message: failure.Message, At: s.host.Stamp()})
		if e.Application.Error == nil {
			e.Application.Error = failure
		}
	})
}

// released enters the release into the evidence. The hold is proved only if it
// was seen and nothing was lost in between; a script's besides by the success
// of its post-script, because nothing else can be asked of it.
func released(e *protocol.Evidence, held bool, err error, at protocol.Stamp) {
	a := e.Application
	if err != nil {
		if a.Error == nil {
			a.Error = protocol.FailureOf(err)
		}
		return
	}
	a.ReleasedAt = at
	a.Held = held && a.Error == nil && len(e.Lost) == 0 && (a.Kind != "script" || a.Post != nil)
}

// scripted enters a script's result.
func scripted(a *protocol.ApplicationEvidence, stage string, res protocol.ScriptResult) {
	if stage == "pre" {
		a.Pre = &res
	} else {
		a.Post = &res
	}
}
