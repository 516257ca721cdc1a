package fault_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quiesce/quiesce/local/fault"
	"github.com/quiesce/quiesce/local/runtimeapi"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]fault.Fault{
		"snapshot:lost-reply":          {Target: "snapshot", Kind: fault.LostReply, N: 1},
		"freeze:throttle@3":            {Target: "freeze", Kind: fault.Throttle, N: 3},
		"CreateSnapshots:throttle":     {Target: "CreateSnapshots", Kind: fault.Throttle, N: 1},
		"thaw/SendCommand:throttle@2":  {Target: "thaw/SendCommand", Kind: fault.Throttle, N: 2},
		"poll-status:deny":             {Target: "poll-status", Kind: fault.Deny, N: 1},
		"snapshot:kill-helper":         {Target: "snapshot", Kind: fault.KillHelper, N: 1},
		"run-prescript:agent-offline":  {Target: "run-prescript", Kind: fault.AgentOffline, N: 1},
		"tag:bus-down":                 {Target: "tag", Kind: fault.BusDown, N: 1},
		"GetCommandInvocation:slow@10": {Target: "GetCommandInvocation", Kind: fault.Slow, N: 10},
	} {
		got, err := fault.Parse(text)
		if err != nil || got != want {
			t.Errorf("%s: got %+v, %v", text, got, err)
		}
		if got.String() != text {
			t.Errorf("%s renders as %s", text, got)
		}
	}
	for text, want := range map[string]string{
		"freeze":                "want STEP:KIND[@N]",
		"melt:fail":             "precheck, run-prescript, freeze, snapshot, thaw, poll-status, await, tag, wake",
		"freeze:explode":        "agent-busy, agent-offline, agent-restart, bus-down, clock-jump, crash-after",
		"freeze:fail@0":         "counts from 1",
		"freeze:fail@x":         "counts from 1",
		"tag:duplicate":         "tag cannot have",
		"freeze:error":          "freeze cannot have",
		"PutEvents:late":        "deny, hang, lost-reply, slow, throttle, wrong-data",
		"freeze/Reboot:slow":    "neither a step",
		"TerminateAll:throttle": "neither a step",
	} {
		if _, err := fault.Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want an error with %q", text, err, want)
		}
	}
}

func TestEveryKindOfAStepIsReachable(t *testing.T) {
	for _, step := range fault.Steps {
		for _, kind := range fault.KindsOf(step) {
			text := step + ":" + string(kind)
			t.Run(text, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					p, err := fault.New(text)
					if err != nil {
						t.Fatal(err)
					}
					for _, k := range fault.KindsOf(step) {
						p.On(k, func(context.Context) {})
					}
					ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
					defer cancel()
					_, _ = p.Around(everyCall{p}).Invoke(ctx, "quiesce-"+step, nil)
					if left := p.Unreached(); len(left) != 0 {
						t.Errorf("unreached: %v", left)
					}
				})
			})
		}
	}
}

// everyCall is a function that makes every call there is.
type everyCall struct{ plan *fault.Plan }

func (s everyCall) Invoke(ctx context.Context, _ string, _ json.RawMessage) (json.RawMessage, error) {
	for _, api := range fault.APIs {
		s.plan.Arrive(ctx, fault.StepOf(ctx), api)
	}
	return json.RawMessage(`{}`), nil
}

func TestOccurrencesAreCounted(t *testing.T) {
	p, err := fault.New("freeze:fail@2", "freeze/SendCommand:deny@2", "tag:kill-helper", "thaw:fail")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	around := p.Around(everyCall{p})
	for range 3 {
		_, err := around.Invoke(t.Context(), "freeze", nil)
		var failed *runtimeapi.Failed
		switch {
		case errors.As(err, &failed):
			got = append(got, failed.Type)
		default:
			got = append(got, "ok")
		}
	}
	if want := []string{"ok", "Internal", "ok"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	// No hook was registered for the helper, hence nothing was killed.
	if _, err := around.Invoke(t.Context(), "tag", nil); err != nil {
		t.Error(err)
	}
	var left []string
	for _, f := range p.Unreached() {
		left = append(left, f.String())
	}
	if want := []string{"tag:kill-helper", "thaw:fail"}; !slices.Equal(left, want) {
		t.Errorf("unreached %v, want %v", left, want)
	}
}

// At snapshot a fault of the world happens while the call is in flight.
func TestWorldInFlight(t *testing.T) {
	p, err := fault.New("snapshot:foreign-thaw", "freeze:foreign-thaw", "precheck:bus-down")
	if err != nil {
		t.Fatal(err)
	}
	var fired []string
	in := ""
	p.On(fault.ForeignThaw, func(ctx context.Context) { fired = append(fired, fault.StepOf(ctx)+" "+in) })
	function := invoker(func(ctx context.Context) {
		in = "in the function"
		if step := fault.StepOf(ctx); step == "snapshot" {
			p.Arrive(ctx, step, "DescribeSnapshots")
			in = "in CreateSnapshots"
			p.Arrive(ctx, step, "CreateSnapshots")
		}
		if step := fault.StepOf(ctx); p.Arrive(ctx, step, "PutEvents").Refuse != map[bool]fault.Kind{true: fault.BusDown}[step == "precheck"] {
			t.Errorf("the bus is wrong in %s", step)
		}
	})
	for _, step := range []string{"precheck", "freeze", "snapshot"} {
		in = "at the entry"
		if _, err := p.Around(function).Invoke(t.Context(), step, nil); err != nil {
			t.Fatal(err)
		}
	}
	if want := []string{"freeze at the entry", "snapshot in CreateSnapshots"}; !slices.Equal(fired, want) {
		t.Errorf("got %v, want %v", fired, want)
	}
	if p.Arrive(t.Context(), "precheck", "PutEvents").Refuse != "" {
		t.Error("the bus stays down after the step")
	}
}

type invoker func(context.Context)

func (f invoker) Invoke(ctx context.Context, _ string, _ json.RawMessage) (json.RawMessage, error) {
	f(ctx)
	return nil, nil
}

func TestNoPlan(t *testing.T) {
	var p *fault.Plan
	if d := p.Arrive(t.Context(), "freeze", "SendCommand"); d != (fault.Disturbance{}) || p.Unreached() != nil {
		t.Errorf("no plan disturbs: %+v", d)
	}
}
