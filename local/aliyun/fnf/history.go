package fnf

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"

	"github.com/quiesce/quiesce/local/aliyun/rpc"
	"github.com/quiesce/quiesce/local/aws/wire"
	"github.com/quiesce/quiesce/workflow/asl"
)

// event is one entry of an execution's history as the service answers it.
type event struct {
	StepName        string
	Type            string
	EventID         int64 `json:"EventId"`
	ScheduleEventID int64 `json:"ScheduleEventId"`
	EventDetail     string
	Time            string
}

func (f *FNF) history(_ context.Context, p rpc.Params) (map[string]any, error) {
	limit, err := p.Number("Limit", 60, 1, 1000)
	if err != nil {
		return nil, err
	}
	from := 0
	if t := p.Text("NextToken"); t != "" {
		if from, err = strconv.Atoi(t); err != nil || from < 0 {
			return nil, wire.Bad("InvalidArgument", "The NextToken is not valid.")
		}
	}
	arn, err := f.arn(p)
	if err != nil {
		return nil, err
	}
	all, err := f.engine.History(arn)
	if err != nil {
		return nil, err
	}
	events := translate(all)
	from = min(from, len(events))
	out := map[string]any{"Events": events[from:min(from+limit, len(events))]}
	if from+limit < len(events) {
		out["NextToken"] = strconv.Itoa(from + limit)
	}
	return out, nil
}

// tasks are what both services tell of a task, by this one's names.
var tasks = map[string]string{
	"Scheduled": "TaskScheduled", "Started": "TaskStarted", "Submitted": "TaskSubmitted", "SubmitFailed": "TaskSubmitFailed",
	"Succeeded": "TaskSucceeded", "Failed": "TaskFailed", "TimedOut": "TaskTimedOut",
}

// translate tells an execution's history in CloudFlow's words: states are
// steps, functions are tasks. An event is told of the step that it happened in.
func translate(all []asl.Event) []event {
	var events []event
	step := ""
	tell := func(e asl.Event, kind string, detail map[string]any) {
		text, _ := json.Marshal(detail)
		events = append(events, event{
			StepName: step, Type: kind, EventID: int64(len(events) + 1), ScheduleEventID: int64(len(events)), EventDetail: string(text), Time: stamp(e.Timestamp),
		})
	}
	for _, e := range all {
		switch {
		case strings.HasSuffix(e.Type, "StateEntered"):
			step = e.Name
			tell(e, "StepEntered", map[string]any{"input": e.Input})
		case strings.HasSuffix(e.Type, "StateExited"):
			tell(e, "StepExited", map[string]any{"output": e.Output})
		case strings.HasPrefix(e.Type, "LambdaFunction"), strings.HasPrefix(e.Type, "Task"):
			kind := tasks[strings.TrimPrefix(strings.TrimPrefix(e.Type, "LambdaFunction"), "Task")]
			if kind == "" {
				continue
			}
			detail := map[string]any{}
			if e.Error != "" || e.Cause != "" {
				detail["error"], detail["cause"] = e.Error, e.Cause
			}
			tell(e, kind, detail)
		case e.Type == "ExecutionStarted":
			tell(e, e.Type, map[string]any{"input": e.Input})
		case e.Type == "ExecutionSucceeded":
			step = ""
			tell(e, e.Type, map[string]any{"output": e.Output})
		case e.Type == "ExecutionFailed", e.Type == "ExecutionTimedOut", e.Type == "ExecutionAborted":
			step = ""
			tell(e, strings.Replace(e.Type, "Aborted", "Stopped", 1), map[string]any{"error": e.Error, "cause": e.Cause})
		}
	}
	return events
}
