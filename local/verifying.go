package local

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"

	"github.com/quiesce/quiesce/functions/verifyclean"
	cloud "github.com/quiesce/quiesce/local/aws"
	"github.com/quiesce/quiesce/shared/cloud/awscloud/history"
	"github.com/quiesce/quiesce/shared/run"
	"github.com/quiesce/quiesce/shared/verify"
	"github.com/quiesce/quiesce/workflow"
)

const verifierName = "quiesce-verify"

// deployVerify adds the restore test's state machine to the account, and the rule
// that cleans up after one that was broken off.
func (a *account) deployVerify() error {
	m, err := workflow.VerifyMachine(a.cloud.FunctionARN)
	if err != nil {
		return fmt.Errorf("the definition of a restore test: %w", err)
	}
	a.verifier = a.engine.Deploy(verifierName, []byte(workflow.Verify()), m, a.cloud.Tasks(a.lambda))
	return a.cloud.Janitor("verify-janitor", a.verifier, a.clean)
}

// clean is the janitor: verify-clean, started with what the execution was
// started with.
func (a *account) clean(ctx context.Context, stopped cloud.Stopped) error {
	payload, err := json.Marshal(map[string]any{
		"run":     run.Run{ID: stopped.RunID},
		"created": nil, "before": nil,
		"request": stopped.Input,
		"ended":   verifyclean.Ended{Status: stopped.Status, Error: stopped.Error},
	})
	if err != nil {
		return err
	}
	if _, err = a.lambda.Invoke(ctx, "verify-clean", payload); err == nil {
		a.cleaners.Add(1)
	}
	return err
}

// verifying is a restore test's execution as it ended.
type verifying struct {
	*history.Record
	state verify.State
}

// verifyBy lets the restore test's own workflow do what is asked for; tell may be
// nil.
func (a *account) verifyBy(ctx context.Context, name string, asked verify.Request, tell func(history.Passage)) (*verifying, error) {
	input, err := json.Marshal(asked)
	if err != nil {
		return nil, err
	}
	started, err := a.sfn.StartExecution(ctx, &sfn.StartExecutionInput{StateMachineArn: &a.verifier, Name: &name, Input: aws.String(string(input))})
	if err != nil {
		return nil, fmt.Errorf("start the restore test: %w", err)
	}
	r := &verifying{}
	if tell == nil {
		if _, err := a.engine.Wait(ctx, *started.ExecutionArn); err != nil {
			return nil, err
		}
	}
	if r.Record, err = history.Follow(ctx, a.sfn, *started.ExecutionArn, tell); err != nil {
		return nil, err
	}
	return r, json.Unmarshal(r.Document, &r.state)
}
