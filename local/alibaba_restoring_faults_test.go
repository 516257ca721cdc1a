package local

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/quiesce/quiesce/events"
	"github.com/quiesce/quiesce/local/aliyun"
	"github.com/quiesce/quiesce/local/fault"
	"github.com/quiesce/quiesce/shared/restore"
)

// Whatever goes wrong once, at any step of the restore abroad: what was on the
// original disks is never lost, the machine runs again, what was created or kept
// is listed, and can be taken away.
func TestRestoreAbroadSurvivesEverySingleFault(t *testing.T) {
	for _, mode := range []restore.Mode{restore.Volumes, restore.InPlace} {
		asked := restore.Request{RunID: theSet, Mode: mode}
		var all []string
		inRestoreAbroad(t, nil, func(w *away) {
			since := len(w.there.cloud.Calls())
			r := w.asks("r", asked)
			all = troubles(r, w.there.cloud.Calls()[since:])
		})
		if len(all) < 50 {
			t.Fatalf("%s: found only %d faults", mode, len(all))
		}
		for _, f := range thinned(all) {
			t.Run(string(mode)+" "+f, func(t *testing.T) {
				t.Parallel()
				inRestoreAbroad(t, []string{f}, func(w *away) { survives(w, f, asked) })
			})
		}
	}
}

func (w *away) took(m restore.Mode, f string) {
	if m == restore.InPlace {
		w.isTheSet(w.volumes, f)
	}
}

func (w *away) unreached() []fault.Fault { return w.there.faults.Unreached() }

// Two faults: the way back is broken too. The end says that a person must look,
// and the way back that is asked for then leads home.
func TestRestoreAbroadOfWhichTheWayBackFails(t *testing.T) {
	for _, c := range []struct {
		faults []string
		ends   string
	}{
		{[]string{"restore-power/StartInstance:deny", "restore-move/ResetDisk:deny@6"}, "Halt Halted PutBack Report Outcome FailedDirty"},
		{[]string{"restore-move/ResetDisk:deny@4", "restore-move/ResetDisk:deny@5"}, "PutBack Report Outcome FailedDirty"},
		{[]string{"restore-move/ResetDisk:deny@4", "restore-power/StartInstance:deny"}, "PutBack IsBack StartAgain Report Outcome FailedDirty"},
		{[]string{"restore-move/ResetDisk:deny@4", "restore-report/DescribeDisks:deny"}, "StartAgain StartedAgain Forget Report FailedUnreported"},
	} {
		t.Run(fmt.Sprint(c.faults), func(t *testing.T) {
			inRestoreAbroad(t, c.faults, func(w *away) { goesBack(w, failsDirty(w, c.ends)) })
		})
	}
}

// The snapshots of what is on the disks fail: nothing was touched.
func TestRestoreAbroadThatCannotKeepTouchesNothing(t *testing.T) {
	inRestoreAbroad(t, []string{"restore-move/CreateSnapshotGroup:error"}, func(w *away) {
		r := w.asks("r", restore.Request{RunID: theSet, Mode: restore.InPlace})
		if r.verdict.Outcome != restore.FailedClean || !strings.Contains(r.verdict.Reason, "has failed: nothing is set back") {
			t.Errorf("got %v %+v", r.States, r.verdict)
		}
		for _, c := range w.there.cloud.Calls() {
			if c.Action == "ResetDisk" && c.Code == "" {
				t.Errorf("a disk was set back at %s", c.At)
			}
		}
		w.keeps("nothing kept")
		w.cleans("r")
	})
}

// looked has the timer come by which executions that were stopped are found.
func (w *away) looked() {
	w.Helper()
	w.must(w.there.sweep(w.Context(), aliyun.Tick(sweepTimer, time.Now(), "")))
	time.Sleep(time.Minute)
}

func (w *away) instance() string { return aliyunInstance }

// A restore that was stopped while its instance stood still is told of once, as
// one after which a person must look, and the way back leads home.
func TestRestoreAbroadThatWasStoppedIsTold(t *testing.T) {
	inRestoreAbroad(t, []string{"restore-move:stop-execution"}, func(w *away) {
		w.there.cloud.Timer(sweepTimer, sweepEvery, w.there.sweep)
		r := w.asks("r", restore.Request{RunID: theSet, Mode: restore.InPlace})
		if r.Status != "Stopped" || w.there.cloud.ECS.State(aliyunInstance) != "Stopped" {
			t.Fatalf("got %s by %v, and the instance is %s", r.Status, r.States, w.there.cloud.ECS.State(aliyunInstance))
		}
		time.Sleep(5 * time.Minute)
		told := w.published("r", events.TypeUnrestored)
		if len(told) != 1 || told[0]["outcome"] != string(restore.FailedDirty) || told[0]["instanceId"] != aliyunInstance || told[0]["setId"] != theSet {
			t.Fatalf("told %v", told)
		}
		if move, _ := told[0]["nextMove"].(string); !strings.Contains(move, "--rollback") {
			t.Errorf("the next move is %q", move)
		}
		if back := w.asks("back", restore.Request{Action: restore.Rollback, RunID: "r"}); back.verdict == nil || back.verdict.Outcome != restore.RolledBack {
			t.Errorf("the way back: %v %+v", back.States, back.verdict)
		}
		w.cleans("r")
	})
}
