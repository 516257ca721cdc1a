package workflow

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/quiesce/quiesce/events"
	"github.com/quiesce/quiesce/functions/pollstatus"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/run"
	"github.com/quiesce/quiesce/shared/step"
	"github.com/quiesce/quiesce/workflow/asl"
	"github.com/quiesce/quiesce/workflow/contract"
)

func rules() contract.Rules {
	r := contract.Rules{
		Integrations: []string{"arn:aws:states:::events:putEvents"},
		Document:     reflect.TypeFor[run.State](),
		Raw:          []string{"request"},
		Quiescing:    "RunPrescript",
		Window:       []string{"Freeze", "Snapshot", "Thaw"},
		Undone:       []string{"MakeShadows", "SnapshotShadows"},
		Undoes:       "DropShadows",
		Deadline:     5 * time.Second,
		Shortest:     pollstatus.Shortest,
	}
	for _, c := range fault.Codes() {
		r.Codes = append(r.Codes, string(c))
	}
	for _, f := range SnapshotFunctions() {
		r.Functions = append(r.Functions, contract.Function{Step: f.Step, Resource: "${" + f.Arn + "}", Timeout: f.Timeout})
	}
	return r
}

func TestSnapshotKeepsItsContract(t *testing.T) {
	m, err := asl.Parse([]byte(Snapshot()), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range contract.Check(m, rules()) {
		t.Error(f)
	}
}

// Every check is shown to be able to fail.
func TestContractFindsPlantedDefects(t *testing.T) {
	type edit = func(states map[string]any)
	set := func(value any, at ...string) edit {
		return func(states map[string]any) {
			object := states
			for _, name := range at[:len(at)-1] {
				switch next := object[name].(type) {
				case map[string]any:
					object = next
				case []any:
					object = next[0].(map[string]any)
				}
			}
			if last := at[len(at)-1]; value == nil {
				delete(object, last)
			} else {
				object[last] = value
			}
		}
	}
	entry := func(errors ...any) map[string]any {
		return map[string]any{"ErrorEquals": errors, "Next": "Tag", "ResultPath": "$.failures.freeze", "Comment": "x"}
	}
	for _, c := range []struct {
		name string
		edit edit
		want string // a finding, or the parser's refusal, contains it
	}{
		{"a task calls what is no step", set("${SomeFunctionArn}", "Freeze", "Resource"), `functions: state "Freeze": calls ${SomeFunctionArn}`},
		{"a step is never called", set("${ThawFunctionArn}", "Freeze", "Resource"), `functions: state "": no state calls freeze`},
		{"a retry of a misspelt code", set([]any{"Throtled"}, "Precheck", "Retry", "ErrorEquals"), `names "Throtled", which nobody returns`},
		{"a catch of what is never caught", set([]any{"States.Runtime", "States.DataLimitExceeded"}, "Freeze", "Catch", "ErrorEquals"), "States.Runtime, which is neither"},
		{"an error in two retriers", set([]any{"Internal", "Throttled"}, "Freeze", "Retry", "ErrorEquals"), "retries Internal twice"},
		{"a retry without a reason", set(nil, "Tag", "Retry", "Comment"), "does not say why a retry"},
		{"States.ALL not last", set([]any{entry("States.ALL"), entry("States.DataLimitExceeded")}, "Freeze", "Catch"), "States.ALL stands neither alone"},
		{"States.ALL not alone", set([]any{entry("States.ALL", "States.DataLimitExceeded")}, "Freeze", "Catch"), "States.ALL stands neither alone"},
		{"a fault that nothing catches", set([]any{entry("States.DataLimitExceeded")}, "Snapshot", "Catch"), `catch: state "Snapshot": does not catch States.ALL`},
		{"too large a result that nothing catches", set([]any{entry("States.ALL")}, "Snapshot", "Catch"), `catch: state "Snapshot": does not catch States.DataLimitExceeded`},
		{"no timeout", set(nil, "Thaw", "TimeoutSeconds"), `timeout: state "Thaw": has no`},
		{"a timeout shorter than the function's", set(900, "Thaw", "TimeoutSeconds"), `timeout: state "Thaw": gives up`},
		{"a catch that forgets the thaw", set("Tag", "Snapshot", "Catch", "Next"), `thaw: state "RunPrescript": ends without Thaw: RunPrescript > Freeze > Snapshot > Tag`},
		{"a choice that forgets the thaw", set("Tag", "GoOnUnfrozen", "Default"), `thaw: state "RunPrescript": ends without Thaw`},
		{"a freeze after the thaw", set("Freeze", "SetTaken", "Default"), `thaw: state "Thaw": leads back: Thaw > SetTaken > Freeze`},
		{"a freeze without a session", set("Freeze", "Precheck", "Catch", "Next"), `thaw: state "RunPrescript": is passed by`},
		{"a state that nothing leads to", set(map[string]any{"Type": "Succeed"}, "Orphan"), `state "Orphan": cannot be reached`},
		{"a state that does not exist", set("Nowhere", "Thaw", "Next"), `leads to no state of its machine: "Nowhere"`},
		{"a loop without a wait", func(states map[string]any) {
			set(map[string]any{"Type": "Pass", "Next": "PollStatus"}, "Wait")(states)
			delete(states, "WaitOut")
		}, `loop: state "PollStatus": runs without a Wait`},
		{"a wait whose failure polls at once", func(states map[string]any) {
			hasty, all := entry("States.DataLimitExceeded"), entry("States.ALL")
			hasty["Next"], all["Next"] = "PollStatus", "WaitOut"
			set([]any{hasty, all}, "Wait", "Catch")(states)
		}, `loop: state "Wait": runs without a Wait: Wait > PollStatus > Complete > Wait`},
		{"a wait that nobody can end", set(map[string]any{"plan.$": "$.plan"}, "Wait", "Parameters", "Payload"), `timeout: state "Wait": waits for an answer and tells nobody its token`},
		{"a wait for no step", set("${SomeFunctionArn}", "Wait", "Parameters", "FunctionName"), `functions: state "Wait": calls ${SomeFunctionArn}, which is no step`},
		{"a wait without end", set(nil, "Wait", "TimeoutSecondsPath"), `timeout: state "Wait": has no`},
		{"a loop without an exit", func(states map[string]any) {
			set("Wait", "Complete", "Default")(states)
			set([]any{entry("States.DataLimitExceeded")}, "PollStatus", "Catch")(states)
			set("Wait", "PollStatus", "Catch", "Next")(states)
		}, `loop: state "Wait": is in a loop that no Choice leaves`},
		{"a choice without default", set(nil, "Complete", "Default"), `choice: state "Complete": has no Default`},
		{"a state inside the window", func(states map[string]any) {
			set("Look", "Freeze", "Next")(states)
			set(map[string]any{"Type": "Pass", "Next": "Snapshot"}, "Look")(states)
		}, `window: state "Freeze": is followed by Look`},
		{"retries that outlast the deadline", set(5, "Snapshot", "Retry", "MaxAttempts"), `window: state "Snapshot": its retries may wait 6s`},
		{"a field that the first state forgets", set(nil, "Open", "Parameters", "failures", "thaw"), `document: state "Open": does not write $.failures.thaw`},
		{"a read of what was typed", set("$.instanceId", "Open", "Parameters", "request.$"), `document: state "Open": Parameters reads $.instanceId of whatever was typed`},
		{"a read below what was typed", set("$.request.instanceId", "Precheck", "Parameters", "request.$"), "$.request is whatever was typed"},
		{"a field that does not exist", set("$.plan.polciy.onFailure", "GoOnUnfrozen", "Choices", "Variable"), "$.plan has no field polciy"},
		{"a field that may be left out", set("$.plan.boot", "Snapshot", "Parameters", "freeze.$"), "$.plan.boot is left out when it is empty"},
		{"a field that may be null", set("$.freeze.hold", "Snapshot", "Parameters", "freeze.$"), "$.freeze may be null here"},
		{"a plan that may not be", set("$.plan.target", "Tag", "Parameters", "plan.$"), "$.plan may be null here"},
		{"an item that may not be", set("$.plan.volumes[0]", "Snapshot", "Parameters", "freeze.$"), "$.plan.volumes may be empty"},
		{"a result in a field that does not exist", set("$.snapshots", "Snapshot", "ResultPath"), "$ has no field snapshots"},
		{"an indefinite path", set("$..mount", "Freeze", "Parameters", "plan.$"), "which may find anything"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var doc map[string]any
			if err := json.Unmarshal([]byte(Snapshot()), &doc); err != nil {
				t.Fatal(err)
			}
			c.edit(doc["States"].(map[string]any))
			text, err := json.Marshal(doc)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			m, err := asl.Parse(text, nil)
			if err != nil {
				got = append(got, err.Error())
			} else {
				for _, f := range contract.Check(m, rules()) {
					got = append(got, f.String())
				}
			}
			if all := strings.Join(got, "\n"); !strings.Contains(all, c.want) {
				t.Errorf("got\n%s\nwant a finding with %q", all, c.want)
			}
		})
	}
}

