package alicloud

import (
	"context"
	"encoding/json"
	"time"

	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/requests"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/fnf"

	"github.com/quiesce/quiesce/shared/history"
	"github.com/quiesce/quiesce/shared/run"
)

// StartExecution starts an execution of a flow. Its name dedupes: a second
// start of the same name starts nothing, and is refused once the first has ended,
// so that an attempt whose answer was lost is safe to make again.
func (p *Provider) StartExecution(ctx context.Context, flow, name string, input []byte) error {
	request, response := fnf.CreateStartExecutionRequest(), fnf.CreateStartExecutionResponse()
	request.FlowName, request.ExecutionName, request.Input = flow, name, string(input)
	return translate(p.call(ctx, "fnf", request, response), "start the execution %s of %s", name, flow)
}

// StopExecution ends one past every Catch.
func (p *Provider) StopExecution(ctx context.Context, flow, name, cause string) error {
	request, response := fnf.CreateStopExecutionRequest(), fnf.CreateStopExecutionResponse()
	request.FlowName, request.ExecutionName, request.Cause = flow, name, cause
	return translate(p.call(ctx, "fnf", request, response), "stop the execution %s of %s", name, flow)
}

// pause is kept between two looks: the service lets a history be asked for five
// times a second, an account's all together.
const pause = 300 * time.Millisecond

// Look reads an execution's history once.
func (p *Provider) Look(ctx context.Context, flow, name string) (*history.Record, error) {
	r := &reader{provider: p, flow: flow, name: name, entered: map[string]time.Time{}}
	return &r.record, r.read(ctx)
}

// Follow reads an execution's history until it has ended and tells each
// passage once. When ctx ends it returns what it has read.
func (p *Provider) Follow(ctx context.Context, flow, name string, tell func(history.Passage)) (*history.Record, error) {
	r := &reader{provider: p, flow: flow, name: name, tell: tell, entered: map[string]time.Time{}}
	for {
		if err := r.read(ctx); err != nil {
			return &r.record, err
		}
		if r.record.Status != "Running" && r.record.Status != "Starting" {
			return &r.record, nil
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return &r.record, ctx.Err()
		}
	}
}

type reader struct {
	provider   *Provider
	flow, name string
	tell       func(history.Passage)
	record     history.Record
	entered    map[string]time.Time
	current    string
	kind       string // of the current state, as far as its events tell
	failed     string
}

// read takes in what is new. The status is asked first, so that the history
// read after it is whole once it says that the execution has ended.
func (r *reader) read(ctx context.Context) error {
	request, status := fnf.CreateDescribeExecutionRequest(), fnf.CreateDescribeExecutionResponse()
	request.FlowName, request.ExecutionName = r.flow, r.name
	if err := r.provider.call(ctx, "fnf", request, status); err != nil {
		return translate(err, "look at the execution %s of %s", r.name, r.flow)
	}
	r.record.RunID, r.record.Status = r.name, status.Status
	r.record.StartedAt = moment(status.StartedTime)
	if at := moment(status.StoppedTime); !at.IsZero() {
		r.record.StoppedAt = &at
	}
	seen := 0
	for token := ""; ; {
		request, page := fnf.CreateGetExecutionHistoryRequest(), fnf.CreateGetExecutionHistoryResponse()
		request.FlowName, request.ExecutionName, request.NextToken, request.Limit = r.flow, r.name, token, requests.NewInteger(1000)
		if err := r.provider.call(ctx, "fnf", request, page); err != nil {
			return translate(err, "read the history of %s", r.name)
		}
		for _, e := range page.Events {
			if seen++; seen > r.record.Events {
				r.take(e)
			}
		}
		if token = page.NextToken; token == "" {
			r.record.Events = seen
			return nil
		}
	}
}

func (r *reader) take(e fnf.EventsItem) {
	var detail struct {
		Input  json.RawMessage `json:"input"`
		Output json.RawMessage `json:"output"`
		Error  string          `json:"error"`
		Cause  string          `json:"cause"`
	}
	_ = json.Unmarshal([]byte(e.EventDetail), &detail) // an event without one tells nothing more
	at := moment(e.Time)
	switch e.Type {
	case "StepEntered":
		r.record.States = append(r.record.States, e.StepName)
		r.document(detail.Input)
		r.leave(at) // a step whose Catch was taken has no exit of its own
		r.current, r.entered[e.StepName] = e.StepName, at
		r.say(history.Passage{State: e.StepName, At: at})
	case "StepExited":
		r.document(detail.Output)
		r.leave(at)
	case "TaskScheduled":
		r.kind, r.failed = "Task", "" // the first attempt, or another
	case "TaskFailed", "TaskSubmitFailed":
		r.failed = detail.Error
	case "TaskTimedOut":
		r.failed = "FnF.TaskTimeout"
	case "ExecutionFailed", "ExecutionTimedOut", "ExecutionStopped":
		r.record.Error, r.record.Cause = detail.Error, detail.Cause
	}
}

// document is what the execution carries, as it is last seen whole.
func (r *reader) document(text json.RawMessage) {
	var named struct{ Run run.Run }
	if json.Unmarshal(text, &named) != nil || named.Run.ID == "" {
		return
	}
	r.record.Document = text
	var state run.State
	if json.Unmarshal(text, &state) == nil {
		r.record.State = state
	}
}

func (r *reader) leave(at time.Time) {
	if r.current == "" {
		return
	}
	r.say(history.Passage{State: r.current, Type: r.kind, Done: true, At: r.entered[r.current], Failed: r.failed, Took: at.Sub(r.entered[r.current]), After: r.record.State})
	r.current, r.kind, r.failed = "", "", ""
}

func (r *reader) say(p history.Passage) {
	if r.tell != nil {
		r.tell(p)
	}
}
