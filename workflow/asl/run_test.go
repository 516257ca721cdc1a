package asl

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func parse(t testing.TB, definition string) *Machine {
	t.Helper()
	m, err := Parse([]byte(definition), nil)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// result runs a definition and renders its output or its error.
func result(t testing.TB, definition, input string, tasks Tasks) string {
	t.Helper()
	out, err := parse(t, definition).Run(t.Context(), Execution{Name: "run-1", Input: json.RawMessage(input), Tasks: tasks, Seed: 7})
	var f *Failure
	if errors.As(err, &f) {
		return string(f.Status) + " " + f.Name
	}
	return string(out)
}

var echo = TasksFunc(func(_ context.Context, _ string, in json.RawMessage) (json.RawMessage, error) { return in, nil })

func TestStates(t *testing.T) {
	const in = `{"a":{"b":1.50,"list":[1,2,3]},"s":"x","n":null,"when":"2026-01-02T03:04:05Z"}`
	task := func(more string) string { return one(`{` + fn + more + `}`) }
	pass := func(more string) string { return one(`{"Type":"Pass","Next":"Z"` + more + `}`) }
	for _, c := range []struct{ name, definition, want string }{
		{"numbers are kept", pass(`,"InputPath":"$.a.b"`), `1.50`},
		{"InputPath null", pass(`,"InputPath":null`), `{}`},
		{"OutputPath null", pass(`,"OutputPath":null`), `{}`},
		{"InputPath misses", pass(`,"InputPath":"$.x"`), `FAILED States.Runtime`},
		{"a definite path misses", pass(`,"Parameters":{"x.$":"$.x.y"}`), `FAILED States.Runtime`},
		{"a path through null misses", pass(`,"Parameters":{"x.$":"$.n.y"}`), `FAILED States.Runtime`},
		{"an indefinite path finds a list", pass(`,"Parameters":{"x.$":"$.a.list[?(@ > 1)]","y.$":"$..nothing"}`), `{"x":[2,3],"y":[]}`},
		{"negative index", pass(`,"InputPath":"$.a.list[-1]"`), `3`},
		{"Result", pass(`,"Result":{"r":null},"ResultPath":"$.a"`), `{"a":{"r":null},"n":null,"s":"x","when":"2026-01-02T03:04:05Z"}`},
		{"ResultPath makes objects", pass(`,"InputPath":"$.s","ResultPath":"$.p.q","OutputPath":"$.p"`), `{"q":"x"}`},
		{"ResultPath over an item", pass(`,"InputPath":"$.s","ResultPath":"$.a.list[1]","OutputPath":"$.a.list"`), `[1,"x",3]`},
		{"ResultPath through a text", pass(`,"ResultPath":"$.s.t"`), `FAILED States.ResultPathMatchFailure`},
		{"ResultPath null", task(`,"ResultPath":null,"OutputPath":"$.s"`), `"x"`},
		{"the context object", pass(`,"Parameters":{"n.$":"$$.Execution.Name","s.$":"$$.State.Name"}`), `{"n":"run-1","s":"A"}`},
		{"ResultSelector", task(`,"Parameters":{"q.$":"$.s"},"ResultSelector":{"r.$":"$.q"},"ResultPath":"$.s","OutputPath":"$.s"`), `{"r":"x"}`},
		{"nested templates", pass(`,"Parameters":{"l":[{"x.$":"$.s"},2],"o":{"k":null}}`), `{"l":[{"x":"x"},2],"o":{"k":null}}`},
		{"an empty template", pass(`,"Parameters":{}`), `{}`},
		{"Fail", `{"StartAt":"A","States":{"A":{"Type":"Fail","ErrorPath":"$.s","CausePath":"States.Format('{}!', $.s)"}}}`, `FAILED x`},
		{"Fail finds no text", `{"StartAt":"A","States":{"A":{"Type":"Fail","ErrorPath":"$.a"}}}`, `FAILED States.Runtime`},
		{"Succeed narrows", `{"StartAt":"A","States":{"A":{"Type":"Succeed","OutputPath":"$.s"}}}`, `"x"`},
		{"a task without timeout path", task(`,"TimeoutSecondsPath":"$.s"`), `FAILED States.Runtime`},
		{"Map", one(`{"Type":"Map","ItemsPath":"$.a.list","ItemSelector":{"i.$":"$$.Map.Item.Index","v.$":"$$.Map.Item.Value","s.$":"$.s"},
			"ItemProcessor":{"StartAt":"B","States":{"B":{"Type":"Pass","End":true}}},"Next":"Z"}`),
			`[{"i":0,"s":"x","v":1},{"i":1,"s":"x","v":2},{"i":2,"s":"x","v":3}]`},
		{"Map of no list", one(`{"Type":"Map","ItemProcessor":{"StartAt":"B","States":{"B":{"Type":"Pass","End":true}}},"Next":"Z"}`), `FAILED States.Runtime`},
		{"Parallel", one(`{"Type":"Parallel","InputPath":"$.a","Branches":[
			{"StartAt":"B","States":{"B":{"Type":"Pass","Result":0,"ResultPath":"$.b","End":true}}},
			{"StartAt":"C","States":{"C":{"Type":"Pass","OutputPath":"$.b","End":true}}}],"ResultPath":"$.p","OutputPath":"$.p","Next":"Z"}`),
			`[{"b":0,"list":[1,2,3]},1.50]`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := result(t, c.definition, in, echo); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestIntrinsics(t *testing.T) {
	const in = `{"a":[1,"x"],"s":"it's {}","o":{"k":1.0},"n":-3,"json":"{\"z\":[1.50]}","commas":{"a,b)":7}}`
	for call, want := range map[string]string{
		`States.Format('{}-{}: {}', 'a', $.n, $.o)`:       `"a--3: {\"k\":1.0}"`,
		`States.Format('\\{\\}\\'{}\\\\', $.s)`:           `"{}'it's {}\\"`,
		`States.Format('{}', null)`:                       `"null"`,
		`States.Format('{} {}', 1)`:                       `FAILED States.IntrinsicFailure`,
		`States.Format('', 1)`:                            `FAILED States.IntrinsicFailure`,
		`States.JsonToString($.o)`:                        `"{\"k\":1.0}"`,
		`States.StringToJson($.json)`:                     `{"z":[1.50]}`,
		`States.StringToJson('{')`:                        `FAILED States.IntrinsicFailure`,
		`States.Array(1, 'a', $.a, States.Array(), true)`: `[1,"a",[1,"x"],[],true]`,
		`States.StringSplit('a:b+c::', ':+')`:             `["a","b","c"]`,
		`States.StringSplit($.n, ':')`:                    `FAILED States.IntrinsicFailure`,
		`States.ArrayLength($.a)`:                         `2`,
		`States.ArrayLength($.s)`:                         `FAILED States.IntrinsicFailure`,
		`States.ArrayGetItem($.a, 1)`:                     `"x"`,
		`States.ArrayGetItem($.a, 2)`:                     `FAILED States.IntrinsicFailure`,
		`States.ArrayContains($.a, 'x')`:                  `true`,
		`States.ArrayContains($.a, '1')`:                  `false`,
		`States.MathAdd($.n, 10)`:                         `7`,
		`States.MathAdd($.n, 'x')`:                        `FAILED States.IntrinsicFailure`,
		`States.MathAdd(2.5, -0.5)`:                       `3`,
		`States.MathAdd(-1.6, 1e20)`:                      `FAILED States.IntrinsicFailure`,
		`States.MathAdd($.commas['a,b)'], 1)`:             `8`,
		`States.ArrayLength(States.Array($$.State.Name))`: `1`,
		`States.JsonToString($.nothing)`:                  `FAILED States.Runtime`,
	} {
		definition := one(`{"Type":"Pass","Parameters":{"v.$":"` + call + `"},"OutputPath":"$.v","Next":"Z"}`)
		if got := result(t, definition, in, nil); got != want {
			t.Errorf("%s: got %s, want %s", call, got, want)
		}
	}
	uuid := one(`{"Type":"Pass","Parameters":{"v.$":"States.UUID()"},"OutputPath":"$.v","Next":"Z"}`)
	first, again := result(t, uuid, "{}", nil), result(t, uuid, "{}", nil)
	if first != again || len(first) != 38 || first[15] != '4' {
		t.Errorf("got %s, then %s from the same seed", first, again)
	}
}

func TestChoices(t *testing.T) {
	const in = `{"s":"abc","t":"abd","i":10,"f":9.5,"big":9007199254740993,"yes":true,"n":null,"when":"2026-01-02T03:04:05Z","zone":"2026-01-02T04:04:05+01:00","l":[1]}`
	for rule, want := range map[string]string{
		`"Variable":"$.s","StringEquals":"abc"`:                                              "yes",
		`"Variable":"$.s","StringLessThanPath":"$.t"`:                                        "yes",
		`"Variable":"$.s","StringGreaterThanEquals":"abd"`:                                   "no",
		`"Variable":"$.s","StringMatches":"a*c"`:                                             "yes",
		`"Variable":"$.s","StringMatches":"a\\*c"`:                                           "no",
		`"Variable":"$.i","StringEquals":"10"`:                                               "no",
		`"Variable":"$.i","NumericGreaterThanPath":"$.f"`:                                    "yes",
		`"Variable":"$.i","NumericLessThanEquals":1e1`:                                       "yes",
		`"Variable":"$.big","NumericEquals":9007199254740992`:                                "no",
		`"Variable":"$.yes","BooleanEquals":true`:                                            "yes",
		`"Variable":"$.s","BooleanEquals":true`:                                              "no",
		`"Variable":"$.when","TimestampEqualsPath":"$.zone"`:                                 "yes",
		`"Variable":"$.when","TimestampLessThan":"2026-01-02T03:04:05Z"`:                     "no",
		`"Variable":"$.n","IsNull":true`:                                                     "yes",
		`"Variable":"$.s","IsNull":false`:                                                    "yes",
		`"Variable":"$.x","IsNull":true`:                                                     "FAILED States.Runtime",
		`"Variable":"$.x","IsPresent":false`:                                                 "yes",
		`"Variable":"$.l[0]","IsPresent":true`:                                               "yes",
		`"Variable":"$.l[1]","IsPresent":true`:                                               "no",
		`"Variable":"$.n[0]","IsPresent":true`:                                               "no",
		`"Variable":"$.f","IsNumeric":true`:                                                  "yes",
		`"Variable":"$.f","IsString":true`:                                                   "no",
		`"Variable":"$.yes","IsBoolean":true`:                                                "yes",
		`"Variable":"$.when","IsTimestamp":true`:                                             "yes",
		`"Variable":"$.s","IsTimestamp":true`:                                                "no",
		`"Variable":"$.s","StringEqualsPath":"$.x"`:                                          "FAILED States.Runtime",
		`"Variable":"$.s","StringEqualsPath":"$.i"`:                                          "no",
		`"Variable":"$.s","StringLessThanEqualsPath":"$.i"`:                                  "FAILED States.Runtime",
		`"Variable":"$.i","NumericGreaterThanPath":"$.s"`:                                    "FAILED States.Runtime",
		`"Not":{"Variable":"$.n","IsNull":true}`:                                             "no",
		`"And":[{"Variable":"$.x","IsPresent":true},{"Variable":"$.x","IsNull":true}]`:       "no",
		`"Or":[{"Variable":"$.s","StringEquals":"z"},{"Variable":"$.i","NumericEquals":10}]`: "yes",
	} {
		definition := `{"StartAt":"A","States":{"A":{"Type":"Choice","Choices":[{` + rule + `,"Next":"Y"}],"Default":"N"},
			"Y":{"Type":"Pass","Parameters":{"v":"yes"},"OutputPath":"$.v","End":true},"N":{"Type":"Pass","Parameters":{"v":"no"},"OutputPath":"$.v","End":true}}}`
		if got := strings.Trim(result(t, definition, in, nil), `"`); got != want {
			t.Errorf("%s: got %s, want %s", rule, got, want)
		}
	}
	if got := result(t, one(`{"Type":"Choice","Choices":[{"Variable":"$.s","StringEquals":"z","Next":"Z"}]}`), in, nil); got != "FAILED States.NoChoiceMatched" {
		t.Errorf("no Default: got %s", got)
	}
}

// script fails with the named errors in turn, then echoes.
type script struct {
	errors []string
	at     []time.Duration
	start  time.Time
}

func (s *script) Invoke(_ context.Context, _ string, in json.RawMessage) (json.RawMessage, error) {
	s.at = append(s.at, time.Since(s.start))
	if len(s.errors) == 0 {
		return in, nil
	}
	name := s.errors[0]
	s.errors = s.errors[1:]
	return nil, &Error{name, `{"errorType":"` + name + `"}`}
}

func TestRetry(t *testing.T) {
	entry := func(errors string, more string) string { return `{"ErrorEquals":[` + errors + `]` + more + `}` }
	for _, c := range []struct {
		name   string
		retry  string
		errors string
		want   string
		at     string // seconds of each attempt
	}{
		{"defaults", entry(`"E"`, ``), "E E E", `{}`, "0 1 3 7"},
		{"exhausted", entry(`"E"`, ``), "E E E E", "FAILED E", "0 1 3 7"},
		{"another error", entry(`"E"`, ``), "F", "FAILED F", "0"},
		{"a limit of the delay", entry(`"E"`, `,"IntervalSeconds":2,"MaxAttempts":5,"BackoffRate":3,"MaxDelaySeconds":7`), "E E E E E", `{}`, "0 2 8 15 22 29"},
		{"a budget for each retrier", entry(`"E"`, `,"MaxAttempts":2`) + "," + entry(`"States.ALL"`, `,"IntervalSeconds":10,"BackoffRate":1`), "E F E F F", `{}`, "0 1 11 13 23 33"},
		{"no other retrier steps in", entry(`"E"`, `,"MaxAttempts":1`) + "," + entry(`"States.ALL"`, ``), "E E", "FAILED E", "0 1"},
		{"never", entry(`"E"`, `,"MaxAttempts":0`) + "," + entry(`"States.ALL"`, ``), "E", "FAILED E", "0"},
		{"States.TaskFailed takes any", entry(`"States.TaskFailed"`, ``), "E", `{}`, "0 1"},
		{"but a timeout", entry(`"States.TaskFailed"`, ``), Timeout, "FAILED " + Timeout, "0"},
		{"States.Runtime is final", entry(`"States.ALL"`, ``), Runtime, "FAILED " + Runtime, "0"},
		{"too much data is final", entry(`"States.ALL"`, ``), DataLimitExceeded, "FAILED " + DataLimitExceeded, "0"},
		{"unless it is named", entry(`"States.DataLimitExceeded"`, ``), DataLimitExceeded, `{}`, "0 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{errors: strings.Fields(c.errors), start: time.Now()}
				if got := result(t, one(`{`+fn+`,"Retry":[`+c.retry+`]}`), "{}", s); got != c.want {
					t.Errorf("got %s, want %s", got, c.want)
				}
				var at []string
				for _, d := range s.at {
					at = append(at, fmt.Sprint(d.Seconds()))
				}
				if got := strings.Join(at, " "); got != c.at {
					t.Errorf("attempts at %s, want %s", got, c.at)
				}
			})
		})
	}
}

func TestRetryBudgetStartsAnewOnEntry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{errors: []string{"E", "F", "E"}, start: time.Now()}
		definition := one(`{` + fn + `,"Retry":[{"ErrorEquals":["E"],"MaxAttempts":1}],"Catch":[{"ErrorEquals":["F"],"ResultPath":null,"Next":"B"}]},
			"B":{"Type":"Wait","Seconds":1,"Next":"A"}`)
		if got := result(t, definition, "{}", s); got != "{}" || len(s.at) != 4 {
			t.Errorf("got %s after %d attempts", got, len(s.at))
		}
	})
}

