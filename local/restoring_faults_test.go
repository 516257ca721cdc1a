package local

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quiesce/quiesce/events"
	"github.com/quiesce/quiesce/local/aws/wire"
	"github.com/quiesce/quiesce/local/fault"
	"github.com/quiesce/quiesce/shared/restore"
	"github.com/quiesce/quiesce/shared/telemetry"
)

// troubles are all single faults of a restore: of each function at each of its
// calls by the workflow, and of each call of the provider, the first of those
// that only look and every one of those that change something.
func troubles(r *restoring, calls []wire.Record) (list []string) {
	states := map[string]string{"Plan": "plan", "Create": "create", "Register": "image", "Attach": "move", "Swap": "move", "Stop": "power", "Start": "power", "Report": "report"}
	invoked := map[string]int{}
	for _, s := range r.States {
		if name, ok := states[s]; ok {
			step := "restore-" + name
			invoked[step]++
			for _, kind := range []fault.Kind{fault.Fail, fault.Hang, fault.CrashBefore, fault.CrashAfter, fault.StopExecution} {
				list = append(list, fault.Fault{Target: step, Kind: kind, N: invoked[step]}.String())
			}
		}
	}
	called := map[string]int{}
	for _, c := range calls {
		target := c.Step + "/" + c.Action
		if !strings.HasPrefix(c.Step, "restore-") || !slices.Contains(fault.APIs, c.Action) {
			continue
		}
		called[target]++
		if strings.HasPrefix(c.Action, "Describe") && called[target] > 1 {
			continue
		}
		for _, kind := range []fault.Kind{fault.Deny, fault.LostReply, fault.Throttle} {
			list = append(list, fault.Fault{Target: target, Kind: kind, N: called[target]}.String())
		}
	}
	return list
}

// Whatever goes wrong once, at any step: the original is never lost, the
// machine runs again, what was created is listed, and can be taken away.
func TestRestoreSurvivesEverySingleFault(t *testing.T) {
	for _, mode := range []restore.Mode{restore.Volumes, restore.InPlace} {
		asked := restore.Request{RunID: theSet, Mode: mode}
		var all []string
		inRestore(t, nil, func(w *world) {
			since := len(w.cloud.Calls())
			r := w.asks("r", asked)
			all = troubles(r, w.cloud.Calls()[since:])
		})
		if len(all) < 50 {
			t.Fatalf("%s: found only %d faults", mode, len(all))
		}
		for _, f := range all {
			t.Run(string(mode)+" "+f, func(t *testing.T) {
				t.Parallel()
				inRestore(t, []string{f}, func(w *world) { w.survives(f, asked) })
			})
		}
	}
}

func (w *world) survives(f string, asked restore.Request) {
	w.Helper()
	r := w.asks("r", asked)
	for _, never := range w.faults.Unreached() {
		w.Errorf("the fault %s never happened", never)
	}
	w.exists(f)
	stopped := strings.Contains(f, string(fault.StopExecution))
	switch v := r.verdict; {
	case r.Status == "RUNNING":
		w.Fatalf("it has not ended: %v", r.States)
	case stopped != (r.Status == "ABORTED"):
		w.Errorf("it is %s: %s", r.Status, r.Cause)
	case v == nil && !stopped && !strings.HasPrefix(f, "restore-report"):
		w.Errorf("nobody has seen how it ended: %s %s", r.Error, r.Cause)
	case v == nil:
	case v.Outcome == restore.Restored:
		w.lists(v)
	case v.Outcome == restore.FailedClean:
		w.lists(v)
		w.keeps(f)
		if len(v.Created) > 0 && len(v.Next) == 0 {
			w.Errorf("nobody is told what to do about %v", v.Created)
		}
	default:
		w.Errorf("one fault, and the end is %s: %s; by %v", v.Outcome, v.Reason, r.States)
	}
	if asked.Mode == restore.Volumes {
		w.keeps(f)
	}
	// The way back is open from wherever it stopped, and leads to the original.
	time.Sleep(time.Minute)
	w.saysHow(f, r)
	if asked.Mode == restore.InPlace {
		w.asks("r-back", restore.Request{Action: restore.Rollback, RunID: "r"})
	}
	w.cleans("r")
}

