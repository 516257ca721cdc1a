package local

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/quiesce/quiesce/local/aws/wire"
	"github.com/quiesce/quiesce/local/engine"
	port "github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/retention"
	"github.com/quiesce/quiesce/shared/verify"
)

// inTestAbroad is inRestoreAbroad for a set of a policy.
func inTestAbroad(t *testing.T, s setting, test func(w *away)) {
	t.Helper()
	inRestoreAbroadOf(t, s, map[string]string{port.TagPolicy: nightly}, test)
}

func there(t *testing.T, s setting, test func(w testingWorld)) {
	t.Helper()
	inTestAbroad(t, s, func(w *away) { test(w) })
}

func (w *away) asked(change ...func(*verify.Request)) verify.Request {
	r := tested(func(r *verify.Request) { r.Policy.RestoreTest.Instance = aliyunInstance })
	for _, c := range change {
		c(&r)
	}
	return r
}

func (w *away) tests(name string, asked verify.Request) *verifying {
	w.Helper()
	r, err := w.there.verifyBy(w.Context(), name, asked, nil)
	w.must(err)
	return r
}

func (w *away) stopAll() {
	running, _ := w.there.engine.List(verifierName, engine.Running)
	for _, e := range running {
		_, _ = w.there.engine.Stop(e.ARN, "StopExecution", "planned") // over already: nothing to stop
	}
}

// sweeps lets the timer come until there is nothing to look after.
func (w *away) sweeps(*verifying) {
	w.Helper()
	for range 6 {
		time.Sleep(10 * time.Minute)
		tick, err := json.Marshal(map[string]string{"triggerTime": time.Now().UTC().Format(time.RFC3339), "triggerName": "tests", "payload": ""})
		w.must(err)
		if out, err := w.there.invoker.Invoke(w.Context(), "verify-clean", tick); err == nil && strings.Contains(string(out), `"0 tests`) {
			return
		}
	}
	w.Error("there is still something to clean up after")
}

// untold is the end of a test that ended past every Catch before anything carried
// its mark: nothing tells that there was one.
func (w *away) untold(f string, r *verifying) bool {
	_, by, _ := says(w, theSet)
	return strings.HasPrefix(f, "verify-report/PutEvents") || r.state.Verdict == nil && by != theTest
}

func (w *away) leaves(after string) {
	w.Helper()
	w.keeps(after)
	if now := w.standing(); len(now) != len(w.original()) {
		w.Errorf("%s: left %v", after, now)
	}
}

func (w *away) snapshots() map[string]map[string]string { return w.there.cloud.ECS.All() }
func (w *away) calls() []wire.Record                    { return w.there.cloud.Calls() }
func (w *away) measured() []string                      { return measured(&w.there.metrics) }

func (w *away) relabel(set, key, value string) {
	w.Helper()
	for id, tags := range w.snapshots() {
		if tags[port.TagRun] == set {
			w.must(w.there.operator.TagSnapshots(w.Context(), []string{id}, map[string]string{key: value}))
		}
	}
}

func (w *away) published(runID, detailType string) (details []map[string]any) {
	for _, e := range w.there.cloud.EventBridge.Events() {
		var d map[string]any
		if e.Type != detailType {
			continue
		}
		w.must(json.Unmarshal(e.Data, &d))
		if d["runId"] == runID {
			details = append(details, d)
		}
	}
	return details
}

func TestRestoreTestAbroadOfAGoodSet(t *testing.T) {
	inTestAbroad(t, setting{}, func(w *away) {
		passes(w)
		for _, c := range w.calls() {
			if strings.HasPrefix(c.Step, "verify-") && c.Action == "StopInstance" {
				t.Errorf("%s has stopped an instance", c.Step)
			}
		}
	})
}

func TestRestoreTestAbroadEnds(t *testing.T) { endsAsItMust(t, there, theirs) }

func TestRestoreTestAbroadSurvivesEverySingleFault(t *testing.T) { enduresEverySingle(t, there) }

