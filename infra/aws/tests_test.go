package main

import (
	"strings"
	"testing"

	"github.com/quiesce/quiesce/functions/verifychoose"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/run"
	"github.com/quiesce/quiesce/shared/step"
	"github.com/quiesce/quiesce/shared/verify"
)

// A policy that says when is tested then, by an input that the first step takes;
// its fleets are told nothing of it.
func TestRestoreTestsAreScheduled(t *testing.T) {
	_, tmpl := synthesised(t)
	inputs := map[string]string{}
	for id, r := range tmpl.of("AWS::Events::Rule") {
		target := at(r.Properties, "Targets", 0)
		switch text := flat(target); {
		case r.Properties["ScheduleExpression"] == nil:
		case strings.Contains(flat(at(target, "Arn")), "VerifyMachine"):
			inputs[r.Properties["ScheduleExpression"].(string)], _ = at(target, "Input").(string)
			if at(target, "RetryPolicy", "MaximumEventAgeInSeconds") != 3600.0 {
				t.Errorf("%s is delivered late: %s", id, text)
			}
		case strings.Contains(text, "restoreTest"):
			t.Errorf("%s is told of a restore test", id)
		}
	}
	for _, r := range tmpl.of("AWS::Scheduler::Schedule") {
		if strings.Contains(flat(at(r.Properties, "Target", "Arn")), "VerifyMachine") {
			inputs[r.Properties["ScheduleExpression"].(string)], _ = at(r.Properties, "Target", "Input").(string)
			if r.Properties["ScheduleExpressionTimezone"] != "Europe/Berlin" || at(r.Properties, "Target", "RetryPolicy", "MaximumEventAgeInSeconds") != 1200.0 {
				t.Errorf("got %s", flat(r.Properties))
			}
		}
	}
	for expression, name := range map[string]string{"cron(0 5 2 * ? *)": "monthly", "cron(0 5 ? * SUN *)": "a.b"} {
		var asked verify.Request
		if err := step.Decode([]byte(inputs[expression]), &asked); err != nil {
			t.Fatalf("%s: %q: %v", expression, inputs[expression], err)
		}
		in := verifychoose.Input{Run: run.Run{ID: "t"}, Request: asked}
		if err := in.Check(); err != nil || asked.Policy.Name != name || asked.Policy.RestoreTest.Instance != "i-0fed98765432cba10" || asked.DryRun {
			t.Errorf("%s: got %+v, %v", expression, asked, err)
		}
	}
	if len(inputs) != 2 {
		t.Errorf("%d tests are scheduled, want 2", len(inputs))
	}
}

func TestTestJanitorHearsOfWhatDidNotClean(t *testing.T) {
	_, tmpl := synthesised(t)
	rule := tmpl.one(t, "AWS::Events::Rule", "Name", "quiesce-test-janitor").Properties
	pattern, target := rule["EventPattern"], at(rule, "Targets", 0)
	if got := flat(at(pattern, "detail", "status")); got != `["FAILED","TIMED_OUT","ABORTED"]` {
		t.Errorf("got %s", got)
	}
	if got := flat(at(pattern, "detail", "stateMachineArn")); !strings.Contains(got, "VerifyMachine") || strings.Contains(got, "SnapshotMachine") {
		t.Errorf("listens to %s", got)
	}
	if !strings.Contains(flat(at(target, "Arn")), "VerifyClean") || at(target, "Input") != nil || at(target, "InputTransformer") != nil {
		t.Errorf("got %s", flat(target))
	}
}

// What a test is started with is all that it needs, and nobody's address.
func TestInputOfARestoreTest(t *testing.T) {
	d := policy.DefaultDocument()
	d.Name, d.OptIn.Value, d.Application.Kind = "orders", "yes", policy.MariaDB
	d.RestoreTest.Instance, d.Notification = "i-0abc12345678def90", []policy.Notification{{Email: "ops@example.com"}}
	document, err := testInput(d)
	if err != nil {
		t.Fatal(err)
	}
	var asked verify.Request
	if err := step.Decode([]byte(flat(map[string]any{"policy": document})), &asked); err != nil {
		t.Fatal(err)
	}
	if got := asked.Policy; got.Name != "orders" || got.OptIn.Value != "yes" || got.Tested() != policy.MariaDB || len(got.Notification) != 0 {
		t.Errorf("got %+v", got)
	}
}
