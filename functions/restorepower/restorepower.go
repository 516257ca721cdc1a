// Package restorepower stops the instance of a restore in place, and starts it.
package restorepower

import (
	"context"
	"fmt"
	"time"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/restore"
)

// Input is the plan, which state is wanted, and what the last look saw.
type Input struct {
	Plan   restore.Plan      `json:"plan"`
	To     string            `json:"to"` // stopped, running
	Before *restore.Progress `json:"before"`
}

// States that can be wanted. An instance that was found stopped stays so.
const (
	Stopped = "stopped"
	Running = "running"
)

// Check refuses an input without a plan.
func (in Input) Check() error {
	if in.To != Stopped && in.To != Running {
		return fault.Input("to", "wants %s or %s, got %q", Stopped, Running, in.To)
	}
	return in.Plan.Check()
}

// limit is how long an instance may take: one with much memory shuts down
// slowly.
const limit = 20 * time.Minute

// Do asks for the state and looks until it is reached. Codes: RestoreTimedOut,
// InstanceNotFound, RestoreRefused.
func Do(ctx context.Context, r cloud.Restorer, in Input) (*restore.Progress, error) {
	if in.To == Running && !in.Plan.Starts {
		return &restore.Progress{State: restore.Done, Detail: "the instance was not running, and is left so"}, nil
	}
	return restore.Look(ctx, in.Before, limit, func() (*restore.Progress, error) {
		h, err := r.Host(ctx, in.Plan.Target.InstanceID)
		if err != nil {
			return nil, err
		}
		p := &restore.Progress{State: restore.Pending, Detail: fmt.Sprintf("%s is %s", h.ID, h.State)}
		switch want := cloud.HostState(in.To); {
		case h.State == want:
			p.State = restore.Done
		case h.State == "":
			return nil, fault.New(fault.RestoreRefused, "%s is being terminated", h.ID)
		case want == cloud.HostStopped && h.State == cloud.HostRunning:
			err = r.Stop(ctx, h.ID)
		case want == cloud.HostRunning && h.State == cloud.HostStopped:
			err = r.Start(ctx, h.ID)
		}
		if fault.CodeOf(err) == fault.InstanceNotRunning { // between two states: the next look tells
			err = nil
		}
		return p, err
	})
}
