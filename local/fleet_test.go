package local

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quiesce/quiesce/events"
	"github.com/quiesce/quiesce/functions/targets"
	"github.com/quiesce/quiesce/local/engine"
	"github.com/quiesce/quiesce/local/fleet"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/run"
)

func fleetOf(change func(*policy.Document)) run.FleetRequest {
	d := policy.DefaultDocument()
	d.Name = "crowd"
	d.Targets.Tags = map[string]string{"fleet": "crowd"}
	if change != nil {
		change(&d)
	}
	return run.FleetRequest{Policy: d, ScheduledTime: time.Now().Truncate(time.Second)}
}

func reportOf(t *testing.T, x engine.Execution) (r run.Report) {
	t.Helper()
	if err := json.Unmarshal(x.Output, &r); err != nil {
		t.Fatalf("%s %s %s: %v", x.Status, x.Error, x.Cause, err)
	}
	return r
}

// The fleet with the real handlers, over the emulated account.
func TestFleetOfRealHandlers(t *testing.T) {
	inCrowd(t, 6, nil, func(c *crowd) {
		c.cloud.EC2.SetState(crowdID(5), "stopped")
		x, states := c.execute("quiesce-fleet", "crowd-1", fleetOf(func(d *policy.Document) { d.Targets.InstanceIDs = []string{"i-0999999999999999f"} }))
		r := reportOf(t, x)
		if x.Status != engine.Succeeded || r.Outcome != run.FleetCompleted || r.Completed != 5 || r.Instances != 5 || r.Skipped != 2 {
			t.Errorf("got %s, %+v", x.Status, r)
		}
		if want := "Open ResolveTargets Together RunEach Report Outcome Completed"; strings.Join(states, " ") != want {
			t.Errorf("got %v, want %s", states, want)
		}
		if got := c.told(events.TypeFleet); len(got) != 1 || got[0]["completed"] != 5.0 || got[0]["policy"] != "crowd" {
			t.Errorf("told %v", got)
		}
		if got := len(c.told(events.TypeCompleted)); got != 5 || c.frozen() != 0 {
			t.Errorf("%d runs completed, %d instances frozen", got, c.frozen())
		}
		children, err := c.engine.List("quiesce-fleet/Instances", engine.Succeeded)
		if err != nil || len(children) != 5 {
			t.Errorf("listed %d children, %v", len(children), err)
		}
		again, _ := c.execute("quiesce-fleet", "crowd-2", fleetOf(func(d *policy.Document) {}))
		if r := reportOf(t, again); r.Completed != 5 || r.TakenBefore != 0 {
			t.Errorf("another slot: got %+v", r)
		}
	})
}

func TestFleetEnds(t *testing.T) {
	tag := func(key, value string) func(*policy.Document) {
		return func(d *policy.Document) { d.Targets.Tags = map[string]string{key: value} }
	}
	for _, c := range []struct {
		name    string
		faults  []string
		change  func(*policy.Document)
		late    time.Duration
		outcome string
		code    string
		failed  int
	}{
		{"one script is unsafe", []string{"precheck:deny"}, nil, 0, run.FleetWithErrors, "", 1},
		{"one fails and none may", []string{"precheck:deny"}, func(d *policy.Document) { d.MaxErrors, d.MaxConcurrency = policy.Tolerance{}, 1 }, 0, run.FleetFailed, "States.ExceedToleratedFailureThreshold", 1},
		{"nobody carries the tag", nil, tag("fleet", "other"), 0, run.FleetFailed, "NothingToSnapshot", 0},
		{"nobody opted in", nil, func(d *policy.Document) { d.OptIn.Key = "other" }, 0, run.FleetFailed, "NothingToSnapshot", 0},
		{"too late", nil, nil, 2 * time.Hour, run.FleetFailed, "TooLate", 0},
		{"no targets", nil, func(d *policy.Document) { d.Targets = policy.Targets{} }, 0, run.FleetFailed, "InvalidInput", 0},
		{"a policy out of range", nil, func(d *policy.Document) { d.Freeze.DeadlineSeconds = 9999 }, 0, run.FleetFailed, "InvalidInput", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			inCrowd(t, 3, c.faults, func(w *crowd) {
				in := fleetOf(c.change)
				in.ScheduledTime = in.ScheduledTime.Add(-c.late)
				x, _ := w.execute("quiesce-fleet", "crowd-1", in)
				told := w.told(events.TypeFleet)
				if len(told) != 1 || told[0]["outcome"] != c.outcome || fmt.Sprint(told[0]["failed"]) != fmt.Sprint(c.failed) || c.code != "" && told[0]["code"] != c.code {
					t.Errorf("told %v", told)
				}
				if failed := x.Status == engine.Failed; failed != (c.outcome == run.FleetFailed) {
					t.Errorf("ended %s: %s %s", x.Status, x.Error, x.Cause)
				}
				if w.frozen() != 0 {
					t.Errorf("%d instances are frozen", w.frozen())
				}
			})
		})
	}
}

// The model of a run makes the calls that the handlers make: the same
// operations, as often, but for asking after a command.
func TestModelIsWhatTheHandlersDo(t *testing.T) {
	inCrowd(t, 1, nil, func(c *crowd) {
		x, _ := c.execute(machineName, "run-1", run.Request{InstanceID: crowdID(0)})
		if x.Status != engine.Succeeded {
			t.Fatalf("ended %s: %s %s", x.Status, x.Error, x.Cause)
		}
		got := map[string]map[string]int{}
		for _, call := range c.cloud.Calls() {
			if got[call.Role] == nil {
				got[call.Role] = map[string]int{}
			}
			got[call.Role][call.Service+":"+call.Action]++
		}
		polls := got["poll-status"]["ec2:DescribeSnapshots"]
		if polls != 2 {
			t.Errorf("%d polls, the model has 2", polls)
		}
		for name, step := range fleet.Model {
			want := map[string]int{}
			for _, call := range step.Calls {
				want[call]++
				if name == "poll-status" {
					want[call]++
				}
			}
			if n := got[name]["ssm:GetCommandInvocation"]; n > 1 {
				got[name]["ssm:GetCommandInvocation"] = 1
			}
			if !maps.Equal(got[name], want) {
				t.Errorf("%s: the handler makes %v, the model %v", name, sorted(got[name]), sorted(want))
			}
		}
	})
}

func sorted(m map[string]int) (list []string) {
	for _, k := range slices.Sorted(maps.Keys(m)) {
		list = append(list, fmt.Sprint(k, "=", m[k]))
	}
	return list
}

// More instances than the burst of CreateSnapshots, with the real handlers:
// none is refused, because each waits for its moment.
func TestRealFleetKeepsPace(t *testing.T) {
	const n = 150
	inCrowd(t, n, nil, func(c *crowd) {
		x, _ := c.execute("quiesce-fleet", "crowd-1", fleetOf(nil))
		r := reportOf(t, x)
		refused := 0
		for _, call := range c.cloud.Calls() {
			if call.Action == "CreateSnapshots" && call.Code != "" {
				refused++
			}
		}
		slots := float64(n-targets.Pace.Burst) / targets.Pace.PerSecond
		if r.Completed != n || refused != 0 || r.Seconds < slots || r.Seconds > slots+60 {
			t.Errorf("%d refused, slots take %.0f s, got %+v", refused, slots, r)
		}
	})
}
