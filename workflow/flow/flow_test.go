package flow

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quiesce/quiesce/workflow/asl"
)

// whole uses everything that is read.
const whole = `
Type: StateMachine
Name: whole
SpecVersion: v1
StartAt: Open
States:
  - Type: Pass
    Name: Open
    OutputConstructor:
      id.$: $Context.Execution.Name
      asked.$: $Input
      answer: null
      failures: {ask: null, tell: null}
    Next: Ask
  - Type: Task
    Name: Ask
    Action: FC:InvokeFunction
    TaskMode: RequestComplete
    Parameters:
      resourceArn: ${Ask}
      invocationType: Sync
      body: {asked.$: $Context.Current.Input.asked, tries.$: $Context.Current.RetryCount, fixed: [1, two, {three: true}]}
    OutputConstructor: {id.$: $Input.id, asked.$: $Input.asked, answer.$: $Output.Body, failures.$: $Input.failures}
    Timeout: 10
    Retry:
      - {Errors: [FC.ResourceThrottled], Description: it did not run, MaxAttempts: 2, IntervalSeconds: 1, BackoffRate: 2, MaxBackoffSeconds: 5}
    Catch:
      - Errors: [FnF.ALL]
        Description: any
        OutputConstructor:
          id.$: $Input.id
          asked.$: $Input.asked
          answer.$: $Input.answer
          failures: {ask: {Error.$: $Context.Current.Error.Code, Cause.$: $Context.Current.Error.Detail}, tell.$: $Input.failures.tell}
        Next: Failed
    Next: Weigh
  - Type: Choice
    Name: Weigh
    Branches:
      - {Condition: $Input.answer.state == "later" && $Input.answer.turns < 3, Next: Rest}
      - {Condition: $Input.answer.state != "no", Next: Done}
    Default: Failed
  - {Type: Wait, Name: Rest, Seconds.$: $Input.answer.wait, Next: Ask}
  - {Type: Succeed, Name: Done, End: true}
  - {Type: Fail, Name: Failed, Code: Refused, Detail: nobody answered, End: true}
`

func TestRuns(t *testing.T) {
	for _, c := range []struct {
		name    string
		answers []string // "!" fails with what follows
		path    string
		failure string
		took    time.Duration
	}{
		{"at once", []string{`{"state":"yes"}`}, "Open Ask Weigh Done", "", 0},
		{"refused", []string{`{"state":"no"}`}, "Open Ask Weigh Failed", "Refused", 0},
		{"later", []string{`{"state":"later","turns":1,"wait":7}`, `{"state":"later","turns":3}`}, "Open Ask Weigh Rest Ask Weigh Done", "", 7 * time.Second},
		{"throttled", []string{"!FC.ResourceThrottled", "!FC.ResourceThrottled", `{"state":"yes"}`}, "Open Ask Weigh Done", "", 3 * time.Second},
		{"throttled for long", []string{"!FC.ResourceThrottled", "!FC.ResourceThrottled", "!FC.ResourceThrottled"}, "Open Ask Failed", "Refused", 3 * time.Second},
		{"a fault", []string{"!AgentOffline"}, "Open Ask Failed", "Refused", 0},
		{"too late", []string{"wait"}, "Open Ask Failed", "Refused", 10 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, err := Parse([]byte(whole), map[string]string{"Ask": "acs:fc:cn-hangzhou:1234567890:functions/ask/LATEST"})
				if err != nil {
					t.Fatal(err)
				}
				var states []string
				var last json.RawMessage
				began := time.Now()
				out, err := m.Run(t.Context(), asl.Execution{
					Name: "run-1", Input: json.RawMessage(`{"who":"me"}`),
					Tasks: answering(c.answers),
					Observe: func(e asl.Event) {
						if strings.HasSuffix(e.Type, "StateEntered") {
							states, last = append(states, e.Name), e.Input
						}
					},
				})
				failure := ""
				if err != nil {
					failure = err.(*asl.Failure).Name
				}
				if got := strings.Join(states, " "); got != c.path || failure != c.failure || time.Since(began) != c.took {
					t.Errorf("got %s (%s) after %v, want %s (%s) after %v", got, failure, time.Since(began), c.path, c.failure, c.took)
				}
				if !strings.Contains(string(last), `"asked":{"who":"me"}`) || !strings.Contains(string(last), `"id":"run-1"`) {
					t.Errorf("the document was not carried on: %s, %s", last, out)
				}
				if strings.HasSuffix(c.path, "Ask Failed") && !strings.Contains(string(last), `"ask":{"Cause":"`) {
					t.Errorf("the error was not kept: %s", last)
				}
				time.Sleep(time.Minute) // those that were given up on
			})
		})
	}
}

func answering(list []string) asl.Tasks {
	return asl.TasksFunc(func(context.Context, string, json.RawMessage) (json.RawMessage, error) {
		next := list[0]
		list = list[1:]
		switch {
		case next == "wait":
			time.Sleep(30 * time.Second)
		case next[0] == '!':
			return nil, &asl.Error{Name: next[1:], Cause: "planned"}
		}
		return json.RawMessage(next), nil
	})
}

func TestGivesTheFunctionItsBody(t *testing.T) {
	m, err := Parse([]byte(whole), map[string]string{"Ask": "acs:fc:::functions/ask/LATEST"})
	if err != nil {
		t.Fatal(err)
	}
	var got, resource string
	_, _ = m.Run(t.Context(), asl.Execution{Input: json.RawMessage(`{"who":"me"}`), Tasks: asl.TasksFunc(func(_ context.Context, r string, input json.RawMessage) (json.RawMessage, error) {
		resource, got = r, string(input)
		return json.RawMessage(`{"state":"yes"}`), nil
	})})
	if want := `{"asked":{"who":"me"},"fixed":[1,"two",{"three":true}],"tries":0}`; got != want || resource != "acs:fc:::functions/ask/LATEST" {
		t.Errorf("got %s of %s, want %s", got, resource, want)
	}
}

