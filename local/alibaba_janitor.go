package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/quiesce/quiesce/local/aliyun"
	"github.com/quiesce/quiesce/workflow"
)

// sweepTimer is the timer that starts sweep, and its period.
const (
	sweepTimer = "every-minute"
	sweepEvery = time.Minute
)

// deployJanitors adds the flows that sweep starts after an execution that broke
// off.
func (a *alibaba) deployJanitors() error {
	run, err := workflow.JanitorFlowMachine(busName, a.cloud.FunctionARN)
	restore, err2 := workflow.RestoreJanitorFlowMachine(busName, a.cloud.FunctionARN)
	if err := errors.Join(err, err2); err != nil {
		return fmt.Errorf("the definitions of the janitors: %w", err)
	}
	a.engine.Deploy(janitorName, []byte(workflow.JanitorFlow()), run, a.cloud.Tasks(a.invoker))
	a.engine.Deploy(restoreJanitor, []byte(workflow.RestoreJanitorFlow()), restore, a.cloud.Tasks(a.invoker))
	return nil
}

// sweep is what the timer does.
func (a *alibaba) sweep(ctx context.Context, tick json.RawMessage) error {
	_, err := a.invoker.Invoke(ctx, "sweep", tick)
	return err
}

// swept has the timer's next minute come at once, for which nobody waits here,
// and tells whether the janitor that it started came to an end.
func (a *alibaba) swept(ctx context.Context, runID string) (bool, error) {
	if err := a.sweep(ctx, aliyun.Tick(sweepTimer, time.Now(), "")); err != nil {
		return false, ctx.Err() // the instance lets go by itself
	}
	all, err := a.engine.List(janitorName, "")
	if err != nil {
		return false, err
	}
	for _, x := range all {
		if x.Name == runID {
			_, err := a.engine.Wait(ctx, x.ARN)
			return err == nil, err
		}
	}
	return false, nil
}
