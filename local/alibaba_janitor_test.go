package local

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/quiesce/quiesce/events"
	"github.com/quiesce/quiesce/local/engine"
	port "github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/run"
)

// begin starts a run by the service's own API.
func (w *abroad) begin(name string) (arn string) {
	w.Helper()
	input, err := json.Marshal(run.Request{InstanceID: aliyunInstance, Policy: w.policy()})
	w.must(err)
	w.must(w.there.operator.StartExecution(w.Context(), flowName, name, input))
	all, err := w.there.engine.List(flowName, "")
	w.must(err)
	return all[0].ARN
}

// ends waits for an execution, which is to end by that status.
func (w *abroad) ends(arn string, want engine.Status) {
	w.Helper()
	x, err := w.there.engine.Wait(w.Context(), arn)
	w.must(err)
	if x.Status != want {
		w.Errorf("the execution is %s %s, want %s", x.Status, x.Error, want)
	}
}

// heard counts the events of a type that name the run.
func (w *abroad) heard(kind, runID string) (n int) {
	for _, e := range w.there.cloud.EventBridge.Events() {
		var d struct{ RunID string }
		if e.Type == kind && json.Unmarshal(e.Data, &d) == nil && d.RunID == runID {
			n++
		}
	}
	return n
}

// swept checks what a janitor has left: nothing is held, what there is of a set
// is labelled, and the end was told once.
func (w *abroad) swept(runID string) {
	w.Helper()
	for _, m := range w.mounts {
		if w.sim.Frozen(m) {
			w.Errorf("%s is frozen", m)
		}
	}
	if !w.writes(5 * time.Second) {
		w.Error("the application is still at rest")
	}
	for id, tags := range w.there.cloud.ECS.All() {
		if tags[port.TagRun] == runID && tags[port.TagConsistency] != "none" {
			w.Errorf("%s is labelled %q", id, tags[port.TagConsistency])
		}
	}
	if n := w.heard(events.TypeFailed, runID); n != 1 {
		w.Errorf("the end was told %d times", n)
	}
	janitors, err := w.there.engine.List(janitorName, "")
	w.must(err)
	n := 0
	for _, j := range janitors {
		if j.Name == runID {
			n++
			w.ends(j.ARN, engine.Succeeded)
		}
	}
	if n != 1 {
		w.Errorf("%d janitors came", n)
	}
	for _, f := range w.there.faults.Unreached() {
		w.Errorf("the fault %s never happened", f)
	}
}

