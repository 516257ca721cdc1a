package local

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quiesce/quiesce/events"
	"github.com/quiesce/quiesce/local/engine"
	"github.com/quiesce/quiesce/local/fault"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/run"
)

func groupOf(n int, change func(*run.GroupRequest)) run.GroupRequest {
	r := run.GroupRequest{Policy: policy.Default(), BudgetSeconds: 30}
	for i := range n {
		r.Members = append(r.Members, run.Member{InstanceID: crowdID(i), RunID: fmt.Sprintf("group-%d", i), StartAt: time.Now()})
	}
	if change != nil {
		change(&r)
	}
	return r
}

// stillness watches how many machines stand frozen.
type stillness struct {
	stop    context.CancelFunc
	watched sync.WaitGroup
	most    int           // at a time
	longest time.Duration // from the first freeze to the last thaw
}

func (c *crowd) still() *stillness {
	ctx, stop := context.WithCancel(context.Background())
	s := &stillness{stop: stop}
	s.watched.Go(func() {
		var since time.Time
		for rest(ctx, 10*time.Millisecond) == nil {
			n := c.frozen()
			switch {
			case n == 0:
				since = time.Time{}
			case since.IsZero():
				since = time.Now()
			default:
				s.longest = max(s.longest, time.Since(since))
			}
			s.most = max(s.most, n)
		}
	})
	return s
}

func (s *stillness) end() { s.stop(); s.watched.Wait() }

const (
	groupBegins = "Open Gather PrecheckAll Precheck Arrange Begin "
	groupHolds  = groupBegins + "PrescriptAll RunPrescript WeighQuiesce GoOnToFreeze FreezeAll Freeze WeighFreeze GoOnToSnapshot "
	groupThaws  = "ThawAll Thaw FinishAll "
)

// onceEach drops what the other members did alike.
func onceEach(states []string) string {
	var path []string
	seen := map[string]bool{}
	for _, s := range states {
		if !seen[s] {
			seen[s] = true
			path = append(path, s)
		}
	}
	return strings.Join(path, " ")
}

func TestGroup(t *testing.T) {
	fail := func(r *run.GroupRequest) { r.Policy.OnFailure = policy.Fail }
	for _, c := range []struct {
		name        string
		faults      []string
		slow        time.Duration
		change      func(*run.GroupRequest)
		path        string // begins with
		outcome     string
		consistency run.Consistency
		sets        int
		most        int // frozen at a time
	}{
		{"all is well", nil, 0, nil, groupHolds + "SnapshotAll Snapshot " + groupThaws, "completed", run.Filesystem, 3, 3},
		{"one cannot be planned", []string{"precheck:deny"}, 0, nil, groupBegins[:len(groupBegins)-len("Arrange Begin ")] + "Unplanned Arrange Begin FinishAll", "failed-clean", "", 0, 0},
		{"one is not brought to rest", []string{"run-prescript:deny"}, 0, nil,
			groupBegins + "PrescriptAll RunPrescript Unquiesced WeighQuiesce GoOnToFreeze FreezeAll Freeze Unfrozen WeighFreeze GoOnToSnapshot SnapshotAll Snapshot " + groupThaws, "degraded", run.Crash, 3, 2},
		{"one is not brought to rest, nothing less will do", []string{"run-prescript:deny"}, 0, fail,
			groupBegins + "PrescriptAll RunPrescript Unquiesced WeighQuiesce GoOnToFreeze " + groupThaws, "failed-clean", "", 0, 0},
		{"one is not frozen", []string{"freeze:deny"}, 0, nil,
			groupBegins + "PrescriptAll RunPrescript WeighQuiesce GoOnToFreeze FreezeAll Freeze Unfrozen WeighFreeze GoOnToSnapshot SnapshotAll Snapshot " + groupThaws, "degraded", run.Crash, 3, 2},
		{"one is not frozen, nothing less will do", []string{"freeze:deny"}, 0, fail,
			groupBegins + "PrescriptAll RunPrescript WeighQuiesce GoOnToFreeze FreezeAll Freeze Unfrozen WeighFreeze GoOnToSnapshot " + groupThaws, "failed-clean", "", 0, 2},
		{"one set is refused", []string{"snapshot:deny"}, 0, nil, groupHolds + "SnapshotAll Snapshot Untaken " + groupThaws, "degraded", "", 2, 3},
		{"one set's reply is lost", []string{"snapshot:lost-reply"}, 0, nil, groupHolds + "SnapshotAll Snapshot " + groupThaws, "completed", run.Filesystem, 3, 3},
		{"one takes more than the budget's share", []string{"run-prescript:slow"}, 8 * time.Second, nil,
			groupBegins + "PrescriptAll RunPrescript WeighQuiesce GoOnToFreeze " + groupThaws, "failed-clean", "", 0, 0},
		{"one label is refused", []string{"tag:deny"}, 0, nil, groupHolds + "SnapshotAll Snapshot " + groupThaws, "failed-dirty", "", 3, 3},
		{"one that somebody thaws", []string{"snapshot:foreign-thaw"}, 0, nil, groupHolds + "SnapshotAll Snapshot " + groupThaws, "degraded", run.Crash, 3, 3},
		{"a budget that leaves nothing", nil, 0, func(r *run.GroupRequest) { r.BudgetSeconds = 9 }, "Open Gather ReportUngathered Outcome FailedClean", "failed-clean", "", 0, 0},
		{"nobody", nil, 0, func(r *run.GroupRequest) { r.Members = nil }, "Open Gather ReportUngathered Outcome FailedClean", "failed-clean", "", 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			inCrowd(t, 3, c.faults, func(w *crowd) {
				w.faults.Slowness = c.slow
				w.faults.On(fault.ForeignThaw, func(ctx context.Context) {
					for _, m := range w.machines {
						if m.Fsfreeze(ctx, "/mnt/data", false) == nil {
							return
						}
					}
				})
				still := w.still()
				defer still.end()
				x, states := w.execute("quiesce-group", "group", groupOf(3, c.change))
				still.end()
				if path := onceEach(states); !strings.HasPrefix(path, c.path) {
					t.Errorf("path\n got %s\nwant %s", path, c.path)
				}
				told := w.told(events.TypeFleet)
				if len(told) != 1 || told[0]["outcome"] != c.outcome || told[0]["together"] != true || fmt.Sprint(told[0]["consistency"]) != orNil(c.consistency) {
					t.Errorf("told %v", told)
				}
				if ended := x.Status == engine.Succeeded; ended != (c.outcome == "completed" || c.outcome == "degraded") {
					t.Errorf("ended %s: %s %s", x.Status, x.Error, x.Cause)
				}
				if got := w.cloud.Count("CreateSnapshots"); got < c.sets || c.sets == 0 && got > 0 {
					t.Errorf("%d calls for a set, want %d", got, c.sets)
				}
				if w.frozen() != 0 || still.most != c.most || still.longest > 30*time.Second {
					t.Errorf("%d frozen at the end, %d at a time, for %v", w.frozen(), still.most, still.longest)
				}
				if left := w.faults.Unreached(); len(left) > 0 {
					t.Errorf("never happened: %v", left)
				}
			})
		})
	}
}

