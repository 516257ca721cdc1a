package functions_test

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quiesce/quiesce/functions"
	"github.com/quiesce/quiesce/functions/await"
	"github.com/quiesce/quiesce/functions/pollstatus"
	"github.com/quiesce/quiesce/functions/wake"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/run"
)

// theSet is the one that the sample events tell of.
var theSet = run.Set{CallEndedAt: time.Now(), Snapshots: []run.Snapshot{{ID: "snap-0fedcba9876543210"}, {ID: "snap-0123456789abcdef0"}}}

func TestPollStatus(t *testing.T) {
	state := func(states ...string) func([]string) ([]run.Snapshot, error) {
		return func([]string) (list []run.Snapshot, err error) {
			for _, s := range states {
				list = append(list, run.Snapshot{State: s})
			}
			return list, nil
		}
	}
	for _, tt := range []struct {
		name   string
		states []string
		age    time.Duration
		want   string
	}{
		{"all done", []string{run.Completed, run.Completed}, 0, run.Completed},
		{"one pending", []string{run.Completed, run.Pending}, 0, run.Pending},
		{"one failed", []string{run.Pending, run.Failed}, 0, run.Failed},
		{"pending for too long", []string{run.Pending}, 25 * time.Hour, run.TimedOut},
		{"done late", []string{run.Completed}, 25 * time.Hour, run.Completed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newCloud()
			c.snapshots = state(tt.states...)
			in := pollstatus.Input{Plan: aPlan(), Set: run.Set{CallEndedAt: time.Now().Add(-tt.age)}}
			if got, err := do[run.Status](t, c, "poll-status", in); err != nil || got.State != tt.want {
				t.Errorf("got %q, %v", got.State, err)
			}
		})
	}
	t.Run("waits for an event, and comes back soon when the event was early", func(t *testing.T) {
		c := newCloud()
		c.snapshots = state(run.Pending)
		in := pollstatus.Input{Plan: aPlan(), Set: run.Set{CallEndedAt: time.Now()}}
		var waits []int
		for range 7 {
			got, err := do[run.Status](t, c, "poll-status", in)
			if err != nil || got.Polls != len(waits)+1 {
				t.Fatalf("got %+v, %v", got, err)
			}
			waits, in.Status = append(waits, got.WaitSeconds), &got
		}
		if want := []int{900, 60, 120, 240, 480, 900, 900}; !slices.Equal(waits, want) {
			t.Errorf("got waits %v, want %v", waits, want)
		}
	})
	t.Run("waits no longer than the set may take", func(t *testing.T) {
		c := newCloud()
		c.snapshots = state(run.Pending)
		for age, want := range map[time.Duration]int{24*time.Hour - 100*time.Second: 100, 24*time.Hour - time.Second: 60} {
			in := pollstatus.Input{Plan: aPlan(), Set: run.Set{CallEndedAt: time.Now().Add(-age)}}
			if got, err := do[run.Status](t, c, "poll-status", in); err != nil || got.WaitSeconds != want {
				t.Errorf("%v old: got %+v, %v, want to wait %d s", age, got, err, want)
			}
		}
	})
}