// No event tells of an execution that was stopped: the timer's next minute finds
// it, and its janitor does what an event's would.
func TestAStoppedRunIsSwept(t *testing.T) {
	for i, c := range []struct {
		name    string
		faults  []string
		expires bool          // by its own time, not by somebody's hand
		timers  int           // that start sweep at one moment
		within  time.Duration // after it broke off
	}{
		{"while it froze", []string{"freeze:stop-execution"}, false, 1, 75 * time.Second},
		{"in its window", []string{"snapshot:stop-execution"}, false, 1, 75 * time.Second},
		{"while it let go", []string{"thaw:stop-execution"}, false, 1, 75 * time.Second},
		{"its time was over", []string{"CreateSnapshotGroup:slow"}, true, 1, 75 * time.Second},
		{"by two sweeps at once", []string{"snapshot:stop-execution"}, false, 2, 75 * time.Second},
		{"by three", []string{"snapshot:stop-execution", "sweep/StartExecution:lost-reply"}, false, 3, 75 * time.Second},
		{"the list is refused once", []string{"snapshot:stop-execution", "sweep/ListExecutions:deny"}, false, 1, 135 * time.Second},
		{"the second list is refused once", []string{"snapshot:stop-execution", "sweep/ListExecutions:deny@3"}, false, 1, 135 * time.Second},
		{"the start is refused once", []string{"snapshot:stop-execution", "sweep/StartExecution:deny"}, false, 1, 135 * time.Second},
		{"the start's answer is lost", []string{"snapshot:stop-execution", "sweep/StartExecution:lost-reply"}, false, 1, 75 * time.Second},
		{"sweep does not work twice", []string{"snapshot:stop-execution", "sweep:fail", "sweep:crash-before@2"}, false, 1, 195 * time.Second},
		{"sweep dies when it is done", []string{"snapshot:stop-execution", "sweep:crash-after"}, false, 1, 75 * time.Second},
		{"sweep hangs", []string{"snapshot:stop-execution", "sweep:hang"}, false, 1, 135 * time.Second},
		{"thaw does not work at first", []string{"snapshot:stop-execution", "thaw:fail"}, false, 1, 90 * time.Second},
		{"thaw is throttled", []string{"snapshot:stop-execution", "thaw:throttle"}, false, 1, 80 * time.Second},
	} {
		if spared(i) {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			inAlibaba(t, setting{faults: c.faults, slowness: 10 * time.Second}, func(w *abroad) {
				for range c.timers {
					w.there.cloud.Timer(sweepTimer, sweepEvery, w.there.sweep)
				}
				arn := w.begin("run-1")
				if c.expires {
					for !w.sim.Frozen(w.mounts[1]) {
						time.Sleep(10 * time.Millisecond)
					}
					time.Sleep(time.Second) // the call is in flight
					w.must(w.there.engine.Expire(arn))
					w.ends(arn, engine.TimedOut)
				} else {
					w.ends(arn, engine.Aborted)
				}
				time.Sleep(c.within)
				w.swept("run-1")
				time.Sleep(3 * time.Minute) // the next minutes change nothing
				w.swept("run-1")
			})
		})
	}
}

// Whoever broke off while nobody could sweep is swept later, and what ended by
// itself never is.
func TestOnlyWhatBrokeOffIsSwept(t *testing.T) {
	t.Parallel()
	inAlibaba(t, setting{faults: []string{"snapshot:stop-execution@2", "sweep:throttle"}}, func(w *abroad) {
		w.ends(w.begin("run-1"), engine.Succeeded)
		w.ends(w.begin("run-2"), engine.Aborted)
		time.Sleep(20 * time.Minute) // the timer was out of order
		if n := w.heard(events.TypeFailed, "run-2"); n != 0 {
			t.Fatalf("the end was told %d times, and nobody swept", n)
		}
		w.there.cloud.Timer(sweepTimer, sweepEvery, w.there.sweep)
		time.Sleep(3 * time.Minute)
		w.swept("run-2")
		all, err := w.there.engine.List(janitorName, "")
		if err != nil || len(all) != 1 {
			t.Errorf("%d janitors came, %v", len(all), err)
		}
		if completed, failed := w.heard(events.TypeCompleted, "run-1"), w.heard(events.TypeFailed, "run-1"); completed != 1 || failed != 0 {
			t.Errorf("run-1 was told to have completed %d times and failed %d times", completed, failed)
		}
	})
}

// A janitor that cannot work says so itself, because nobody else would.
func TestAJanitorThatDoesNotWorkCallsAPerson(t *testing.T) {
	t.Parallel()
	faults := []string{"snapshot:stop-execution"}
	for _, n := range []string{"", "@2", "@3", "@4"} {
		faults = append(faults, "thaw:crash-before"+n)
	}
	inAlibaba(t, setting{faults: faults}, func(w *abroad) {
		w.there.cloud.Timer(sweepTimer, sweepEvery, w.there.sweep)
		w.ends(w.begin("run-1"), engine.Aborted)
		time.Sleep(8 * time.Minute)
		all, err := w.there.engine.List(janitorName, "")
		if err != nil || len(all) != 1 || all[0].Status != engine.Failed || all[0].Error != "ThawFailed" {
			t.Fatalf("got %+v, %v", all, err)
		}
		if n := w.heard(events.TypeThawFailed, "run-1"); n != 1 {
			t.Errorf("a person was called %d times", n)
		}
	})
}