func TestRestoreTestAbroadOfABadSetNeverPasses(t *testing.T) { neverPasses(t, there, theirs) }

// No event tells of one that was stopped: the timer finds what it has left.
func TestRestoreTestAbroadStoppedAtAnyMoment(t *testing.T) {
	stoppedAtAnyMoment(t, there, map[string]time.Duration{"CreateDisk": 2 * time.Second, "TagResources": time.Second, "AttachDisk": time.Second, "RunCommand": time.Second})
}

// The timer leaves a test alone that is going on, and copies that are nobody's
// whom it knows.
func TestSweepOfRestoreTestsTouchesNoOther(t *testing.T) {
	inTestAbroad(t, setting{provision: 8 * time.Minute}, func(w *away) {
		ended := make(chan *verifying)
		go func() { ended <- w.tests(theTest, w.asked()) }()
		time.Sleep(2 * time.Minute)
		w.sweeps(nil) // ten minutes later: two disks were made, and the helper is at work or was
		r := <-ended
		if v := r.state.Verdict; v == nil || v.Result != retention.Successful {
			t.Errorf("got %+v: %s", v, r.Cause)
		}
		w.leaves("a sweep beside a test")
		id, err := w.there.operator.NewDisk(w.Context(), w.takes("run-2", nil)[0], "cn-hangzhou-h", "cloud_essd")
		w.must(err)
		w.must(w.there.operator.MarkDisks(w.Context(), []string{id}, map[string]string{port.TagScratch: "of-another-deployment"}))
		time.Sleep(10 * time.Minute)
		w.sweeps(nil)
		if _, stands := w.standing()[id]; !stands {
			t.Error("a disk of another deployment's test is gone")
		}
	})
}

// Refused, or passed over, before anything is made or marked.
func TestRestoreTestAbroadRefuses(t *testing.T) {
	inTestAbroad(t, setting{}, func(w *away) {
		for _, set := range []struct{ id, policy string }{{"cold", "cold"}, {"run-2", nightly}} {
			for _, id := range w.takes(set.id, map[string]string{port.TagPolicy: set.policy}) {
				w.there.cloud.ECS.Archive(id)
			}
		}
		for _, c := range []refusedTest{
			{"an archived set", func(r *verify.Request) { r.RunID = "cold" }, "SetNotRestorable", "the set of cold is archived"},
			{"a policy of which all is archived", func(r *verify.Request) { r.Policy.Name = "cold" }, "SetNotRestorable", "1 that are"},
			{"an instance of nobody", func(r *verify.Request) { r.Policy.RestoreTest.Instance = "i-bp1234567890abcdef99" }, "InstanceNotFound", ""},
			{"a policy that a flow has no room for", func(r *verify.Request) {
				for i := range policy.FlowRoom / 20 {
					r.Policy.Targets.InstanceIDs = append(r.Policy.Targets.InstanceIDs, fmt.Sprintf("i-bp%018d", i))
				}
			}, "InvalidInput", "request.policy"},
		} {
			c.isRefused(w)
		}
		r := w.tests("picks", w.asked()) // run-2 is newer, and archived
		if v := r.state.Verdict; v == nil || v.Choice == nil || v.Choice.SetID != theSet || v.Result != retention.Successful {
			t.Errorf("got %+v: %s", v, r.Cause)
		}
	})
}

// A dry run touches nothing.
func TestRestoreTestAbroadDryRun(t *testing.T) {
	inTestAbroad(t, setting{}, func(w *away) {
		r := w.tests("dry", w.asked(func(r *verify.Request) { r.DryRun = true }))
		if v := r.state.Verdict; v == nil || v.Outcome != verify.Planned || v.Choice.SetID != theSet || len(v.Plan.Disks) != 2 {
			t.Fatalf("got %+v: %s", v, r.Cause)
		}
		w.leaves("dry run")
		if verdict, by, _ := says(w, theSet); verdict != "" || by != "" {
			t.Errorf("the set says %s, %s", verdict, by)
		}
	})
}
