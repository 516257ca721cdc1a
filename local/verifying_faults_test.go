package local

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quiesce/quiesce/events"
	"github.com/quiesce/quiesce/local/aws/wire"
	"github.com/quiesce/quiesce/local/fault"
	port "github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/retention"
	"github.com/quiesce/quiesce/shared/verify"
	"github.com/quiesce/quiesce/workflow/asl"
)

// verifyTasks are the tasks of a restore test with their functions.
var verifyTasks = map[string]string{
	"Choose": "verify-choose", "Plan": "restore-plan", "Mark": "verify-mark", "Create": "restore-create", "Attach": "restore-move",
	"Recover": "verify-recover", "CleanUp": "verify-clean", "Report": "verify-report",
}

// single are all single faults of a restore test: of each function at each of its
// calls by the workflow, and of each call of the provider, the first of those that
// only look and every one of those that change something.
func single(calls []wire.Record, states []string) (list []string) {
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
	for _, c := range calls {
		call := c.Step + "/" + c.Action
		if !slices.Contains(ours, c.Step) || !slices.Contains(fault.APIs, c.Action) {
			continue
		}
		reached[call]++
		if looks := strings.HasPrefix(c.Action, "Describe") || strings.HasPrefix(c.Action, "Get"); looks && reached[call] > 1 {
			continue
		}
		add(call, reached[call], fault.Deny, fault.LostReply, fault.Throttle)
		if c.Action == "SendCommand" || c.Action == "RunCommand" {
			add(call, reached[call], fault.Duplicate, fault.Late, fault.AgentOffline)
		}
	}
	return list
}

// Whatever goes wrong once, at any step: the test ends, nothing of it is left,
// nothing of the original is touched, no set is condemned for it or left under
// test, and somebody is told. The copies of one that is stopped are the janitor's.
func TestRestoreTestSurvivesEverySingleFault(t *testing.T) { enduresEverySingle(t, here) }

func enduresEverySingle(t *testing.T, in inCloud) {
	t.Helper()
	var all []string
	in(t, setting{}, func(w testingWorld) {
		since := len(w.calls())
		states := w.tests(theTest, w.asked()).States
		all = single(w.calls()[since:], states)
	})
	if len(all) < 90 {
		t.Fatalf("found only %d faults", len(all))
	}
	t.Logf("%d faults", len(all))
	for _, f := range thinned(all) {
		t.Run(f, func(t *testing.T) {
			t.Parallel()
			in(t, setting{faults: []string{f}}, func(w testingWorld) { endures(w, f) })
		})
	}
}

func endures(w testingWorld, f string) {
	w.Helper()
	r := w.tests(theTest, w.asked())
	for _, never := range w.unreached() {
		w.Errorf("the fault %s never happened", never)
	}
	v, stopped := r.state.Verdict, strings.Contains(f, string(fault.StopExecution))
	past := stopped || r.Error == asl.DataLimitExceeded // every Catch
	switch {
	case strings.EqualFold(r.Status, "running"):
		w.Fatalf("it has not ended: %v", r.States)
	case stopped != (r.Status == "ABORTED" || r.Status == "Stopped"):
		w.Errorf("it is %s: %s", r.Status, r.Cause)
	case v == nil && !past && !strings.HasPrefix(f, "verify-report"):
		w.Errorf("nobody has said how it ended: %s %s by %v", r.Error, r.Cause, r.States)
	case v != nil && v.Result == retention.TestFailed:
		w.Errorf("a good set is condemned: %s", v.Reason)
	case v != nil && v.Outcome == verify.FailedDirty && !strings.HasPrefix(f, "verify-clean"):
		w.Errorf("one fault, and copies are left: %s; by %v", v.Reason, r.States)
	}
	if r.Error != "FailedClean" && !succeeded(r) {
		w.sweeps(r)
	}
	w.leaves(f)
	verdict, by, _ := says(w, theSet)
	switch {
	case verdict == "VALIDATING" || verdict == "FAILED":
		w.Errorf("the set says %s, by %s", verdict, by)
	case v != nil && v.Result == retention.Successful && verdict != "SUCCESSFUL":
		w.Errorf("the set says %q of a test that it has passed", verdict)
	}
	if len(w.published(theTest, events.TypeTest)) == 0 && !w.untold(f, r) {
		w.Errorf("nobody is told")
	}
}

func (w *world) untold(f string, _ *verifying) bool {
	return strings.HasPrefix(f, "verify-report/PutEvents")
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
func TestRestoreTestOfABadSetNeverPasses(t *testing.T) { neverPasses(t, here, strings.NewReplacer()) }

func neverPasses(t *testing.T, in inCloud, theirs *strings.Replacer) {
	t.Helper()
	for _, f := range thinned([]string{"verify-recover:crash-after", "verify-recover:fail", "verify-clean:hang", "verify-report:crash-after", "verify-report/CreateTags:lost-reply", "verify-recover/SendCommand:duplicate"}) {
		f = theirs.Replace(f)
		t.Run(f, func(t *testing.T) {
			t.Parallel()
			in(t, setting{faults: []string{f}}, func(w testingWorld) {
				damages(w, theSet)
				r := w.tests(theTest, w.asked())
				for _, never := range w.unreached() {
					t.Errorf("the fault %s never happened", never)
				}
				if v := r.state.Verdict; v == nil || v.Result != retention.TestFailed {
					t.Errorf("got %+v: %s", v, r.Cause)
				}
				if verdict, _, _ := says(w, theSet); verdict != "FAILED" {
					t.Errorf("the set says %s", verdict)
				}
				w.leaves(f)
			})
		})
	}
}

// Stopped from outside in every state, at any moment of it, also while a function
// is still at work: whoever cleans up takes the copies, and gives the set its
// earlier verdict back.
func TestRestoreTestStoppedAtAnyMoment(t *testing.T) {
	stoppedAtAnyMoment(t, here, map[string]time.Duration{"CreateVolume": 2 * time.Second, "CreateTags": time.Second, "AttachVolume": time.Second, "SendCommand": time.Second})
}

func stoppedAtAnyMoment(t *testing.T, in inCloud, latency map[string]time.Duration) {
	t.Helper()
	var took time.Duration
	slow := setting{latency: latency}
	in(t, slow, func(w testingWorld) {
		began := time.Now()
		w.tests(theTest, w.asked())
		took = time.Since(began)
	})
	step := 1500 * time.Millisecond
	if testing.Short() {
		step *= 6
	}
	for at := 250 * time.Millisecond; at < took; at += step {
		t.Run(at.String(), func(t *testing.T) {
			t.Parallel()
			in(t, slow, func(w testingWorld) {
				w.relabel(theSet, port.TagTest, "SUCCESSFUL")
				time.AfterFunc(at, w.stopAll)
				r := w.tests(theTest, w.asked())
				if succeeded(r) {
					return // it was quicker
				}
				w.sweeps(r)
				w.leaves(at.String())
				if verdict, _, _ := says(w, theSet); verdict != "SUCCESSFUL" {
					t.Errorf("the set says %s", verdict)
				}
				if told := w.published(theTest, events.TypeTest); len(told) != 1 && (len(told) > 0 || !w.untold("", r)) {
					t.Errorf("told %v", told)
				}
			})
		})
	}
}
