// Package fault holds the closed set of codes with which a run can fail, each
// with the operator's next move, so that workflows act on codes and people on
// sentences, and nobody on the text of an error.
package fault

import (
	"errors"
	"fmt"
)

// Code names one way to fail. It is the error type that ErrorEquals matches.
type Code string

// Error is a failure with its code. Field names the offending input, if any.
type Error struct {
	Code    Code
	Field   string
	Message string
	Cause   error
}

// New makes a fault with a formatted message.
func New(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Wrap gives err a code and says what was being done; nil stays nil.
func Wrap(code Code, err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return &Error{Code: code, Message: fmt.Sprintf(format, args...), Cause: err}
}

// Input refuses one field of a caller's input.
func Input(field, format string, args ...any) *Error {
	return &Error{Code: InvalidInput, Field: field, Message: fmt.Sprintf(format, args...)}
}

// Error renders what failed, in which field and because of what.
func (e *Error) Error() string {
	s := e.Message
	if e.Field != "" {
		s = e.Field + ": " + s
	}
	if e.Cause != nil {
		s += ": " + e.Cause.Error()
	}
	return s
}

// Unwrap returns what caused the fault.
func (e *Error) Unwrap() error { return e.Cause }

// Is matches two faults by code, so that errors.Is(err, fault.New(code, ""))
// asks what errors.Is is for.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code && t.Message == ""
}

// CodeOf returns the code of the outermost fault in err's chain: Internal for
// an error that nobody translated, "" for nil.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	var f *Error
	if errors.As(err, &f) {
		return f.Code
	}
	return Internal
}

// Retryable reports whether the same call may succeed if it is made again
// after a while; an unknown code is not.
func (c Code) Retryable() bool { return table[c].retryable }

// NextMove tells the operator what to do about the code.
func (c Code) NextMove() string { return table[c].next }

// Known reports whether the code belongs to the closed set.
func (c Code) Known() bool { _, ok := table[c]; return ok }