func TestRefuses(t *testing.T) {
	for _, c := range []struct{ name, old, replaced, want string }{
		{"another version", "SpecVersion: v1", "SpecVersion: v2", "SpecVersion: is"},
		{"the old language", "Type: StateMachine", "type: flow", "Type: is"},
		{"an unknown field", "Timeout: 10", "Timeout: 10\n    Heartbeat: 3", `state "Ask".Heartbeat: unknown field`},
		{"an anchor", "    Timeout: 10", "    Timeout: &limit 10", "uses an anchor"},
		{"a merge key", "      id.$: $Context.Execution.Name\n", "      <<: {}\n", "a merge key"},
		{"a duplicate key", "    Timeout: 10", "    Timeout: 10\n    Timeout: 20", "is not YAML"},
		{"a second document", "Type: StateMachine", "a: b\n---\nType: StateMachine", "holds 2 documents"},
		{"a name twice", "Name: Rest", "Name: Ask", "is taken"},
		{"a name that begins with a digit", "Name: Rest", "Name: 1Rest", "wants a letter"},
		{"a state of no known type", "Type: Wait", "Type: Sleep", "not among the states"},
		{"branches", "Type: Wait", "Type: Parallel", "not among the states"},
		{"next and end", "    Next: Weigh", "    Next: Weigh\n    End: true", "either Next or End"},
		{"a choice with a next", "    Default: Failed", "    Default: Failed\n    Next: Done", `"Weigh".Next: unknown field`},
		{"a target that is none", "Next: Rest}", "Next: Nowhere}", "leads to no state"},
		{"a state that nothing leads to", "Next: Rest}", "Next: Done}", `"Rest": cannot be reached`},
		{"a start that is not the first", "StartAt: Open", "StartAt: Ask", "wants the first state"},
		{"no timeout", "    Timeout: 10\n", "", "Timeout: is missing"},
		{"no description of a retry", "Description: it did not run, ", "", "Description: is missing"},
		{"no attempts of a retry", "MaxAttempts: 2", "MaxAttempts: 0", "wants a whole number from 1"},
		{"an interval past the limit", "IntervalSeconds: 1", "IntervalSeconds: 90000", "from 1 to 86400"},
		{"a wait past the limit", "Seconds.$: $Input.answer.wait", "Seconds: 301", "from 1 to 300"},
		{"a wait of both", "Seconds.$: $Input.answer.wait", "Seconds.$: $Input.answer.wait, Seconds: 3", "either Seconds or Seconds.$"},
		{"no detail of a failure", "Detail: nobody answered, ", "", "Detail: is missing"},
		{"all beside another", "[FnF.ALL]", "[FnF.ALL, Throttled]", "neither alone"},
		{"what is no function", "${Ask}", "acs:mns:::queues/q", "is no function's"},
		{"an asynchronous call", "invocationType: Sync", "invocationType: Async", "invocationType: is"},
		{"another task mode", "TaskMode: RequestComplete", "TaskMode: WaitForSystemCallback", "not among those that are read"},
		{"an expression of another kind", "$Input.answer.wait", "$Input.answer.wait + 1", "is no expression"},
		{"a start time that the context has not", "$Context.Execution.Name", "$Context.Execution.StartTime", "is no expression"},
		{"a comparison of two paths", `!= "no"`, "!= $Input.id", "is no literal"},
		{"and beside or", "&&", `== 1 || $Input.id == 2 &&`, "wants one of them"},
		{"text that is compared by less", "< 3", `< "3"`, "compares by <"},
		{"a document that is not carried on", "asked.$: $Input.asked, answer.$: $Output.Body", "answer.$: $Output.Body", "asked: is not carried on"},
		{"a failure that is not carried on", ", tell.$: $Input.failures.tell}", "}", "tell: is not carried on"},
		{"a field moved to another", "asked.$: $Input.asked, answer.$: $Output.Body", "asked.$: $Input.id, answer.$: $Output.Body", "wants $Input.asked or the state's result"},
		{"two results", "asked.$: $Input.asked, answer.$: $Output.Body", "asked.$: $Output.Body, answer.$: $Output.Body", "wants one place at most"},
		{"a field that nobody wrote", "answer.$: $Output.Body", "answr.$: $Output.Body, answer.$: $Input.answer", "answr.$: is no field of the document"},
		{"the response's envelope", "$Output.Body", "$Output", "or the state's result"},
		{"no constructor", "    OutputConstructor: {id.$: $Input.id, asked.$: $Input.asked, answer.$: $Output.Body, failures.$: $Input.failures}\n", "", "OutputConstructor: is missing"},
		{"half an error", "Error.$: $Context.Current.Error.Code, ", "", "or the state's result"},
		{"a substitution that is not given", "${Ask}", "acs:fc:::functions/${Who}", "substitution Who: is not given"},
	} {
		if !strings.Contains(whole, c.old) {
			t.Errorf("%s: nothing reads %q", c.name, c.old)
			continue
		}
		_, err := Parse([]byte(strings.Replace(whole, c.old, c.replaced, 1)), map[string]string{"Ask": "acs:fc:::functions/ask/LATEST"})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}

func TestEveryErrorIsNamedOnce(t *testing.T) {
	for theirs, own := range counterparts {
		found := false
		for _, s := range Services {
			found = found || s == own
		}
		if !found || ErrorOf(theirs) != own {
			t.Errorf("%s is %s, which no definition may name", theirs, own)
		}
	}
	if ErrorOf("AgentOffline") != "AgentOffline" {
		t.Error("a fault code has another name in a flow")
	}
}
