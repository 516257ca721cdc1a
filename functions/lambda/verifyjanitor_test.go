package main

import (
	"context"
	"encoding/json"
	"os"
	"testing"

	"github.com/quiesce/quiesce/functions/verifyclean"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/step"
	"github.com/quiesce/quiesce/shared/verify"
)

func cleaned(t *testing.T, payload []byte) (in verifyclean.Input, called bool, err error) {
	t.Helper()
	_, err = testJanitor(step.New("verify-clean", func(_ context.Context, got verifyclean.Input) (any, error) {
		in, called = got, true
		return nil, nil
	}))(t.Context(), json.RawMessage(payload))
	return in, called, err
}

func TestTestJanitorReadsTheEvent(t *testing.T) {
	event, err := os.ReadFile("../../events/invoke/verify-clean-janitor.json")
	if err != nil {
		t.Fatal(err)
	}
	in, _, err := cleaned(t, event)
	if err != nil {
		t.Fatal(err)
	}
	if asked := verify.Read(in.Request); in.Run.ID != "verify-2026-11-03" || in.Ended == nil || in.Ended.Status != "ABORTED" || asked.Policy.Name != "nightly" {
		t.Errorf("got %+v, %+v", in, asked)
	}
}

// The step's own input passes, nonsense is refused, and an event without its
// input still says whose copies go.
func TestTestJanitorAndOtherInputs(t *testing.T) {
	if in, called, err := cleaned(t, []byte(`{"run":{"id":"t"},"created":null,"before":null}`)); err != nil || !called || in.Ended != nil || in.Run.ID != "t" {
		t.Errorf("got %+v, %v", in, err)
	}
	if _, called, err := cleaned(t, []byte(`{"nonsense":1}`)); called || fault.CodeOf(err) != fault.InvalidInput {
		t.Errorf("nonsense: called %t, %v", called, err)
	}
	in, called, err := cleaned(t, []byte(`{"detail-type":"Step Functions Execution Status Change","detail":{"name":"t","status":"TIMED_OUT","input":null}}`))
	if err != nil || !called || in.Run.ID != "t" || in.Ended.Status != "TIMED_OUT" || verify.Read(in.Request).Policy.Name != "default" {
		t.Errorf("got %+v, %v", in, err)
	}
}
