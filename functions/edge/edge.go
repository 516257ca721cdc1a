// Package edge is what stands around a step whatever runs it: time to answer
// before the function is killed, the fault's code as the error's type, and on
// one cloud room in the document that the answer goes into. The runtimes put
// their own envelope around it.
package edge

import (
	"context"
	"encoding/json"
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
)

// Edge is one function as a workflow calls it.
type Edge struct {
	step          step.Handler
	answer, words int // bytes that an answer and a failure may have; 0: any
}

// Lambda is the edge to Step Functions, which catches what is too large.
func Lambda(next step.Handler) Edge { return Edge{step: next} }

// Flow is the edge to CloudFlow, by the step's name.
func Flow(name string, next step.Handler) Edge {
	e := Edge{scheduled(next), maxAnswer, maxMessage}
	switch name {
	case "precheck":
		e.answer = maxPlan
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
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-margin))
		defer cancel()
	}
	out, err := e.step(ctx, payload)
	if err == nil && e.answer > 0 && len(out) > e.answer {
		err = fault.New(fault.Internal, "the step answers with %d bytes, of %d that a flow has room for", len(out), e.answer)
	}
	if err != nil {
		return nil, &Failed{Type: string(fault.CodeOf(err)), Message: shorten(err.Error(), e.words)}
	}
	return out, nil
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
