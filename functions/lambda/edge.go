package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/aws/aws-lambda-go/lambda/messages"

	"github.com/quiesce/quiesce/functions/edge"
)

// handler is a step as Lambda's library takes one.
type handler struct{ edge.Edge }

// Invoke names the error's type itself: aws-lambda-go would take the name of
// the Go type, which no ErrorEquals matches.
func (h handler) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	out, failed := h.Edge.Invoke(ctx, payload)
	if failed != nil {
		return nil, messages.InvokeResponse_Error{Type: failed.Type, Message: failed.Message}
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
