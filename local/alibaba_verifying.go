package local

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/quiesce/quiesce/local/engine"
	"github.com/quiesce/quiesce/shared/history"
	"github.com/quiesce/quiesce/shared/verify"
	"github.com/quiesce/quiesce/workflow"
)

// deployVerify adds the restore test's flow to the account. No event tells of one
// that was stopped: the timer that looks for such comes later than a local run is
// over.
func (a *alibaba) deployVerify() error {
	m, err := workflow.VerifyFlowMachine(a.cloud.FunctionARN)
	if err != nil {
		return fmt.Errorf("the definition of a restore test: %w", err)
	}
	a.engine.Deploy(verifierName, []byte(workflow.VerifyFlow()), m, a.cloud.Tasks(a.invoker))
	return nil
}

// verifyBy lets the restore test's own flow do what is asked for; tell may be nil.
func (a *alibaba) verifyBy(ctx context.Context, name string, asked verify.Request, tell func(history.Passage)) (*verifying, error) {
	r := &verifying{}
	var err error
	if r.Record, err = a.executes(ctx, verifierName, name, asked, tell); err != nil {
		return nil, err
	}
	return r, json.Unmarshal(r.Document, &r.state)
}

// executes starts an execution of a flow by the service's own API and reads it when
// it has ended; tell may be nil.
func (a *alibaba) executes(ctx context.Context, flow, name string, asked any, tell func(history.Passage)) (*history.Record, error) {
	input, err := json.Marshal(asked)
	if err != nil {
		return nil, err
	}
	if err := a.operator.StartExecution(ctx, flow, name, input); err != nil {
		return nil, fmt.Errorf("start the execution %s: %w", name, err)
	}
	if tell != nil {
		return a.operator.Follow(ctx, flow, name, tell)
	}
	running, err := a.engine.List(flow, engine.Running)
	if err != nil {
		return nil, err
	}
	for _, e := range running {
		if e.Name != name {
			continue
		}
		if _, err := a.engine.Wait(ctx, e.ARN); err != nil {
			return nil, err
		}
	}
	return a.operator.Look(ctx, flow, name)
}

// test lets the deployed flow test the set on the machine that it was taken of,
// while that goes on.
func (a *alibaba) test(ctx context.Context, o Options, s stage, runID string, tell Progress) (*RestoreTest, error) {
	r, err := a.verifyBy(ctx, testName(), testOf(s.policy(o), aliyunInstance, runID), tell.Passage)
	if err != nil {
		return nil, err
	}
	return r.told(), nil
}
