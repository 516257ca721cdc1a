package aws_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"github.com/quiesce/quiesce/local/aws"
	"github.com/quiesce/quiesce/local/engine"
	"github.com/quiesce/quiesce/local/fault"
	"github.com/quiesce/quiesce/local/runtimeapi"
	problem "github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/workflow/asl"
)

const definition = `{
  "StartAt": "Freeze",
  "States": {
    "Freeze": {
      "Type": "Task", "Resource": "${Freeze}", "TimeoutSeconds": 30, "ResultPath": "$.freeze",
      "Retry": [{"ErrorEquals": ["Lambda.TooManyRequestsException"], "IntervalSeconds": 2, "MaxAttempts": 2}],
      "Catch": [{"ErrorEquals": ["HoldLost"], "ResultPath": "$.failure", "Next": "Tell"}],
      "Next": "Wait"
    },
    "Wait": {"Type": "Wait", "Seconds": 10, "Next": "Tell"},
    "Tell": {
      "Type": "Task", "Resource": "arn:aws:states:::events:putEvents", "TimeoutSeconds": 30,
      "Parameters": {"Entries": [{"Source": "quiesce", "DetailType": "Told", "Detail": {"run.$": "$$.Execution.Name"}}]},
      "ResultPath": null, "End": true
    }
  }
}`

// machineWorld is a world with the definition deployed.
type machineWorld struct {
	*world
	sfn    *sfn.Client
	arn    string
	freeze runtimeapi.Handler
	local  *runtimeapi.Local
	engine *engine.Engine
}

func withMachine(t *testing.T, plan *fault.Plan, test func(t *testing.T, w *machineWorld)) {
	t.Helper()
	// The engine is made inside the bubble, where its channels must live.
	synctest.Test(t, func(t *testing.T) {
		e := engine.New(engine.Config{})
		defer e.Close()
		cloud := aws.New(aws.Config{Engine: e, Faults: plan, Disks: newDisks(), Latency: map[string]time.Duration{"*": 0}})
		defer cloud.Close()
		w := &machineWorld{world: &world{Cloud: cloud}, engine: e}
		w.freeze = func(context.Context, json.RawMessage) (json.RawMessage, error) {
			return json.RawMessage(`{"mounts":2}`), nil
		}
		w.local = &runtimeapi.Local{Timeouts: map[string]time.Duration{"freeze": 20 * time.Second}, Handlers: map[string]runtimeapi.Handler{
			"freeze": func(ctx context.Context, in json.RawMessage) (json.RawMessage, error) { return w.freeze(ctx, in) },
		}}
		m, err := asl.Parse([]byte(definition), map[string]string{"Freeze": cloud.FunctionARN("freeze")})
		if err != nil {
			t.Fatal(err)
		}
		w.arn = e.Deploy("snapshot", []byte(definition), m, cloud.Tasks(plan.Around(w.local)))
		w.sfn = sfn.NewFromConfig(once(cloud.Client("console")))
		test(t, w)
	})
}

func (w *machineWorld) start(t *testing.T, name, input string) string {
	t.Helper()
	out, err := w.sfn.StartExecution(t.Context(), &sfn.StartExecutionInput{StateMachineArn: &w.arn, Name: &name, Input: &input})
	if err != nil {
		t.Fatal(err)
	}
	return *out.ExecutionArn
}

