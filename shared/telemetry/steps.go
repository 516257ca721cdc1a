package telemetry

import (
	"encoding/json"
	"time"

	"github.com/quiesce/quiesce/events"
	"github.com/quiesce/quiesce/shared/run"
	"github.com/quiesce/quiesce/shared/step"
)

// Subject says whose event it is.
func Subject(plan *run.Plan) events.Subject {
	return events.Subject{
		RunID:      plan.RunID,
		Policy:     plan.Policy.Name,
		Provider:   plan.Target.Provider,
		Region:     plan.Target.Region,
		InstanceID: plan.Target.InstanceID,
	}
}

// Succeeded is the event of a step that did its work.
func Succeeded(who events.Subject, name string, r run.Record) events.Event {
	return events.Event{Type: events.TypeStep, Time: r.EndedAt, Detail: events.Step{
		Subject: who, Step: name, Status: events.Succeeded, StartedAt: r.StartedAt, EndedAt: r.EndedAt,
	}}
}

// Failed is the event of a step that a Catch recorded. Its times are in the
// message that the step stamped; one that never answered has only now.
func Failed(who events.Subject, name string, f run.Failure, now time.Time) events.Event {
	reason, started, ended := Explain(f)
	if ended.IsZero() {
		ended = now
	}
	return events.Event{Type: events.TypeStep, Time: ended, Detail: events.Step{
		Subject: who, Step: name, Status: events.Errored, Code: f.Error, Reason: reason, StartedAt: started, EndedAt: ended,
	}}
}

// Explain reads a caught failure's sentence and times out of its cause, the
// JSON document of a function that failed, or plain text from the service.
func Explain(f run.Failure) (sentence string, started, ended time.Time) {
	var doc struct {
		Message string `json:"errorMessage"`
	}
	text := f.Cause
	if err := json.Unmarshal([]byte(f.Cause), &doc); err == nil && doc.Message != "" {
		text = doc.Message
	}
	sentence, _, started, ended, _ = step.Unstamp(text)
	if sentence == "" {
		sentence = f.Error
	}
	return sentence, started, ended
}

// Deferred are the events of the steps inside the application's pause, which
// nobody published while it lasted.
func Deferred(who events.Subject, s run.State, now time.Time) (list []events.Event) {
	var pre, freeze, snapshot *run.Record
	if s.Prescript != nil {
		pre = &s.Prescript.Record
	}
	if s.Freeze != nil {
		freeze = &s.Freeze.Record
	}
	if s.Set != nil {
		snapshot = &s.Set.Record
	}
	for _, step := range []struct {
		name    string
		done    *run.Record
		failure *run.Failure
	}{
		{"run-prescript", pre, s.Failures.RunPrescript},
		{"freeze", freeze, s.Failures.Freeze},
		{"snapshot", snapshot, s.Failures.Snapshot},
	} {
		switch {
		case step.failure != nil:
			list = append(list, Failed(who, step.name, *step.failure, now))
		case step.done != nil:
			list = append(list, Succeeded(who, step.name, *step.done))
		}
	}
	return list
}
