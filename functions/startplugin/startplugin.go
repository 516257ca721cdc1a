// Package startplugin sends the one command in which the provider's own tool
// takes the set, and does not wait for it.
package startplugin

import (
	"context"
	"time"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/plugin"
	"github.com/quiesce/quiesce/shared/run"
)

// Input is the plan, and the attempt before if there was one.
type Input struct {
	Plan   run.Plan    `json:"plan"`
	Plugin *run.Plugin `json:"plugin"`
}

// Check refuses an input without a plan.
func (in Input) Check() error { return in.Plan.Check() }

// Cloud is what the step asks of a provider.
type Cloud interface {
	cloud.Agent
	cloud.Plugin
}

// first is how long a plug-in takes that has nothing to wait for.
const first = 2

// Do sends the command. Its token is the run's and the attempt's, so that a
// call whose answer was lost is not a second command. Codes: InvalidInput and
// those of Run.
func Do(ctx context.Context, c Cloud, in Input) (*run.Plugin, error) {
	started := time.Now()
	attempt := 0
	if in.Plugin != nil {
		if in.Plugin.State != run.PluginAgain {
			return nil, fault.Input("plugin.state", "is %q: the command before has not ended so that another may follow", in.Plugin.State)
		}
		attempt = in.Plugin.Attempt + 1
	}
	id := in.Plan.Target.InstanceID
	ping, err := c.Ping(ctx, id)
	if err != nil {
		return nil, err
	}
	shell, err := Shell(in.Plan, !ping.Linux, attempt)
	if err != nil {
		return nil, err
	}
	command, err := c.Run(ctx, shell)
	if err != nil {
		return nil, err
	}
	return &run.Plugin{
		State: run.PluginRunning, CommandID: command, Windows: !ping.Linux, Attempt: attempt, WaitSeconds: first, ExitCode: -1,
		SentAt: started, Record: run.Record{StartedAt: started, EndedAt: time.Now()},
	}, nil
}

// Shell is the command of an attempt.
func Shell(plan run.Plan, windows bool, attempt int) (cloud.Shell, error) {
	spec := plugin.Of(plan, windows, attempt)
	text, err := spec.Command()
	return cloud.Shell{
		InstanceID: plan.Target.InstanceID, Windows: windows, Content: text, Name: spec.Name,
		TimeoutSecs: int(plugin.Limit.Seconds()), Token: plugin.Token(plan.RunID, attempt),
	}, err
}
