package fault

import (
	"context"
	"slices"
	"strings"
	"time"
)

// Disturbance is what happens to one call of a cloud's API.
type Disturbance struct {
	Refuse Kind          // Throttle, Deny or BusDown: answered in place of the effect
	Slow   time.Duration // answered so much later
	Drop   bool          // the effect happens, the connection drops before the answer
	Hang   bool          // neither effect nor answer
	Wrong  bool          // the effect happens, the answer tells a part of it

	// Of the command that the call sends.
	Duplicate bool
	Late      time.Duration
	Reorder   bool
	Offline   bool

	// ErrorSet lets the snapshots that the call makes go to error.
	ErrorSet bool
}

// Arrive is asked by an emulated cloud for every call before its effect. It
// runs the callbacks that are due while the call is in flight.
func (p *Plan) Arrive(ctx context.Context, step, api string) Disturbance {
	var d Disturbance
	if p == nil {
		return d
	}
	p.mu.Lock()
	down := api == "PutEvents" && p.busDown[step] > 0
	p.mu.Unlock()
	if down {
		d.Refuse = BusDown
	}
	p.see(step + "/" + api)
	kinds := p.reach(func(f *planned) bool { return concerns(f.Fault, step, api) })
	p.fire(ctx, kinds)
	for _, k := range kinds {
		switch k {
		case Throttle, Deny:
			d.Refuse = k
		case Slow:
			d.Slow += p.slowness()
		case LostReply:
			d.Drop = true
		case Hang:
			d.Hang = true
		case WrongData:
			d.Wrong = true
		case Duplicate:
			d.Duplicate = true
		case Reorder:
			d.Reorder = true
		case Late:
			d.Late = p.lateness()
		case AgentOffline:
			d.Offline = true
		case ErrorSet:
			d.ErrorSet = true
		}
	}
	return d
}

// Happening is what befalls one operation on a machine.
type Happening struct {
	Refuse bool
	Stall  time.Duration
}

// Do is asked by a simulated machine before each operation of the helper.
func (p *Plan) Do(step, operation string) Happening {
	var h Happening
	if p == nil {
		return h
	}
	p.see(step + "/" + operation)
	kinds := p.reach(func(f *planned) bool { return f.Target == step+"/"+operation })
	p.fire(WithStep(context.Background(), step), kinds)
	for _, k := range kinds {
		switch k {
		case Refuse:
			h.Refuse = true
		case Stall:
			h.Stall += p.slowness()
		}
	}
	return h
}

// concerns tells whether a fault is one of this call's: it names the API, or
// the step and the kind is one of the step's main call.
func concerns(f Fault, step, api string) bool {
	if f.Target == api || f.Target == step+"/"+api {
		return true
	}
	if f.Target != step {
		return false
	}
	switch {
	case slices.Contains(ofCommand, f.Kind):
		return slices.Contains(mainCalls["freeze"], api)
	case slices.Contains(ofMain, f.Kind), slices.Contains(ofSet, f.Kind):
		return slices.Contains(mainCalls[step], api)
	case isHook(f.Kind) && step == "snapshot":
		return slices.Contains(mainCalls[step], api)
	}
	return false
}

// stepOf is the workflow's step behind a function's deployed name, which may
// carry a prefix: quiesce-run-prescript.
func stepOf(function string) string {
	for _, step := range allSteps {
		if function == step || strings.HasSuffix(function, "-"+step) {
			return step
		}
	}
	return function
}