func orNil(c run.Consistency) string {
	if c == "" {
		return "<nil>"
	}
	return string(c)
}

// The deadline on every member is what the budget leaves, whatever the policy
// of a single run says.
func TestGroupBudgetIsTheMembersDeadline(t *testing.T) {
	inCrowd(t, 2, nil, func(w *crowd) {
		x, _ := w.execute("quiesce-group", "group", groupOf(2, func(r *run.GroupRequest) { r.BudgetSeconds = 20 }))
		history, err := w.engine.History(x.ARN)
		w.must(err)
		seen := 0
		for _, e := range history {
			var in struct{ Plan *run.Plan }
			if e.Type == "LambdaFunctionScheduled" && strings.HasSuffix(e.Resource, ":run-prescript") && json.Unmarshal(e.Input, &in) == nil {
				if seen++; in.Plan.Policy.Freeze.DeadlineSeconds != 15 {
					t.Errorf("%s may be frozen for %d s", in.Plan.RunID, in.Plan.Policy.Freeze.DeadlineSeconds)
				}
			}
		}
		if seen != 2 {
			t.Errorf("%d members were quiesced", seen)
		}
	})
}

// A group that is stopped in its window: each member lets go at the budget's
// deadline, if nobody tells it to before.
func TestStoppedGroupLetsGo(t *testing.T) {
	inCrowd(t, 3, []string{"snapshot:stop-execution"}, func(w *crowd) {
		w.faults.On(fault.StopExecution, func(context.Context) {
			running, _ := w.engine.List("quiesce-group", engine.Running)
			for _, e := range running {
				_, _ = w.engine.Stop(e.ARN, "StopExecution", "planned")
			}
		})
		still := w.still()
		defer still.end()
		x, _ := w.execute("quiesce-group", "group", groupOf(3, nil))
		if x.Status != engine.Aborted {
			t.Errorf("ended %s", x.Status)
		}
		time.Sleep(40 * time.Second)
		synctest.Wait()
		still.end()
		if w.frozen() != 0 || still.most != 3 || still.longest > 30*time.Second {
			t.Errorf("%d frozen, %d at a time, for %v", w.frozen(), still.most, still.longest)
		}
	})
}

// A policy with group is run by the group machine, and told of once.
func TestFleetStartsAGroup(t *testing.T) {
	inCrowd(t, 3, nil, func(w *crowd) {
		still := w.still()
		defer still.end()
		x, states := w.execute("quiesce-fleet", "crowd-1", fleetOf(func(d *policy.Document) { d.Group = true }))
		still.end()
		if want := "Open ResolveTargets Together RunGroup Report Outcome Completed"; strings.Join(states, " ") != want {
			t.Errorf("got %v: %s", states, x.Cause)
		}
		r := reportOf(t, x)
		if !r.Together || r.Completed != 3 || r.Consistency != run.Filesystem || still.most != 3 {
			t.Errorf("got %+v, %d at a time", r, still.most)
		}
		if told := w.told(events.TypeFleet); len(told) != 1 {
			t.Errorf("told %v", told)
		}
	})
}
