// Package startvss sends the one command in which AWS's own document takes the
// set of a Windows instance, and does not wait for it.
package startvss

import (
	"context"
	"time"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/run"
	"github.com/quiesce/quiesce/shared/vss"
)

// Input is the plan, the command before if there was one, and how often the
// state machine has tried to send this one.
type Input struct {
	Plan    run.Plan    `json:"plan"`
	Plugin  *run.Plugin `json:"plugin"`
	Attempt int         `json:"attempt"`
}

// Check refuses an input without a plan.
func (in Input) Check() error { return in.Plan.Check() }

// first is how long a document takes that has nothing to install.
const first = 5

// fresh is how soon after the plan a first attempt must begin to be trusted as
// the first: an execution that was redriven begins with attempt 0 again.
const fresh = time.Minute

// slack is how far the clocks of a plan's maker and of the service may differ.
const slack = 5 * time.Minute

// delivery is how long the command waits for an agent that is away.
const delivery = 60

// Do sends the command, or finds the one that an earlier attempt sent: the call
// has no idempotency token, so that it is looked for before any second call.
// Codes: InvalidInput, and those of SendOnce and FindCommand.
func Do(ctx context.Context, c cloud.Windows, in Input) (*run.Plugin, error) {
	started, attempt := time.Now(), 0
	if in.Plugin != nil {
		if in.Plugin.State != run.PluginAgain {
			return nil, fault.Input("plugin.state", "is %q: the command before has not ended so that another may follow", in.Plugin.State)
		}
		attempt = in.Plugin.Attempt + 1
	}
	parameters, err := vss.Of(in.Plan).Parameters()
	if err != nil {
		return nil, err
	}
	cmd := cloud.DocumentCommand{
		InstanceID: in.Plan.Target.InstanceID, Document: vss.Document, Parameters: parameters,
		DeliverySecs: delivery, Comment: vss.Comment(in.Plan.RunID, attempt),
	}
	id := ""
	if in.Attempt > 0 || attempt > 0 || time.Since(in.Plan.Record.EndedAt) > fresh {
		if id, err = find(ctx, c, in, cmd.Comment); err != nil {
			return nil, err
		}
	}
	if id == "" {
		id, err = c.SendOnce(ctx, cmd)
		if fault.CodeOf(err) == fault.CommandUnknown {
			if found, _ := find(ctx, c, in, cmd.Comment); found != "" {
				id, err = found, nil
			}
		}
		if err != nil {
			return nil, err
		}
	}
	return &run.Plugin{
		State: run.PluginRunning, CommandID: id, Windows: true, Attempt: attempt, WaitSeconds: first, ExitCode: -1,
		SentAt: started, Record: run.Record{StartedAt: started, EndedAt: time.Now()},
	}, nil
}

// find looks for an attempt's command for as long as it may be invisible.
func find(ctx context.Context, c cloud.Windows, in Input, comment string) (string, error) {
	wait := cloud.Settle
	if in.Attempt == 0 {
		wait = 0
	}
	since := in.Plan.Record.StartedAt.Add(-slack)
	for give, pause := time.Now().Add(wait), 500*time.Millisecond; ; pause *= 2 {
		id, err := c.FindCommand(ctx, in.Plan.Target.InstanceID, comment, since)
		if id != "" || err != nil || time.Now().Add(pause).After(give) {
			return id, err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return "", fault.Wrap(fault.CommandUnknown, ctx.Err(), "look for the command of the run %s", in.Plan.RunID)
		}
	}
}
