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
	states := map[string]string{"Plan": "plan", "Create": "create", "Register": "image", "Attach": "move", "Recover": "recover", "Swap": "move", "Stop": "power", "Start": "power", "Report": "report"}
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
		if (strings.HasPrefix(c.Action, "Describe") || strings.HasPrefix(c.Action, "Get")) && called[target] > 1 {
			continue
		}
		for _, kind := range []fault.Kind{fault.Deny, fault.LostReply, fault.Throttle} {
			list = append(list, fault.Fault{Target: target, Kind: kind, N: called[target]}.String())
		}
		if c.Action == "SendCommand" || c.Action == "RunCommand" {
			for _, kind := range []fault.Kind{fault.Duplicate, fault.Late, fault.AgentOffline} {
				list = append(list, fault.Fault{Target: target, Kind: kind, N: called[target]}.String())
			}
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
		for _, f := range thinned(all) {
			t.Run(string(mode)+" "+f, func(t *testing.T) {
				t.Parallel()
				inRestore(t, []string{f}, func(w *world) { survives(w, f, asked) })
			})
		}
	}
}

// restoringWorld is a world in which a set is restored, of either cloud.
type restoringWorld interface {
	testing.TB
	asks(name string, asked restore.Request) *restoring
	exists(after string)      // the original, somewhere
	keeps(after string)       // the original as it was, and the machine running
	lists(v *restore.Verdict) // all that is not the original's
	cleans(of string)         // and nothing but the original is left
	looked()                  // whoever looks for what broke off has looked
	published(runID, kind string) []map[string]any
	instance() string
	took(m restore.Mode, f string) // what a restore that succeeded has to have done
	unreached() []fault.Fault
}

func (w *world) took(restore.Mode, string) {}
func (w *world) looked()                   {} // an event has come
func (w *world) instance() string          { return instanceID }
func (w *world) unreached() []fault.Fault  { return w.faults.Unreached() }

func survives(w restoringWorld, f string, asked restore.Request) {
	w.Helper()
	r := w.asks("r", asked)
	for _, never := range w.unreached() {
		w.Errorf("the fault %s never happened", never)
	}
	w.exists(f)
	stopped := strings.Contains(f, string(fault.StopExecution))
	switch v := r.verdict; {
	case strings.EqualFold(r.Status, "running"):
		w.Fatalf("it has not ended: %v", r.States)
	case stopped != (r.Status == "ABORTED" || r.Status == "Stopped"):
		w.Errorf("it is %s: %s", r.Status, r.Cause)
	case v == nil && !stopped && !strings.HasPrefix(f, "restore-report"):
		w.Errorf("nobody has seen how it ended: %s %s", r.Error, r.Cause)
	case v == nil:
	case v.Outcome == restore.Restored:
		w.lists(v)
		w.took(asked.Mode, f)
		if asked.Recover != nil && (v.Recovery == nil || len(v.Recovery.Filesystems) != 2 || len(v.Recovery.Problems) > 0) {
			w.Errorf("it is said to have come to life: %+v", v.Recovery)
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
	saysHow(w, f, r)
	if asked.Mode == restore.InPlace {
		w.asks("r-back", restore.Request{Action: restore.Rollback, RunID: "r"})
	}
	w.cleans("r")
}

// saysHow wants one that is there to be told how a restore ended, whoever tells
// it, and what to do if there is something to be done.
func saysHow(w restoringWorld, f string, r *restoring) {
	w.Helper()
	w.looked()
	if strings.HasSuffix(f, "PutEvents:deny") {
		return // nobody may tell it
	}
	if r.verdict == nil && r.Status == "Failed" {
		return // CloudFlow's word: a report that failed is told there by the execution's own end alone
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
	if last["instanceId"] != w.instance() && len(last["created"].([]any)) > 0 {
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
	}{
		{[]string{"restore-power/StartInstances:deny", "restore-move/AttachVolume:deny@3"}, "Halt Halted PutBack Report Outcome FailedDirty"},
		{[]string{"restore-move/AttachVolume:deny", "restore-power/StartInstances:deny"}, "PutBack IsBack StartAgain Report Outcome FailedDirty"},
		{[]string{"restore-move/AttachVolume:deny@2", "restore-report/DescribeVolumes:deny"}, "StartAgain StartedAgain Forget Report FailedUnreported"},
	} {
		t.Run(fmt.Sprint(c.faults), func(t *testing.T) {
			inRestore(t, c.faults, func(w *world) {
				r := failsDirty(w, c.ends)
				time.Sleep(time.Minute)
				saysHow(w, "twice", r)
				if told := w.published("r", events.TypeUnrestored); len(told) != 1 {
					t.Errorf("it is told %d times: %v", len(told), told)
				}
				if dirty := len(w.metrics.Values(telemetry.RestoreDirty)); (dirty == 1) != (r.Error == "FailedDirty") {
					t.Errorf("%d are counted as dirty", dirty)
				}
				goesBack(w, r)
			})
		})
	}
}

// failsDirty wants a restore to end so that a person must look, and the way back
// that is asked for then to lead home.
func failsDirty(w restoringWorld, ends string) *restoring {
	w.Helper()
	r := w.asks("r", restore.Request{RunID: theSet, Mode: restore.InPlace})
	if got := strings.Join(r.States, " "); !strings.HasSuffix(got, ends) || !strings.EqualFold(r.Status, "failed") || !strings.HasSuffix(ends, " "+r.Error) {
		w.Errorf("got %s, %s %s, want ... %s", got, r.Status, r.Error, ends)
	}
	for _, never := range w.unreached() {
		w.Errorf("the fault %s never happened", never)
	}
	w.exists("twice")
	if r.verdict != nil {
		w.lists(r.verdict)
	}
	return r
}

// goesBack asks for the way back, which leads home unless it is there.
func goesBack(w restoringWorld, r *restoring) {
	w.Helper()
	back := w.asks("back", restore.Request{Action: restore.Rollback, RunID: "r"})
	if r.Error == "FailedDirty" && back.verdict.Outcome != restore.RolledBack {
		w.Errorf("got %+v", back.verdict)
	}
	w.cleans("r")
}
