package asl

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

// Event is one entry of an execution's history, typed as GetExecutionHistory
// types it. Its JSON is the service's HistoryEvent.
type Event struct {
	ID         int64
	PreviousID int64
	Timestamp  time.Time
	Type       string // ExecutionStarted, TaskStateEntered, LambdaFunctionFailed, ...

	Name             string          // of the state, or of the map whose iteration it is
	Input            json.RawMessage // also a task's parameters
	Output           json.RawMessage
	Error, Cause     string
	Resource         string // the whole ARN
	Region           string
	TimeoutSeconds   int
	HeartbeatSeconds int
	RoleARN          string
	Index            int // of a map's iteration
	Length           int // of a map's items
}

// MaxEvents is the service's limit of a history: the execution fails there.
const MaxEvents = 25_000

// integration splits arn:aws:states:::events:putEvents into events, putEvents.
func integration(resource string) (service, action string) {
	parts := strings.SplitN(resource, ":", 7)
	if len(parts) < 7 {
		return "", resource
	}
	return parts[5], parts[6]
}

// region is where an execution runs, by its ARN.
func region(id string) string {
	if parts := strings.SplitN(id, ":", 5); len(parts) == 5 {
		return parts[3]
	}
	return ""
}

// isLambda reports whether the resource is a function's own ARN.
func isLambda(resource string) bool {
	parts := strings.SplitN(resource, ":", 4)
	return len(parts) == 4 && parts[2] == "lambda"
}

// MarshalJSON renders the event as the service's API does.
func (e Event) MarshalJSON() ([]byte, error) {
	out := map[string]any{
		"id":              e.ID,
		"previousEventId": e.PreviousID,
		"timestamp":       json.Number(epoch(e.Timestamp)),
		"type":            e.Type,
	}
	if field, details := e.details(); field != "" {
		out[field] = details
	}
	return json.Marshal(out)
}

// epoch is the service's timestamp: seconds, to the millisecond.
func epoch(t time.Time) string {
	return strconv.FormatFloat(float64(t.UnixMilli())/1000, 'f', 3, 64)
}

// details returns the one member that the event's type has, and its content.
func (e Event) details() (string, map[string]any) {
	d := map[string]any{}
	put := func(name string, v any) {
		switch v := v.(type) {
		case string:
			if v == "" {
				return
			}
		case int:
			if v == 0 {
				return
			}
		case json.RawMessage:
			if v == nil {
				return
			}
			d[name] = string(v)
			if name == "input" || name == "output" {
				d[name+"Details"] = map[string]any{"truncated": false}
			}
			return
		}
		d[name] = v
	}
	put("error", e.Error)
	put("cause", e.Cause)
	put("output", e.Output)
	lower := strings.ToLower(e.Type[:1]) + e.Type[1:] + "EventDetails"
	switch {
	case strings.HasSuffix(e.Type, "StateEntered"):
		put("name", e.Name)
		put("input", e.Input)
		return "stateEnteredEventDetails", d
	case strings.HasSuffix(e.Type, "StateExited"):
		put("name", e.Name)
		return "stateExitedEventDetails", d
	case e.Type == "MapStateStarted":
		d["length"] = e.Length
		return lower, d
	case strings.HasPrefix(e.Type, "MapIteration"):
		put("name", e.Name)
		d["index"] = e.Index
		return lower, d
	case strings.HasPrefix(e.Type, "Lambda"):
		if e.Type == "LambdaFunctionStarted" {
			return "", nil
		}
		if e.Type == "LambdaFunctionScheduled" {
			put("resource", e.Resource)
		}
		put("input", e.Input)
		put("timeoutInSeconds", e.TimeoutSeconds)
	case strings.HasPrefix(e.Type, "Task"):
		service, action := integration(e.Resource)
		put("resourceType", service)
		put("resource", action)
		put("region", e.Region)
		put("parameters", e.Input)
		put("timeoutInSeconds", e.TimeoutSeconds)
		put("heartbeatInSeconds", e.HeartbeatSeconds)
	case strings.HasPrefix(e.Type, "Execution"):
		put("input", e.Input)
		put("roleArn", e.RoleARN)
	default:
		return "", nil
	}
	return lower, d
}
