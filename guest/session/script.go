package session

import (
	"context"
	"time"

	"github.com/quiesce/quiesce/guest/application"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/protocol"
)

const (
	defaultTimeout = 10 * time.Second
	scriptPause    = 500 * time.Millisecond
	margin         = 5 * time.Second // between an adapter's own limits and the session's
)

// patience is how long quiescing may take: each attempt of a script, or the
// waits that the limits of a server's lock allow.
func patience(app protocol.Application) time.Duration {
	waits := time.Duration(app.FTWRLWaitTimeout+app.KillLongQueriesTimeout) * time.Second
	return time.Duration(app.Retries+1)*(timeout(app)+scriptPause) + waits + margin
}

// letting is how long releasing may take.
func letting(app protocol.Application) time.Duration {
	return time.Duration(app.Retries+1)*(timeout(app)+scriptPause) + margin
}

func timeout(app protocol.Application) time.Duration {
	if app.TimeoutSeconds == 0 {
		return defaultTimeout
	}
	return time.Duration(app.TimeoutSeconds) * time.Second
}

// scripts is the adapter of an application that only the user's scripts know.
// What they did is told to ran, because it is evidence even when they failed.
type scripts struct {
	host Host
	run  string
	app  protocol.Application
	ran  func(stage string, res protocol.ScriptResult)
}

var _ application.Adapter = (*scripts)(nil)

// Look finds nothing: the survey has checked the scripts.
func (a *scripts) Look(context.Context) (protocol.Server, error) {
	return protocol.Server{Kind: a.app.Kind}, nil
}

// Quiesce runs the pre-script.
func (a *scripts) Quiesce(ctx context.Context) (application.Held, error) {
	if a.app.PreScript == "" {
		return application.Held{}, nil
	}
	return application.Held{}, a.try(ctx, "pre", a.app.PreScript)
}

// StillHeld believes the scripts: the post-script's success decides.
func (a *scripts) StillHeld(context.Context) error { return nil }

// Release runs the post-script, and nothing cuts it short.
func (a *scripts) Release(context.Context) (map[string]string, error) {
	if a.app.PostScript == "" {
		return nil, nil
	}
	return nil, a.try(context.Background(), "post", a.app.PostScript)
}

// Undo runs the post-script: it is written for a half-done quiesce too.
func (a *scripts) Undo(ctx context.Context, _ []byte) error {
	_, err := a.Release(ctx)
	return err
}

// try runs a script until it succeeds, its retries are used up, ctx ends or
// trying again is no use.
func (a *scripts) try(ctx context.Context, stage, path string) error {
	var total protocol.ScriptResult
	for try := 0; ; try++ {
		res, err := a.host.RunScript(ctx, Script{Run: a.run, Stage: stage, Path: path, Timeout: timeout(a.app)})
		res.Path, res.Attempts, res.Ms = path, try+1, res.Ms+total.Ms
		total = res
		if err == nil || ctx.Err() != nil || try >= a.app.Retries || fault.CodeOf(err) == fault.ScriptUnsafe {
			a.ran(stage, total)
			return err
		}
		select {
		case <-time.After(scriptPause):
		case <-ctx.Done():
			a.ran(stage, total)
			return err
		}
	}
}
