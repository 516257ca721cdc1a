// Package fnf is the emulated CloudFlow, as far as executions go: the
// service's API over the engine that runs the flows.
package fnf

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/quiesce/quiesce/local/aliyun/rpc"
	"github.com/quiesce/quiesce/local/aws/wire"
	"github.com/quiesce/quiesce/local/engine"
)

// FNF is the emulated service.
type FNF struct{ engine *engine.Engine }

// New makes the service over an engine.
func New(e *engine.Engine) *FNF { return &FNF{e} }

// Protocol is that of every RPC service, but for the code of a throttle.
func (f *FNF) Protocol() wire.Protocol {
	p := rpc.Protocol
	p.Throttled = wire.Errorf(http.StatusTooManyRequests, "ResourceThrottled", "The request is throttled. Please try again later.")
	p.Denied = wire.Errorf(http.StatusForbidden, "AccessDenied", "The resources doesn't belong to you.")
	p.Down = wire.Errorf(http.StatusInternalServerError, "InternalServerError", "An internal error has occurred. Please retry.")
	return p
}

// Limit is the documented rate: a hundred starts, fifty looks in five seconds,
// ten of the others in two.
func (f *FNF) Limit(c *wire.Call) (string, wire.Limit) {
	switch c.Action {
	case "StartExecution":
		return c.Action, wire.Limit{Capacity: 100, Refill: 100}
	case "ReportTaskSucceeded", "ReportTaskFailed":
		return c.Action, wire.Limit{}
	case "DescribeExecution":
		return c.Action, wire.Limit{Capacity: 50, Refill: 10}
	}
	return c.Action, wire.Limit{Capacity: 10, Refill: 5}
}

// Do has the effect of one call.
func (f *FNF) Do(ctx context.Context, c *wire.Call) (wire.Reply, error) {
	do := map[string]func(context.Context, rpc.Params) (map[string]any, error){
		"StartExecution":      f.start,
		"DescribeExecution":   f.describe,
		"ListExecutions":      f.list,
		"GetExecutionHistory": f.history,
		"StopExecution":       f.stop,
		"ReportTaskSucceeded": f.succeed,
		"ReportTaskFailed":    f.fail,
	}[c.Action]
	if do == nil {
		return wire.Reply{}, wire.Errorf(http.StatusNotFound, "InvalidAction.NotFound", "Specified api is not found: %s", c.Action)
	}
	out, err := do(ctx, rpc.Params(c.Form))
	if err != nil {
		return wire.Reply{}, refusal(err)
	}
	return rpc.Answer(c, out)
}

func refusal(err error) error {
	for known, e := range map[error]*wire.Error{
		engine.ErrNoMachine:   wire.Errorf(http.StatusNotFound, "FlowNotExists", "The flow does not exist."),
		engine.ErrNoExecution: wire.Errorf(http.StatusNotFound, "ExecutionNotExists", "The execution does not exist."),
		engine.ErrExists:      wire.Errorf(http.StatusConflict, "ExecutionAlreadyExists", "The execution exists already."),
		engine.ErrName:        wire.Bad("InvalidArgument", "The execution name is not valid."),
		engine.ErrInput:       wire.Bad("InvalidArgument", "The input is no JSON object, or too large."),
		engine.ErrToken:       wire.Bad("InvalidArgument", "The task token is not valid."),
		engine.ErrNoTask:      wire.Errorf(http.StatusNotFound, "TaskNotExists", "The task does not exist."),
		engine.ErrTaskOver:    wire.Errorf(http.StatusPreconditionFailed, "TaskAlreadyCompleted", "The task has completed already."),
		engine.ErrOutput:      wire.Bad("InvalidArgument", "The output is not JSON, or too large."),
	} {
		if errors.Is(err, known) {
			return e
		}
	}
	return err
}

// arn is the engine's own name of an execution.
func (f *FNF) arn(p rpc.Params) (string, error) {
	if err := p.Required("FlowName", "ExecutionName"); err != nil {
		return "", err
	}
	all, err := f.engine.List(p.Text("FlowName"), "")
	if err != nil {
		return "", err
	}
	for _, x := range all {
		if x.Name == p.Text("ExecutionName") {
			return x.ARN, nil
		}
	}
	return "", engine.ErrNoExecution
}

// statuses are the engine's in the service's words.
var statuses = map[engine.Status]string{
	engine.Running: "Running", engine.Succeeded: "Succeeded", engine.Failed: "Failed", engine.TimedOut: "TimedOut", engine.Aborted: "Stopped",
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}

func render(x engine.Execution) map[string]any {
	return map[string]any{
		"FlowName": x.Machine, "Name": x.Name, "Status": statuses[x.Status], "Input": string(x.Input), "Output": string(x.Output),
		"StartedTime": stamp(x.StartedAt), "StoppedTime": stamp(x.StoppedAt), "FlowDefinition": "",
	}
}

// start starts nothing under a name that was used before, whatever its input:
// names dedupe. While that execution runs it is the answer.
func (f *FNF) start(_ context.Context, p rpc.Params) (map[string]any, error) {
	if err := p.Required("FlowName"); err != nil {
		return nil, err
	}
	name := p.Text("ExecutionName")
	if name == "" {
		name = "execution-" + strconv.FormatInt(time.Now().UnixNano(), 36)
	} else if arn, err := f.arn(p); err == nil {
		x, err := f.engine.Describe(arn)
		if err == nil && x.Status != engine.Running {
			err = engine.ErrExists
		}
		return render(x), err
	}
	input := p.Text("Input")
	if input != "" && json.Unmarshal([]byte(input), &map[string]any{}) != nil {
		return nil, engine.ErrInput
	}
	x, err := f.engine.Start(p.Text("FlowName"), name, json.RawMessage(input))
	if err != nil {
		return nil, err
	}
	return render(x), nil
}

// describe waits for the end where it is asked to, at most a minute.
func (f *FNF) describe(ctx context.Context, p rpc.Params) (map[string]any, error) {
	seconds, err := p.Number("WaitTimeSeconds", 0, 0, 60)
	if err != nil {
		return nil, err
	}
	arn, err := f.arn(p)
	if err != nil {
		return nil, err
	}
	if seconds > 0 {
		waiting, cancel := context.WithTimeout(ctx, time.Duration(seconds)*time.Second)
		defer cancel()
		_, _ = f.engine.Wait(waiting, arn) // it runs still: what follows says so
	}
	x, err := f.engine.Describe(arn)
	if err != nil {
		return nil, err
	}
	return render(x), nil
}

func (f *FNF) stop(_ context.Context, p rpc.Params) (map[string]any, error) {
	arn, err := f.arn(p)
	if err != nil {
		return nil, err
	}
	x, err := f.engine.Stop(arn, p.Text("Error"), p.Text("Cause"))
	if err != nil {
		return nil, err
	}
	return render(x), nil
}

func (f *FNF) succeed(_ context.Context, p rpc.Params) (map[string]any, error) {
	if err := p.Required("TaskToken", "Output"); err != nil {
		return nil, err
	}
	return map[string]any{"EventId": 1}, f.engine.Succeed(p.Text("TaskToken"), json.RawMessage(p.Text("Output")))
}

func (f *FNF) fail(_ context.Context, p rpc.Params) (map[string]any, error) {
	if err := p.Required("TaskToken"); err != nil {
		return nil, err
	}
	return map[string]any{"EventId": 1}, f.engine.Fail(p.Text("TaskToken"), p.Text("Error"), p.Text("Cause"))
}
