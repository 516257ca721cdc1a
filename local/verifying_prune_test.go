package local

import (
	"encoding/json"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	port "github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/retention"
	"github.com/quiesce/quiesce/shared/verify"
)

// prunes applies the retention of the tests' policy once.
func (w *world) prunes(rule policy.Retention) {
	d := policy.DefaultDocument()
	d.Name, d.Retention = nightly, rule
	payload, err := json.Marshal(map[string]any{"run": map[string]any{"id": "prune"}, "request": map[string]any{"policy": d}})
	w.must(err)
	_, _ = w.lambda.Invoke(w.Context(), "prune", payload) // what it could not do it leaves to the next
}

// members counts the snapshots of a set that are there, and those of them that are
// marked as being deleted.
func (w *world) members(set string) (there, marked int) {
	for _, tags := range w.snapshots() {
		if tags[port.TagRun] == set {
			there++
			if tags[port.TagDeleting] != "" {
				marked++
			}
		}
	}
	return there, marked
}

// A set that its retention does not keep is tested by name, and retention is
// applied at every moment of the test, also under a fault: the set is deleted
// before the test has marked it or not at all, what is kept stays, and nothing of
// the test is left.
func TestRestoreTestAndRetentionAtTheSameTime(t *testing.T) {
	var passed, deleted atomic.Int32
	t.Cleanup(func() {
		if passed.Load() == 0 || deleted.Load() == 0 {
			t.Errorf("%d tests passed, and %d sets were deleted before: nothing has met", passed.Load(), deleted.Load())
		}
	})
	for _, f := range [][]string{nil, {"verify-mark/CreateTags:lost-reply"}, {"verify-mark:crash-after"}, {"verify-recover:crash-before"}, {"verify-clean:hang"}} {
		for at := time.Duration(0); at < 16*time.Second; at += 1500 * time.Millisecond {
			t.Run(fmt.Sprint(f, at), func(t *testing.T) {
				t.Parallel()
				slow := map[string]time.Duration{"CreateTags": 400 * time.Millisecond, "DescribeSnapshots": 300 * time.Millisecond, "CreateVolume": time.Second, "AttachVolume": time.Second}
				inTesting(t, setting{faults: f, latency: slow}, func(w *world) {
					switch there, tested := w.meets(at); {
					case there == 0:
						deleted.Add(1)
					case tested:
						passed.Add(1)
					}
				})
			})
		}
	}
}

func (w *world) meets(at time.Duration) (there int, passed bool) {
	w.Helper()
	newer := "run-2"
	w.takes(newer, map[string]string{port.TagPolicy: nightly})
	done := make(chan struct{})
	go func() {
		defer close(done)
		time.Sleep(at)
		w.prunes(policy.Retention{Last: 1})
	}()
	r := w.tests(theTest, tested(func(r *verify.Request) { r.RunID = theSet }))
	<-done
	if r.Error != "FailedClean" && r.Status != "SUCCEEDED" {
		w.sweeps(r)
	}
	there, _ = w.members(theSet)
	v := r.state.Verdict
	switch {
	case there != 0 && there != len(w.volumes):
		w.Errorf("%d members of the set are there", there)
	case v == nil:
		w.Errorf("nobody has said how it ended: %v %s %s", r.States, r.Error, r.Cause)
	case v.Result == retention.TestFailed:
		w.Errorf("the set is condemned: %s", v.Reason)
	case r.state.Marked != nil && there == 0:
		w.Errorf("a set was deleted under its test: %s, %s", v.Result, v.Reason)
	}
	if of, marked := w.members(newer); of != len(w.volumes) || marked != 0 {
		w.Errorf("of the newest set %d are there, %d marked", of, marked)
	}
	w.leaves("both")
	return there, v != nil && v.Result == retention.Successful
}
