package telemetry

import (
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
	reason, started, ended := step.Explain(f.Error, f.Cause)
	if ended.IsZero() {
		ended = now
	}
	return events.Event{Type: events.TypeStep, Time: ended, Detail: events.Step{
		Subject: who, Step: name, Status: events.Errored, Code: f.Error, Reason: reason, StartedAt: started, EndedAt: ended,
	}}
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
	for _, s := range []struct {
		name    string
		done    *run.Record
		failure *run.Failure
	}{
		{"run-prescript", pre, s.Failures.RunPrescript},
		{"freeze", freeze, s.Failures.Freeze},
		{"snapshot", snapshot, s.Failures.Snapshot},
	} {
		switch {
		case s.failure != nil:
			list = append(list, Failed(who, s.name, *s.failure, now))
		case s.done != nil:
			list = append(list, Succeeded(who, s.name, *s.done))
		}
	}
	return list
}
