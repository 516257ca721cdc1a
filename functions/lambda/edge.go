package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/aws/aws-lambda-go/lambda/messages"

	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/step"
)

// edge is where faults become what Lambda and Step Functions call an error.
type edge struct{ step step.Handler }

// margin is kept to answer before Lambda kills the function: a killed one
// tells the state machine no code.
const margin = 500 * time.Millisecond

// Invoke names the error's type itself: aws-lambda-go would take the name of
// the Go type, which no ErrorEquals matches.
func (e edge) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-margin))
		defer cancel()
	}
	out, err := e.step(ctx, payload)
	if err != nil {
		return nil, messages.InvokeResponse_Error{Type: string(fault.CodeOf(err)), Message: err.Error()}
	}
	return out, nil
}

// refuse tells Lambda why the function cannot start, so that its caller reads
// more than an exit code. Where that fails the log has it.
func refuse(ctx context.Context, api string, why error) {
	if api == "" {
		return
	}
	body, err := json.Marshal(messages.InvokeResponse_Error{Type: "Runtime.InvalidConfiguration", Message: why.Error()})
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+api+"/2018-06-01/runtime/init/error", bytes.NewReader(body))
	if err != nil {
		return
	}
	request.Header.Set("Lambda-Runtime-Function-Error-Type", "Runtime.InvalidConfiguration")
	if response, err := http.DefaultClient.Do(request); err == nil {
		_ = response.Body.Close()
	}
}
