// Package runtimeapi hosts functions as Lambda does: the deployable binary in
// processes of its own over the four endpoints of the Runtime API, or handlers
// in this process for virtual time. Both look alike to the workflow.
package runtimeapi

import (
	"context"
	"encoding/json"
)

// Invoker runs a function by its name. A failed one is *Failed. When ctx ends
// the caller is let go with its error, but a function that runs already goes
// on to its own timeout, as it does in the cloud.
type Invoker interface {
	Invoke(ctx context.Context, function string, payload json.RawMessage) (json.RawMessage, error)
}

// Failed is a failed invocation as the workflow sees it: Type is what
// ErrorEquals matches, the whole document is the Cause.
type Failed struct {
	Type    string          `json:"errorType"`
	Message string          `json:"errorMessage"`
	Trace   json.RawMessage `json:"stackTrace,omitempty"`
}

// Error renders the type and the sentence.
func (f *Failed) Error() string { return f.Type + ": " + f.Message }

// Cause is the JSON document that a state machine gets as the error's cause.
func (f *Failed) Cause() string {
	doc, _ := json.Marshal(f)
	return string(doc)
}
