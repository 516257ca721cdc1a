package asl

import (
	"strings"
	"testing"
)

// one is a machine of the one state A and, where A leads on, its end Z.
func one(state string) string {
	return `{"StartAt":"A","States":{"A":` + state + `,"Z":{"Type":"Succeed"}}}`
}

const fn = `"Type":"Task","Resource":"arn:aws:lambda:eu-west-1:123456789012:function:f","Next":"Z"`

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct{ name, definition, want string }{
		{"no object", `[]`, `wants an object`},
		{"unknown field of the machine", `{"StartAt":"A","Statez":{},"States":{"A":{"Type":"Succeed"}}}`, `Statez: unknown field`},
		{"start at nothing", `{"StartAt":"B","States":{"A":{"Type":"Succeed"}}}`, `StartAt: names no state: "B"`},
		{"a name twice", `{"StartAt":"A","States":{"A":{"Type":"Succeed"},"A":{"Type":"Succeed"}}}`, `States.A: stands twice`},
		{"a field twice", `{"StartAt":"A","States":{"A":{"Type":"Succeed","Type":"Fail"}}}`, `state "A".Type: stands twice`},
		{"unknown type", one(`{"Type":"Task2","Next":"Z"}`), `state "A".Type: unknown state type "Task2"`},
		{"unknown field of a state", one(`{"Type":"Pass","Nxet":"Z","Next":"Z"}`), `state "A".Nxet: unknown field`},
		{"a field of another type", one(`{"Type":"Pass","Retry":[],"Next":"Z"}`), `state "A".Retry: unknown field`},
		{"Assign", one(`{"Type":"Pass","Assign":{},"Next":"Z"}`), `state "A".Assign: unknown field`},
		{"JSONata", one(`{"Type":"Pass","QueryLanguage":"JSONata","Next":"Z"}`), `QueryLanguage: JSONata is not supported`},
		{"neither Next nor End", `{"StartAt":"A","States":{"A":{"Type":"Pass"}}}`, `Next: wants either Next or End`},
		{"Next and End", one(`{"Type":"Pass","Next":"Z","End":true}`), `Next: wants either Next or End`},
		{"next to nothing", `{"StartAt":"A","States":{"A":{"Type":"Pass","Next":"B"}}}`, `leads to no state of its machine: "B"`},
		{"unreachable", one(`{"Type":"Pass","End":true}`), `state "Z": cannot be reached`},
		{"no resource", one(`{"Type":"Task","Next":"Z"}`), `Resource: is missing`},
		{"no ARN", one(`{"Type":"Task","Resource":"f","Next":"Z"}`), `Resource: "f" is no ARN`},
		{"a callback of another service", one(`{"Type":"Task","Resource":"arn:aws:states:::sqs:sendMessage.waitForTaskToken","Next":"Z"}`), `lambda:invoke's alone is supported`},
		{"a callback of the function itself", one(`{"Type":"Task","Resource":"arn:aws:lambda:eu-west-1:1:function:f.waitForTaskToken","Next":"Z"}`), `lambda:invoke's alone is supported`},
		{"an activity", one(`{"Type":"Task","Resource":"arn:aws:states:eu-west-1:1:activity:a","Next":"Z"}`), `activities are not supported`},
		{"a timeout of nothing", one(`{` + fn + `,"TimeoutSeconds":0}`), `TimeoutSeconds: is 0, wants at least 1`},
		{"a timeout twice", one(`{` + fn + `,"TimeoutSeconds":5,"TimeoutSecondsPath":"$.t"}`), `stands beside TimeoutSecondsPath`},
		{"a heartbeat too slow", one(`{` + fn + `,"TimeoutSeconds":5,"HeartbeatSeconds":5}`), `HeartbeatSeconds: is not less`},
		{"an unknown field of a retrier", one(`{` + fn + `,"Retry":[{"ErrorEquals":["E"],"BackofRate":2}]}`), `state "A".Retry[0].BackofRate: unknown field`},
		{"a retrier of nothing", one(`{` + fn + `,"Retry":[{"ErrorEquals":[]}]}`), `Retry[0].ErrorEquals: is empty`},
		{"a shrinking backoff", one(`{` + fn + `,"Retry":[{"ErrorEquals":["E"],"BackoffRate":0.5}]}`), `BackoffRate: is 0.5`},
		{"a delay limit below the interval", one(`{` + fn + `,"Retry":[{"ErrorEquals":["E"],"IntervalSeconds":5,"MaxDelaySeconds":5}]}`), `MaxDelaySeconds: is not greater`},
		{"an unknown jitter", one(`{` + fn + `,"Retry":[{"ErrorEquals":["E"],"JitterStrategy":"SOME"}]}`), `JitterStrategy: is "SOME"`},
		{"States.ALL not last", one(`{` + fn + `,"Retry":[{"ErrorEquals":["States.ALL"]},{"ErrorEquals":["E"]}]}`), `Retry[0].ErrorEquals: States.ALL stands neither alone nor in the last entry`},
		{"a catcher to nothing", one(`{` + fn + `,"Catch":[{"ErrorEquals":["E"],"Next":"Y"}]}`), `leads to no state of its machine: "Y"`},
		{"a result nowhere", one(`{` + fn + `,"ResultPath":"$.a[*]"}`), `no reference path`},
		{"a result in the context", one(`{` + fn + `,"ResultPath":"$$.a"}`), `read only`},
		{"no path", one(`{"Type":"Pass","InputPath":"a.b","Next":"Z"}`), `"a.b" is no path`},
		{"several names in one bracket", one(`{"Type":"Pass","Parameters":{"a.$":"$['a','b']"},"Next":"Z"}`), `several names in one bracket`},
		{"a broken path", one(`{"Type":"Pass","Parameters":{"a.$":"$.a["},"Next":"Z"}`), `state "A": Parameters.a.$: "$.a[" is no path`},
		{"a path that is no text", one(`{"Type":"Pass","Parameters":{"a.$":1},"Next":"Z"}`), `Parameters.a.$: wants a path`},
		{"an unknown function", one(`{"Type":"Pass","Parameters":{"a.$":"States.Hash('a')"},"Next":"Z"}`), `unknown intrinsic function States.Hash`},
		{"too few arguments", one(`{"Type":"Pass","Parameters":{"a.$":"States.MathAdd(1)"},"Next":"Z"}`), `takes 2 arguments, got 1`},
		{"a function without end", one(`{"Type":"Pass","Parameters":{"a.$":"States.Array(1"},"Next":"Z"}`), `wants a comma`},
		{"more after a function", one(`{"Type":"Pass","Parameters":{"a.$":"States.Array() x"},"Next":"Z"}`), `more after the function`},
		{"no wait", one(`{"Type":"Wait","Next":"Z"}`), `exactly one of`},
		{"two waits", one(`{"Type":"Wait","Seconds":1,"SecondsPath":"$.s","Next":"Z"}`), `exactly one of`},
		{"no time", one(`{"Type":"Wait","Timestamp":"tomorrow","Next":"Z"}`), `"tomorrow" is no timestamp`},
		{"no choices", one(`{"Type":"Choice","Choices":[],"Default":"Z"}`), `Choices: is empty`},
		{"a choice to nowhere", one(`{"Type":"Choice","Choices":[{"Variable":"$.a","IsNull":true}],"Default":"Z"}`), `Choices[0].Next: is missing`},
		{"an unknown operator", one(`{"Type":"Choice","Choices":[{"Variable":"$.a","StringIs":"x","Next":"Z"}]}`), `Choices[0].StringIs: unknown field`},
		{"no order of truth", one(`{"Type":"Choice","Choices":[{"Variable":"$.a","BooleanLessThan":true,"Next":"Z"}]}`), `BooleanLessThan: unknown field`},
		{"two operators", one(`{"Type":"Choice","Choices":[{"Variable":"$.a","IsNull":true,"StringEquals":"x","Next":"Z"}]}`), `stands beside`},
		{"a constant of another kind", one(`{"Type":"Choice","Choices":[{"Variable":"$.a","NumericEquals":"1","Next":"Z"}]}`), `NumericEquals wants a numeric`},
		{"no variable", one(`{"Type":"Choice","Choices":[{"IsNull":true,"Next":"Z"}]}`), `Variable: is missing`},
		{"an inner rule that leads on", one(`{"Type":"Choice","Choices":[{"Not":{"Variable":"$.a","IsNull":true,"Next":"Z"},"Next":"Z"}]}`), `Choices[0].Not.Next: unknown field`},
		{"two causes", `{"StartAt":"A","States":{"A":{"Type":"Fail","Cause":"a","CausePath":"$.b"}}}`, `Cause: stands beside CausePath`},
		{"a fail that leads on", one(`{"Type":"Fail","Next":"Z"}`), `state "A".Next: unknown field`},
		{"a distributed map", one(`{"Type":"Map","ItemProcessor":{"ProcessorConfig":{"Mode":"DISTRIBUTED","ExecutionType":"STANDARD"},"StartAt":"B","States":{"B":{"Type":"Succeed"}}},"Next":"Z"}`), `wants 1-40 characters`},
		{"a name taken in a branch", one(`{"Type":"Parallel","Branches":[{"StartAt":"Z","States":{"Z":{"Type":"Succeed"}}}],"Next":"Z"}`), `state "Z": its name is taken`},
		{"a branch that leads out", one(`{"Type":"Parallel","Branches":[{"StartAt":"B","States":{"B":{"Type":"Pass","Next":"Z"}}}],"Next":"Z"}`), `leads to no state of its machine: "Z"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse([]byte(c.definition), map[string]string{})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

func TestParseSubstitutes(t *testing.T) {
	definition := []byte(one(`{"Type":"Task","Resource":"${Fn}","Parameters":{"bus":"${Bus}"},"Next":"Z"}`))
	m, err := Parse(definition, map[string]string{"Fn": "arn:aws:lambda:eu-west-1:1:function:f", "Bus": `a"b`})
	if err != nil {
		t.Fatal(err)
	}
	if s := m.States["A"]; s.Resource != "arn:aws:lambda:eu-west-1:1:function:f" || s.Parameters.literal.(map[string]any)["bus"] != `a"b` {
		t.Errorf("got %q, %v", s.Resource, s.Parameters.literal)
	}
	_, err = Parse(definition, map[string]string{"Fn": "arn:aws:lambda:eu-west-1:1:function:f", "Buss": "x"})
	if err == nil || !strings.Contains(err.Error(), "substitution Bus: is not given") || !strings.Contains(err.Error(), "substitution Buss: is not in the definition") {
		t.Errorf("got %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(one(`{` + fn + `,"Retry":[{"ErrorEquals":["E"]}],"Parameters":{"a.$":"States.Format('{}', $.a[?(@.b==1)])"}}`))
	f.Add(one(`{"Type":"Choice","Choices":[{"And":[{"Variable":"$.a","IsNull":true}],"Next":"Z"}],"Default":"Z"}`))
	f.Fuzz(func(t *testing.T, definition string) {
		m, err := Parse([]byte(definition), nil)
		if (m == nil) == (err == nil) {
			t.Errorf("got %v, %v", m, err)
		}
	})
}
