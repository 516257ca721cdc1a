package main

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/aliyun/fc-runtime-go-sdk/fc/messages"

	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/step"
)

// edge is where faults become what Function Compute and CloudFlow call an
// error.
type edge struct {
	step step.Handler
	most int // bytes that an answer may have
}

// margin is kept to answer before Function Compute kills the function: a killed
// one tells the flow no code.
const margin = 500 * time.Millisecond

// A flow whose document grows past 64 KiB fails at once, past every Catch and
// past the thaw. Precheck bounds the plan, and these bound what is added to it:
// an answer of one step, and what a failure may say.
const (
	maxAnswer  = 12 << 10
	maxPlan    = 24 << 10
	maxMessage = 1 << 10
)

// Invoke names the error's type itself: the runtime's library would take the
// name of the Go type, which no Errors of a flow matches.
func (e edge) Invoke(ctx context.Context, payload []byte) (json.RawMessage, error) {
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-margin))
		defer cancel()
	}
	out, err := e.step(ctx, payload)
	if err == nil && len(out) > e.most {
		err = fault.New(fault.Internal, "the step answers with %d bytes, of %d that a flow has room for", len(out), e.most)
	}
	if err != nil {
		return nil, messages.InvokeResponse_Error{Type: string(fault.CodeOf(err)), Message: shorten(err.Error())}
	}
	return out, nil
}

// shorten keeps the end too, where the step's times are.
func shorten(text string) string {
	if len(text) <= maxMessage {
		return text
	}
	stamp := ""
	if at := strings.LastIndex(text, " ["); at > 0 && len(text)-at < 100 {
		text, stamp = text[:at], text[at:]
	}
	return strings.ToValidUTF8(text[:min(len(text), maxMessage-len(stamp)-len("…"))], "") + "…" + stamp
}
