package engine

import (
	"encoding/json"

	"github.com/quiesce/quiesce/workflow/asl"
)

// Refusals of an answer to a task, each by the service's own name.
var (
	ErrToken    = asl.ErrToken
	ErrNoTask   = asl.ErrNoTask
	ErrTaskOver = asl.ErrTaskOver
	ErrOutput   = asl.ErrOutput
)

// Succeed ends the task that waits for the token with a result.
func (e *Engine) Succeed(token string, output json.RawMessage) error {
	return e.callbacks.Succeed(token, output)
}

// Fail ends the task that waits for the token with an error.
func (e *Engine) Fail(token, name, cause string) error { return e.callbacks.Fail(token, name, cause) }

// Beat tells the task that waits for the token that its work goes on.
func (e *Engine) Beat(token string) error { return e.callbacks.Beat(token) }
