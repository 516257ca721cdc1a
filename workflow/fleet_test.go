package workflow

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quiesce/quiesce/functions/pollstatus"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/run"
	"github.com/quiesce/quiesce/workflow/asl"
	"github.com/quiesce/quiesce/workflow/contract"
)

func rulesOf(functions []Function, r contract.Rules) contract.Rules {
	r.Raw = []string{"request"}
	for _, c := range fault.Codes() {
		r.Codes = append(r.Codes, string(c))
	}
	for _, f := range functions {
		r.Functions = append(r.Functions, contract.Function{Step: f.Step, Resource: "${" + f.Arn + "}", Timeout: f.Timeout})
	}
	return r
}

func fleetRules() contract.Rules {
	return rulesOf(FleetFunctions(), contract.Rules{
		Integrations: []string{"arn:aws:states:::states:startExecution.sync:2"},
		Document:     reflect.TypeFor[run.Fleet](),
		Items:        map[string]reflect.Type{"RunEach": reflect.TypeFor[run.FleetItem]()},
	})
}

func groupRules() contract.Rules {
	member := reflect.TypeFor[run.GroupMember]()
	r := rulesOf(GroupFunctions(), contract.Rules{
		Document:  reflect.TypeFor[run.Group](),
		Items:     map[string]reflect.Type{},
		Quiescing: "PrescriptAll",
		Window:    []string{"FreezeAll", "SnapshotAll", "ThawAll"},
		Between:   []string{"WeighFreeze", "GoOnToSnapshot"},
		Lists:     []string{"$.group.members[*].broken"},
		Deadline:  5 * time.Second,
		Shortest:  pollstatus.Shortest,
	})
	for _, name := range []string{"PrecheckAll", "PrescriptAll", "FreezeAll", "SnapshotAll", "ThawAll", "FinishAll"} {
		r.Items[name] = member
	}
	return r
}

func TestFleetAndGroupKeepTheirContracts(t *testing.T) {
	for name, c := range map[string]struct {
		definition string
		rules      contract.Rules
	}{"fleet": {Fleet(), fleetRules()}, "group": {Group(), groupRules()}} {
		m, err := asl.Parse([]byte(c.definition), nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range contract.Check(m, c.rules) {
			t.Errorf("%s: %v", name, f)
		}
	}
}

// What the contract sees in branches is shown to be seen.
func TestContractFindsPlantedDefectsInBranches(t *testing.T) {
	const decision = `"StringEquals": "fail" } ], "Next": "ThawAll" }
      ],
      "Default": "SnapshotAll"`
	for _, c := range []struct{ name, old, replaced, want string }{
		{"an iteration that fails", `"Unfrozen": { "Type": "Pass", "Result": "yes", "ResultPath": "$.broken", "End": true }`, `"Unfrozen": { "Type": "Fail" }`, "would stop the other iterations of FreezeAll"},
		{"a phase that is not caught", `"$.failures.snapshot", "Next": "ThawAll" },`, `"$.failures.snapshot", "Next": "Report" },`, "ends without ThawAll"},
		{"a decision that forgets the thaw", decision, strings.Replace(decision, "ThawAll", "FinishAll", 1), "ends without ThawAll"},
		{"a field that no member has", `"freeze.$": "$.freeze", "attempt.$"`, `"freeze.$": "$.frost", "attempt.$"`, "has no field frost"},
		{"a field that may be null", `"Parameters": { "plan.$": "$.plan" },`, `"Parameters": { "plan.$": "$.plan.policy" },`, "$.plan may be null here"},
		{"retries that outlast the deadline", `"IntervalSeconds": 1, "BackoffRate": 1, "MaxAttempts": 3`, `"IntervalSeconds": 3, "BackoffRate": 1, "MaxAttempts": 3`, "its retries may wait"},
		{"a task that nothing catches", `{ "ErrorEquals": ["States.ALL"], "ResultPath": "$.failures.freeze", "Next": "Unfrozen" }`, `{ "ErrorEquals": ["Throttled"], "ResultPath": "$.failures.freeze", "Next": "Unfrozen" }`, "does not catch States.ALL"},
		{"a set that is the exception", decision, strings.NewReplacer("ThawAll", "SnapshotAll", "SnapshotAll", "ThawAll").Replace(decision), "is followed by ThawAll"},
	} {
		if !strings.Contains(Group(), c.old) {
			t.Errorf("%s: the definition has no %s", c.name, c.old)
			continue
		}
		var got []string
		m, err := asl.Parse([]byte(strings.Replace(Group(), c.old, c.replaced, 1)), nil)
		if err != nil {
			got = append(got, err.Error())
		} else {
			for _, f := range contract.Check(m, groupRules()) {
				got = append(got, f.String())
			}
		}
		if all := strings.Join(got, "\n"); !strings.Contains(all, c.want) {
			t.Errorf("%s: got\n%s\nwant a finding with %q", c.name, all, c.want)
		}
	}
}

// The members' sessions are opened and closed by the very tasks of a run: same
// function, same input, so that no step knows whether it serves a group.
func TestGroupCallsTheStepsAsARunDoes(t *testing.T) {
	type tasks = map[string][]map[string]any
	var collect func(v any, into tasks)
	collect = func(v any, into tasks) {
		object, _ := v.(map[string]any)
		if object["Type"] == "Task" {
			parameters, _ := object["Parameters"].(map[string]any)
			called := object["Resource"].(string)
			if name, ok := parameters["FunctionName"].(string); ok {
				called = name
			}
			if called == "${TagFunctionArn}" {
				delete(parameters, "plugin.$") // another's tool serves no group
			}
			into[called] = append(into[called], parameters)
		}
		for _, member := range object {
			collect(member, into)
		}
	}
	run, group := tasks{}, tasks{}
	for text, into := range map[string]tasks{Snapshot(): run, Group(): group} {
		var doc any
		if err := json.Unmarshal([]byte(text), &doc); err != nil {
			t.Fatal(err)
		}
		collect(doc, into)
	}
	for _, f := range Functions() {
		resource := "${" + f.Arn + "}"
		if len(group[resource]) == 0 {
			t.Errorf("%s: no group calls it", f.Step)
		}
		for _, given := range group[resource] {
			if !slices.ContainsFunc(run[resource], func(by map[string]any) bool { return reflect.DeepEqual(by, given) }) {
				t.Errorf("%s: a group gives it %v, a run %v", f.Step, given, run[resource])
			}
		}
	}
}