func (w *machineWorld) describe(t *testing.T, arn string) *sfn.DescribeExecutionOutput {
	t.Helper()
	out, err := w.sfn.DescribeExecution(t.Context(), &sfn.DescribeExecutionInput{ExecutionArn: &arn})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// statuses lists what was announced of the executions.
func (w *machineWorld) statuses() (all []string) {
	for _, e := range w.Bus.Events() {
		var detail struct{ Status string }
		if e.Source == "aws.states" && json.Unmarshal(e.Detail, &detail) == nil {
			all = append(all, detail.Status)
		}
	}
	return all
}

func TestExecution(t *testing.T) {
	withMachine(t, nil, func(t *testing.T, w *machineWorld) {
		arn := w.start(t, "r1", `{"instanceId":"i-1"}`)
		if again := w.start(t, "r1", `{"instanceId":"i-1"}`); again != arn {
			t.Errorf("the same name and input started %s beside %s", again, arn)
		}
		_, err := w.sfn.StartExecution(t.Context(), &sfn.StartExecutionInput{StateMachineArn: &w.arn, Name: sdk.String("r1"), Input: sdk.String("{}")})
		wantCode(t, err, "ExecutionAlreadyExists")
		_, err = w.sfn.StartExecution(t.Context(), &sfn.StartExecutionInput{StateMachineArn: &w.arn, Name: sdk.String("not a name")})
		wantCode(t, err, "InvalidName")
		_, err = w.sfn.StartExecution(t.Context(), &sfn.StartExecutionInput{StateMachineArn: sdk.String(w.arn + "x")})
		wantCode(t, err, "StateMachineDoesNotExist")
		if x := w.describe(t, arn); x.Status != types.ExecutionStatusRunning {
			t.Errorf("got %s", x.Status)
		}
		time.Sleep(11 * time.Second)
		x := w.describe(t, arn)
		if x.Status != types.ExecutionStatusSucceeded || *x.Output != `{"freeze":{"mounts":2},"instanceId":"i-1"}` {
			t.Errorf("got %s %v", x.Status, x.Output)
		}
		if took := x.StopDate.Sub(*x.StartDate); took != 10*time.Second {
			t.Errorf("took %v, want the 10 s of its Wait", took)
		}
		var names []string
		pages := sfn.NewGetExecutionHistoryPaginator(w.sfn, &sfn.GetExecutionHistoryInput{ExecutionArn: &arn, MaxResults: 3})
		for pages.HasMorePages() {
			page, err := pages.NextPage(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range page.Events {
				if e.StateEnteredEventDetails != nil {
					names = append(names, *e.StateEnteredEventDetails.Name)
				}
			}
		}
		if got := strings.Join(names, " "); got != "Freeze Wait Tell" {
			t.Errorf("the path is %q", got)
		}
		list, err := w.sfn.ListExecutions(t.Context(), &sfn.ListExecutionsInput{StateMachineArn: &w.arn, StatusFilter: types.ExecutionStatusSucceeded})
		if err != nil || len(list.Executions) != 1 {
			t.Errorf("listed %v, %v", list, err)
		}
		about, err := w.sfn.DescribeStateMachine(t.Context(), &sfn.DescribeStateMachineInput{StateMachineArn: &w.arn})
		if err != nil || *about.Definition != definition {
			t.Errorf("got %v, %v", about, err)
		}
		if got := strings.Join(w.statuses(), " "); got != "RUNNING SUCCEEDED" {
			t.Errorf("announced %q", got)
		}
		events := w.Bus.Events()
		if e := events[len(events)-2]; e.DetailType != "Told" || string(e.Detail) != `{"run":"r1"}` {
			t.Errorf("the workflow told %+v", e)
		}
	})
}

// StopExecution passes every Catch: the function goes on, the janitor comes.
func TestStopAndJanitor(t *testing.T) {
	withMachine(t, nil, func(t *testing.T, w *machineWorld) {
		finished := false
		w.freeze = func(ctx context.Context, _ json.RawMessage) (json.RawMessage, error) {
			select {
			case <-time.After(15 * time.Second):
				finished = true
			case <-ctx.Done():
			}
			return json.RawMessage(`{}`), nil
		}
		var thaws []aws.Stopped
		if err := w.Janitor("janitor", w.arn, func(_ context.Context, s aws.Stopped) error {
			thaws = append(thaws, s)
			if len(thaws) == 1 {
				return errors.New("throttled")
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		arn := w.start(t, "r1", `{"instanceId":"i-1"}`)
		time.Sleep(5 * time.Second)
		if _, err := w.sfn.StopExecution(t.Context(), &sfn.StopExecutionInput{ExecutionArn: &arn, Error: sdk.String("Operator"), Cause: sdk.String("enough")}); err != nil {
			t.Fatal(err)
		}
		if x := w.describe(t, arn); x.Status != types.ExecutionStatusAborted || *x.Error != "Operator" || *x.Cause != "enough" {
			t.Errorf("got %s %v %v", x.Status, x.Error, x.Cause)
		}
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if !finished {
			t.Error("the function ended with the execution")
		}
		if len(thaws) != 2 || thaws[1].RunID != "r1" || thaws[1].InstanceID != "i-1" || thaws[1].Status != "ABORTED" {
			t.Errorf("the janitor thawed %+v, want twice r1 on i-1", thaws)
		}
	})
}

func TestFaultsOfFunctions(t *testing.T) {
	for _, c := range []struct {
		name, planned string
		calls         int
		status, code  string
		after         time.Duration
	}{
		{"throttled and tried again", "freeze:throttle", 1, "SUCCEEDED", "", 12 * time.Second},
		{"fails", "freeze:fail", 0, "FAILED", "Internal", 0},
		{"dies before", "freeze:crash-before", 0, "FAILED", "Runtime.ExitError", 0},
		{"dies after", "freeze:crash-after", 1, "FAILED", "Runtime.ExitError", 0},
		{"hangs", "freeze:hang", 0, "FAILED", "States.Timeout", 30 * time.Second},
		{"is slow", "freeze:slow", 1, "SUCCEEDED", "", 13 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			plan, err := fault.New(c.planned)
			if err != nil {
				t.Fatal(err)
			}
			withMachine(t, plan, func(t *testing.T, w *machineWorld) {
				calls := 0
				w.freeze = func(context.Context, json.RawMessage) (json.RawMessage, error) {
					calls++
					return json.RawMessage(`{}`), nil
				}
				arn := w.start(t, "r1", "{}")
				time.Sleep(time.Hour)
				synctest.Wait()
				x := w.describe(t, arn)
				if string(x.Status) != c.status || sdk.ToString(x.Error) != c.code || calls != c.calls {
					t.Errorf("got %s %s after %d calls, want %s %s after %d", x.Status, sdk.ToString(x.Error), calls, c.status, c.code, c.calls)
				}
				if took := x.StopDate.Sub(*x.StartDate); took != c.after {
					t.Errorf("took %v, want %v", took, c.after)
				}
				if left := plan.Unreached(); len(left) != 0 {
					t.Errorf("unreached: %v", left)
				}
			})
		})
	}
}

func TestFunctionErrorIsCaught(t *testing.T) {
	withMachine(t, nil, func(t *testing.T, w *machineWorld) {
		w.freeze = func(context.Context, json.RawMessage) (json.RawMessage, error) {
			return nil, problem.New(problem.HoldLost, "somebody thawed /data")
		}
		arn := w.start(t, "r1", "{}")
		time.Sleep(time.Minute)
		if x := w.describe(t, arn); x.Status != types.ExecutionStatusSucceeded || !strings.Contains(*x.Output, `somebody thawed /data`) {
			t.Errorf("got %s %v", x.Status, x.Output)
		}
	})
}

// A fleet's machine starts one run an instance and hears of each.
func TestNestedExecutions(t *testing.T) {
	const fleet = `{"StartAt":"Run","States":{"Run":{"Type":"Task","Resource":"arn:aws:states:::states:startExecution.sync:2","TimeoutSeconds":600,
	  "Parameters":{"StateMachineArn":"${Machine}","Name.$":"$.name","Input":{"instanceId.$":"$.instanceId"}},
	  "ResultSelector":{"output.$":"$.Output"},
	  "Catch":[{"ErrorEquals":["States.TaskFailed"],"ResultPath":"$.failure","Next":"Failed"}],"End":true},
	  "Failed":{"Type":"Pass","End":true}}}`
	withMachine(t, nil, func(t *testing.T, w *machineWorld) {
		m, err := asl.Parse([]byte(fleet), map[string]string{"Machine": w.arn})
		if err != nil {
			t.Fatal(err)
		}
		child := w.arn
		w.arn = w.engine.Deploy("fleet", []byte(fleet), m, w.Tasks(w.local))
		arn := w.start(t, "f1", `{"name":"r1","instanceId":"i-1"}`)
		time.Sleep(time.Minute)
		if x := w.describe(t, arn); x.Status != types.ExecutionStatusSucceeded || *x.Output != `{"output":{"freeze":{"mounts":2},"instanceId":"i-1"}}` {
			t.Errorf("got %s %v", x.Status, sdk.ToString(x.Output))
		}
		w.freeze = func(context.Context, json.RawMessage) (json.RawMessage, error) {
			return nil, problem.New(problem.FreezeRefused, "busy")
		}
		arn = w.start(t, "f2", `{"name":"r2","instanceId":"i-1"}`)
		time.Sleep(time.Minute)
		if x := w.describe(t, arn); x.Status != types.ExecutionStatusSucceeded || !strings.Contains(*x.Output, "FreezeRefused") {
			t.Errorf("got %s %v", x.Status, sdk.ToString(x.Output))
		}
		if list, err := w.sfn.ListExecutions(t.Context(), &sfn.ListExecutionsInput{StateMachineArn: &child}); err != nil || len(list.Executions) != 2 {
			t.Errorf("got %v, %v; want both runs", list, err)
		}
	})
}
