package prune_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quiesce/quiesce/functions/prune"
	"github.com/quiesce/quiesce/local/aliyun"
	"github.com/quiesce/quiesce/local/aliyun/ecs"
	local "github.com/quiesce/quiesce/local/fault"
	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/cloud/alicloud"
	"github.com/quiesce/quiesce/shared/run"
	"github.com/quiesce/quiesce/shared/telemetry"
)

// abroad is an emulated account of Alibaba Cloud with five days of sets of two
// disks, the second of which is locked, one that nobody judged, and what a
// restore has kept.
type abroad struct {
	*aliyun.Cloud
	t    *testing.T
	plan *local.Plan
	sets map[string][]string
}

func inAbroad(t *testing.T, faults []string, test func(w *abroad)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		plan, err := local.New()
		if err != nil {
			t.Fatal(err)
		}
		w := &abroad{t: t, plan: plan, sets: map[string][]string{}}
		w.Cloud = aliyun.New(aliyun.Config{Faults: plan, Latency: map[string]time.Duration{"*": 2 * time.Millisecond}})
		defer w.Close()
		w.ECS.AddInstance(ecs.Instance{ID: alive})
		for i := range 3 {
			_, err := w.ECS.AddDisk(t.Context(), ecs.Disk{ID: fmt.Sprintf("d-%d", i), Instance: alive, System: i == 0, Hollow: true})
			w.must(err)
		}
		owner := alicloud.New(w.Client("owner"), alicloud.Options{})
		for i := range 5 {
			w.take(owner, fmt.Sprintf("day-%d", i+1), map[string]string{cloud.TagConsistency: string(run.Application)})
			time.Sleep(day)
		}
		w.ECS.Lock(w.sets["day-2"][1], 365*day)
		w.take(owner, "unjudged", nil)
		w.must(owner.Keep(t.Context(), cloud.KeepSpec{Instance: alive, Disks: []string{"d-1"}, Token: "k", Tags: map[string]string{cloud.TagRestore: "r"}}))
		time.Sleep(2 * day)
		for _, f := range faults {
			one, err := local.Parse(f)
			w.must(err)
			plan.Add(one)
		}
		test(w)
	})
}

func (w *abroad) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *abroad) take(owner *alicloud.Provider, id string, with map[string]string) {
	w.t.Helper()
	tags := map[string]string{cloud.TagRun: id, cloud.TagPolicy: "nightly", cloud.TagInstance: alive, cloud.TagMembers: "2"}
	for k, v := range with {
		tags[k] = v
	}
	set, err := owner.CreateSet(w.t.Context(), cloud.SetSpec{InstanceID: alive, Include: []string{"d-1", "d-2"}, Tags: tags})
	w.must(err)
	for _, s := range set {
		w.sets[id] = append(w.sets[id], s.ID)
	}
	time.Sleep(time.Minute)
}

// prune is one run of the function in its own role.
func (w *abroad) prune(id string) (*prune.Report, error) {
	p := alicloud.New(w.Client("prune"), alicloud.Options{})
	in := prune.Input{Run: run.Run{ID: id}, Request: prune.Request{Policy: document()}}
	return prune.Do(w.t.Context(), p, p, telemetry.NewMetrics(nil), in)
}

// left are the runs of which all snapshots, or some, are there.
func (w *abroad) left() (whole, broken []string) {
	all := w.ECS.All()
	for id, set := range w.sets {
		n := 0
		for _, s := range set {
			if _, there := all[s]; there {
				n++
			}
		}
		switch n {
		case len(set):
			whole = append(whole, id)
		case 0:
		default:
			broken = append(broken, id)
		}
	}
	slices.Sort(whole)
	return whole, broken
}

// keptAbroad is what the rule keeps: the last two, the one that is locked, and
// the one that nobody has judged.
var keptAbroad = []string{"day-2", "day-4", "day-5", "unjudged"}

// sound wants all that is kept, whatever befell the run.
func (w *abroad) sound(after string) {
	w.t.Helper()
	whole, _ := w.left()
	for _, id := range keptAbroad {
		if !slices.Contains(whole, id) {
			w.t.Errorf("%s: %s IS LOST", after, id)
		}
	}
	if kept := len(w.ECS.Groups()); kept < len(keptAbroad)+1 {
		w.t.Errorf("%s: %d groups, what a restore has kept among them", after, kept)
	}
}

// Whatever goes wrong once, at any call: nothing that retention keeps is
// deleted, and the next run finishes.
func TestPruneAbroadSurvivesEverySingleFault(t *testing.T) {
	var all []string
	inAbroad(t, nil, func(w *abroad) {
		since := len(w.Calls())
		r, err := w.prune("p")
		w.must(err)
		whole, broken := w.left()
		if !slices.Equal(whole, keptAbroad) || len(broken) > 0 || r.Deleted != 2 || r.Orphaned != 1 {
			t.Fatalf("kept %v, broke %v: %s", whole, broken, r)
		}
		if groups := w.ECS.Groups(); len(groups) != len(keptAbroad)+1 {
			t.Errorf("groups of nothing are left: %v", groups)
		}
		n := map[string]int{}
		for _, c := range w.Calls()[since:] {
			n[c.Action]++
			if c.Action == "PutEvents" || strings.HasPrefix(c.Action, "Describe") && n[c.Action] > 3 {
				continue
			}
			for _, kind := range []local.Kind{local.Deny, local.Throttle, local.LostReply} {
				all = append(all, local.Fault{Target: c.Action, Kind: kind, N: n[c.Action]}.String())
			}
		}
	})
	if len(all) < 30 {
		t.Fatalf("found only %d faults", len(all))
	}
	for i, f := range all {
		if testing.Short() && i%12 != 0 {
			continue // a search for races takes ten times as long
		}
		t.Run(f, func(t *testing.T) {
			inAbroad(t, []string{f}, func(w *abroad) {
				_, _ = w.prune("first") // it may fail
				for _, never := range w.plan.Unreached() {
					t.Errorf("%s never happened", never)
				}
				w.sound("after the fault")
				_, err := w.prune("second")
				w.must(err)
				w.sound("after the next run")
				if whole, broken := w.left(); !slices.Equal(whole, keptAbroad) || len(broken) > 0 {
					t.Errorf("the next run left %v, and broke %v", whole, broken)
				}
			})
		})
	}
}
