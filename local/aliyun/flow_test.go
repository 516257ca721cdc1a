package aliyun_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/quiesce/quiesce/local/aliyun"
	"github.com/quiesce/quiesce/local/engine"
	"github.com/quiesce/quiesce/workflow/asl"
)

// waits is a flow that enters so many states and rests a minute in each.
func waits(t *testing.T, n int) *asl.Machine {
	t.Helper()
	var states []string
	for i := range n {
		states = append(states, fmt.Sprintf(`"S%d":{"Type":"Wait","Seconds":60,"Next":"S%d"}`, i, i+1))
	}
	m, err := asl.Parse([]byte(fmt.Sprintf(`{"StartAt":"S0","States":{%s,"S%d":{"Type":"Succeed"}}}`, strings.Join(states, ","), n)), nil)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func inFlow(t *testing.T, states int, test func(w *world)) {
	t.Helper()
	in(t, aliyun.Config{}, func(outer *world) {
		e := engine.New(engine.Config{})
		defer e.Close()
		w := &world{T: outer.T, Cloud: aliyun.New(aliyun.Config{Engine: e, Disks: storage{}, Latency: map[string]time.Duration{"*": time.Millisecond}}), machine: outer.machine}
		defer w.Close()
		w.keys = w.Keys("tester")
		e.Deploy("waits", nil, waits(outer.T, states), w.Tasks(nil))
		test(w)
	})
}

// pages reads a history to its end.
func (w *world) pages(limit string) (types []string, sizes []int) {
	w.Helper()
	for token := ""; ; {
		time.Sleep(time.Second) // ten calls in two seconds
		with := []string{"FlowName", "waits", "ExecutionName", "one"}
		if limit != "" {
			with = append(with, "Limit", limit)
		}
		if token != "" {
			with = append(with, "NextToken", token)
		}
		a := w.call("GetExecutionHistory", with...)
		w.refuses("a page", a, "")
		events, _ := a.at("Events").([]any)
		for i := range events {
			types = append(types, a.text("Events", i, "StepName")+" "+a.text("Events", i, "Type"))
			if id := a.text("Events", i, "EventId"); id != fmt.Sprint(len(types)) {
				w.Errorf("event %d has the id %s", len(types), id)
			}
		}
		sizes = append(sizes, len(events))
		if token = a.text("NextToken"); token == "" {
			return types, sizes
		}
	}
}

// A history comes in pages that lack nothing and repeat nothing, whatever their
// size.
func TestHistoriesComeInPages(t *testing.T) {
	inFlow(t, 40, func(w *world) {
		w.refuses("start", w.call("StartExecution", "FlowName", "waits", "ExecutionName", "one", "Input", "{}"), "")
		time.Sleep(41 * time.Minute)
		whole, sizes := w.pages("1000")
		if len(sizes) != 1 || len(whole) != 2*41+2 || whole[0] != " ExecutionStarted" || whole[1] != "S0 StepEntered" || whole[len(whole)-1] != " ExecutionSucceeded" {
			t.Fatalf("got %d events in %d pages: %v", len(whole), len(sizes), whole)
		}
		for limit, want := range map[string][]int{"": {60, 24}, "42": {42, 42}, "84": {84}, "83": {83, 1}} {
			got, sizes := w.pages(limit)
			if strings.Join(got, "\n") != strings.Join(whole, "\n") || fmt.Sprint(sizes) != fmt.Sprint(want) {
				t.Errorf("limit %q: got %d events in pages of %v, want %v", limit, len(got), sizes, want)
			}
		}
		for _, c := range [][]string{{"Limit", "0", "InvalidParameter.Limit"}, {"Limit", "1001", "InvalidParameter.Limit"}, {"NextToken", "-1", "InvalidArgument"}, {"NextToken", "x", "InvalidArgument"}} {
			w.refuses(c[0]+" "+c[1], w.call("GetExecutionHistory", "FlowName", "waits", "ExecutionName", "one", c[0], c[1]), c[2])
			time.Sleep(time.Second)
		}
	})
}

// Names dedupe, what does not exist is told apart, and the looks have a rate.
func TestExecutions(t *testing.T) {
	inFlow(t, 2, func(w *world) {
		start := func(name, input string) answer {
			return w.call("StartExecution", "FlowName", "waits", "ExecutionName", name, "Input", input)
		}
		w.refuses("one", start("one", `{"a":1}`), "")
		for _, input := range []string{`{"a":1}`, `{}`} {
			if a := start("one", input); a.code != "" || a.text("Status") != "Running" || a.text("Input") != `{"a":1}` {
				t.Errorf("the same again while it runs: got %v", a.doc)
			}
		}
		w.refuses("no document", start("two", `[1]`), "InvalidArgument")
		w.refuses("a flow that does not exist", w.call("StartExecution", "FlowName", "other"), "FlowNotExists")
		look := func(name string, with ...string) answer {
			return w.call("DescribeExecution", append([]string{"FlowName", "waits", "ExecutionName", name}, with...)...)
		}
		w.refuses("one that does not exist", look("nobody"), "ExecutionNotExists")
		began := time.Now()
		if a := look("one", "WaitTimeSeconds", "30"); a.text("Status") != "Running" || time.Since(began) < 30*time.Second {
			t.Errorf("after %s it is %v", time.Since(began), a.doc)
		}
		if a := look("one", "WaitTimeSeconds", "60"); a.text("Status") != "Running" {
			t.Errorf("it is %v", a.doc)
		}
		if a := look("one", "WaitTimeSeconds", "60"); a.text("Status") != "Succeeded" || time.Since(began).Round(time.Second) != 2*time.Minute {
			t.Errorf("after %s it is %v", time.Since(began), a.doc)
		}
		w.refuses("the same when it has ended", start("one", `{"a":1}`), "ExecutionAlreadyExists")
		w.refuses("more than a minute", look("one", "WaitTimeSeconds", "61"), "InvalidParameter.WaitTimeSeconds")
		w.refuses("two", start("two", `{}`), "")
		w.refuses("stop", w.call("StopExecution", "FlowName", "waits", "ExecutionName", "two", "Error", "Enough", "Cause", "of it"), "")
		if a := look("two"); a.text("Status") != "Stopped" {
			t.Errorf("it is %v", a.doc)
		}
		time.Sleep(time.Minute)
		refused := 0
		for range 60 {
			if look("two").code == "ResourceThrottled" {
				refused++
			}
		}
		if refused == 0 || refused > 10 {
			t.Errorf("%d of 60 looks at once were refused, of 50 that there may be", refused)
		}
	})
}

// A list holds what was asked for by status, by the time of the start and by
// name, in pages that lack nothing and repeat nothing.
func TestExecutionsAreListed(t *testing.T) {
	inFlow(t, 2, func(w *world) {
		began := time.Now()
		for i := range 7 {
			w.refuses("start", w.call("StartExecution", "FlowName", "waits", "ExecutionName", fmt.Sprintf("run-%d", i), "Input", `{"n":1}`), "")
			if i%3 == 0 {
				w.refuses("stop", w.call("StopExecution", "FlowName", "waits", "ExecutionName", fmt.Sprintf("run-%d", i)), "")
			}
			time.Sleep(10 * time.Second)
		}
		at := func(seconds int) string {
			return began.Add(time.Duration(seconds) * time.Second).UTC().Format(time.RFC3339)
		}
		list := func(with ...string) (names []string, pages int) {
			for token := ""; ; {
				time.Sleep(time.Second)
				asked := append([]string{"FlowName", "waits"}, with...)
				if token != "" {
					asked = append(asked, "NextToken", token)
				}
				a := w.call("ListExecutions", asked...)
				w.refuses(strings.Join(asked, " "), a, "")
				found, _ := a.at("Executions").([]any)
				for i := range found {
					names = append(names, strings.TrimPrefix(a.text("Executions", i, "Name"), "run-"))
					if a.text("Executions", i, "Input") != `{"n":1}` {
						t.Errorf("got %v", a.at("Executions", i))
					}
				}
				pages++
				if token = a.text("NextToken"); token == "" {
					return names, pages
				}
			}
		}
		for _, c := range []struct {
			with  []string
			want  string
			pages int
		}{
			{nil, "6 5 4 3 2 1 0", 1},
			{[]string{"Limit", "3"}, "6 5 4 3 2 1 0", 3},
			{[]string{"Limit", "7"}, "6 5 4 3 2 1 0", 1},
			{[]string{"Status", "Stopped"}, "6 3 0", 1},
			{[]string{"Status", "Stopped", "Limit", "1"}, "6 3 0", 3},
			{[]string{"Status", "TimedOut"}, "", 1},
			{[]string{"Status", "Starting"}, "", 1},
			{[]string{"StartedTimeBegin", at(25)}, "6 5 4 3", 1},
			{[]string{"StartedTimeEnd", at(25)}, "2 1 0", 1},
			{[]string{"StartedTimeBegin", at(25), "Status", "Stopped"}, "6 3", 1},
			{[]string{"ExecutionNamePrefix", "run-5"}, "5", 1},
		} {
			got, pages := list(c.with...)
			if strings.Join(got, " ") != c.want || pages != c.pages {
				t.Errorf("%v: got %v in %d pages, want %s in %d", c.with, got, pages, c.want, c.pages)
			}
		}
		for _, c := range [][]string{
			{"Limit", "0", "InvalidParameter.Limit"}, {"Limit", "101", "InvalidParameter.Limit"}, {"Status", "Broken", "InvalidArgument"},
			{"StartedTimeBegin", "yesterday", "InvalidArgument"}, {"NextToken", "run-9", "InvalidArgument"},
		} {
			time.Sleep(time.Second)
			w.refuses(c[0]+" "+c[1], w.call("ListExecutions", "FlowName", "waits", c[0], c[1]), c[2])
		}
		w.refuses("a flow that does not exist", w.call("ListExecutions", "FlowName", "other"), "FlowNotExists")
	})
}
