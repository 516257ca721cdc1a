package main

import (
	"context"
	"encoding/json"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/quiesce/quiesce/functions/thaw"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/step"
)

// given returns what a step behind the janitor is given for a payload.
func given(t *testing.T, payload string) (in thaw.Input, called bool, err error) {
	t.Helper()
	_, err = janitor(step.New("thaw", func(_ context.Context, got thaw.Input) (any, error) {
		in, called = got, true
		return nil, nil
	}))(t.Context(), json.RawMessage(payload))
	return in, called, err
}

func TestJanitorReadsTheEvent(t *testing.T) {
	event, err := os.ReadFile("../../events/invoke/thaw-janitor.json")
	if err != nil {
		t.Fatal(err)
	}
	in, _, err := given(t, string(event))
	if err != nil {
		t.Fatal(err)
	}
	if in.Run.ID != "nightly-2026-11-02T0200" || in.Plan != nil {
		t.Errorf("got run %q, plan %v", in.Run.ID, in.Plan)
	}
	if got := in.Request.Read(); got.InstanceID != "i-0abc12345678def90" || got.Policy.Name != "nightly" {
		t.Errorf("got request %s", in.Request)
	}
}

func TestJanitorLeavesTheStepsOwnInputAlone(t *testing.T) {
	in, called, err := given(t, `{"run":{"id":"r1"},"plan":null}`)
	if err != nil || !called || in.Run.ID != "r1" {
		t.Errorf("got %+v, called %t, %v", in, called, err)
	}
	if _, called, err := given(t, `{"nonsense":1}`); called || fault.CodeOf(err) != fault.InvalidInput {
		t.Errorf("nonsense: called %t, %v", called, err)
	}
}

// An input of more than 248 KiB is left out of the event.
func TestJanitorSaysWhatItDoesNotKnow(t *testing.T) {
	_, called, err := given(t, `{"detail-type":"Step Functions Execution Status Change","detail":{"name":"r1","input":null}}`)
	if called || fault.CodeOf(err) != fault.InvalidInput || !strings.Contains(err.Error(), "r1") {
		t.Errorf("called %t, %v", called, err)
	}
}

// A group's members were held side by side, hence they are let go so; one that
// cannot be reached does not keep the others.
func TestJanitorThawsEveryMemberOfAGroup(t *testing.T) {
	const input = `{"policy":{"name":"cluster"},"members":[{"instanceId":"i-1","runId":"r-1"},{"instanceId":"i-2","runId":"r-2"}],"budgetSeconds":30}`
	event, err := json.Marshal(map[string]any{
		"detail-type": "Step Functions Execution Status Change",
		"detail":      map[string]any{"name": "group-1", "status": "TIMED_OUT", "input": input},
	})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	thawed := map[string]string{}
	handler := janitor(step.New("thaw", func(_ context.Context, in thaw.Input) (any, error) {
		mu.Lock()
		defer mu.Unlock()
		request := in.Request.Read()
		thawed[in.Run.ID] = request.InstanceID + " " + request.Policy.Name + " " + in.Ended.Status
		if in.Run.ID == "r-1" {
			return nil, fault.New(fault.AgentOffline, "silent")
		}
		return nil, nil
	}))
	_, err = handler(t.Context(), event)
	if fault.CodeOf(err) != fault.AgentOffline {
		t.Errorf("got %v: the event must be tried again", err)
	}
	if thawed["r-1"] != "i-1 cluster TIMED_OUT" || thawed["r-2"] != "i-2 cluster TIMED_OUT" || len(thawed) != 2 {
		t.Errorf("got %v", thawed)
	}
}
