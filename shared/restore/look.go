package restore

import (
	"context"
	"time"

	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/run"
)

// patience is how long a function looks by itself: most of what a cloud does
// with a disk takes seconds, and a wait of the workflow is a coarse one.
const patience = 20 * time.Second

// Limit is how long a step of the plan may take from its first look, of which
// before tells: the most that any may, or what a restore test has left.
func (p Plan) Limit(most time.Duration, before *Progress) time.Duration {
	if p.Until.IsZero() {
		return most
	}
	since := time.Now()
	if before != nil {
		since = before.Since
	}
	return min(most, max(0, p.Until.Sub(since)))
}

// Look lets something be looked at, and pushed on, until it is done or patience
// has run out; before is what the last function saw. Later than limit after the
// first look it is given up as RestoreTimedOut. VolumeBusy counts as not done
// yet, because that is what it says.
func Look(ctx context.Context, before *Progress, limit time.Duration, look func() (*Progress, error)) (*Progress, error) {
	started := time.Now()
	since := started
	if before != nil {
		since = before.Since
	}
	for pause := 250 * time.Millisecond; ; pause = min(2*pause, 4*time.Second) {
		p, err := look()
		if fault.CodeOf(err) == fault.VolumeBusy {
			p, err = &Progress{State: Pending, Detail: err.Error()}, nil
		}
		if err != nil {
			return nil, err
		}
		now := time.Now()
		p.Since, p.Record = since, run.Record{StartedAt: started, EndedAt: now}
		switch {
		case p.State == Done:
			return p, nil
		case now.Sub(since) > limit:
			return nil, fault.New(fault.RestoreTimedOut, "not done after %s: %s", limit, p.Detail)
		case now.Add(pause).Sub(started) > patience:
			return p, nil
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, fault.Wrap(fault.Unavailable, ctx.Err(), "wait: %s", p.Detail)
		}
	}
}