func TestJitterComesFromTheSeed(t *testing.T) {
	var runs [][]time.Duration
	for range 2 {
		synctest.Test(t, func(t *testing.T) {
			s := &script{errors: slices.Repeat([]string{"E"}, 20), start: time.Now()}
			result(t, one(`{`+fn+`,"Retry":[{"ErrorEquals":["E"],"MaxAttempts":20,"BackoffRate":1,"IntervalSeconds":10,"JitterStrategy":"FULL"}]}`), "{}", s)
			runs = append(runs, s.at)
		})
	}
	if !slices.Equal(runs[0], runs[1]) {
		t.Error("two runs of one seed differ")
	}
	for i, at := range runs[0][1:] {
		if d := at - runs[0][i]; d < 0 || d >= 10*time.Second {
			t.Errorf("retry %d waits %v", i, d)
		}
	}
	if total := runs[0][20]; total < 50*time.Second || total > 150*time.Second {
		t.Errorf("20 jittered waits of at most 10s take %v", total)
	}
}

func TestCatch(t *testing.T) {
	catch := func(names string) string {
		return one(`{` + fn + `,"Catch":[` + names + `]}`)
	}
	for _, c := range []struct{ name, definition, error, want string }{
		{"what it hands on", catch(`{"ErrorEquals":["States.ALL"],"ResultPath":"$.e","Next":"Z"}`), "E", `{"a":1,"e":{"Cause":"{\"errorType\":\"E\"}","Error":"E"}}`},
		{"in the order written", catch(`{"ErrorEquals":["E"],"ResultPath":null,"Next":"Z"},{"ErrorEquals":["States.ALL"],"Next":"Z"}`), "E", `{"a":1}`},
		{"replaces the input", catch(`{"ErrorEquals":["States.TaskFailed"],"Next":"Z"}`), "E", `{"Cause":"{\"errorType\":\"E\"}","Error":"E"}`},
		{"not a runtime error", catch(`{"ErrorEquals":["States.Runtime"],"Next":"Z"}`), Runtime, "FAILED States.Runtime"},
		{"States.ALL leaves too much data out", catch(`{"ErrorEquals":["States.ALL"],"Next":"Z"}`), DataLimitExceeded, "FAILED States.DataLimitExceeded"},
		{"a heartbeat is a timeout too", catch(`{"ErrorEquals":["States.Timeout"],"ResultPath":null,"Next":"Z"}`), HeartbeatTimeout, `{"a":1}`},
	} {
		if got := result(t, c.definition, `{"a":1}`, &script{errors: []string{c.error}}); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

func TestPayloadLimit(t *testing.T) {
	answer := func(n int) Tasks {
		return TasksFunc(func(context.Context, string, json.RawMessage) (json.RawMessage, error) {
			return json.RawMessage(`"` + strings.Repeat("x", n-2) + `"`), nil
		})
	}
	caught := one(`{` + fn + `,"ResultPath":"$.r","Catch":[{"ErrorEquals":["States.DataLimitExceeded"],"ResultPath":"$.e","Next":"Z"}]}`)
	if got := result(t, one(`{`+fn+`}`), "{}", answer(MaxPayload)); len(got) != MaxPayload {
		t.Errorf("at the limit: got %.60s", got)
	}
	if got := result(t, one(`{`+fn+`}`), "{}", answer(MaxPayload+1)); got != "FAILED States.DataLimitExceeded" {
		t.Errorf("over the limit: got %.60s", got)
	}
	if got := result(t, caught, "{}", answer(MaxPayload)); !strings.HasPrefix(got, `{"e":{"Cause":`) {
		t.Errorf("over the limit with its place in the input: got %.60s", got)
	}
	full := `{"full":"` + strings.Repeat("x", MaxPayload-20) + `"}`
	if got := result(t, caught, full, answer(100)); got != "FAILED States.DataLimitExceeded" {
		t.Errorf("an input so full that the error has no room: got %.60s", got)
	}
}

func TestTimeouts(t *testing.T) {
	slow := func(d time.Duration, beats int) Tasks {
		return TasksFunc(func(ctx context.Context, _ string, in json.RawMessage) (json.RawMessage, error) {
			for range beats {
				time.Sleep(2 * time.Second)
				Heartbeat(ctx)
			}
			time.Sleep(d)
			return in, ctx.Err()
		})
	}
	for _, c := range []struct {
		name, more string
		tasks      Tasks
		want       string
		took       time.Duration
	}{
		{"in time", `,"TimeoutSeconds":5`, slow(4*time.Second, 0), `{"t":3}`, 4 * time.Second},
		{"out of time", `,"TimeoutSeconds":5`, slow(time.Minute, 0), "FAILED States.Timeout", 5 * time.Second},
		{"out of a time that is given", `,"TimeoutSecondsPath":"$.t"`, slow(time.Minute, 0), "FAILED States.Timeout", 3 * time.Second},
		{"silent", `,"HeartbeatSeconds":3`, slow(time.Minute, 0), "FAILED States.HeartbeatTimeout", 3 * time.Second},
		{"heard", `,"HeartbeatSeconds":3`, slow(2*time.Second, 5), `{"t":3}`, 12 * time.Second},
		{"heard, then silent", `,"HeartbeatSeconds":3`, slow(time.Minute, 5), "FAILED States.HeartbeatTimeout", 13 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var work sync.WaitGroup
				started := time.Now()
				_, err := parse(t, one(`{`+fn+c.more+`}`)).Run(t.Context(), Execution{Input: json.RawMessage(`{"t":3}`), Tasks: c.tasks, Work: &work})
				got := `{"t":3}`
				if err != nil {
					f := err.(*Failure)
					got = string(f.Status) + " " + f.Name
				}
				if got != c.want || time.Since(started) != c.took {
					t.Errorf("got %s after %v", got, time.Since(started))
				}
				work.Wait()
			})
		})
	}
}
