package functions_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/quiesce/quiesce/functions/targets"
	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/run"
)

var four = time.Date(2026, 3, 1, 4, 0, 0, 0, time.UTC)

func found(n int) (list []cloud.Found) {
	for i := range n {
		list = append(list, cloud.Found{ID: fmt.Sprintf("i-0%016x", i), Running: true, State: "running", Tags: map[string]string{cloud.TagOptIn: "true"}})
	}
	return list
}

func fleetInput(change func(*targets.Input)) targets.Input {
	d := policy.DefaultDocument()
	d.Name, d.Targets.Tags = "nightly", map[string]string{"tier": "db"}
	in := targets.Input{Run: run.Run{ID: "nightly-2026-03-01T0400", StartedAt: four}, Request: run.FleetRequest{Policy: d, ScheduledTime: four}}
	if change != nil {
		change(&in)
	}
	return in
}

// list reads what was put into the bucket.
func list(t *testing.T, c *fakeCloud, r *run.Targets) (members []run.Member) {
	t.Helper()
	if err := json.Unmarshal(c.objects[r.List], &members); err != nil {
		t.Fatal(err)
	}
	return members
}

func TestTargetsHaveTheirMoments(t *testing.T) {
	c := newCloud()
	c.found = found(10_000)
	late := four.Add(3 * time.Second)
	r, err := targets.Do(t.Context(), c, late, fleetInput(nil))
	if err != nil {
		t.Fatal(err)
	}
	members := list(t, c, r)
	if r.Total != 10_000 || len(members) != r.Total || r.MaxErrors != 10_000 || r.MaxConcurrency != 0 || r.Bucket != "assets" {
		t.Errorf("got %+v with %d members", r, len(members))
	}
	if want := "nightly-i-00000000000000000-20260301T040000Z"; members[0].RunID != want {
		t.Errorf("got %s, want %s", members[0].RunID, want)
	}
	// At no time have more been started than the bucket has had tokens for.
	names := map[string]bool{}
	for i, m := range members {
		since := m.StartAt.Sub(late).Seconds()
		if allowed := float64(targets.Pace.Burst) + 5*since; since < 0 || float64(i+1) > allowed+1 {
			t.Fatalf("%d are started %.1f s on, when the quota allows %.0f", i+1, since, allowed)
		}
		names[m.RunID] = true
	}
	if last := members[len(members)-1].StartAt.Sub(late).Seconds(); last > 1.05*1980 || len(names) != r.Total {
		t.Errorf("the last starts after %.0f s; %d names", last, len(names))
	}
	if r.Members == nil || len(r.Members) != 0 {
		t.Errorf("the members of a fleet are in its document: %d", len(r.Members))
	}
}

func TestTargetsAreThoseThatMayBeCommanded(t *testing.T) {
	c := newCloud()
	c.found = found(4)
	c.found[1].Running, c.found[1].State = false, "stopped"
	c.found[2].Tags = nil
	r, err := targets.Do(t.Context(), c, four, fleetInput(func(in *targets.Input) {
		in.Request.Policy.Targets.InstanceIDs = []string{"i-00000000000000003", "i-0000000000000dead"}
	}))
	if err != nil {
		t.Fatal(err)
	}
	want := []run.Skipped{
		{InstanceID: "i-00000000000000001", Reason: "InstanceNotRunning"}, {InstanceID: "i-00000000000000002", Reason: "InstanceNotOptedIn"},
		{InstanceID: "i-0000000000000dead", Reason: "InstanceNotFound"},
	}
	if r.Total != 2 || r.SkippedTotal != 3 || fmt.Sprint(r.Skipped) != fmt.Sprint(want) {
		t.Errorf("got %+v", r)
	}
}

func TestTargetsRefuse(t *testing.T) {
	for _, tt := range []struct {
		name  string
		with  func(*targets.Input)
		found int
		code  fault.Code
	}{
		{"in time", nil, 1, ""},
		{"by hand, whenever", func(in *targets.Input) { in.Request.ScheduledTime = time.Time{} }, 1, ""},
		{"an hour late", func(in *targets.Input) { in.Request.ScheduledTime = four.Add(-time.Hour) }, 1, ""},
		{"later than the policy allows", func(in *targets.Input) { in.Request.ScheduledTime = four.Add(-time.Hour - time.Second) }, 1, fault.TooLate},
		{"nobody", nil, 0, fault.NothingToSnapshot},
		{"no targets", func(in *targets.Input) { in.Request.Policy.Targets = policy.Targets{} }, 1, fault.InvalidInput},
		{"out of range", func(in *targets.Input) { in.Request.Policy.MaxConcurrency = -1 }, 1, fault.InvalidInput},
		{"a large group", func(in *targets.Input) { in.Request.Policy.Group = true }, run.MaxMembers + 1, fault.InvalidInput},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newCloud()
			c.found = found(tt.found)
			_, err := targets.Do(t.Context(), c, four, fleetInput(tt.with))
			if got := fault.CodeOf(err); got != tt.code {
				t.Errorf("got %q (%v), want %q", got, err, tt.code)
			}
		})
	}
}

// Two policies never share a run's name, however alike theirs are, and every
// name is one that a run accepts.
func TestNamesOfRuns(t *testing.T) {
	seen := map[string]string{}
	for _, name := range []string{"a-b", "a.b", "a_b", strings.Repeat("x", 64), strings.Repeat("x", 63) + "y", "nightly"} {
		c := newCloud()
		c.found = found(1)
		r, err := targets.Do(t.Context(), c, four, fleetInput(func(in *targets.Input) { in.Request.Policy.Name = name }))
		if err != nil {
			t.Fatal(err)
		}
		id := list(t, c, r)[0].RunID
		if len(id) > 80 || strings.ContainsAny(id, ". ") || seen[id] != "" {
			t.Errorf("%s: its run is called %s, as that of %q", name, id, seen[id])
		}
		seen[id] = name
	}
}

func TestGroupIsInItsDocument(t *testing.T) {
	c := newCloud()
	c.found = found(3)
	r, err := targets.Do(t.Context(), c, four, fleetInput(func(in *targets.Input) { in.Request.Policy.Group = true }))
	if err != nil {
		t.Fatal(err)
	}
	if !r.Together || len(r.Members) != 3 || r.GroupID != "nightly-group-20260301T040000Z" || r.BudgetSeconds != 30 || len(c.objects) != 0 {
		t.Errorf("got %+v", r)
	}
}
