package sweep

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
)

// account keeps what was started, and refuses as it is told to.
type account struct {
	broken  []cloud.Broken // runs
	undone  []cloud.Broken // restores
	swept   map[string]bool
	since   []time.Time
	started []string
	inputs  []string
	list    error            // of Broken
	look    error            // of Swept
	start   map[string]error // by the run
	takes   time.Duration    // each start
}

func (a *account) Broken(_ context.Context, of cloud.Workflow, since time.Time) ([]cloud.Broken, error) {
	a.since = append(a.since, since)
	if of == cloud.RestoreWorkflow {
		return slices.Clone(a.undone), nil
	}
	return slices.Clone(a.broken), a.list
}

func (a *account) Swept(_ context.Context, _ cloud.Workflow, since time.Time) (map[string]bool, error) {
	a.since = append(a.since, since)
	return a.swept, a.look
}

func (a *account) Sweep(_ context.Context, of cloud.Workflow, runID string, input []byte) error {
	time.Sleep(a.takes)
	if err := a.start[runID]; err != nil {
		return err
	}
	if of == cloud.RestoreWorkflow {
		runID = "restore-" + runID
	}
	a.started, a.inputs = append(a.started, runID), append(a.inputs, string(input))
	return nil
}

func broke(runID string, ago time.Duration) cloud.Broken {
	return cloud.Broken{Name: runID, Status: "Stopped", Input: json.RawMessage(`{"instanceId":"i-1"}`), StoppedAt: time.Now().Add(-ago)}
}

func TestSweep(t *testing.T) {
	denied := fault.New(fault.AccessDenied, "no")
	for _, c := range []struct {
		name    string
		account func() *account
		started string
		left    int
		fails   fault.Code
	}{
		{"nothing broke off", func() *account { return &account{look: denied} }, "", 0, ""}, // and nobody asks for more
		{"the last first", func() *account {
			return &account{broken: []cloud.Broken{broke("a", time.Hour), broke("b", time.Minute), broke("c", 2*time.Minute)}}
		}, "b c a", 0, ""},
		{"one that was swept is left alone", func() *account {
			return &account{broken: []cloud.Broken{broke("a", time.Hour), broke("b", time.Minute)}, swept: map[string]bool{"b": true}}
		}, "a", 0, ""},
		{"one that cannot be started keeps none", func() *account {
			return &account{broken: []cloud.Broken{broke("a", time.Hour), broke("b", time.Minute)}, start: map[string]error{"b": denied}}
		}, "a", 0, fault.AccessDenied},
		{"restores after runs", func() *account {
			return &account{broken: []cloud.Broken{broke("a", time.Hour)}, undone: []cloud.Broken{broke("b", time.Minute)}}
		}, "a restore-b", 0, ""},
		{"what is wrong with runs keeps no restore", func() *account {
			return &account{list: denied, undone: []cloud.Broken{broke("b", time.Minute)}}
		}, "restore-b", 0, fault.AccessDenied},
		{"nobody can be listed", func() *account { return &account{list: denied} }, "", 0, fault.AccessDenied},
		{"nobody knows what was swept", func() *account {
			return &account{broken: []cloud.Broken{broke("a", time.Hour)}, look: denied}
		}, "", 0, fault.AccessDenied},
		{"what there is no time for is left", func() *account {
			a := &account{takes: 20 * time.Second}
			for _, name := range []string{"a", "b", "c", "d", "e"} {
				a.broken = append(a.broken, broke(name, time.Minute))
			}
			return a
		}, "a b c", 2, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				a := c.account()
				out, err := Do(ctx, a, Input{})
				if fault.CodeOf(err) != c.fails {
					t.Errorf("got %v, want %q", err, c.fails)
				}
				if got := strings.Join(a.started, " "); got != c.started {
					t.Errorf("started %q, want %q", got, c.started)
				}
				if err == nil && (out.Started != len(a.started) || out.Left != c.left || out.Broken != len(a.broken)+len(a.undone)) {
					t.Errorf("says %+v", out)
				}
				for _, since := range a.since {
					if got := time.Since(since); got < past || got > past+time.Minute {
						t.Errorf("looked %s back", got)
					}
				}
			})
		})
	}
}

// A janitor is told what the run was started with and how it ended; a request
// that no run takes is not carried along.
func TestWhatAJanitorIsTold(t *testing.T) {
	large := `{"instanceId":"i-1","policy":{"name":"` + strings.Repeat("x", room) + `"}}`
	for _, c := range []struct{ input, want string }{
		{`{"instanceId":"i-1","policy":{"name":"nightly"}}`, `{"instanceId":"i-1","request":{"instanceId":"i-1","policy":{"name":"nightly"}},"ended":{"status":"TimedOut"}}`},
		{`{"instanceId":7}`, `{"instanceId":"","request":{"instanceId":7},"ended":{"status":"TimedOut"}}`},
		{`{"triggerTime":"t","payload":{"instanceId":"i-1"}}`, `{"instanceId":"","request":{"triggerTime":"t","payload":{"instanceId":"i-1"}},"ended":{"status":"TimedOut"}}`},
		{"", `{"instanceId":"","request":{"instanceId":""},"ended":{"status":"TimedOut"}}`},
		{large, `{"instanceId":"i-1","request":{"instanceId":"i-1"},"ended":{"status":"TimedOut"}}`},
	} {
		a := &account{broken: []cloud.Broken{{Name: "a", Status: "TimedOut", Input: json.RawMessage(c.input)}}}
		if _, err := Do(t.Context(), a, Input{}); err != nil || len(a.inputs) != 1 || a.inputs[0] != c.want {
			t.Errorf("%.60s: got %v, %v, want %s", c.input, a.inputs, err, c.want)
		}
	}
}
