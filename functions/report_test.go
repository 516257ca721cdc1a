package functions_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/quiesce/quiesce/events"
	"github.com/quiesce/quiesce/functions/report"
	"github.com/quiesce/quiesce/shared/run"
)

// results are files as a Distributed Map writes them.
func results(c *fakeCloud, files map[string][]string) {
	c.objects = map[string][]byte{"fleet/f/results/1/manifest.json": []byte(`{}`)}
	for name, entries := range files {
		c.objects["fleet/f/results/1/"+name] = []byte("[" + strings.Join(entries, ",") + "]")
	}
}

func ran(outcome string) string {
	return fmt.Sprintf(`{"Status":"SUCCEEDED","Output":"{\"outcome\":\"%s\"}"}`, outcome)
}

func failedRun(n int) string {
	return fmt.Sprintf(`{"Status":"FAILED","Error":"RunFailed","Input":"{\"instanceId\":\"i-%02d\",\"runId\":\"r-%02d\"}",
		"Cause":"{\"ExecutionArn\":\"arn\",\"Status\":\"FAILED\",\"Error\":\"FailedClean\",\"Cause\":\"precheck failed\"}"}`, n, n)
}

func fleetRan(total, maxErrors int) report.Input {
	return report.Input{
		Run: run.Run{ID: "f", StartedAt: four}, Request: run.Typed(`{"policy":{"name":"nightly","targets":{}}}`),
		Targets: &run.Targets{Total: total, MaxErrors: maxErrors, SkippedTotal: 1, Results: "fleet/f/results"},
	}
}

func TestReportCounts(t *testing.T) {
	many := []string{}
	for i := range 30 {
		many = append(many, failedRun(29-i))
	}
	stopped := `{"Status":"ABORTED","Input":"{}"}`
	for _, tt := range []struct {
		name  string
		files map[string][]string
		with  func(*report.Input)
		total int
		want  run.Report
	}{
		{"all completed", map[string][]string{"SUCCEEDED_0.json": {ran("completed"), ran("completed")}, "SUCCEEDED_1.json": {ran("completed")}}, nil, 3,
			run.Report{Outcome: "completed", Completed: 3}},
		{"one proved less", map[string][]string{"SUCCEEDED_0.json": {ran("completed"), ran("degraded")}}, nil, 2,
			run.Report{Outcome: "completed-with-errors", Completed: 1, Degraded: 1}},
		{"one failed", map[string][]string{"SUCCEEDED_0.json": {ran("completed")}, "FAILED_0.json": {failedRun(1)}}, nil, 2,
			run.Report{Outcome: "completed-with-errors", Completed: 1, Failed: 1}},
		{"taken before", map[string][]string{"SUCCEEDED_0.json": {ran("taken-before")}}, nil, 1,
			run.Report{Outcome: "completed", TakenBefore: 1}},
		{"all failed", map[string][]string{"FAILED_0.json": many}, nil, 30,
			run.Report{Outcome: "failed", Failed: 30}},
		{"the budget is spent", map[string][]string{"SUCCEEDED_0.json": {ran("completed")}, "FAILED_0.json": {failedRun(1), failedRun(2), stopped}, "PENDING_0.json": {`{"Status":"PENDING"}`}},
			func(in *report.Input) {
				in.Failures.Runs = &run.Failure{Error: "States.ExceedToleratedFailureThreshold"}
			}, 5,
			run.Report{Outcome: "failed", Code: "States.ExceedToleratedFailureThreshold", Completed: 1, Failed: 2, NotStarted: 2}},
		{"the list cannot be read", nil, func(in *report.Input) {
			in.Failures.Runs = &run.Failure{Error: "States.ItemReaderFailed", Cause: "gone"}
		}, 5, run.Report{Outcome: "failed", Code: "States.ItemReaderFailed", NotStarted: 5}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newCloud()
			results(c, tt.files)
			in := fleetRan(tt.total, 1)
			if tt.with != nil {
				tt.with(&in)
			}
			got, err := report.Do(t.Context(), c, nil, four.Add(90*time.Second), in)
			if err != nil {
				t.Fatal(err)
			}
			sum := run.Report{Outcome: got.Outcome, Code: got.Code, Completed: got.Completed, Degraded: got.Degraded, Failed: got.Failed, TakenBefore: got.TakenBefore, NotStarted: got.NotStarted}
			if fmt.Sprint(sum) != fmt.Sprint(tt.want) || got.Instances != tt.total || got.Seconds != 90 || got.Skipped != 1 || got.Reason == "" {
				t.Errorf("got %+v", got)
			}
			if len(got.Failures) != min(got.Failed, run.Listed) || got.Failed > 0 && got.Failures[0].Reason != "precheck failed" {
				t.Errorf("failures %+v", got.Failures)
			}
			if len(c.bus) != 1 || c.bus[0].Type != events.TypeFleet || c.bus[0].Detail.(events.Fleet).Policy != "nightly" {
				t.Errorf("published %+v", c.bus)
			}
		})
	}
}

