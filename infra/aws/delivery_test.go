package main

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/quiesce/quiesce/local/engine"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/workflow"
	"github.com/quiesce/quiesce/workflow/asl"

	cloud "github.com/quiesce/quiesce/local/aws"
)

// Whatever is delivered asynchronously has somewhere to go when it cannot be.
func TestWhatIsNotDeliveredIsKept(t *testing.T) {
	_, tmpl := synthesised(t)
	for id, r := range tmpl.of("AWS::Events::Rule") {
		for i := range 2 {
			target := at(r.Properties, "Targets", i)
			if target != nil && at(target, "DeadLetterConfig", "Arn") == nil {
				t.Errorf("%s has a target without a dead-letter queue", id)
			}
		}
	}
	for id, r := range tmpl.of("AWS::Scheduler::Schedule") {
		if at(r.Properties, "Target", "DeadLetterConfig", "Arn") == nil {
			t.Errorf("%s has no dead-letter queue", id)
		}
	}
	started := map[string]bool{}
	for _, r := range tmpl.of("AWS::Lambda::EventInvokeConfig") {
		for step := range parkedIn {
			if strings.Contains(flat(r.Properties["FunctionName"]), camel(step)) && at(r.Properties, "DestinationConfig", "OnFailure", "Destination") != nil {
				started[step] = true
			}
		}
	}
	if len(started) != len(parkedIn) {
		t.Errorf("only %v keep an event that they failed on", started)
	}
	alarmed := flat(tmpl.of("AWS::CloudWatch::Alarm"))
	for id, r := range tmpl.of("AWS::SQS::Queue") {
		if r.Properties["SqsManagedSseEnabled"] != true || r.Properties["RedrivePolicy"] != nil {
			t.Errorf("%s: %v", id, r.Properties)
		}
		if !strings.Contains(alarmed, id) {
			t.Errorf("no alarm looks at %s", id)
		}
	}
}

func TestJanitorHearsOfWhatDidNotThaw(t *testing.T) {
	_, tmpl := synthesised(t)
	rule := tmpl.one(t, "AWS::Events::Rule", "Name", "quiesce-janitor").Properties
	pattern := rule["EventPattern"]
	if got := flat(at(pattern, "detail", "status")); got != `["FAILED","TIMED_OUT","ABORTED"]` {
		t.Errorf("got %s", got)
	}
	for _, machine := range []string{"SnapshotMachine", "GroupMachine"} { // the ones that hold instances
		if !strings.Contains(flat(at(pattern, "detail", "stateMachineArn")), machine) {
			t.Errorf("does not listen to the %s", machine)
		}
	}
	if at(rule, "Targets", 0, "Input") != nil || at(rule, "Targets", 0, "InputTransformer") != nil {
		t.Error("the event is changed on its way: functions/lambda reads the whole")
	}
}

func TestRestoreJanitorHearsOfWhatWasNotReported(t *testing.T) {
	_, tmpl := synthesised(t)
	rule := tmpl.one(t, "AWS::Events::Rule", "Name", "quiesce-restore-janitor").Properties
	detail := at(rule["EventPattern"], "detail")
	if got := flat(at(detail, "status")); got != `["FAILED","TIMED_OUT","ABORTED"]` || !strings.Contains(flat(at(detail, "stateMachineArn")), "RestoreMachine") {
		t.Errorf("got %s", flat(detail))
	}
	verdicts := flat(at(detail, "error", 0, "anything-but"))
	for _, end := range []string{"FailedClean", "FailedDirty", "FailedUnreported"} {
		if told := end != "FailedUnreported"; strings.Contains(verdicts, end) != told || !strings.Contains(workflow.Restore(), `"Error": "`+end+`"`) {
			t.Errorf("%s is among the verdicts %s: %t", end, verdicts, told)
		}
	}
	if at(rule, "Targets", 0, "Input") != nil || at(rule, "Targets", 0, "InputTransformer") != nil {
		t.Error("the event is changed on its way: functions/lambda reads the whole")
	}
}

func TestSchedules(t *testing.T) {
	_, tmpl := synthesised(t)
	var utc []resource
	starts := func(arn any) bool { return strings.Contains(flat(arn), "StartMachine") }
	for _, r := range tmpl.of("AWS::Events::Rule") {
		if r.Properties["ScheduleExpression"] != nil && starts(at(r.Properties, "Targets", 0, "Arn")) {
			utc = append(utc, r)
		}
	}
	zoned := tmpl.of("AWS::Scheduler::Schedule")
	maps.DeleteFunc(zoned, func(_ string, r resource) bool { return !starts(at(r.Properties, "Target", "Arn")) })
	if len(utc) != 3 || len(zoned) != 1 {
		t.Fatalf("got %d rules and %d schedules, want 3 and 1", len(utc), len(zoned))
	}
	for _, r := range utc {
		if got := at(r.Properties, "Targets", 0, "InputTransformer", "InputPathsMap"); !strings.Contains(flat(got), `"$.time"`) {
			t.Errorf("a rule passes on %s, not its time", flat(got))
		}
		if r.Properties["ScheduleExpression"] == "cron(0 2 * * ? *)" && at(r.Properties, "Targets", 0, "RetryPolicy", "MaximumEventAgeInSeconds") != 1200.0 {
			t.Errorf("is delivered late: %v", at(r.Properties, "Targets", 0, "RetryPolicy"))
		}
	}
	for _, r := range zoned {
		input := flat(at(r.Properties, "Target", "Input"))
		if r.Properties["ScheduleExpressionTimezone"] != "Europe/Berlin" || !strings.Contains(input, "aws.scheduler.scheduled-time") ||
			at(r.Properties, "Target", "RetryPolicy", "MaximumEventAgeInSeconds") != 1200.0 || at(r.Properties, "FlexibleTimeWindow", "Mode") != "OFF" {
			t.Errorf("got %s", flat(r.Properties))
		}
		if strings.Contains(input, "ops@example.com") {
			t.Error("the execution is told whom to write to")
		}
	}
}