// saysHow wants one that is there to be told how a restore ended, whoever tells
// it, and what to do if there is something to be done.
func (w *world) saysHow(f string, r *restoring) {
	w.Helper()
	if strings.HasSuffix(f, "PutEvents:deny") {
		return // nobody may tell it
	}
	want := events.TypeUnrestored
	if r.verdict != nil && r.verdict.Outcome == restore.Restored {
		want = events.TypeRestored
	}
	told := w.published("r", want)
	// A report that was stopped goes on, and tells what it sees besides.
	if len(told) == 0 || f != "restore-report:stop-execution" && len(w.published("r", map[string]string{events.TypeRestored: events.TypeUnrestored, events.TypeUnrestored: events.TypeRestored}[want])) > 0 {
		w.Errorf("%s by %v, and nobody is told, or something else: %v", r.Status, r.States, told)
		return
	}
	last := told[len(told)-1]
	if last["instanceId"] != instanceID && len(last["created"].([]any)) > 0 {
		w.Errorf("got %v", last)
	}
	if left := len(last["created"].([]any)) + len(last["kept"].([]any)); want == events.TypeUnrestored && left > 0 && last["nextMove"] == nil {
		w.Errorf("nobody is told what to do: %v", last)
	}
	if r.verdict == nil && !strings.Contains(last["reason"].(string), "before its report") {
		w.Errorf("got %v", last)
	}
}

// Two faults: the way back is broken too. The end says that a person must look,
// and the way back that is asked for then leads home.
func TestRestoreOfWhichTheWayBackFails(t *testing.T) {
	for _, c := range []struct {
		faults []string
		ends   string
		error  string
	}{
		{[]string{"restore-power/StartInstances:deny", "restore-move/AttachVolume:deny@3"}, "Halt Halted PutBack Report Outcome FailedDirty", "FailedDirty"},
		{[]string{"restore-move/AttachVolume:deny", "restore-power/StartInstances:deny"}, "PutBack IsBack StartAgain Report Outcome FailedDirty", "FailedDirty"},
		{[]string{"restore-move/AttachVolume:deny@2", "restore-report/DescribeVolumes:deny"}, "StartAgain StartedAgain Forget Report FailedUnreported", "FailedUnreported"},
	} {
		t.Run(fmt.Sprint(c.faults), func(t *testing.T) {
			inRestore(t, c.faults, func(w *world) {
				r := w.asks("r", restore.Request{RunID: theSet, Mode: restore.InPlace})
				if got := strings.Join(r.States, " "); !strings.HasSuffix(got, c.ends) || r.Status != "FAILED" || r.Error != c.error {
					t.Errorf("got %s, %s, want ... %s", got, r.Error, c.ends)
				}
				for _, never := range w.faults.Unreached() {
					t.Errorf("the fault %s never happened", never)
				}
				w.exists("twice")
				if r.verdict != nil {
					w.lists(r.verdict)
				}
				time.Sleep(time.Minute)
				w.saysHow("twice", r)
				if told := w.published("r", events.TypeUnrestored); len(told) != 1 {
					t.Errorf("it is told %d times: %v", len(told), told)
				}
				if dirty := len(w.metrics.Values(telemetry.RestoreDirty)); (dirty == 1) != (c.error == "FailedDirty") {
					t.Errorf("%d are counted as dirty", dirty)
				}
				back := w.asks("back", restore.Request{Action: restore.Rollback, RunID: "r"})
				if strings.HasSuffix(c.ends, "FailedDirty") && len(w.standing()) > 0 && back.verdict.Code != "InvalidInput" && back.verdict.Outcome != restore.RolledBack {
					t.Errorf("got %+v", back.verdict)
				}
				w.cleans("r")
			})
		})
	}
}
