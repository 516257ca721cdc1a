package local

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quiesce/quiesce/events"
	"github.com/quiesce/quiesce/local/fault"
	port "github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/retention"
	"github.com/quiesce/quiesce/shared/verify"
)

// verifyTasks are the tasks of a restore test with their functions.
var verifyTasks = map[string]string{
	"Choose": "verify-choose", "Plan": "restore-plan", "Mark": "verify-mark", "Create": "restore-create", "Attach": "restore-move",
	"Recover": "verify-recover", "CleanUp": "verify-clean", "Report": "verify-report",
}

// single are all single faults of a restore test: of each function at each of its
// calls by the workflow, and of each call of the provider, the first of those that
// only look and every one of those that change something.
func single(w *world, states []string, since int) (list []string) {
	add := func(target string, n int, kinds ...fault.Kind) {
		for _, kind := range kinds {
			list = append(list, fault.Fault{Target: target, Kind: kind, N: n}.String())
		}
	}
	reached := map[string]int{}
	for _, s := range states {
		if step, ok := verifyTasks[s]; ok {
			reached[step]++
			add(step, reached[step], fault.Fail, fault.Hang, fault.CrashBefore, fault.CrashAfter, fault.StopExecution)
			if reached[step] == 1 {
				add(step, 1, fault.Oversize, fault.Throttle)
			}
		}
	}
	ours := slices.Collect(maps.Values(verifyTasks))
	for _, c := range w.cloud.Calls()[since:] {
		call := c.Step + "/" + c.Action
		if !slices.Contains(ours, c.Step) || !slices.Contains(fault.APIs, c.Action) {
			continue
		}
		reached[call]++
		if looks := strings.HasPrefix(c.Action, "Describe") || strings.HasPrefix(c.Action, "Get"); looks && reached[call] > 1 {
			continue
		}
		add(call, reached[call], fault.Deny, fault.LostReply, fault.Throttle)
		if c.Action == "SendCommand" {
			add(call, reached[call], fault.Duplicate, fault.Late, fault.AgentOffline)
		}
	}
	return list
}

// Whatever goes wrong once, at any step: the test ends, nothing of it is left,
// nothing of the original is touched, no set is condemned for it or left under
// test, and somebody is told. The copies of one that is stopped are the janitor's.
func TestRestoreTestSurvivesEverySingleFault(t *testing.T) {
	var all []string
	inTest(t, nil, func(w *world) {
		since := len(w.cloud.Calls())
		all = single(w, w.tests(theTest, tested()).States, since)
	})
	if len(all) < 90 {
		t.Fatalf("found only %d faults", len(all))
	}
	t.Logf("%d faults", len(all))
	for _, f := range thinned(all) {
		t.Run(f, func(t *testing.T) {
			t.Parallel()
			inTest(t, []string{f}, func(w *world) { w.endures(f) })
		})
	}
}

func (w *world) endures(f string) {
	w.Helper()
	r := w.tests(theTest, tested())
	for _, never := range w.faults.Unreached() {
		w.Errorf("the fault %s never happened", never)
	}
	v, stopped := r.state.Verdict, strings.Contains(f, string(fault.StopExecution))
	switch {
	case r.Status == "RUNNING":
		w.Fatalf("it has not ended: %v", r.States)
	case stopped != (r.Status == "ABORTED"):
		w.Errorf("it is %s: %s", r.Status, r.Cause)
	case v == nil && !stopped && !strings.HasPrefix(f, "verify-report"):
		w.Errorf("nobody has said how it ended: %s %s by %v", r.Error, r.Cause, r.States)
	case v != nil && v.Result == retention.TestFailed:
		w.Errorf("a good set is condemned: %s", v.Reason)
	case v != nil && v.Outcome == verify.FailedDirty && !strings.HasPrefix(f, "verify-clean"):
		w.Errorf("one fault, and copies are left: %s; by %v", v.Reason, r.States)
	}
	if r.Error != "FailedClean" && r.Status != "SUCCEEDED" {
		w.sweeps(r)
	}
	w.leaves(f)
	verdict, by, _ := w.says(theSet)
	switch {
	case verdict == "VALIDATING" || verdict == "FAILED":
		w.Errorf("the set says %s, by %s", verdict, by)
	case v != nil && v.Result == retention.Successful && verdict != "SUCCESSFUL":
		w.Errorf("the set says %q of a test that it has passed", verdict)
	}
	if len(w.published(theTest, events.TypeTest)) == 0 && !strings.HasPrefix(f, "verify-report/PutEvents") {
		w.Errorf("nobody is told")
	}
}

// sweeps waits for the janitor, who lets everything that may still be at it end
// first.
func (w *world) sweeps(r *verifying) {
	w.Helper()
	for end := time.Now().Add(time.Hour); w.cleaners.Load() == 0; time.Sleep(10 * time.Second) {
		if time.Now().After(end) {
			w.Fatalf("nobody has cleaned up: %v %s %s", r.States, r.Status, r.Error)
		}
	}
}

// A set that is bad is found to be so under every fault that does not keep the
// test from being carried out.
func TestRestoreTestOfABadSetNeverPasses(t *testing.T) {
	for _, f := range []string{"verify-recover:crash-after", "verify-recover:fail", "verify-clean:hang", "verify-report:crash-after", "verify-report/CreateTags:lost-reply", "verify-recover/SendCommand:duplicate"} {
		t.Run(f, func(t *testing.T) {
			t.Parallel()
			inTest(t, []string{f}, func(w *world) {
				w.damages(theSet)
				r := w.tests(theTest, tested())
				for _, never := range w.faults.Unreached() {
					t.Errorf("the fault %s never happened", never)
				}
				if v := r.state.Verdict; v == nil || v.Result != retention.TestFailed {
					t.Errorf("got %+v: %s", v, r.Cause)
				}
				if verdict, _, _ := w.says(theSet); verdict != "FAILED" {
					t.Errorf("the set says %s", verdict)
				}
				w.leaves(f)
			})
		})
	}
}

// Stopped from outside in every state, at any moment of it, also while a function
// is still at work: the janitor takes the copies, and gives the set its earlier
// verdict back.
func TestRestoreTestStoppedAtAnyMoment(t *testing.T) {
	var took time.Duration
	slow := setting{latency: map[string]time.Duration{"CreateVolume": 2 * time.Second, "CreateTags": time.Second, "AttachVolume": time.Second, "SendCommand": time.Second}}
	inTesting(t, slow, func(w *world) {
		began := time.Now()
		w.tests(theTest, tested())
		took = time.Since(began)
	})
	for at := 250 * time.Millisecond; at < took; at += 1500 * time.Millisecond {
		t.Run(at.String(), func(t *testing.T) {
			t.Parallel()
			inTesting(t, slow, func(w *world) {
				w.relabel(theSet, port.TagTest, "SUCCESSFUL")
				time.AfterFunc(at, w.stopAll)
				r := w.tests(theTest, tested())
				if r.Status == "SUCCEEDED" {
					return // it was quicker
				}
				w.sweeps(r)
				w.leaves(at.String())
				if verdict, _, _ := w.says(theSet); verdict != "SUCCESSFUL" {
					t.Errorf("the set says %s", verdict)
				}
				if told := w.published(theTest, events.TypeTest); len(told) != 1 {
					t.Errorf("told %v", told)
				}
			})
		})
	}
}
