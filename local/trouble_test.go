package local

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quiesce/quiesce/events"
	"github.com/quiesce/quiesce/shared/protocol"
	"github.com/quiesce/quiesce/shared/run"
)

// A run that finds the instance held by another must end without having
// touched it, whether precheck finds that or only run-prescript.
func TestSecondRunLeavesTheFirstAlone(t *testing.T) {
	for _, c := range []struct {
		name   string
		later  time.Duration
		states string
	}{
		{"started together", 0, "Open Precheck Mode RunPrescript Thaw SetTaken Tag Outcome FailedClean"},
		{"started in the other's window", 1500 * time.Millisecond, refused},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := setting{slowness: 10 * time.Second, faults: []string{"CreateSnapshots:slow"}}
			inWorld(t, s, func(w *world) {
				first := w.start("run-1", w.request(w.policy()))
				time.Sleep(c.later)
				second := w.wait(w.start("run-2", w.request(w.policy())))
				if !w.sim.Frozen(w.mounts[0]) {
					t.Error("the first run's window is over, so that this shows nothing")
				}
				path{states: c.states, outcome: run.OutcomeFailedClean, code: "RunInProgress", says: "run-1"}.ends(w, second)
				record := w.wait(first)
				p := proven("first")
				p.ends(w, record)
				p.leaves(w, record, w.policy())
			})
		})
	}
}

// stopped checks what a run leaves that ended past every Catch.
func (w *world) stopped(arn string, status string, window time.Duration) {
	w.Helper()
	r := w.wait(arn)
	if r.Status != status || r.State.Verdict != nil {
		w.Errorf("the execution is %s with the verdict %+v, want %s and none", r.Status, r.State.Verdict, status)
	}
	time.Sleep(window)
	for _, m := range w.mounts {
		if w.sim.Frozen(m) {
			w.Errorf("%s is frozen %s after the end", m, window)
		}
	}
	if got := time.Duration(w.frozen.Load()); got > window {
		w.Errorf("something stood frozen for %s, longer than %s", got, window)
	}
	if all := w.snapshots(); len(all) != 0 && len(all) != len(w.volumes) {
		w.Errorf("there are %d snapshots of %d volumes", len(all), len(w.volumes))
	}
	for id, tags := range w.snapshots() {
		if tags["quiesce:run"] != r.RunID || tags["AppConsistent"] == "True" {
			w.Errorf("%s is tagged %q", id, tags)
		}
	}
	for _, f := range w.faults.Unreached() {
		w.Errorf("the fault %s never happened", f)
	}
}

// concluded waits for the janitor and checks that the run ended in public, and
// that nobody takes what it left for a backup.
func (w *world) concluded(run string) {
	w.Helper()
	time.Sleep(30 * time.Second)
	if n := w.janitors.Load(); n != 1 {
		w.Errorf("the janitor was there %d times", n)
	}
	finals := 0
	for _, e := range w.cloud.Bus.Events() {
		if e.Source == events.Source && e.DetailType != events.TypeStep && strings.Contains(string(e.Detail), run) {
			finals++
			if e.DetailType != events.TypeFailed {
				w.Errorf("published %s", e.DetailType)
			}
		}
	}
	if finals != 1 {
		w.Errorf("%d final events", finals)
	}
	for id, tags := range w.snapshots() {
		if tags["quiesce:consistency"] != "none" {
			w.Errorf("%s is labelled %q", id, tags["quiesce:consistency"])
		}
	}
}

// The janitor lets go what no Catch could.
func TestStoppedInTheWindow(t *testing.T) {
	for _, fault := range []string{"freeze:stop-execution", "snapshot:stop-execution", "thaw:stop-execution"} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			inWorld(t, setting{faults: []string{fault}}, func(w *world) {
				w.stopped(w.start("run-1", w.request(w.policy())), "ABORTED", 5*time.Second)
				if !w.writes(5 * time.Second) {
					t.Error("the application is still at rest")
				}
				w.concluded("run-1")
			})
		})
	}
}

// Where nobody reaches the instance any more, its own deadlines are left: the
// freeze's, then the session's.
func TestStoppedAndOutOfReach(t *testing.T) {
	t.Parallel()
	inWorld(t, setting{faults: []string{"snapshot:stop-execution"}}, func(w *world) {
		p := w.policy()
		p.Freeze.DeadlineSeconds = 5
		arn := w.start("run-1", w.request(p))
		for !w.sim.Frozen(w.mounts[0]) {
			time.Sleep(10 * time.Millisecond)
		}
		w.cloud.SSM.SetOnline(instanceID, false)
		w.stopped(arn, "ABORTED", 5*time.Second)
		if !w.writes(2*p.Application.Limit() + 2*time.Minute) {
			t.Error("the application is at rest after its session's end")
		}
	})
}

func TestTimeoutOfTheExecution(t *testing.T) {
	t.Parallel()
	s := setting{
		slowness: 10 * time.Second, faults: []string{"CreateSnapshots:slow"},
		definition: func(text string) string {
			return strings.Replace(text, `"TimeoutSeconds": 93600`, `"TimeoutSeconds": 3`, 1)
		},
	}
	inWorld(t, s, func(w *world) {
		w.stopped(w.start("run-1", w.request(w.policy())), "TIMED_OUT", 5*time.Second)
		if !w.writes(5 * time.Second) {
			t.Error("the application is still at rest")
		}
		w.concluded("run-1")
	})
}

// A run that is stopped before its session is open must not open one later.
func TestStoppedBeforeTheSession(t *testing.T) {
	t.Parallel()
	s := setting{lateness: 20 * time.Second, faults: []string{"run-prescript:late", "run-prescript:stop-execution"}}
	inWorld(t, s, func(w *world) {
		w.stopped(w.start("run-1", w.request(w.policy())), "ABORTED", 5*time.Second)
		time.Sleep(30 * time.Second)
		if got := w.told.heard("run-1"); !slices.Equal(got, []protocol.Verb{protocol.DryRun, protocol.Thaw, protocol.Begin}) {
			t.Errorf("the instance was told %q, so that this shows nothing", got)
		}
		if !w.writes(5 * time.Second) {
			t.Error("the application was brought to rest by a run that is over")
		}
	})
}

// An error that the service itself makes out of a broken reference is seen by
// no Catch.
func TestBrokenReference(t *testing.T) {
	t.Parallel()
	s := setting{definition: func(text string) string {
		return strings.Replace(text, `"set.$": "$.set",
        "failures.$"`, `"set.$": "$.nowhere",
        "failures.$"`, 1)
	}}
	inWorld(t, s, func(w *world) {
		w.stopped(w.start("run-1", w.request(w.policy())), "FAILED", 5*time.Second)
		if !w.writes(5 * time.Second) {
			t.Error("the application is still at rest")
		}
		w.concluded("run-1")
	})
}
