// Package step turns a typed function into the handler that every runtime
// accepts, and times it.
package step

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"runtime/debug"
	"strings"
	"time"

	"github.com/quiesce/quiesce/shared/fault"
)

// Handler is the seam to the runtimes. Its errors are faults whose message
// ends in the step's stamp.
type Handler func(context.Context, json.RawMessage) (json.RawMessage, error)

// Checked is an input that knows what it lacks, by field.
type Checked interface{ Check() error }

// New makes a handler of a typed function. Input is decoded strictly, and asked
// if it is Checked: an unknown or a missing field is refused before anything is
// touched. A panic becomes Internal, so that the state machine sees a code and
// thaws.
func New[I, O any](name string, do func(context.Context, I) (O, error)) Handler {
	return handler(name, Decode, do)
}

// Listener makes a handler of a function that events start. Input is decoded
// loosely: what others publish may hold more than is known here.
func Listener[I, O any](name string, do func(context.Context, I) (O, error)) Handler {
	return handler(name, func(data []byte, into any) error {
		if err := json.Unmarshal(data, into); err != nil {
			return refused(err)
		}
		return nil
	}, do)
}

func handler[I, O any](name string, decode func([]byte, any) error, do func(context.Context, I) (O, error)) Handler {
	return func(ctx context.Context, payload json.RawMessage) (out json.RawMessage, err error) {
		started := time.Now()
		defer func() {
			if p := recover(); p != nil {
				err = fault.New(fault.Internal, "%s panicked: %v\n%s", name, p, debug.Stack())
			}
			if err != nil {
				err = stamp(err, name, started, time.Now())
			}
		}()
		var in I
		if err := decode(payload, &in); err != nil {
			return nil, err
		}
		if c, ok := any(in).(Checked); ok {
			if err := c.Check(); err != nil {
				return nil, err
			}
		}
		result, err := do(ctx, in)
		if err != nil {
			return nil, err
		}
		return json.Marshal(result)
	}
}

// Decode reads one JSON document strictly; what is wrong with it is
// InvalidInput with the field's name.
func Decode(data []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return refused(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fault.Input("input", "more than one JSON document")
	}
	return nil
}

var unknownField = regexp.MustCompile(`^json: unknown field "(.*)"$`)

func refused(err error) error {
	var wrong *json.UnmarshalTypeError
	switch {
	case errors.As(err, &wrong):
		return fault.Input(wrong.Field, "wants %s, got %s", kind(wrong.Type), wrong.Value)
	case unknownField.MatchString(err.Error()):
		return fault.Input(unknownField.FindStringSubmatch(err.Error())[1], "unknown field")
	}
	return fault.Input("input", "is not JSON: %v", err)
}

func kind(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Struct, reflect.Map:
		return "an object"
	case reflect.Slice:
		return "a list"
	case reflect.Int, reflect.Int32, reflect.Int64, reflect.Float64:
		return "a number"
	}
	return "a " + t.Kind().String()
}

// A failing step cannot hand its times to the next state but in its message.
const layout = "2006-01-02T15:04:05.000Z"

var stamped = regexp.MustCompile(`^(?s)(.*) \[([a-z-]+) (\S+Z) \+(\S+)\]$`)

// longest bounds a failure's sentence, because a Catch must find room for it in
// the execution's document.
const longest = 4 << 10

func stamp(err error, name string, started, ended time.Time) error {
	text := err.Error()
	if len(text) > longest {
		text = strings.ToValidUTF8(text[:longest], "") + "…"
	}
	return &fault.Error{
		Code:    fault.CodeOf(err),
		Message: fmt.Sprintf("%s [%s %s +%s]", text, name, started.UTC().Format(layout), ended.Sub(started).Round(time.Millisecond)),
	}
}

// Unstamp splits a failed step's message into the sentence, the step and its
// times; ok is false for a message that no step stamped.
func Unstamp(message string) (sentence, name string, started, ended time.Time, ok bool) {
	m := stamped.FindStringSubmatch(message)
	if m == nil {
		return message, "", time.Time{}, time.Time{}, false
	}
	started, err := time.Parse(layout, m[3])
	took, err2 := time.ParseDuration(m[4])
	if err != nil || err2 != nil {
		return message, "", time.Time{}, time.Time{}, false
	}
	return m[1], m[2], started, started.Add(took), true
}

// Explain reads a caught failure's sentence and times out of its cause, the
// JSON document of a function that failed, or plain text from the service. A
// failure without any sentence is explained by its error's name.
func Explain(name, cause string) (sentence string, started, ended time.Time) {
	var doc struct {
		Message string `json:"errorMessage"`
	}
	if err := json.Unmarshal([]byte(cause), &doc); err == nil && doc.Message != "" {
		cause = doc.Message
	}
	sentence, _, started, ended, _ = Unstamp(cause)
	if sentence == "" {
		sentence = name
	}
	return sentence, started, ended
}
