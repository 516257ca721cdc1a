package fault

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/quiesce/quiesce/local/runtimeapi"
)

// Around lets the planned faults happen to the functions that next runs.
func (p *Plan) Around(next runtimeapi.Invoker) runtimeapi.Invoker {
	if p == nil {
		return next
	}
	return around{p, next}
}

type around struct {
	plan *Plan
	next runtimeapi.Invoker
}

func (a around) Invoke(ctx context.Context, function string, payload json.RawMessage) (json.RawMessage, error) {
	step := stepOf(function)
	ctx = WithStep(ctx, step)
	a.plan.see(step)
	kinds := a.plan.reach(func(f *planned) bool { return f.Target == step && atEntry(f.Kind, step) })
	if slices.Contains(kinds, BusDown) {
		defer a.plan.takeBusDown(step)()
	}
	a.plan.fire(ctx, kinds)
	for _, k := range kinds {
		switch k {
		case Fail:
			return nil, &runtimeapi.Failed{Type: "Internal", Message: "planned failure of " + step}
		case Throttle:
			return nil, &runtimeapi.Failed{Type: "Lambda.TooManyRequestsException", Message: "Rate Exceeded. (Service: Lambda, Status Code: 429)"}
		case CrashBefore:
			return nil, &runtimeapi.Failed{Type: "Runtime.ExitError", Message: "RequestId: planned Error: Runtime exited with error: signal: killed"}
		case Hang:
			<-ctx.Done()
			return nil, ctx.Err()
		}
	}
	if slices.Contains(kinds, Oversize) {
		ctx = context.WithValue(ctx, swellKey{}, true)
	}
	out, err := a.next.Invoke(ctx, function, payload)
	if slices.Contains(kinds, Slow) {
		t := time.NewTimer(a.plan.slowness())
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if slices.Contains(kinds, CrashAfter) && err == nil {
		return nil, &runtimeapi.Failed{Type: "Runtime.ExitError", Message: "RequestId: planned Error: Runtime exited with error: signal: killed"}
	}
	if slices.Contains(kinds, Oversize) && err == nil {
		return Swell(ctx, out), nil
	}
	return out, err
}

type swellKey struct{}

// Swell makes an answer larger than any may be, where that is planned: for who
// bounds answers himself, so that it happens before he does.
func Swell(ctx context.Context, out json.RawMessage) json.RawMessage {
	if planned, _ := ctx.Value(swellKey{}).(bool); planned {
		return json.RawMessage(`"` + strings.Repeat("x", oversize) + `"`)
	}
	return out
}

// oversize is more than a state's data may be, and less than a function's answer.
const oversize = 300 << 10

// atEntry tells which kinds happen when a step's function is entered; the rest
// happen at its calls.
func atEntry(k Kind, step string) bool {
	if isHook(k) {
		return step != "snapshot"
	}
	return slices.Contains(ofFunction, k) || k == BusDown
}

func (p *Plan) takeBusDown(step string) (restore func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.busDown == nil {
		p.busDown = make(map[string]int)
	}
	p.busDown[step]++
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.busDown[step]--
	}
}
