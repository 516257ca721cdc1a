package workflow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quiesce/quiesce/functions/pollstatus"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/run"
	"github.com/quiesce/quiesce/workflow/asl"
	"github.com/quiesce/quiesce/workflow/contract"
	"github.com/quiesce/quiesce/workflow/flow"
)

func flowRules() contract.Rules {
	return rulesOf(FlowFunctions(), contract.Rules{
		Integrations: []string{"acs:eventbridge:::putEvents"},
		Services:     flow.Services,
		Fatal:        true,
		Document:     reflect.TypeFor[run.State](),
		Quiescing:    "RunPrescript",
		Window:       []string{"Freeze", "Snapshot", "Thaw"},
		Deadline:     5 * time.Second,
		Shortest:     pollstatus.Shortest,
	})
}

func TestFlowKeepsTheContract(t *testing.T) {
	m, err := flow.Parse([]byte(Flow()), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range contract.Check(m, flowRules()) {
		t.Error(f)
	}
}

// What the contract finds in a definition for Step Functions it finds here.
func TestContractFindsPlantedDefectsInAFlow(t *testing.T) {
	for _, c := range []struct{ name, old, replaced, want string }{
		{"a task calls what is no step", "${FreezeFunctionArn}", "${SomeFunctionArn}", "calls ${SomeFunctionArn}, which is no step"},
		{"a retry of a misspelt code", "[Throttled, Unavailable, FC", "[Throtled, Unavailable, FC", `names "Throtled", which nobody returns`},
		{"a timeout shorter than the function's", "Timeout: 910", "Timeout: 900", "gives up after"},
		{"a catch that forgets the thaw", "        Next: Thaw\n    Next: Thaw", "        Next: Tag\n    Next: Thaw", "ends without Thaw: RunPrescript > Freeze > Snapshot > Tag"},
		{"a choice that forgets the thaw", "    Default: Thaw", "    Default: Tag", "ends without Thaw"},
		{"a freeze after the thaw", "    Default: Tag\n\n  - Type: Task\n    Name: PollStatus", "    Default: Freeze\n\n  - Type: Task\n    Name: PollStatus", "leads back: Thaw > SetTaken > Freeze"},
		{"retries that outlast the deadline", "never made twice.\n        MaxAttempts: 3", "never made twice.\n        MaxAttempts: 5", "its retries may wait"},
		{"a state that does not exist", "    Next: SetTaken", "    Next: Nowhere", `leads to no state of its machine: "Nowhere"`},
		{"a field that may be null", "        token.$: $Context.Current.TaskToken", "        token.$: $Input.freeze.hold", "$.freeze may be null here"},
		{"a wait that nobody can end", "        token.$: $Context.Current.TaskToken\n", "", "tells nobody its token"},
		{"a field of no document", "$Input.plan.policy.onFailure == \"degrade\", Next: Snapshot", "$Input.plan.polciy.onFailure == \"degrade\", Next: Snapshot", "$.plan has no field polciy"},
		{"a field that is forgotten", "      prescript.$: $Output.Body\n      freeze.$: $Input.freeze\n", "      prescript.$: $Output.Body\n", "freeze: is not carried on"},
	} {
		if !strings.Contains(Flow(), c.old) {
			t.Errorf("%s: the definition has no %s", c.name, c.old)
			continue
		}
		var got []string
		m, err := flow.Parse([]byte(strings.Replace(Flow(), c.old, c.replaced, 1)), nil)
		if err != nil {
			got = append(got, err.Error())
		} else {
			for _, f := range contract.Check(m, flowRules()) {
				got = append(got, f.String())
			}
		}
		if all := strings.Join(got, "\n"); !strings.Contains(all, c.want) {
			t.Errorf("%s: got\n%s\nwant a finding with %q", c.name, all, c.want)
		}
	}
}

// Both definitions call the same steps, with the same input, and each lets a
// task wait longer than its function works.
func TestBothDefinitionsCallTheSameSteps(t *testing.T) {
	called := func(m *asl.Machine) map[string]*asl.State {
		steps := map[string]*asl.State{}
		for _, s := range m.States {
			if s.Type == asl.Task {
				steps[s.Name+" "+s.Calls()] = s
			}
		}
		return steps
	}
	mine, err := flow.Parse([]byte(Flow()), nil)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := asl.Parse([]byte(Snapshot()), nil)
	if err != nil {
		t.Fatal(err)
	}
	got, want := called(mine), called(theirs)
	for _, f := range Functions() {
		for name, s := range want {
			if !strings.HasSuffix(name, " ${"+f.Arn+"}") {
				continue
			}
			other := got[name]
			if s.Name == "SnapshotUnheld" || s.Name == "SnapshotShadows" {
				continue // for Windows on AWS
			}
			if other == nil {
				t.Errorf("the flow has no %s", name)
				continue
			}
			if !s.Callback() && !slices.Equal(paths(other), paths(s)) {
				t.Errorf("%s: the flow gives it %v, the machine %v", name, paths(other), paths(s))
			}
		}
	}
}

func paths(s *asl.State) (list []string) {
	for _, r := range s.Refs() {
		if r.Field == "Parameters" {
			list = append(list, r.Path.String())
		}
	}
	return list
}

// abroad answers as Function Compute does what the world answers as Lambda.
type abroad struct{ *world }

func (a abroad) Invoke(ctx context.Context, resource string, input json.RawMessage) (json.RawMessage, error) {
	at := "arn:aws:lambda:::function:" + strings.TrimSuffix(resource[strings.LastIndex(resource, "/quiesce-")+len("/quiesce-"):], "/LATEST")
	switch {
	case strings.HasSuffix(resource, ".waitForTaskToken"):
		a.expect(input)
		at = strings.Replace(at, "/LATEST.waitForTaskToken", "", 1)
	case strings.HasPrefix(resource, "acs:eventbridge:"):
		at = "arn:aws:states:::events:putEvents"
	}
	out, err := a.world.Invoke(ctx, at, input)
	var named *asl.Error
	if errors.As(err, &named) {
		return nil, &asl.Error{Name: flow.ErrorOf(named.Name), Cause: named.Cause}
	}
	return out, err
}

func flowMachine(t testing.TB) *asl.Machine {
	t.Helper()
	m, err := FlowMachine("quiesce", func(step string) string { return "acs:fc:cn-hangzhou:1234567890:functions/quiesce-" + step + "/LATEST" })
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// same are the states of a flow's path that a machine's path has too: a wait
// of more than five minutes takes two, and one decides who takes the set.
func same(states []string) string {
	return strings.Join(slices.DeleteFunc(slices.Clone(states), func(s string) bool { return s == "WaitOn" || s == "Mode" }), " ")
}

// Whatever fails, in whatever way: both definitions take the same states to the
// same end, and have said the same of the run before it.
func TestBothDefinitionsTakeTheSamePath(t *testing.T) {
	ways := []string{"Lambda.Unknown", "Lambda.ServiceException", "Lambda.SdkClientException", "Lambda.TooManyRequestsException",
		"Runtime.ExitError", "Sandbox.Timedout", asl.Timeout, "Error.Nobody.Knows"}
	for _, c := range fault.Codes() {
		ways = append(ways, string(c))
	}
	slices.Sort(ways)
	aws, aliyun := machine(t), flowMachine(t)
	for _, f := range Functions() {
		for _, policy := range []string{"degrade", "fail"} {
			for _, way := range ways {
				for _, repeat := range []int{1, 100} {
					var paths, ends []string
					var spent [2][]call
					for i, m := range []*asl.Machine{aws, aliyun} {
						synctest.Test(t, func(t *testing.T) {
							w := &world{plan: map[string][]reply{"precheck": once(answers(plan(policy, true, true)))}}
							if f.Step == "await" {
								w.plan["poll-status"] = once(polled("pending", 60))
							}
							told := way
							if m == aws && f.Step == "freeze" && way == "Runtime.ExitError" {
								told = "Sandbox.Timedout" // Function Compute does not tell them apart, and one that hung is not asked again
							}
							w.plan[f.Step] = append(times(repeat, failsAs(told)), w.plan[f.Step]...)
							got := executeOn(t, m, w, i == 1)
							paths, ends = append(paths, same(got.states)), append(ends, endOf(got))
							spent[i] = w.calls
						})
					}
					story := fmt.Sprintf("%s fails %d times with %s, %s", f.Step, repeat, way, policy)
					if paths[0] != paths[1] {
						t.Errorf("%s:\n got %s\nwant %s", story, paths[1], paths[0])
					}
					if ends[0] != ends[1] {
						t.Errorf("%s: the flow ends %s, the machine %s", story, ends[1], ends[0])
					}
					if a, b := order(spent[0]), order(spent[1]); !slices.Equal(a, b) {
						t.Errorf("%s: the flow calls %v, the machine %v", story, b, a)
					}
				}
			}
		}
	}
}

func executeOn(t *testing.T, m *asl.Machine, w *world, isFlow bool) trace {
	if !isFlow {
		return execute(t.Context(), m, w, `{"instanceId":"i-0abc"}`)
	}
	return executeAs(t.Context(), m, w, abroad{w}, `{"instanceId":"i-0abc"}`)
}

// endOf is the end and the verdict with it: a flow ends with the whole
// document.
func endOf(tr trace) string {
	if tr.err != nil {
		return tr.err.Name
	}
	var whole struct{ Verdict, Outcome json.RawMessage }
	if json.Unmarshal([]byte(tr.output), &whole) == nil && whole.Verdict != nil {
		return string(whole.Verdict)
	}
	return tr.output
}

// order is the steps in the order of their first call.
func order(calls []call) (steps []string) {
	for _, c := range calls {
		if !slices.Contains(steps, c.step) {
			steps = append(steps, c.step)
		}
	}
	return steps
}

// The same for what is no failure of a step, and for a bus that does not work
// when it is needed most.
func TestBothDefinitionsEndAlike(t *testing.T) {
	type script map[string][]reply
	aws, aliyun := machine(t), flowMachine(t)
	for name, c := range map[string]script{
		"all is well":             {},
		"less was proved":         {"tag": once(answers(verdict("degraded")))},
		"clean failure":           {"tag": once(answers(verdict("failed-clean")))},
		"dirty failure":           {"tag": once(answers(verdict("failed-dirty")))},
		"an unknown outcome":      {"tag": once(answers(verdict("?")))},
		"freeze hangs":            {"freeze": once(answers("{}").within(10 * time.Minute))},
		"two polls":               {"poll-status": once(polled("pending", 60), polled("pending", 60))},
		"a denied registration":   {"poll-status": once(polled("pending", 60)), "await": once(fails(fault.AccessDenied))},
		"the set never completes": {"poll-status": once(polled("pending", 60), polled("timed-out", 0))},
		"precheck and tag fail":   {"precheck": once(fails(fault.AccessDenied)), "tag": once(fails(fault.AccessDenied))},
		"tag and the bus fail":    {"tag": once(fails(fault.InvalidInput)), "events": times(7, failsAs("FC.Unknown"))},
	} {
		var got []string
		for i, m := range []*asl.Machine{aws, aliyun} {
			synctest.Test(t, func(t *testing.T) {
				w := &world{plan: map[string][]reply{}}
				for step, replies := range c {
					w.plan[step] = slices.Clone(replies)
				}
				tr := executeOn(t, m, w, i == 1)
				got = append(got, same(tr.states)+": "+endOf(tr))
			})
		}
		if got[0] != got[1] {
			t.Errorf("%s:\n got %s\nwant %s", name, got[1], got[0])
		}
	}
}

// A set that never completes and a registration that never succeeds are the
// most events that a run can make: in a day they are still fewer than a flow
// may have, so that it ends by its verdict.
func TestFlowOutlastsADay(t *testing.T) {
	for _, code := range []fault.Code{fault.AccessDenied, fault.Throttled} {
		synctest.Test(t, func(t *testing.T) {
			turns := int(24 * time.Hour / (2 * pollstatus.Span("aliyun")))
			w := &world{plan: map[string][]reply{
				"await":       times(3*turns, fails(code)),
				"poll-status": append(times(turns, polled("pending", int(pollstatus.Span("aliyun").Seconds()))), polled("timed-out", 0)),
				"tag":         once(answers(verdict("failed-clean"))),
			}}
			got := executeOn(t, flowMachine(t), w, true)
			if got.err == nil || got.err.Name != "FailedClean" || got.took < 24*time.Hour {
				t.Errorf("%s: got %v after %v and %d events", code, got.err, got.took, len(got.events))
			}
			if n := len(got.events); n > flow.MaxEvents/2+flow.MaxEvents/4 {
				t.Errorf("%s: %d events leave too little of %d for how the service counts", code, n, flow.MaxEvents)
			}
		})
	}
}

// What is handed on past the limit ends a flow, and no Catch sees it: hence the
// functions' edge never lets it come to that.
func TestTooLargeADocumentEndsAFlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		big := strings.Replace(plan("degrade", true, true), `"gold"`, `"`+strings.Repeat("x", flow.MaxPayload)+`"`, 1)
		w := &world{plan: map[string][]reply{"precheck": once(answers(big))}}
		if got := executeOn(t, flowMachine(t), w, true); got.err == nil || got.err.Name != asl.Runtime || w.count("run-prescript") != 0 {
			t.Errorf("got %v: %s", got.err, got.path())
		}
	})
}

func TestFlowsFailureEventHasTheMachinesFields(t *testing.T) {
	detail := func(m *asl.Machine, isFlow bool) (fields map[string]any) {
		synctest.Test(t, func(t *testing.T) {
			w := &world{plan: map[string][]reply{"tag": once(fails(fault.AccessDenied))}}
			executeOn(t, m, w, isFlow)
			var in struct {
				Entries []struct{ Detail map[string]any }
				Body    []struct{ Data map[string]any }
			}
			if err := json.Unmarshal([]byte(w.last("events")), &in); err != nil {
				t.Fatal(err)
			}
			if isFlow {
				fields = in.Body[0].Data
			} else {
				fields = in.Entries[0].Detail
			}
		})
		return fields
	}
	if got, want := detail(flowMachine(t), true), detail(machine(t), false); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}
