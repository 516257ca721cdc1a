package local

import (
	"fmt"
	"strings"
	"testing"

	"github.com/quiesce/quiesce/events"
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

// saysHow wants the end of a restore to be told. Of one that was stopped
// nobody tells: there is no event of that.
func (w *away) saysHow(f string, r *restoring) {
	w.Helper()
	told := map[string]int{}
	for _, e := range w.there.cloud.EventBridge.Events() {
		told[e.Type]++
	}
	if r.verdict == nil || strings.HasSuffix(f, "PutEvents:deny") {
		return
	}
	want := events.TypeUnrestored
	if r.verdict.Outcome == restore.Restored {
		want = events.TypeRestored
	}
	// A report whose answer was lost is asked for again, and tells again.
	most := 1
	if strings.HasSuffix(f, "lost-reply") || strings.HasSuffix(f, "crash-after") {
		most = 2
	}
	if got := told[want]; got < 1 || got > most || told[events.TypeRestored]+told[events.TypeUnrestored] != got {
		w.Errorf("%s by %v is told %d times: %v", r.Status, r.States, got, told)
	}
}
