package local

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"

	"github.com/quiesce/quiesce/functions/restorereport"
	cloud "github.com/quiesce/quiesce/local/aws"
	"github.com/quiesce/quiesce/shared/cloud/awscloud/history"
	"github.com/quiesce/quiesce/shared/restore"
	"github.com/quiesce/quiesce/shared/run"
	"github.com/quiesce/quiesce/workflow"
)

const restorerName = "quiesce-restore"

// deployRestore adds the restore's state machine to the account.
func (a *account) deployRestore() error {
	m, err := workflow.RestoreMachine(a.cloud.FunctionARN)
	if err != nil {
		return fmt.Errorf("the definition of a restore: %w", err)
	}
	a.restorer = a.engine.Deploy(restorerName, []byte(workflow.Restore()), m, a.cloud.Tasks(a.lambda))
	return nil
}

// halt is the end of whatever runs on an instance that is stopped.
func (a *account) halt(string) {
	if a.halted != nil {
		a.halted()
	}
}

// unreported looks at what a restore has left that ended without its report.
func (a *account) unreported(ctx context.Context, stopped cloud.Stopped) error {
	payload, err := json.Marshal(restorereport.Input{
		Run:     run.Run{ID: stopped.RunID},
		Request: run.Typed(stopped.Input),
		Ended:   &restorereport.Ended{Status: stopped.Status, Error: stopped.Error, Cause: stopped.Cause},
	})
	if err == nil {
		_, err = a.lambda.Invoke(ctx, "restore-report", payload)
	}
	return err
}

// restoring is a restore's execution as it ended.
type restoring struct {
	*history.Record
	verdict *restore.Verdict
	plan    *restore.Plan
}

// restoreBy lets the restore's own workflow do what is asked for.
func (a *account) restoreBy(ctx context.Context, name string, asked restore.Request) (*restoring, error) {
	input, err := json.Marshal(asked)
	if err != nil {
		return nil, err
	}
	started, err := a.sfn.StartExecution(ctx, &sfn.StartExecutionInput{StateMachineArn: &a.restorer, Name: &name, Input: aws.String(string(input))})
	if err != nil {
		return nil, fmt.Errorf("start the restore: %w", err)
	}
	if _, err := a.engine.Wait(ctx, *started.ExecutionArn); err != nil {
		return nil, err
	}
	r := &restoring{}
	if r.Record, err = history.Look(ctx, a.sfn, *started.ExecutionArn); err != nil {
		return nil, err
	}
	var state restore.State
	if err := json.Unmarshal(r.Document, &state); err != nil {
		return nil, err
	}
	r.verdict, r.plan = state.Verdict, state.Plan
	return r, nil
}
