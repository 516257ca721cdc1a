package local

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quiesce/quiesce/events"
	port "github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/restore"
	"github.com/quiesce/quiesce/shared/run"
)

// A run that begins once the restore is planned is seen before the stop, and one
// that begins later refuses the disks that are marked: whoever comes second goes.
func TestRestoreAndRunAtOneTime(t *testing.T) {
	place := restore.Request{RunID: theSet, Mode: restore.InPlace}
	t.Run("the run is first", func(t *testing.T) {
		inRestoreOf(t, setting{faults: []string{"restore-plan/CreateVolume:slow", "precheck:hang"}, slowness: 20 * time.Second}, func(w *world) {
			time.AfterFunc(5*time.Second, func() { w.start("nightly", `{"instanceId":"`+instanceID+`"}`) })
			r := w.asks("r", place)
			if r.verdict.Code != "RunInProgress" || r.verdict.Outcome != restore.FailedClean || !strings.Contains(r.verdict.Reason, "nightly") || slices.Contains(r.States, "Stop") {
				t.Errorf("got %+v by %v", r.verdict, r.States)
			}
			for _, v := range w.volumes {
				if by := w.cloud.EC2.Tags(v.id)[port.TagReplaced]; by != "" {
					t.Errorf("%s is marked still, by %s", v.id, by)
				}
			}
			w.cleans("r")
		})
	})
	t.Run("the restore is first", func(t *testing.T) {
		inRestoreOf(t, setting{faults: []string{"restore-power/StopInstances:slow"}, slowness: 20 * time.Second}, func(w *world) {
			started := make(chan string, 1)
			time.AfterFunc(10*time.Second, func() { started <- w.start("nightly", w.request(w.policy())) })
			r := w.asks("r", place)
			if r.verdict.Outcome != restore.Restored {
				t.Errorf("got %+v by %v", r.verdict, r.States)
			}
			record := w.wait(<-started)
			if v := record.State.Verdict; v == nil || v.Code != "RunInProgress" && v.Code != "InstanceNotRunning" {
				t.Errorf("the run ended as %+v: %s", v, record.Cause)
			}
		})
	})
}

// What is only looked at may go on beside a run, and a restore beside the test
// of its set: the plan says so.
func TestRestoreWarns(t *testing.T) {
	t.Run("copies beside the original", func(t *testing.T) {
		inRestore(t, nil, func(w *world) {
			r := w.asks("r", restore.Request{RunID: theSet, Mode: restore.Volumes})
			if r.verdict.Outcome != restore.Restored || !strings.Contains(strings.Join(r.plan.Warnings, " "), "excludeTags") {
				t.Fatalf("got %+v, %v", r.verdict, r.plan)
			}
			with, without := w.policy(), w.policy()
			without.Volumes.ExcludeTags = map[string]string{port.TagRestore: ""}
			for name, c := range map[string]struct {
				policy policy.Policy
				want   int
			}{"with": {with, 4}, "without": {without, 2}} {
				record := w.wait(w.start(name, w.request(c.policy)))
				if p := record.State.Plan; p == nil || len(p.Volumes) != c.want {
					t.Errorf("%s the copies: the set is planned of %+v, want %d: %s", name, p, c.want, record.Cause)
				}
				time.Sleep(time.Minute)
			}
		})
	})
	t.Run("a dry run beside a run", func(t *testing.T) {
		inRestore(t, []string{"precheck:hang"}, func(w *world) {
			w.start("nightly", `{"instanceId":"`+instanceID+`"}`)
			time.Sleep(time.Second)
			r := w.asks("r", restore.Request{RunID: theSet, Mode: restore.InPlace, DryRun: true})
			if r.verdict.Outcome != restore.Planned || !strings.Contains(strings.Join(r.plan.Warnings, " "), "nightly") {
				t.Errorf("got %+v", r.verdict)
			}
		})
	})
	for how, says := range map[string]string{"VALIDATING": "is going on", "FAILED": "has failed"} {
		t.Run("a set whose test is "+how, func(t *testing.T) {
			inRestore(t, nil, func(w *world) {
				w.takes("tested", map[string]string{port.TagTest: how})
				r := w.asks("r", restore.Request{RunID: "tested", Mode: restore.Volumes})
				if r.verdict.Outcome != restore.Restored || !strings.Contains(strings.Join(r.plan.Warnings, " "), says) {
					t.Errorf("got %+v, %v", r.verdict, r.plan)
				}
			})
		})
	}
}

// A restore that is stopped once its disks are marked keeps runs from the
// instance, says what to do about it, and the cleanup alone ends that.
func TestRestoreThatIsStoppedOnceDisksAreMarked(t *testing.T) {
	inRestore(t, []string{"restore-create:stop-execution"}, func(w *world) {
		if r := w.asks("r", restore.Request{RunID: theSet, Mode: restore.InPlace}); r.Status != "ABORTED" {
			t.Fatalf("it is %s by %v", r.Status, r.States)
		}
		time.Sleep(3 * time.Minute) // what was at work goes on
		told := w.published("r", events.TypeUnrestored)
		if len(told) != 1 || told[0]["outcome"] != string(restore.FailedClean) || !strings.Contains(told[0]["nextMove"].(string), "--cleanup r") {
			t.Errorf("told %v", told)
		}
		refused := w.wait(w.start("early", w.request(w.policy())))
		if v := refused.State.Verdict; v == nil || v.Code != "RunInProgress" || !strings.Contains(v.Reason, "restore r") {
			t.Errorf("a run between: %+v", v)
		}
		w.cleans("r")
		for _, v := range w.volumes {
			if by := w.cloud.EC2.Tags(v.id)[port.TagReplaced]; by != "" {
				t.Errorf("%s is marked still, by %s", v.id, by)
			}
		}
		if v := w.wait(w.start("later", w.request(w.policy()))).State.Verdict; v == nil || v.Outcome != run.OutcomeCompleted {
			t.Errorf("a run after it: %+v", v)
		}
	})
}
