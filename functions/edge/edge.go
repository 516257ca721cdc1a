// Package edge is what stands around a step whatever runs it: time to answer
// before the function is killed, the fault's code as the error's type, and on
// one cloud room in the document that the answer goes into. The runtimes put
// their own envelope around it.
package edge

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/step"
)

// margin is kept to answer before the runtime kills the function: a killed one
// tells the workflow no code.
const margin = 500 * time.Millisecond

// A flow whose document grows past 64 KiB fails at once, past every Catch and
// past the thaw. Precheck bounds the plan, and these bound what is added to it:
// an answer of one step, and what a failure may say.
const (
	maxAnswer  = 12 << 10
	maxPlan    = 24 << 10
	maxMessage = 1 << 10

	maxReport = 1 << 20 // of what no flow is told; a function may answer with 32 MB
)

// Edge is one function as a workflow calls it.
type Edge struct {
	step          step.Handler
	answer, words int // bytes that an answer and a failure may have; 0: any
	settle        func(context.Context)
}

// Lambda is the edge to Step Functions, which catches what is too large.
func Lambda(next step.Handler) Edge { return Edge{step: next} }

// window are the steps whose answer the application waits for.
var window = []string{"run-prescript", "freeze", "snapshot"}

// settling is what is left for settle: nothing of it is worth the step's answer.
const settling = 3 * time.Second

// Flow is the edge to CloudFlow, by the step's name. What settle does is done
// once the step has come to its answer, and before that is given; of a step in
// the window it is whoever hosts the function who does it later.
func Flow(name string, next step.Handler, settle func(context.Context)) Edge {
	e := Edge{scheduled(next), maxAnswer, maxMessage, settle}
	if slices.Contains(window, name) {
		e.settle = nil
	}
	switch name {
	case "precheck", "restore-plan", "restore-report", "verify-report": // a report has the plan in it
		e.answer = maxPlan
	case "prune": // no flow has to hold what it answers
		e.step, e.answer = timed(e.step), maxReport
	case "verify-clean":
		e.step = swept(e.step)
	case "wake":
		e.step = completed(e.step)
	}
	return e
}

// Failed is how a step failed, in the workflow's words: the type is what a
// definition matches.
type Failed struct{ Type, Message string }

// Invoke calls the step; failed is nil where it has answered.
func (e Edge) Invoke(ctx context.Context, payload []byte) (out json.RawMessage, failed *Failed) {
	working := ctx
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		working, cancel = context.WithDeadline(ctx, deadline.Add(-margin))
		defer cancel()
	}
	out, err := e.step(working, payload)
	if e.settle != nil {
		e.settleIn(ctx)
	}
	if err == nil && e.answer > 0 && len(out) > e.answer {
		err = fault.New(fault.Internal, "the step answers with %d bytes, of %d that a flow has room for", len(out), e.answer)
	}
	if err != nil {
		return nil, &Failed{Type: string(fault.CodeOf(err)), Message: shorten(err.Error(), e.words)}
	}
	return out, nil
}

// settleIn does it within its own time, of which a step that took all there was
// has left little.
func (e Edge) settleIn(ctx context.Context) {
	until := time.Now().Add(settling)
	if deadline, ok := ctx.Deadline(); ok && deadline.Add(-margin/2).Before(until) {
		until = deadline.Add(-margin / 2)
	}
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	e.settle(ctx)
}

// shorten keeps the end too, where the step's times are.
func shorten(text string, most int) string {
	if most == 0 || len(text) <= most {
		return text
	}
	stamp := ""
	if at := strings.LastIndex(text, " ["); at > 0 && len(text)-at < 100 {
		text, stamp = text[:at], text[at:]
	}
	return strings.ToValidUTF8(text[:min(len(text), most-len(stamp)-len("…"))], "") + "…" + stamp
}
