package main

import (
	"encoding/json"
	"fmt"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsevents"
	"github.com/aws/aws-cdk-go/awscdk/v2/awseventstargets"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambdadestinations"
	"github.com/aws/jsii-runtime-go"

	"github.com/quiesce/quiesce/shared/cloud/awscloud"
)

// makeJanitor starts thaw for every execution that ended past its catchers:
// it was stopped, ran out of its time, or broke. The whole event is handed
// over, and functions/lambda reads it: the execution's input is in it as text,
// which no transformer of EventBridge can make a document of.
func (d *deployment) makeJanitor() error {
	thaw, failures := d.functions["thaw"], d.queue(parkedIn["thaw"])
	awsevents.NewRule(d.stack, jsii.String("Janitor"), &awsevents.RuleProps{
		RuleName:    d.named("janitor"),
		Description: jsii.String("Thaws after an execution that ended without its own thaw."),
		EventPattern: &awsevents.EventPattern{
			Source:     list("aws.states"),
			DetailType: list("Step Functions Execution Status Change"),
			Detail: &map[string]any{
				"stateMachineArn": []*string{d.machines["snapshot"].StateMachineArn(), d.machines["group"].StateMachineArn()},
				"status":          list("FAILED", "TIMED_OUT", "ABORTED"),
				// FailedClean is a verdict: thaw has run, or nothing was touched.
				"error": []any{map[string]any{"anything-but": list("FailedClean")}, nil, map[string]any{"exists": false}},
			},
		},
		Targets: &[]awsevents.IRuleTarget{awseventstargets.NewLambdaFunction(thaw, &awseventstargets.LambdaFunctionProps{
			DeadLetterQueue: failures,
			RetryAttempts:   jsii.Number(10),
			MaxEventAge:     awscdk.Duration_Hours(jsii.Number(1)),
		})},
	})
	// The instance has let go by its own deadline long before the last retry;
	// these bring the application back and the evidence home.
	d.retried("Janitor", "thaw")
	return nil
}

// makeRestoreJanitor lets a restore be looked at that ended without its report:
// it was stopped, ran out of its time, or the report failed.
func (d *deployment) makeRestoreJanitor() error {
	report := d.functions["restore-report"]
	awsevents.NewRule(d.stack, jsii.String("RestoreJanitor"), &awsevents.RuleProps{
		RuleName:    d.named("restore-janitor"),
		Description: jsii.String("Looks at what a restore left that ended without its report, and tells."),
		EventPattern: &awsevents.EventPattern{
			Source:     list("aws.states"),
			DetailType: list("Step Functions Execution Status Change"),
			Detail: &map[string]any{
				"stateMachineArn": []*string{d.machines["restore"].StateMachineArn()},
				"status":          list("FAILED", "TIMED_OUT", "ABORTED"),
				// The others are verdicts, which were told by the report itself.
				"error": []any{map[string]any{"anything-but": list("FailedClean", "FailedDirty")}, nil, map[string]any{"exists": false}},
			},
		},
		Targets: &[]awsevents.IRuleTarget{awseventstargets.NewLambdaFunction(report, &awseventstargets.LambdaFunctionProps{
			DeadLetterQueue: d.queue(parkedIn["restore-report"]),
			RetryAttempts:   jsii.Number(10),
			MaxEventAge:     awscdk.Duration_Hours(jsii.Number(1)),
		})},
	})
	d.retried("RestoreJanitor", "restore-report")
	return nil
}

// makeCompletions starts wake for every multi-volume set that EBS is done
// with, other people's too: an event knows neither run nor tag.
func (d *deployment) makeCompletions() error {
	var pattern struct {
		Source     []string       `json:"source"`
		DetailType []string       `json:"detail-type"`
		Detail     map[string]any `json:"detail"`
	}
	if err := json.Unmarshal([]byte(awscloud.Completion()), &pattern); err != nil {
		return fmt.Errorf("the pattern of completions: %w", err)
	}
	awsevents.NewRule(d.stack, jsii.String("Completion"), &awsevents.RuleProps{
		RuleName:    d.named("completion"),
		Description: jsii.String("Ends the wait for a set as soon as EBS is done with it."),
		EventPattern: &awsevents.EventPattern{
			Source: list(pattern.Source...), DetailType: list(pattern.DetailType...), Detail: &pattern.Detail,
		},
		Targets: &[]awsevents.IRuleTarget{awseventstargets.NewLambdaFunction(d.functions["wake"], &awseventstargets.LambdaFunctionProps{
			DeadLetterQueue: d.queue(parkedIn["wake"]),
			RetryAttempts:   jsii.Number(10),
			MaxEventAge:     awscdk.Duration_Hours(jsii.Number(1)),
		})},
	})
	d.retried("Completion", "wake")
	return nil
}

// retried says what becomes of an event that a function failed on.
func (d *deployment) retried(id, step string) {
	awslambda.NewEventInvokeConfig(d.stack, jsii.String(id+"Invocation"), &awslambda.EventInvokeConfigProps{
		Function:      d.functions[step],
		OnFailure:     awslambdadestinations.NewSqsDestination(d.queue(parkedIn[step])),
		RetryAttempts: jsii.Number(2),
		MaxEventAge:   awscdk.Duration_Hours(jsii.Number(1)),
	})
}
