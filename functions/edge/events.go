package edge

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/quiesce/quiesce/shared/step"
)

// scheduled unwraps what a schedule starts a flow with. Whether it hands its
// payload on bare or in an envelope, as text or as a document, is not
// documented for flows: every form is taken.
func scheduled(next step.Handler) step.Handler {
	return func(ctx context.Context, payload json.RawMessage) (json.RawMessage, error) {
		var input map[string]json.RawMessage
		if json.Unmarshal(payload, &input) == nil && input["request"] != nil {
			if inner := unwrap(input["request"]); inner != nil {
				input["request"] = inner
				if text, err := json.Marshal(input); err == nil {
					payload = text
				}
			}
		}
		return next(ctx, payload)
	}
}

// unwrap returns the payload of a schedule's envelope, nil if there is none.
func unwrap(request json.RawMessage) json.RawMessage {
	var envelope struct {
		TriggerTime string          `json:"triggerTime"`
		TriggerName string          `json:"triggerName"`
		Payload     json.RawMessage `json:"payload"`
	}
	if json.Unmarshal(request, &envelope) != nil || envelope.TriggerTime == "" || len(envelope.Payload) == 0 {
		return nil
	}
	var text string
	if json.Unmarshal(envelope.Payload, &text) == nil && json.Valid([]byte(text)) {
		return json.RawMessage(text)
	}
	return envelope.Payload
}

// timed lets prune be started by a timer of Function Compute: its payload is the
// request, and its name and time are the run's. Another caller says both itself.
func timed(next step.Handler) step.Handler {
	return func(ctx context.Context, payload json.RawMessage) (json.RawMessage, error) {
		if run, request, ok := ticked(payload); ok {
			if text, err := json.Marshal(map[string]any{"run": run, "request": request}); err == nil {
				payload = text
			}
		}
		return next(ctx, payload)
	}
}

// swept lets verify-clean be started by a timer, too: it then looks for tests that
// broke off, of which no event tells.
func swept(next step.Handler) step.Handler {
	return func(ctx context.Context, payload json.RawMessage) (json.RawMessage, error) {
		if run, _, ok := ticked(payload); ok {
			text, err := json.Marshal(map[string]any{"run": run, "created": nil, "before": nil, "sweep": true})
			if err == nil {
				payload = text
			}
		}
		return next(ctx, payload)
	}
}

// ticked reads what a timer hands to its function: the run is named by it and by
// the time, the request is its payload.
func ticked(payload json.RawMessage) (run map[string]string, request json.RawMessage, ok bool) {
	var timer struct {
		TriggerTime string `json:"triggerTime"`
		TriggerName string `json:"triggerName"`
	}
	if request = unwrap(payload); request == nil || json.Unmarshal(payload, &timer) != nil {
		return nil, nil, false
	}
	id := timer.TriggerName + "-" + strings.NewReplacer(":", "", "-", "").Replace(timer.TriggerTime)
	return map[string]string{"id": id}, request, true
}

// completed lets wake be started by the event of one snapshot's completion.
// There is none of a group's: each member is announced by itself.
func completed(next step.Handler) step.Handler {
	return func(ctx context.Context, payload json.RawMessage) (json.RawMessage, error) {
		var event struct {
			Type string `json:"type"`
			Data struct {
				SnapshotID string `json:"snapshotId"`
			} `json:"data"`
		}
		if json.Unmarshal(payload, &event) == nil && event.Type == completion {
			text, err := json.Marshal(map[string]any{"detail": map[string]any{"snapshots": []any{map[string]any{"snapshot_id": event.Data.SnapshotID}}}})
			if err == nil {
				payload = text
			}
		}
		return next(ctx, payload)
	}
}

const completion = "ecs:Snapshot:CreateSnapshotCompleted"
