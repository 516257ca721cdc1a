package local

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"

	"github.com/quiesce/quiesce/functions/verifyclean"
	cloud "github.com/quiesce/quiesce/local/aws"
	"github.com/quiesce/quiesce/local/instance"
	"github.com/quiesce/quiesce/shared/cloud/awscloud/history"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/protocol"
	"github.com/quiesce/quiesce/shared/retention"
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

// RestoreTest is what the restore test of a local run showed.
type RestoreTest struct {
	TestID          string         `json:"testId"`
	Verdict         retention.Test `json:"verdict"`
	RecoverySeconds float64        `json:"recoverySeconds"` // 0 unless it succeeded
	Reason          string         `json:"reason"`
	Code            string         `json:"code,omitempty"`
	Problems        []string       `json:"problems,omitempty"`
	Seconds         float64        `json:"seconds"` // of the whole test
	Left            []string       `json:"left"`    // disks that are there after it
}

// test lets the deployed workflow test the set on the machine that it was taken
// of, while that goes on.
func (a *account) test(ctx context.Context, o Options, s stage, runID string, tell Progress) (*RestoreTest, error) {
	r, err := a.verifyBy(ctx, testName(), testOf(s.policy(o), instanceID, runID), tell.Passage)
	if err != nil {
		return nil, err
	}
	return r.told(), nil
}

func testName() string { return strings.Replace(named(), "run-", "verify-", 1) }

// testOf asks for the test of a run's set on an instance.
func testOf(p policy.Policy, instance, runID string) verify.Request {
	d := policy.DefaultDocument()
	d.Policy = p
	d.RestoreTest = policy.RestoreTest{Instance: instance, TimeLimitMinutes: int(testLimit.Minutes())}
	return verify.Request{RunID: runID, Policy: d}
}

// told is what the execution says of the set.
func (r *verifying) told() *RestoreTest {
	t := &RestoreTest{TestID: r.RunID, Verdict: verify.NotTested, Reason: r.Error + " " + r.Cause, Left: []string{}}
	if v := r.state.Verdict; v != nil {
		t.Verdict, t.RecoverySeconds, t.Reason, t.Code, t.Seconds, t.Left = v.Result, v.RecoverySeconds, v.Reason, v.Code, v.Seconds, v.Left
		if v.Recovery != nil {
			t.Problems = v.Recovery.Problems
		}
	}
	return t
}

// testLimit is the time limit of a local run's restore test.
const testLimit = 5 * time.Minute

// naming is this host as an instance. Its loop devices have no serial numbers and
// the names that the kernel gives them, whatever the cloud attaches them as: what a
// controller says on an instance, the request is told here.
type naming struct {
	instance.Machine
	path func(disk string) string
}

// Execute names the copies of a recovery as this host's kernel does.
func (n naming) Execute(ctx context.Context, c instance.Command) instance.Result {
	var asked protocol.Request
	before := c.Parameters["Request"]
	raw, err := base64.StdEncoding.DecodeString(before)
	if err != nil || json.Unmarshal(raw, &asked) != nil || asked.Recover == nil {
		return n.Machine.Execute(ctx, c)
	}
	for i, d := range asked.Recover.Disks {
		asked.Recover.Disks[i].Device = n.path(d.ID)
	}
	if raw, err = json.Marshal(asked); err != nil {
		return instance.Result{ExitCode: -1, Stderr: []byte(err.Error())}
	}
	after := base64.StdEncoding.EncodeToString(raw)
	c.Parameters = maps.Clone(c.Parameters)
	c.Parameters["Request"], c.Script = after, strings.ReplaceAll(c.Script, before, after)
	return n.Machine.Execute(ctx, c)
}
