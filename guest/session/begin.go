package session

import (
	"context"
	"time"

	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/protocol"
)

const (
	defaultTimeout = 10 * time.Second
	scriptPause    = 500 * time.Millisecond
)

// begin quiesces the application. When that fails it is released at once, for
// a script that failed may have done half of its work; the session stays open,
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
	s.note(func(e *protocol.Evidence) {
		e.Phase = protocol.Quiescing
		e.Application = &protocol.ApplicationEvidence{Kind: app.Kind, QuiesceAt: s.host.Stamp()}
	})
	// The record comes first: whoever recovers must know that it was begun.
	if err := s.save(); err != nil {
		return err
	}
	if app.PreScript != "" {
		res, err := runScript(s.work, s.host, s.run, "pre", app, app.PreScript)
		s.note(func(e *protocol.Evidence) { e.Application.Pre = &res })
		if err != nil {
			s.note(func(e *protocol.Evidence) { e.Application.Error = protocol.FailureOf(err) })
			s.release()
			s.note(func(e *protocol.Evidence) { e.Phase = protocol.Quiesced })
			s.save()
			return err
		}
	}
	s.note(func(e *protocol.Evidence) {
		e.Application.QuiescedAt = s.host.Stamp()
		e.Phase = protocol.Quiesced
	})
	return s.save()
}

// release lets the application go, once. It is owed as soon as quiescing it
// was attempted, and nothing cuts it short.
func (s *session) release() {
	s.mu.Lock()
	a := s.rec.Evidence.Application
	if a == nil || !a.ReleasedAt.IsZero() || a.Post != nil {
		s.mu.Unlock()
		return
	}
	app := s.rec.Begin.Application
	s.mu.Unlock()
	res, err := runPost(s.host, s.run, app)
	s.note(func(e *protocol.Evidence) { released(e, res, err, s.host.Stamp()) })
	s.save()
}

// runPost runs the post script on a context of its own; nil for none.
func runPost(host Host, run string, app protocol.Application) (*protocol.ScriptResult, error) {
	if app.PostScript == "" {
		return nil, nil
	}
	res, err := runScript(context.Background(), host, run, "post", app, app.PostScript)
	return &res, err
}

// released enters the release into the evidence. A script's hold is proved
// only if both scripts succeeded and nothing was lost in between.
func released(e *protocol.Evidence, res *protocol.ScriptResult, err error, at protocol.Stamp) {
	a := e.Application
	a.Post = res
	if err != nil {
		if a.Error == nil {
			a.Error = protocol.FailureOf(err)
		}
		return
	}
	a.ReleasedAt = at
	a.Held = res != nil && !a.QuiescedAt.IsZero() && a.Error == nil && len(e.Lost) == 0
}

// runScript runs a script until it succeeds, its retries are used up, ctx ends
// or trying again is no use.
func runScript(ctx context.Context, host Host, run, stage string, app protocol.Application, path string) (protocol.ScriptResult, error) {
	timeout := time.Duration(app.TimeoutSeconds) * time.Second
	if timeout == 0 {
		timeout = defaultTimeout
	}
	var total protocol.ScriptResult
	for try := 0; ; try++ {
		res, err := host.RunScript(ctx, Script{Run: run, Stage: stage, Path: path, Timeout: timeout})
		res.Path, res.Attempts, res.Ms = path, try+1, res.Ms+total.Ms
		total = res
		if err == nil || ctx.Err() != nil || try >= app.Retries || fault.CodeOf(err) == fault.ScriptUnsafe {
			return total, err
		}
		select {
		case <-time.After(scriptPause):
		case <-ctx.Done():
			return total, err
		}
	}
}
