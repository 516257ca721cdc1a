package asl

import (
	"encoding/json"
	"fmt"
	"slices"
)

// Error is a failure by its name, as ErrorEquals matches it.
type Error struct {
	Name  string
	Cause string
}

func (e *Error) Error() string {
	if e.Cause == "" {
		return e.Name
	}
	return e.Name + ": " + e.Cause
}

// Error names of the service itself.
const (
	All                    = "States.ALL"
	TaskFailed             = "States.TaskFailed"
	Timeout                = "States.Timeout"
	HeartbeatTimeout       = "States.HeartbeatTimeout"
	Permissions            = "States.Permissions"
	Runtime                = "States.Runtime"
	DataLimitExceeded      = "States.DataLimitExceeded"
	ResultPathMatchFailure = "States.ResultPathMatchFailure"
	ParameterPathFailure   = "States.ParameterPathFailure"
	NoChoiceMatched        = "States.NoChoiceMatched"
	IntrinsicFailure       = "States.IntrinsicFailure"
	BranchFailed           = "States.BranchFailed"
)

// LambdaError is the failure of a function by its error payload, as the
// runtime posts it: the type names it, the whole payload is the cause.
func LambdaError(payload []byte) *Error {
	var p struct {
		ErrorType string `json:"errorType"`
	}
	if json.Unmarshal(payload, &p) != nil || p.ErrorType == "" {
		p.ErrorType = "Lambda.Unknown"
	}
	return &Error{p.ErrorType, string(payload)}
}

func runtimeError(format string, args ...any) *Error {
	return &Error{Runtime, fmt.Sprintf(format, args...)}
}

// matches tells whether a retrier or catcher of these names takes the error.
// States.Runtime is taken by none, States.DataLimitExceeded by name alone.
func matches(names []string, name string) bool {
	if name == Runtime {
		return false
	}
	if slices.Contains(names, name) {
		return true
	}
	if name == DataLimitExceeded {
		return false
	}
	timeout := name == Timeout || name == HeartbeatTimeout
	for _, n := range names {
		if n == All || n == TaskFailed && !timeout || n == Timeout && timeout {
			return true
		}
	}
	return false
}

// Status is how an execution ended that did not succeed.
type Status string

// Statuses, as the service spells them.
const (
	Failed   Status = "FAILED"
	TimedOut Status = "TIMED_OUT"
	Aborted  Status = "ABORTED"
)

// Failure is the error of an execution.
type Failure struct {
	Status Status
	Name   string
	Cause  string
}

func (f *Failure) Error() string {
	return fmt.Sprintf("execution %s: %v", f.Status, &Error{f.Name, f.Cause})
}