func TestAwait(t *testing.T) {
	found := func(state string) func([]string) ([]run.Snapshot, error) {
		return func(ids []string) (list []run.Snapshot, err error) {
			for _, id := range ids {
				list = append(list, run.Snapshot{ID: id, State: state})
			}
			return list, nil
		}
	}
	fails := func(code fault.Code) func([]string) ([]run.Snapshot, error) {
		return func([]string) ([]run.Snapshot, error) { return nil, fault.New(code, "planned") }
	}
	for _, tt := range []struct {
		name    string
		look    func([]string) ([]run.Snapshot, error)
		age     time.Duration
		state   string
		answers bool
	}{
		{"the set is under way", found(run.Pending), 0, run.Pending, false},
		{"it was done before the token was kept", found(run.Completed), 0, run.Completed, true},
		{"it failed before", found(run.Failed), 0, run.Failed, true},
		{"a member is gone", fails(fault.SnapshotFailed), 0, run.Failed, true},
		{"it is not waited for any longer", found(run.Pending), 25 * time.Hour, run.TimedOut, true},
		{"nobody can tell", fails(fault.Throttled), 0, "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newCloud()
			c.snapshots = tt.look
			set := theSet
			set.CallEndedAt = time.Now().Add(-tt.age)
			got, err := do[await.Output](t, c, "await", await.Input{Plan: aPlan(), Set: set, Token: "t1"})
			if err != nil || got.State != tt.state {
				t.Errorf("got %+v, %v", got, err)
			}
			if c.tokens["snap-0123456789abcdef0"] != "t1" || len(c.tokens) != 1 {
				t.Errorf("kept %v", c.tokens)
			}
			if answered := slices.Equal(c.answers, []string{"t1"}); answered != tt.answers {
				t.Errorf("answered %v", c.answers)
			}
			if i, j := slices.Index(c.calls, "SaveToken"), slices.Index(c.calls, "Snapshots"); i < 0 || i > j {
				t.Errorf("looked before the token was kept: %v", c.calls)
			}
			if len(c.bus) > 0 {
				t.Errorf("published %v: a wait is no news", c.bus)
			}
		})
	}
	t.Run("the token is not kept", func(t *testing.T) {
		c := newCloud()
		c.saveToken = func(string, string) error { return fault.New(fault.AccessDenied, "planned") }
		_, err := do[await.Output](t, c, "await", await.Input{Plan: aPlan(), Set: theSet, Token: "t1"})
		refused(t, err, fault.AccessDenied, "")
	})
	for field, in := range map[string]await.Input{"token": {Set: theSet}, "set.snapshots": {Token: "t1"}} {
		_, err := do[await.Output](t, newCloud(), "await", in)
		names(t, err, field)
	}
}

func TestWake(t *testing.T) {
	sample := func(name string) string {
		text, err := os.ReadFile("wake/testdata/" + name + ".json")
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	for _, name := range []string{"succeeded", "failed"} {
		t.Run(name, func(t *testing.T) {
			c := newCloud()
			c.tokens["snap-0123456789abcdef0"] = "t1"
			for range 2 {
				got, err := do[wake.Output](t, c, "wake", sample(name))
				if err != nil || !got.Awaited {
					t.Errorf("got %+v, %v", got, err)
				}
			}
			if !slices.Equal(c.answers, []string{"t1", "t1"}) {
				t.Errorf("answered %v", c.answers)
			}
		})
	}
	t.Run("other people's set", func(t *testing.T) {
		c := newCloud()
		got, err := do[wake.Output](t, c, "wake", sample("succeeded"))
		if err != nil || got.Awaited || !slices.Equal(c.calls, []string{"FindToken"}) {
			t.Errorf("got %+v, %v after %v", got, err, c.calls)
		}
	})
	t.Run("the wait cannot be ended", func(t *testing.T) {
		c := newCloud()
		c.tokens["snap-0123456789abcdef0"] = "t1"
		c.answer = func(string) error { return errors.New("planned") }
		if _, err := do[wake.Output](t, c, "wake", sample("succeeded")); err == nil {
			t.Error("got no error: nobody would try again")
		}
	})
	for name, event := range map[string]string{
		"detail.snapshots":             `{"detail":{"event":"createSnapshots"}}`,
		"detail.snapshots.snapshot_id": `{"detail":{"snapshots":[{"snapshot_id":"arn:aws:ec2::eu-central-1:snapshot/../helper"}]}}`,
		"input":                        `nonsense`,
	} {
		_, err := do[wake.Output](t, newCloud(), "wake", event)
		names(t, err, name)
	}
}

// names wants an input to be refused for the field, which only the sentence
// still holds once it was stamped.
func names(t *testing.T, err error, field string) {
	t.Helper()
	refused(t, err, fault.InvalidInput, "")
	if !strings.HasPrefix(err.Error(), field+": ") {
		t.Errorf("got %v, want it to name %s", err, field)
	}
}

func TestEveryFunctionIsInTheTable(t *testing.T) {
	table := functions.Table(functions.Deps{Cloud: newCloud()})
	all := slices.Concat(functions.Names, functions.PluginSteps, []string{"sweep"})
	for _, name := range all {
		if table[name] == nil || functions.Timeouts[name] == 0 {
			t.Errorf("%s has no handler or no timeout", name)
		}
	}
	if len(table) != len(all) || len(functions.Timeouts) != len(all) {
		t.Errorf("got %d handlers and %d timeouts of %d names", len(table), len(functions.Timeouts), len(all))
	}
}
