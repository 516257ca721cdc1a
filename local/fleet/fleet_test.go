package fleet

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/quiesce/quiesce/functions/targets"
	"github.com/quiesce/quiesce/local/engine"
	"github.com/quiesce/quiesce/shared/run"
)

// size is a small part under the race detector, which makes it ten times as slow.
func size(n int) int {
	if slow {
		return n / 20
	}
	return n
}

// simulate runs a fleet and hands out its world, too.
func simulate(t testing.TB, o Options) (*Report, *world) {
	t.Helper()
	w, err := newWorld(o)
	if err != nil {
		t.Fatal(err)
	}
	r, err := w.run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return r, w
}

// The whole fleet is through within a tenth of what the quota alone takes, and
// nobody waits frozen for it.
func TestLargeFleetKeepsPace(t *testing.T) {
	n := size(10_000)
	r, _ := simulate(t, Options{Instances: n, Seed: 1})
	f := r.Fleet
	t.Logf("%d instances: makespan %.0f s, bound %.0f s, %.3f times; %.1f s here", n, f.MakespanSeconds, f.QuotaBoundSeconds, f.OverQuotaBound, r.WallSeconds)
	if !r.Good() || f.Completed != n || f.Throttled != 0 || f.FrozenWaitSeconds != 0 {
		t.Errorf("got %+v", f)
	}
	if n == 10_000 && (f.QuotaBoundSeconds != 1980 || f.OverQuotaBound > 1.1) {
		t.Errorf("took %.0f s, the bound is %.0f s", f.MakespanSeconds, f.QuotaBoundSeconds)
	}
}

// Whatever is drawn: no run fails for the quota.
func TestNoRunFailsByThrottling(t *testing.T) {
	for seed := range uint64(4) {
		r, _ := simulate(t, Options{Instances: max(size(1000), 150), Seed: seed, Failures: int(seed)})
		if r.Fleet.FailedByThrottling != 0 || r.Fleet.FrozenWaitSeconds != 0 || !r.Good() {
			t.Errorf("seed %d: %+v", seed, r.Fleet)
		}
	}
}

// The quota bites: without the spread of the starts, runs fail by it. What is
// tested above is therefore the spread, not a generous account.
func TestWithoutSlotsTheQuotaBites(t *testing.T) {
	before := targets.Pace
	defer func() { targets.Pace = before }()
	targets.Pace.Burst = 300
	r, _ := simulate(t, Options{Instances: 300, Seed: 1})
	if r.Good() || r.Fleet.FailedByThrottling < 50 || r.Fleet.FrozenWaitSeconds < 1 {
		t.Errorf("got %+v", r.Fleet)
	}
}

func TestSameSeedSameFleet(t *testing.T) {
	one, _ := simulate(t, Options{Instances: 150, Failures: 2, Seed: 7})
	two, _ := simulate(t, Options{Instances: 150, Failures: 2, Seed: 7})
	one.WallSeconds, two.WallSeconds = 0, 0
	if !reflect.DeepEqual(one, two) {
		t.Errorf("got %+v and %+v", one, two)
	}
}

func TestErrorBudget(t *testing.T) {
	for _, c := range []struct {
		o       Options
		outcome string
		failed  int
		good    bool
	}{
		{Options{Instances: 150, Failures: 1}, run.FleetWithErrors, 1, true},
		{Options{Instances: 150, Failures: 30}, run.FleetWithErrors, 30, true},
		{Options{Instances: 150, Failures: 3, MaxErrors: "3"}, run.FleetWithErrors, 3, true},
		{Options{Instances: 150, Failures: 3, MaxErrors: "2%"}, run.FleetWithErrors, 3, true},
		{Options{Instances: 150, Failures: 1, MaxErrors: "0"}, run.FleetFailed, 1, false},
		{Options{Instances: 150, Failures: 30, MaxErrors: "3"}, run.FleetFailed, 4, false},
		{Options{Instances: 20, Failures: 20}, run.FleetFailed, 20, false},
		{Options{Instances: 20, Failures: 0, MaxErrors: "0"}, run.FleetCompleted, 0, true},
	} {
		t.Run(fmt.Sprintf("%d of %d, allowed %s", c.o.Failures, c.o.Instances, c.o.MaxErrors), func(t *testing.T) {
			r, w := simulate(t, c.o)
			f := r.Fleet
			if r.Outcome != c.outcome || f.Failed != c.failed || r.Good() != c.good {
				t.Errorf("got %s, %+v", r.Outcome, f)
			}
			if f.Completed+f.Degraded+f.Failed+f.NotStarted != f.Instances || w.published != 1 || len(r.Failures) != min(f.Failed, run.Listed) {
				t.Errorf("counts do not add up: %+v", f)
			}
			if c.outcome != run.FleetFailed && f.NotStarted != 0 {
				t.Errorf("%d were not started", f.NotStarted)
			}
			// A run that was in its window when the budget was spent ends by
			// itself, thawed: none is stopped.
			runs, err := w.engine.List(snapshotMachine, "")
			if err != nil {
				t.Fatal(err)
			}
			for _, x := range runs {
				if x.Status != engine.Succeeded && x.Error != "FailedClean" {
					t.Errorf("%s ended %s %s", x.Name, x.Status, x.Error)
				}
			}
			children, err := w.engine.List(fleetMachine+"/Instances", "")
			if err != nil || c.outcome != run.FleetFailed && len(children) != c.o.Instances {
				t.Errorf("listed %d children, %v", len(children), err)
			}
		})
	}
}

func TestConcurrency(t *testing.T) {
	r, _ := simulate(t, Options{Instances: 60, MaxConcurrency: 10})
	if !r.Good() || r.Fleet.MakespanSeconds < 6*45 {
		t.Errorf("ten at a time: got %+v", r.Fleet)
	}
}

// The same slot, started by another execution of the fleet, is one run.
func TestSecondStartOfASlotTakesNothing(t *testing.T) {
	w, err := newWorld(Options{Instances: 5})
	if err != nil {
		t.Fatal(err)
	}
	var second engine.Execution
	err = w.clock.Run(t.Context(), func() {
		w.start2(t, "first")
		second = w.start2(t, "second")
	})
	if err != nil {
		t.Fatal(err)
	}
	runs, _ := w.engine.List(snapshotMachine, "")
	if len(runs) != 5 || w.report.TakenBefore != 5 || w.report.Outcome != run.FleetCompleted || second.Status != engine.Succeeded {
		t.Errorf("%d runs, report %+v", len(runs), w.report)
	}
}

func (w *world) start2(t *testing.T, name string) engine.Execution {
	t.Helper()
	input, err := w.input()
	if err != nil {
		t.Fatal(err)
	}
	x, err := w.engine.Start(fleetMachine, name, input)
	if err == nil {
		x, err = w.engine.Wait(t.Context(), x.ARN)
	}
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		o    Options
		want string
	}{
		{Options{}, "--fleet"},
		{Options{Instances: 10_001}, "--fleet"},
		{Options{Instances: 5, Failures: 6}, "--fleet-failures"},
		{Options{Instances: 5, MaxErrors: "some"}, "--max-errors"},
		{Options{Instances: 5, MaxErrors: "101%"}, "--max-errors"},
		{Options{Instances: 5, MaxConcurrency: -1}, "--max-concurrency"},
	} {
		if err := c.o.Check(); err == nil || !strings.HasPrefix(err.Error(), c.want+": ") {
			t.Errorf("%+v: got %v", c.o, err)
		}
	}
}
