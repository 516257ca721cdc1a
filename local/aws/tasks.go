package aws

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/quiesce/quiesce/local/aws/bus"
	"github.com/quiesce/quiesce/local/aws/wire"
	"github.com/quiesce/quiesce/local/runtimeapi"
	"github.com/quiesce/quiesce/workflow/asl"
)

// Tasks does what a state machine's resources name: functions by their ARN or
// through lambda:invoke with or without .waitForTaskToken, events:putEvents and
// states:startExecution with or without .sync:2. A function's ARN ends in its
// name, which is the one that functions knows it by.
func (c *Cloud) Tasks(functions runtimeapi.Invoker) asl.Tasks {
	return asl.TasksFunc(func(ctx context.Context, resource string, input json.RawMessage) (json.RawMessage, error) {
		switch {
		case strings.Contains(resource, ":lambda:") && strings.Contains(resource, ":function:"):
			return c.invoke(ctx, functions, resource, input)
		case strings.HasSuffix(resource, ":states:::lambda:invoke"), strings.HasSuffix(resource, ":states:::lambda:invoke.waitForTaskToken"):
			return c.lambdaInvoke(ctx, functions, input)
		case strings.HasSuffix(resource, ":states:::events:putEvents"):
			return c.putEvents(ctx, input)
		case strings.HasSuffix(resource, ":states:::states:startExecution"):
			return c.startExecution(ctx, false, input)
		case strings.HasSuffix(resource, ":states:::states:startExecution.sync:2"):
			return c.startExecution(ctx, true, input)
		case strings.HasSuffix(resource, ":states:::s3:getObject"):
			return c.object(input, false)
		case strings.HasSuffix(resource, ":states:::s3:putObject"):
			return c.object(input, true)
		}
		return nil, &asl.Error{Name: asl.Runtime, Cause: "the resource " + resource + " is not emulated"}
	})
}

// FunctionARN is the ARN of a function of the account.
func (c *Cloud) FunctionARN(name string) string {
	return "arn:aws:lambda:" + c.cfg.Region + ":" + c.cfg.Account + ":function:" + name
}

func (c *Cloud) invoke(ctx context.Context, functions runtimeapi.Invoker, arn string, payload json.RawMessage) (json.RawMessage, error) {
	if err := wire.Sleep(ctx, c.Takes("lambda", "Invoke")); err != nil {
		return nil, err
	}
	_, name, ok := strings.Cut(arn, ":function:")
	if !ok {
		name = arn
	}
	name, _, _ = strings.Cut(name, ":") // without version or alias
	out, err := functions.Invoke(ctx, name, payload)
	var failed *runtimeapi.Failed
	if errors.As(err, &failed) {
		return nil, &asl.Error{Name: failed.Type, Cause: failed.Cause()}
	}
	return out, err
}

func (c *Cloud) lambdaInvoke(ctx context.Context, functions runtimeapi.Invoker, input json.RawMessage) (json.RawMessage, error) {
	var in struct {
		FunctionName string
		Payload      json.RawMessage
	}
	if err := json.Unmarshal(input, &in); err != nil || in.FunctionName == "" {
		return nil, &asl.Error{Name: asl.Runtime, Cause: "lambda:invoke wants FunctionName and Payload"}
	}
	out, err := c.invoke(ctx, functions, in.FunctionName, in.Payload)
	if err != nil {
		return nil, err
	}
	return json.Marshal(map[string]any{"ExecutedVersion": "$LATEST", "StatusCode": 200, "Payload": out})
}

// putEvents is the service integration: details are documents, and one refused
// entry fails the task.
func (c *Cloud) putEvents(ctx context.Context, input json.RawMessage) (json.RawMessage, error) {
	var in struct{ Entries []map[string]any }
	if err := json.Unmarshal(input, &in); err != nil {
		return nil, &asl.Error{Name: asl.Runtime, Cause: err.Error()}
	}
	for _, e := range in.Entries {
		if _, text := e["Detail"].(string); !text {
			doc, _ := json.Marshal(e["Detail"])
			e["Detail"] = string(doc)
		}
	}
	body, _ := json.Marshal(in)
	call := &wire.Call{Service: "events", Action: "PutEvents", Role: "workflow", Body: body, HTTP: &http.Request{}}
	reply, err := c.Inside(ctx, call, c.Bus)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		e := wire.AsError(err)
		return nil, &asl.Error{Name: "EventBridge." + e.Code, Cause: e.Message}
	}
	var out struct{ FailedEntryCount int }
	if err := json.Unmarshal(reply.Body, &out); err == nil && out.FailedEntryCount > 0 {
		return nil, &asl.Error{Name: "EventBridge.FailedEntry", Cause: string(reply.Body)}
	}
	return reply.Body, nil
}

// Stopped is an execution that ended past its catchers, as the rule finds it.
type Stopped struct {
	RunID      string
	InstanceID string
	Status     string
	Error      string
	Cause      string
	Input      json.RawMessage // of the execution
	Event      bus.Event
}

// Janitor adds the rule, by its name, that runs thaw for every execution of the machine that
// FAILED, TIMED_OUT or was ABORTED.
func (c *Cloud) Janitor(rule, machineARN string, thaw func(context.Context, Stopped) error) error {
	// A verdict is no break: thaw has run, or nothing was touched.
	return c.Ended(rule, machineARN, []string{"FailedClean"}, thaw)
}

// Ended adds the rule, by its name, that hears of every execution of the machine
// that did not succeed and did not end with one of the verdicts.
func (c *Cloud) Ended(rule, machineARN string, verdicts []string, do func(context.Context, Stopped) error) error {
	pattern, err := json.Marshal(map[string]any{
		"source":      []string{"aws.states"},
		"detail-type": []string{"Step Functions Execution Status Change"},
		"detail": map[string]any{
			"status":          []string{"FAILED", "TIMED_OUT", "ABORTED"},
			"stateMachineArn": []string{machineARN},
			"error":           []any{map[string]any{"anything-but": verdicts}, nil, map[string]any{"exists": false}},
		},
	})
	if err != nil {
		return err
	}
	return c.Listen(rule, string(pattern), func(ctx context.Context, e bus.Event) error {
		var detail struct{ Name, Status, Error, Cause, Input string }
		if json.Unmarshal(e.Detail, &detail) != nil {
			return nil
		}
		s := Stopped{RunID: detail.Name, Status: detail.Status, Error: detail.Error, Cause: detail.Cause, Input: json.RawMessage(detail.Input), Event: e}
		var request struct {
			InstanceID string `json:"instanceId"`
		}
		if json.Unmarshal(s.Input, &request) == nil {
			s.InstanceID = request.InstanceID
		}
		return do(ctx, s)
	})
}

// Listen adds a rule whose target is a function. As an asynchronous invocation
// it is tried three times, a minute and two minutes apart.
func (c *Cloud) Listen(rule, pattern string, do func(context.Context, bus.Event) error) error {
	return c.Bus.Rule(rule, pattern, func(ctx context.Context, e bus.Event) {
		for try := range 3 {
			if wire.Sleep(ctx, time.Duration(try)*time.Minute) != nil || do(ctx, e) == nil {
				return
			}
		}
	})
}
