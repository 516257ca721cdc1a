package main

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/quiesce/quiesce/functions/restorereport"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/step"
)

// reported returns what restore-report is given for a payload.
func reported(t *testing.T, payload string) (in restorereport.Input, called bool, err error) {
	t.Helper()
	_, err = unreported(step.New("restore-report", func(_ context.Context, got restorereport.Input) (any, error) {
		in, called = got, true
		return nil, nil
	}))(t.Context(), json.RawMessage(payload))
	return in, called, err
}

func TestUnreportedReadsTheEvent(t *testing.T) {
	in, _, err := reported(t, `{"detail-type":"Step Functions Execution Status Change","detail":{"name":"restore-1","status":"ABORTED","startDate":1793584800123,
		"error":"Why","cause":"stopped by an operator","input":"{\"runId\":\"run-1\",\"mode\":\"in-place\"}"}}`)
	if err != nil {
		t.Fatal(err)
	}
	if in.Run.ID != "restore-1" || !in.Run.StartedAt.Equal(time.UnixMilli(1793584800123)) || in.Plan != nil || !strings.Contains(string(in.Request), `"run-1"`) {
		t.Errorf("got %+v", in)
	}
	if got, want := *in.Ended, (restorereport.Ended{Status: "ABORTED", Error: "Why", Cause: "stopped by an operator"}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// What the service leaves out for its size, or nobody can read, keeps nobody
// from looking at what carries the execution's name.
func TestUnreportedWithoutAnInput(t *testing.T) {
	for _, input := range []string{`null`, `"no JSON"`} {
		in, called, err := reported(t, `{"detail-type":"Step Functions Execution Status Change","detail":{"name":"restore-1","status":"TIMED_OUT","input":`+input+`}}`)
		if err != nil || !called || in.Run.ID != "restore-1" || in.Ended == nil || in.Ended.Status != "TIMED_OUT" {
			t.Errorf("%s: got %+v, called %t, %v", input, in, called, err)
		}
	}
}

func TestUnreportedLeavesTheStepsOwnInputAlone(t *testing.T) {
	in, called, err := reported(t, `{"run":{"id":"r1"},"plan":null,"failures":{}}`)
	if err != nil || !called || in.Run.ID != "r1" || in.Ended != nil {
		t.Errorf("got %+v, called %t, %v", in, called, err)
	}
	if _, called, err := reported(t, `{"nonsense":1}`); called || fault.CodeOf(err) != fault.InvalidInput {
		t.Errorf("nonsense: called %t, %v", called, err)
	}
}