// The one event that the state machine writes by itself has the fields of
// those that the tag step publishes, no more.
func TestFailureEventHasTheOutcomesFields(t *testing.T) {
	m, err := asl.Parse([]byte(Snapshot()), nil)
	if err != nil {
		t.Fatal(err)
	}
	if !m.States["PublishFailure"].Parameters.Has("Entries") {
		t.Fatal("no entries")
	}
	var doc struct {
		States map[string]struct {
			Parameters struct {
				Entries []struct {
					Source, DetailType string
					Detail             map[string]any
				}
			}
		}
	}
	if err := json.Unmarshal([]byte(Snapshot()), &doc); err != nil {
		t.Fatal(err)
	}
	entry := doc.States["PublishFailure"].Parameters.Entries[0]
	if entry.Source != events.Source || entry.DetailType != events.TypeFailed {
		t.Errorf("got %s, %s", entry.Source, entry.DetailType)
	}
	plain := map[string]any{}
	for name, v := range entry.Detail {
		plain[strings.TrimSuffix(name, ".$")] = v
	}
	text, err := json.Marshal(plain)
	if err != nil {
		t.Fatal(err)
	}
	var detail events.Outcome
	if err := step.Decode(text, &detail); err != nil {
		t.Error(err)
	}
	whole, err := json.Marshal(events.Outcome{})
	if err != nil {
		t.Fatal(err)
	}
	var required map[string]any
	if err := json.Unmarshal(whole, &required); err != nil {
		t.Fatal(err)
	}
	for name := range required {
		if _, ok := plain[name]; !ok {
			t.Errorf("the event lacks %s", name)
		}
	}
}