// A schedule that fires twice starts one fleet, whose input is what the steps
// of a fleet read.
func TestStartIsDeduplicated(t *testing.T) {
	e := engine.New(engine.Config{})
	defer e.Close()
	account := cloud.New(cloud.Config{Engine: e})
	defer account.Close()
	fleet, err := asl.Parse([]byte(`{"StartAt":"End","States":{"End":{"Type":"Succeed"}}}`), nil)
	if err != nil {
		t.Fatal(err)
	}
	arn := e.Deploy("quiesce-fleet", nil, fleet, nil)
	starter, err := asl.Parse([]byte(start), map[string]string{"FleetStateMachineArn": arn})
	if err != nil {
		t.Fatal(err)
	}
	e.Deploy("quiesce-start", nil, starter, account.Tasks(nil))
	for i, fired := range []string{"2026-11-02T02:00:00Z", "2026-11-02T02:00:00Z", "2026-11-03T02:00:00Z"} {
		x, err := e.Start("quiesce-start", "delivery-"+string(rune('a'+i)), json.RawMessage(`{"policy":"nightly","at":"`+fired+`","document":{"name":"nightly"}}`))
		if err != nil {
			t.Fatal(err)
		}
		if x, err = e.Wait(t.Context(), x.ARN); err != nil || x.Status != engine.Succeeded {
			t.Fatalf("%s: %s %s %s, %v", fired, x.Status, x.Error, x.Cause, err)
		}
	}
	all, err := e.List("quiesce-fleet", "")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, x := range all {
		names = append(names, x.Name)
		if got := string(x.Input); x.Name == "nightly-2026-11-02T0200" && got != `{"policy":{"name":"nightly"},"scheduledTime":"2026-11-02T02:00:00Z"}` {
			t.Errorf("got the input %s", got)
		}
	}
	if slices.Sort(names); !slices.Equal(names, []string{"nightly-2026-11-02T0200", "nightly-2026-11-03T0200"}) {
		t.Errorf("got %v", names)
	}
}

func TestNotifications(t *testing.T) {
	_, tmpl := synthesised(t)
	var emails []string
	for _, s := range tmpl.of("AWS::SNS::Subscription") {
		emails = append(emails, s.Properties["Endpoint"].(string))
	}
	slices.Sort(emails)
	if want := []string{"alarms@example.com", "ops@example.com", "ops@example.com", "ops@example.com"}; !slices.Equal(emails, want) {
		t.Errorf("got %v, want %v", emails, want)
	}
	var patterns []string
	for _, r := range tmpl.of("AWS::Events::Rule") {
		if p := flat(r.Properties["EventPattern"]); strings.Contains(p, `"policy":["nightly"]`) {
			patterns = append(patterns, flat(at(r.Properties, "EventPattern", "detail-type")))
		}
	}
	slices.Sort(patterns)
	if want := []string{`["Consistent Snapshot Degraded","Consistent Snapshot Failed","Thaw Failed"]`, `["Thaw Failed"]`}; !slices.Equal(patterns, want) {
		t.Errorf("got %q, want %q", patterns, want)
	}
}

// The registry's schemas are those that are published, in an older dialect:
// each takes its own fixtures.
func TestSchemasOfTheRegistry(t *testing.T) {
	_, tmpl := synthesised(t)
	byType := map[string]*jsonschema.Schema{}
	for _, s := range tmpl.of("AWS::EventSchemas::Schema") {
		var document any
		if err := json.Unmarshal([]byte(s.Properties["Content"].(string)), &document); err != nil {
			t.Fatal(err)
		}
		kind := at(document, "properties", "detail-type", "enum", 0).(string)
		c := jsonschema.NewCompiler()
		if err := c.AddResource("schema.json", document); err != nil {
			t.Fatal(err)
		}
		compiled, err := c.Compile("schema.json")
		if err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		byType[kind] = compiled
	}
	for name, text := range fixtures(t) {
		var event map[string]any
		if err := json.Unmarshal(text, &event); err != nil {
			t.Fatal(err)
		}
		s := byType[event["detail-type"].(string)]
		if s == nil {
			t.Errorf("%s: no schema for %v", name, event["detail-type"])
			continue
		}
		if err := s.Validate(event); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		delete(event["detail"].(map[string]any), "runId")
		if s.Validate(event) == nil {
			t.Errorf("%s: is taken without its run", name)
		}
	}
}

func TestLongestGap(t *testing.T) {
	now := time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		schedules []string
		want      time.Duration
	}{
		{[]string{"cron(0 2 * * ? *)"}, 24 * time.Hour},
		{[]string{"cron(0 2 * * ? *)", "cron(0 14 * * ? *)"}, 12 * time.Hour},
		{[]string{"cron(0 2 ? * MON-FRI *)"}, 72 * time.Hour},
		{[]string{"rate(6 hours)"}, 6 * time.Hour},
		{[]string{"cron(0 4 1 * ? *)"}, 31 * 24 * time.Hour},
		{nil, 0},
	} {
		var f policy.Fleet
		for _, s := range c.schedules {
			f.Schedules = append(f.Schedules, policy.Schedule{Expression: s})
		}
		if got, _ := longestGap(f, now); got != c.want {
			t.Errorf("%v: got %s, want %s", c.schedules, got, c.want)
		}
	}
}
