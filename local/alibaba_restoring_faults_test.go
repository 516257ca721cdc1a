package local

import (
	"fmt"
	"strings"
	"testing"
	"time"

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
		for _, f := range all {
			t.Run(string(mode)+" "+f, func(t *testing.T) {
				t.Parallel()
				inRestoreAbroad(t, []string{f}, func(w *away) { w.survives(f, asked) })
			})
		}
	}
}

func (w *away) survives(f string, asked restore.Request) {
	w.Helper()
	r := w.asks("r", asked)
	for _, never := range w.there.faults.Unreached() {
		w.Errorf("the fault %s never happened", never)
	}
	w.exists(f)
	stopped := strings.Contains(f, string(fault.StopExecution))
	switch v := r.verdict; {
	case r.Status == "Running":
		w.Fatalf("it has not ended: %v", r.States)
	case stopped != (r.Status == "Stopped"):
		w.Errorf("it is %s: %s", r.Status, r.Cause)
	case v == nil && !stopped && !strings.HasPrefix(f, "restore-report"):
		w.Errorf("nobody has seen how it ended: %s %s", r.Error, r.Cause)
	case v == nil:
	case v.Outcome == restore.Restored:
		w.lists(v)
		if asked.Mode == restore.InPlace {
			w.isTheSet(w.volumes, f)
		}
	case v.Outcome == restore.FailedClean:
		w.lists(v)
		w.keeps(f)
		if len(v.Created)+len(v.Kept) > 0 && len(v.Next) == 0 {
			w.Errorf("nobody is told what to do about %v and %v", v.Created, v.Kept)
		}
	default:
		w.Errorf("one fault, and the end is %s: %s; by %v", v.Outcome, v.Reason, r.States)
	}
	if asked.Mode == restore.Volumes {
		w.keeps(f)
	}
	// The way back is open from wherever it stopped, and leads to the original.
	time.Sleep(time.Minute)
	if asked.Mode == restore.InPlace {
		w.asks("r-back", restore.Request{Action: restore.Rollback, RunID: "r"})
	}
	w.cleans("r")
}

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
			inRestoreAbroad(t, c.faults, func(w *away) {
				r := w.asks("r", restore.Request{RunID: theSet, Mode: restore.InPlace})
				if got := strings.Join(r.States, " "); !strings.HasSuffix(got, c.ends) || r.Status != "Failed" || r.Error != c.ends[strings.LastIndex(c.ends, " ")+1:] {
					t.Errorf("got %s, %s %s, want ... %s", got, r.Status, r.Error, c.ends)
				}
				for _, never := range w.there.faults.Unreached() {
					t.Errorf("the fault %s never happened", never)
				}
				w.exists("twice")
				if r.verdict != nil {
					w.lists(r.verdict)
				}
				back := w.asks("back", restore.Request{Action: restore.Rollback, RunID: "r"})
				if strings.HasSuffix(c.ends, "Outcome FailedDirty") && back.verdict.Outcome != restore.RolledBack {
					t.Errorf("got %+v", back.verdict)
				}
				w.cleans("r")
			})
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
