package aliyun

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/quiesce/quiesce/local/aliyun/eventbridge"
	"github.com/quiesce/quiesce/local/aws/wire"
	"github.com/quiesce/quiesce/local/runtimeapi"
	"github.com/quiesce/quiesce/workflow/asl"
	"github.com/quiesce/quiesce/workflow/flow"
)

// FunctionARN is the name by which a flow calls a function of the account.
func (c *Cloud) FunctionARN(name string) string {
	return "acs:fc:" + c.cfg.Region + ":" + c.cfg.Account + ":functions/" + name + "/LATEST"
}

// Tasks does what a flow's tasks name: functions, whether or not they are to
// answer by a token, and EventBridge's PutEvents. A function is the one that
// functions knows by the name in its resource.
func (c *Cloud) Tasks(functions runtimeapi.Invoker) asl.Tasks {
	return asl.TasksFunc(func(ctx context.Context, resource string, input json.RawMessage) (json.RawMessage, error) {
		switch {
		case strings.HasPrefix(resource, "acs:fc:"):
			return c.invoke(ctx, functions, resource, input)
		case resource == "acs:eventbridge:::putEvents":
			return c.putEvents(ctx, input)
		}
		return nil, &asl.Error{Name: asl.Runtime, Cause: "the resource " + resource + " is not emulated"}
	})
}

func (c *Cloud) invoke(ctx context.Context, functions runtimeapi.Invoker, resource string, payload json.RawMessage) (json.RawMessage, error) {
	if err := wire.Sleep(ctx, c.Takes("fc", "InvokeFunction")); err != nil {
		return nil, err
	}
	_, name, _ := strings.Cut(resource, ":functions/")
	name, _, _ = strings.Cut(name, "/") // without its version
	name = strings.TrimSuffix(name, ".waitForTaskToken")
	out, err := functions.Invoke(ctx, name, payload)
	var failed *runtimeapi.Failed
	if errors.As(err, &failed) {
		return nil, &asl.Error{Name: flow.ErrorOf(failed.Type), Cause: failed.Cause()}
	}
	return out, err
}

// putEvents is the flow's own call: the events are the task's body.
func (c *Cloud) putEvents(ctx context.Context, input json.RawMessage) (json.RawMessage, error) {
	var in struct {
		Body json.RawMessage `json:"body"`
	}
	if err := json.Unmarshal(input, &in); err != nil {
		return nil, &asl.Error{Name: asl.Runtime, Cause: err.Error()}
	}
	call := &wire.Call{
		Service: "eventbridge", Action: "PutEvents", Role: "workflow", Body: in.Body,
		HTTP: &http.Request{Header: http.Header{"Content-Type": {"application/cloudevents-batch+json"}}},
	}
	reply, err := c.Inside(ctx, call, c.EventBridge)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, &asl.Error{Name: "EventBridge." + wire.AsError(err).Code, Cause: err.Error()}
	}
	var out struct{ FailedEntryCount int }
	if json.Unmarshal(reply.Body, &out) == nil && out.FailedEntryCount > 0 {
		return nil, &asl.Error{Name: "EventBridge.FailedEntry", Cause: string(reply.Body)}
	}
	return reply.Body, nil
}

// Completed is the pattern of the events by which ECS tells that a snapshot is
// done.
const Completed = `{"source":["acs.ecs"],"type":["ecs:Snapshot:CreateSnapshotCompleted"]}`

// Listen adds a rule on the default bus whose target is a function. As an
// asynchronous invocation it is tried three times.
func (c *Cloud) Listen(rule, pattern string, do func(context.Context, eventbridge.Event) error) error {
	return c.EventBridge.Rule(rule, "default", pattern, func(ctx context.Context, e eventbridge.Event) {
		for try := range 3 {
			if wire.Sleep(ctx, time.Duration(try)*time.Minute) != nil || do(ctx, e) == nil {
				return
			}
		}
	})
}