func TestReportInsistsOnItsEvent(t *testing.T) {
	c := newCloud()
	results(c, map[string][]string{"SUCCEEDED_0.json": {ran("completed")}})
	c.publish = func([]events.Event) error { return errors.New("down") }
	in := fleetRan(1, 0)
	if _, err := report.Do(t.Context(), c, nil, four, in); err == nil {
		t.Error("the first attempt gave the event up")
	}
	in.Attempt = 3
	if r, err := report.Do(t.Context(), c, nil, four, in); err != nil || r.Outcome != run.FleetCompleted {
		t.Errorf("the last attempt: got %+v, %v", r, err)
	}
}

func TestGroupIsAsConsistentAsItsLeastMember(t *testing.T) {
	member := func(outcome run.Outcome, c run.Consistency) run.GroupMember {
		return run.GroupMember{State: run.State{Run: run.Run{ID: "r"}, Request: run.Typed(`{"instanceId":"i-1"}`),
			Verdict: &run.Verdict{Outcome: outcome, Consistency: c, Reason: "because"}}}
	}
	app := member(run.OutcomeCompleted, run.Application)
	for _, tt := range []struct {
		name        string
		members     []run.GroupMember
		lost        run.GroupFailures
		outcome     run.Outcome
		consistency run.Consistency
	}{
		{"all application", []run.GroupMember{app, app}, run.GroupFailures{}, run.OutcomeCompleted, run.Application},
		{"one filesystem", []run.GroupMember{app, member(run.OutcomeDegraded, run.Filesystem)}, run.GroupFailures{}, run.OutcomeDegraded, run.Filesystem},
		{"one crash", []run.GroupMember{member(run.OutcomeDegraded, run.Crash), app}, run.GroupFailures{}, run.OutcomeDegraded, run.Crash},
		{"one without a set", []run.GroupMember{app, member(run.OutcomeFailedClean, "")}, run.GroupFailures{}, run.OutcomeDegraded, ""},
		{"none", []run.GroupMember{member(run.OutcomeFailedClean, ""), member(run.OutcomeFailedClean, "")}, run.GroupFailures{}, run.OutcomeFailedClean, ""},
		{"one dirty", []run.GroupMember{app, member(run.OutcomeFailedDirty, run.Application)}, run.GroupFailures{}, run.OutcomeFailedDirty, run.Application},
		{"one without a verdict", []run.GroupMember{app, {}}, run.GroupFailures{}, run.OutcomeFailedDirty, ""},
		{"the thaw was lost", []run.GroupMember{app}, run.GroupFailures{Thaw: &run.Failure{Error: "States.DataLimitExceeded"}}, run.OutcomeFailedDirty, run.Application},
		{"nobody", nil, run.GroupFailures{Gather: &run.Failure{Error: "InvalidInput"}}, run.OutcomeFailedClean, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := report.Do(t.Context(), newCloud(), nil, four, report.Input{Run: run.Run{ID: "g", StartedAt: four}, Together: true, Members: tt.members, Lost: tt.lost})
			if err != nil {
				t.Fatal(err)
			}
			if got.Outcome != string(tt.outcome) || got.Consistency != tt.consistency || got.Reason == "" {
				t.Errorf("got %+v", got)
			}
		})
	}
}
