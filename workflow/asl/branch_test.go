package asl

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

const fanOut = `{"StartAt":"M","States":{"M":{"Type":"Map","MaxConcurrency":%d,"ItemProcessor":{"StartAt":"A","States":{"A":{
	"Type":"Task","Resource":"arn:aws:lambda:eu-west-1:123456789012:function:f","End":true}}},
	"Catch":[{"ErrorEquals":["States.ALL"],"Next":"Z"}],"End":true},"Z":{"Type":"Pass","Parameters":{"e.$":"$.Error"},"OutputPath":"$.e","End":true}}}`

func TestMapRunsAtMostSoMany(t *testing.T) {
	for limit, want := range map[int]time.Duration{0: time.Second, 1: 6 * time.Second, 2: 3 * time.Second, 4: 2 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			started := time.Now()
			slow := TasksFunc(func(_ context.Context, _ string, in json.RawMessage) (json.RawMessage, error) {
				time.Sleep(time.Second)
				return in, nil
			})
			if got := result(t, fmt.Sprintf(fanOut, limit), `[1,2,3,4,5,6]`, slow); got != `[1,2,3,4,5,6]` || time.Since(started) != want {
				t.Errorf("limit %d: got %s after %v, want it after %v", limit, got, time.Since(started), want)
			}
		})
	}
}

func TestFirstFailureStopsTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var work sync.WaitGroup
		started := time.Now()
		tasks := TasksFunc(func(_ context.Context, _ string, in json.RawMessage) (json.RawMessage, error) {
			if string(in) == "2" {
				time.Sleep(time.Second)
				return nil, &Error{"E", ""}
			}
			time.Sleep(time.Hour)
			return in, nil
		})
		var types []string
		out, err := parse(t, fmt.Sprintf(fanOut, 0)).Run(t.Context(), Execution{Input: json.RawMessage(`[1,2,3]`), Tasks: tasks, Work: &work,
			Observe: func(e Event) { types = append(types, e.Type) }})
		if string(out) != `"E"` || err != nil || time.Since(started) != time.Second {
			t.Errorf("got %s, %v after %v", out, err, time.Since(started))
		}
		for _, want := range []string{"MapIterationFailed", "MapIterationAborted", "TaskStateAborted", "MapStateFailed"} {
			if !strings.Contains(strings.Join(types, " "), want) {
				t.Errorf("no %s in %v", want, types)
			}
		}
		work.Wait()
	})
}

func TestAbort(t *testing.T) {
	tasks := TasksFunc(func(_ context.Context, _ string, in json.RawMessage) (json.RawMessage, error) {
		time.Sleep(time.Minute)
		return in, nil
	})
	for name, definition := range map[string]string{
		"in a task": one(`{` + fn + `,"Catch":[{"ErrorEquals":["States.ALL"],"Next":"Z"}]}`),
		"in a map":  fmt.Sprintf(fanOut, 0),
		"in a wait": one(`{"Type":"Wait","Seconds":60,"Next":"Z"}`),
		"between retries": one(`{"Type":"Task","Resource":"arn:aws:lambda:eu-west-1:123456789012:function:f","TimeoutSeconds":1,
			"Retry":[{"ErrorEquals":["States.ALL"],"IntervalSeconds":60}],"Next":"Z"}`),
	} {
		for _, cause := range []error{nil, &Error{"Why", "because"}} {
			synctest.Test(t, func(t *testing.T) {
				var work sync.WaitGroup
				ctx, stop := context.WithCancelCause(t.Context())
				time.AfterFunc(2*time.Second, func() { stop(cause) })
				started := time.Now()
				var last Event
				_, err := parse(t, definition).Run(ctx, Execution{Input: json.RawMessage(`[1,2]`), Tasks: tasks, Work: &work, Observe: func(e Event) { last = e }})
				want := Failure{Aborted, "", "context canceled"}
				if cause != nil {
					want = Failure{Aborted, "Why", "because"}
				}
				var got *Failure
				if !errors.As(err, &got) || *got != want || time.Since(started) != 2*time.Second || last.Type != "ExecutionAborted" {
					t.Errorf("%s: got %v after %v, last %s", name, err, time.Since(started), last.Type)
				}
				work.Wait()
			})
		}
	}
}

func TestHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		definition := `{"StartAt":"A","States":{"A":{"Type":"Task","Resource":"arn:aws:lambda:eu-west-1:123456789012:function:f","TimeoutSeconds":9,
			"Retry":[{"ErrorEquals":["E"]}],"Next":"B"},
			"B":{"Type":"Task","Resource":"arn:aws:states:::events:putEvents","Next":"C"},"C":{"Type":"Wait","Seconds":3,"Next":"D"},"D":{"Type":"Fail","Error":"X","Cause":"y"}}}`
		var lines []string
		_, err := parse(t, definition).Run(t.Context(), Execution{ID: "arn:aws:states:eu-west-1:123456789012:execution:m:x", Input: json.RawMessage(`{"a":1}`), RoleARN: "role", Tasks: &script{errors: []string{"E"}},
			Observe: func(e Event) {
				text, err := json.Marshal(e)
				if err != nil {
					t.Error(err)
				}
				lines = append(lines, string(text))
			}})
		if err == nil {
			t.Fatal("succeeded")
		}
		const in = `"input":"{\"a\":1}","inputDetails":{"truncated":false}`
		const out = `"output":"{\"a\":1}","outputDetails":{"truncated":false}`
		want := []string{
			`{"executionStartedEventDetails":{` + in + `,"roleArn":"role"},"id":1,"previousEventId":0,"timestamp":946684800.000,"type":"ExecutionStarted"}`,
			`{"id":2,"previousEventId":1,"stateEnteredEventDetails":{` + in + `,"name":"A"},"timestamp":946684800.000,"type":"TaskStateEntered"}`,
			`{"id":3,"lambdaFunctionScheduledEventDetails":{` + in + `,"resource":"arn:aws:lambda:eu-west-1:123456789012:function:f","timeoutInSeconds":9},"previousEventId":2,"timestamp":946684800.000,"type":"LambdaFunctionScheduled"}`,
			`{"id":4,"previousEventId":3,"timestamp":946684800.000,"type":"LambdaFunctionStarted"}`,
			`{"id":5,"lambdaFunctionFailedEventDetails":{"cause":"{\"errorType\":\"E\"}","error":"E"},"previousEventId":4,"timestamp":946684800.000,"type":"LambdaFunctionFailed"}`,
			`{"id":6,"lambdaFunctionScheduledEventDetails":{` + in + `,"resource":"arn:aws:lambda:eu-west-1:123456789012:function:f","timeoutInSeconds":9},"previousEventId":5,"timestamp":946684801.000,"type":"LambdaFunctionScheduled"}`,
			`{"id":7,"previousEventId":6,"timestamp":946684801.000,"type":"LambdaFunctionStarted"}`,
			`{"id":8,"lambdaFunctionSucceededEventDetails":{` + out + `},"previousEventId":7,"timestamp":946684801.000,"type":"LambdaFunctionSucceeded"}`,
			`{"id":9,"previousEventId":8,"stateExitedEventDetails":{"name":"A",` + out + `},"timestamp":946684801.000,"type":"TaskStateExited"}`,
			`{"id":10,"previousEventId":9,"stateEnteredEventDetails":{` + in + `,"name":"B"},"timestamp":946684801.000,"type":"TaskStateEntered"}`,
			`{"id":11,"previousEventId":10,"taskScheduledEventDetails":{"parameters":"{\"a\":1}","region":"eu-west-1","resource":"putEvents","resourceType":"events"},"timestamp":946684801.000,"type":"TaskScheduled"}`,
			`{"id":12,"previousEventId":11,"taskStartedEventDetails":{"resource":"putEvents","resourceType":"events"},"timestamp":946684801.000,"type":"TaskStarted"}`,
			`{"id":13,"previousEventId":12,"taskSucceededEventDetails":{` + out + `,"resource":"putEvents","resourceType":"events"},"timestamp":946684801.000,"type":"TaskSucceeded"}`,
			`{"id":14,"previousEventId":13,"stateExitedEventDetails":{"name":"B",` + out + `},"timestamp":946684801.000,"type":"TaskStateExited"}`,
			`{"id":15,"previousEventId":14,"stateEnteredEventDetails":{` + in + `,"name":"C"},"timestamp":946684801.000,"type":"WaitStateEntered"}`,
			`{"id":16,"previousEventId":15,"stateExitedEventDetails":{"name":"C",` + out + `},"timestamp":946684804.000,"type":"WaitStateExited"}`,
			`{"id":17,"previousEventId":16,"stateEnteredEventDetails":{` + in + `,"name":"D"},"timestamp":946684804.000,"type":"FailStateEntered"}`,
			`{"executionFailedEventDetails":{"cause":"y","error":"X"},"id":18,"previousEventId":17,"timestamp":946684804.000,"type":"ExecutionFailed"}`,
		}
		for i := range max(len(want), len(lines)) {
			got, wanted := "", ""
			if i < len(lines) {
				got = lines[i]
			}
			if i < len(want) {
				wanted = want[i]
			}
			if got != wanted {
				t.Errorf("event %d\n got %s\nwant %s", i+1, got, wanted)
			}
		}
	})
}

func TestHistoryIsBounded(t *testing.T) {
	definition := `{"StartAt":"A","States":{"A":{"Type":"Pass","Next":"A"}}}`
	events := 0
	_, err := parse(t, definition).Run(t.Context(), Execution{Observe: func(Event) { events++ }})
	if f := err.(*Failure); f.Name != Runtime || events > MaxEvents {
		t.Errorf("got %v after %d events", err, events)
	}
}

func TestLambdaError(t *testing.T) {
	for payload, want := range map[string]string{
		`{"errorMessage":"m","errorType":"FreezeRefused"}`: "FreezeRefused",
		`{"errorMessage":"m"}`:                             "Lambda.Unknown",
		`nonsense`:                                         "Lambda.Unknown",
	} {
		if got := LambdaError([]byte(payload)); got.Name != want || got.Cause != payload {
			t.Errorf("%s: got %v", payload, got)
		}
	}
}
