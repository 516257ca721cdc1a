package main

import (
	"encoding/json"
	"fmt"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsevents"
	"github.com/aws/aws-cdk-go/awscdk/v2/awseventstargets"
	"github.com/aws/jsii-runtime-go"

	"github.com/quiesce/quiesce/shared/policy"
)

// makeTests starts the restore tests of each policy that says when, and cleans up
// after those that broke off.
func (d *deployment) makeTests() error {
	d.makeTestJanitor()
	for _, p := range d.policies {
		if p.RestoreTest.Schedule.Expression == "" {
			continue
		}
		if err := d.makeTest(p); err != nil {
			return fmt.Errorf("the restore test of the policy %s: %w", p.Name, err)
		}
	}
	return nil
}

// makeTestJanitor starts verify-clean for every restore test that ended past its
// catchers, or that left something.
func (d *deployment) makeTestJanitor() {
	awsevents.NewRule(d.stack, jsii.String("TestJanitor"), &awsevents.RuleProps{
		RuleName:    d.named("test-janitor"),
		Description: jsii.String("Takes away what a restore test has left that ended without its own cleaning."),
		EventPattern: &awsevents.EventPattern{
			Source:     list("aws.states"),
			DetailType: list("Step Functions Execution Status Change"),
			Detail: &map[string]any{
				"stateMachineArn": []*string{d.machines["verify"].StateMachineArn()},
				"status":          list("FAILED", "TIMED_OUT", "ABORTED"),
				// FailedClean is a verdict: everything was seen to be gone.
				"error": []any{map[string]any{"anything-but": list("FailedClean")}, nil, map[string]any{"exists": false}},
			},
		},
		Targets: &[]awsevents.IRuleTarget{awseventstargets.NewLambdaFunction(d.functions["verify-clean"], &awseventstargets.LambdaFunctionProps{
			DeadLetterQueue: d.queue(parkedIn["verify-clean"]),
			RetryAttempts:   jsii.Number(10),
			MaxEventAge:     awscdk.Duration_Hours(jsii.Number(1)),
		})},
	})
	d.retried("TestJanitor", "verify-clean")
}

// makeTest starts the machine by the policy's clock. A start may be delivered twice:
// of two tests of one set, the second finds it marked.
func (d *deployment) makeTest(p policy.Document) error {
	document, err := testInput(p)
	if err != nil {
		return err
	}
	d.starts(clocked{
		id: "RestoreTest" + ident(p.Name), about: "Tests whether a set of the policy " + p.Name + " can be restored.",
		when: p.RestoreTest.Schedule, late: p.StartLate(),
		machine: d.machines["verify"], input: map[string]any{"policy": document}, failures: d.queue(parkedIn["verify-clean"]),
	})
	return nil
}

// testInput is what a restore test needs of a policy: its name, the tag without
// which no instance is commanded, what is held on one, and the test itself.
func testInput(p policy.Document) (document map[string]any, err error) {
	text, err := json.Marshal(map[string]any{"name": p.Name, "optIn": p.OptIn, "application": p.Application, "restoreTest": p.RestoreTest})
	if err != nil {
		return nil, err
	}
	return document, json.Unmarshal(text, &document)
}
