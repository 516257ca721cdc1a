package telemetry

import (
	"cmp"
	"context"
	"encoding/json"
	"log/slog"
	"time"

	"github.com/quiesce/quiesce/events"
	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/run"
	"github.com/quiesce/quiesce/shared/step"
)

// Watch measures steps and tells how they ended.
type Watch struct {
	Bus     cloud.Bus
	Metrics *Metrics
}

// Deferred measures a step that runs while the application is paused: its
// event is published later, from the times in its answer.
func (w Watch) Deferred(name string, next step.Handler) step.Handler {
	return w.Measured(name, next)
}

// Measured measures a step and tells nothing of it.
func (w Watch) Measured(name string, next step.Handler) step.Handler {
	return func(ctx context.Context, payload json.RawMessage) (json.RawMessage, error) {
		started := time.Now()
		out, err := next(ctx, payload)
		w.measure(whose(payload), name, started, err)
		return out, err
	}
}

// Published measures a step and publishes its event at once. A bus that does
// not answer never fails a step: what it has done stands.
func (w Watch) Published(name string, next step.Handler) step.Handler {
	return func(ctx context.Context, payload json.RawMessage) (json.RawMessage, error) {
		started := time.Now()
		out, err := next(ctx, payload)
		ended, who := time.Now(), whose(payload)
		w.measure(who, name, started, err)
		event := Succeeded(who, name, run.Record{StartedAt: started, EndedAt: ended})
		if err != nil {
			event = Failed(who, name, run.Failure{Error: string(fault.CodeOf(err)), Cause: err.Error()}, ended)
		}
		if err := w.Bus.Publish(ctx, []events.Event{event}); err != nil {
			slog.Error("event not published", "run", who.RunID, "step", name, "error", err)
		}
		return out, err
	}
}

func (w Watch) measure(who events.Subject, name string, started time.Time, err error) {
	values := []Metric{Millis(StepDuration, float64(time.Since(started).Microseconds())/1000)}
	if err != nil {
		values = append(values, Count(StepFailed))
	}
	w.Metrics.Emit(who.Policy, name, who.RunID, values...)
}

// whose reads the subject out of any step's input: out of its plan, or out of
// the request that there is no plan for yet. An unreadable input has a subject
// all the same, because its refusal is told too.
func whose(payload json.RawMessage) events.Subject {
	var in struct {
		Run     struct{ ID string }
		Request struct {
			InstanceID string
			Policy     struct{ Name string }
		}
		Plan *struct {
			RunID     string
			RestoreID string
			Target    run.Target
			Policy    struct{ Name string }
		}
	}
	_ = json.Unmarshal(payload, &in) // as much of it as can be read
	who := events.Subject{RunID: in.Run.ID, InstanceID: in.Request.InstanceID, Policy: in.Request.Policy.Name}
	if p := in.Plan; p != nil {
		who = events.Subject{RunID: cmp.Or(p.RunID, p.RestoreID), Policy: p.Policy.Name, Provider: p.Target.Provider, Region: p.Target.Region, InstanceID: p.Target.InstanceID}
	}
	if who.Policy == "" {
		who.Policy = policy.Default().Name
	}
	return who
}
