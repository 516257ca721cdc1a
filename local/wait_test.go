package local

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/quiesce/quiesce/local/aws/bus"
	"github.com/quiesce/quiesce/shared/cloud/awscloud"
	"github.com/quiesce/quiesce/shared/cloud/awscloud/history"
	"github.com/quiesce/quiesce/shared/run"
)

// waiting is a run whose set takes its time, and what that costs.
type waiting struct {
	name       string
	completion time.Duration
	faults     []string
	before     func(*world)

	end           string
	polls, awaits int
	atMost        time.Duration // from the set's end to the run's
}

// Ways in which the event of a set's completion goes astray.
func eventsAreLost(w *world) { w.must(w.cloud.Bus.Rule("completion", awscloud.Completion(), nil)) }

func eventsComeTwice(w *world) {
	w.must(w.cloud.Listen("completion, again", awscloud.Completion(), func(ctx context.Context, e bus.Event) error {
		return w.wake(ctx, e)
	}))
}

// registrationIsLate lets the event come after the poll and before the token.
func registrationIsLate(w *world) {
	register := w.local.Handlers["await"]
	w.local.Handlers["await"] = func(ctx context.Context, in json.RawMessage) (json.RawMessage, error) {
		time.Sleep(10 * time.Second)
		return register(ctx, in)
	}
}

// eventIsEarly lets the set be seen as pending for a while after its event.
func eventIsEarly(w *world) {
	looks := w.local.Handlers["poll-status"]
	n := 0
	w.local.Handlers["poll-status"] = func(ctx context.Context, in json.RawMessage) (json.RawMessage, error) {
		out, err := looks(ctx, in)
		var status run.Status
		if n++; n == 2 && err == nil && json.Unmarshal(out, &status) == nil {
			status.State = run.Pending
			return json.Marshal(status)
		}
		return out, err
	}
}

func TestWaits(t *testing.T) {
	for _, c := range []waiting{
		{name: "an event", completion: 3 * time.Second, end: "SUCCEEDED", polls: 2, awaits: 1, atMost: 2 * time.Second},
		{name: "an event of hours later", completion: 2 * time.Hour, end: "SUCCEEDED", polls: 2, awaits: 8, atMost: 2 * time.Second},
		{name: "an event that comes twice", completion: time.Minute, before: eventsComeTwice, end: "SUCCEEDED", polls: 2, awaits: 1, atMost: 2 * time.Second},
		{name: "an event of a failed set", completion: time.Minute, faults: []string{"snapshot:error"}, end: "FAILED", polls: 2, awaits: 1, atMost: 2 * time.Second},
		{name: "an event before the registration", completion: 5 * time.Second, before: registrationIsLate, end: "SUCCEEDED", polls: 2, awaits: 1, atMost: 12 * time.Second},
		{name: "an event before the set is seen to be done", completion: time.Minute, before: eventIsEarly, end: "SUCCEEDED", polls: 3, awaits: 2, atMost: 4 * time.Second},
		{name: "an event that is lost", completion: time.Minute, before: eventsAreLost, end: "SUCCEEDED", polls: 2, awaits: 2, atMost: 15 * time.Minute},
		{name: "an event of hours later that is lost", completion: 2 * time.Hour, before: eventsAreLost, end: "SUCCEEDED", polls: 2, awaits: 9, atMost: 15 * time.Minute},
		{name: "a wake that dies", completion: time.Minute, faults: []string{"wake:crash-before"}, end: "SUCCEEDED", polls: 2, awaits: 1, atMost: 62 * time.Second},
		{name: "a wake whose reply is lost", completion: time.Minute, faults: []string{"wake:lost-reply"}, end: "SUCCEEDED", polls: 2, awaits: 1, atMost: 2 * time.Second},
		{name: "a registration whose answer is lost", completion: time.Minute, faults: []string{"await:crash-after"}, end: "SUCCEEDED", polls: 2, awaits: 2, atMost: 2 * time.Second},
		{name: "a registration that hangs", completion: time.Minute, faults: []string{"await:hang"}, end: "SUCCEEDED", polls: 2, awaits: 1, atMost: 15 * time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, setting{completion: c.completion, faults: c.faults}, func(w *world) {
				if c.before != nil {
					c.before(w)
				}
				w.must(w.writer.Stop(w.Context())) // hours of its records prove nothing here
				asked := w.policy()
				nothingToQuiesce(&asked)
				c.ends(w, w.wait(w.start("run-1", w.request(asked))))
			})
		})
	}
}

func (c waiting) ends(w *world, r *history.Record) {
	w.Helper()
	if r.Status != c.end || r.State.Status.Polls != c.polls {
		w.Errorf("got %s (%s) after %d polls by %v, want %s after %d", r.Status, r.Cause, r.State.Status.Polls, r.States, c.end, c.polls)
	}
	awaits := 0
	for _, i := range w.local.Invocations() {
		if i.Function == "await" {
			awaits++
		}
	}
	if awaits != c.awaits {
		w.Errorf("%d registrations, want %d", awaits, c.awaits)
	}
	if late := r.StoppedAt.Sub(r.State.Set.CallStartedAt) - c.completion; late < 0 || late > c.atMost {
		w.Errorf("it ended %s after its set, want at most %s", late, c.atMost)
	}
	for _, f := range w.faults.Unreached() {
		w.Errorf("the fault %s never happened", f)
	}
}
