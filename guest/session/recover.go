package session

import (
	"context"

	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/protocol"
)

// recover closes the record of a session whose process is dead: outer
// filesystems first, then the application. Called under the gate.
func (h *Helper) recover(ctx context.Context, rec Record) error {
	e := &rec.Evidence
	now := h.host.Stamp()
	var failure error
	if e.BootID == h.host.BootID() {
		failure = h.rescue(ctx, e)
	}
	if e.Thaw == nil {
		e.Thaw = &protocol.ThawEvidence{Reason: "daemon-died", At: now}
	}
	e.AutoThawed = true
	e.Lost = append(e.Lost, protocol.Loss{Code: fault.HoldLost, Subject: "helper", Message: "the session's process died", At: now})
	e.FrozenMs = frozenMs(*e)
	if failure != nil {
		e.Phase = protocol.Thawing
	}
	if a := e.Application; a != nil && a.Kind != byDocument && a.ReleasedAt.IsZero() && a.Post == nil {
		err := h.undo(ctx, rec, a)
		released(e, false, err, h.host.Stamp())
	}
	if failure == nil {
		e.Phase = protocol.Released
	}
	if err := h.host.Save(rec); err != nil {
		return fault.Wrap(fault.Internal, err, "closing the record of run %s", rec.RunID)
	}
	return failure
}

// undo takes back what the dead session did to the application.
func (h *Helper) undo(ctx context.Context, rec Record, a *protocol.ApplicationEvidence) error {
	app := rec.Begin.Application
	ctx, cancel := context.WithTimeout(ctx, letting(app))
	defer cancel()
	if app.Kind == "script" {
		ran := func(stage string, res protocol.ScriptResult) { scripted(a, stage, res) }
		return (&scripts{host: h.host, run: rec.RunID, app: app, ran: ran}).Undo(ctx, rec.Journal)
	}
	save := func(entry []byte) error {
		rec.Journal = entry
		return h.host.Save(rec)
	}
	adapter, err := h.host.Application(app, save)
	if err != nil {
		return err
	}
	return adapter.Undo(ctx, rec.Journal)
}

// rescue thaws what the record says may be frozen: all that was being frozen
// when it was last saved.
func (h *Helper) rescue(ctx context.Context, e *protocol.Evidence) error {
	if e.Phase != protocol.Freezing && e.Phase != protocol.Frozen && e.Phase != protocol.Thawing {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 2*thawBudget)
	defer cancel()
	type end struct {
		i int
		t Thawed
		e error
	}
	ends := make(chan end)
	n := 0
	for i, f := range e.Filesystems {
		if f.ReadOnly || f.Thaw == thawOK || f.Thaw == thawNotFrozen {
			continue
		}
		n++
		// All at once: one that waits for another's thaw gets its turn then.
		go func() {
			t, err := h.host.Rescue(ctx, e.RunID, protocol.Filesystem{Mount: f.Mount, Device: f.Device})
			ends <- end{i, t, err}
		}()
	}
	var failure error
	for ; n > 0; n-- {
		x := <-ends
		f := &e.Filesystems[x.i]
		thawed(f, x.t, x.e)
		f.GuardFired = f.GuardFired || x.t.ByGuard
		if x.e != nil && failure == nil {
			failure = &fault.Error{Code: fault.ThawFailed, Field: f.Mount, Message: "not thawed", Cause: x.e}
		}
	}
	return failure
}
