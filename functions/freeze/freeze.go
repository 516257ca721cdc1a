// Package freeze stops writes to the set's filesystems. It returns when the
// helper has seen that nothing gets through, and not before its guards are
// armed.
package freeze

import (
	"context"
	"time"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/helper"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/protocol"
	"github.com/quiesce/quiesce/shared/run"
)

// Input is the plan.
type Input struct {
	Plan run.Plan `json:"plan"`
}

// Check refuses an input without a plan.
func (in Input) Check() error { return in.Plan.Check() }

// limit bounds the flush and the freeze itself; past it the window opens late
// or not at all, and the command refuses.
const limit = 45 * time.Second

// Do freezes and names the hold. From its return on, the window is open: no
// event is published here. Codes: FreezeRefused, FreezeTimedOut,
// ForeignFreeze, HoldLost, NoSession, TooLate, and a command's own.
func Do(ctx context.Context, agent cloud.Agent, in Input) (*run.Freeze, error) {
	started := time.Now()
	plan := in.Plan
	if plan.Policy.Application.Kind == policy.None && !plan.Policy.Freeze.Enabled {
		return &run.Freeze{Record: run.Record{StartedAt: started, EndedAt: time.Now()}}, nil
	}
	reply, err := helper.Ask(ctx, agent, helper.Call{
		InstanceID: plan.Target.InstanceID,
		Asset:      cloud.Asset{SHA256: plan.Helper.SHA256},
		Execution:  limit,
		Expires:    true,
		ClockSkew:  time.Duration(plan.ClockSkewMs) * time.Millisecond,
		Request:    protocol.Request{Verb: protocol.Freeze, RunID: plan.RunID},
	})
	if err != nil {
		return nil, err
	}
	if reply.Evidence == nil || reply.Evidence.Hold == "" {
		return nil, fault.New(fault.HoldLost, "the helper on %s answered without a hold", plan.Target.InstanceID)
	}
	return &run.Freeze{
		Hold:   reply.Evidence.Hold,
		Mounts: len(reply.Evidence.Filesystems),
		Record: run.Record{StartedAt: started, EndedAt: time.Now()},
	}, nil
}
