package main

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsevents"
	"github.com/aws/aws-cdk-go/awscdk/v2/awseventstargets"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambdadestinations"
	"github.com/aws/jsii-runtime-go"
)

// makeJanitor starts thaw for every execution that ended past its catchers:
// it was stopped, ran out of its time, or broke. The whole event is handed
// over, and functions/lambda reads it: the execution's input is in it as text,
// which no transformer of EventBridge can make a document of.
func (d *deployment) makeJanitor() error {
	thaw, failures := d.functions["thaw"], d.queue("janitor")
	awsevents.NewRule(d.stack, jsii.String("Janitor"), &awsevents.RuleProps{
		RuleName:    d.named("janitor"),
		Description: jsii.String("Thaws after an execution that ended without its own thaw."),
		EventPattern: &awsevents.EventPattern{
			Source:     list("aws.states"),
			DetailType: list("Step Functions Execution Status Change"),
			Detail: &map[string]any{
				"stateMachineArn": []*string{d.machines["snapshot"].StateMachineArn()},
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
	awslambda.NewEventInvokeConfig(d.stack, jsii.String("JanitorInvocation"), &awslambda.EventInvokeConfigProps{
		Function:      thaw,
		OnFailure:     awslambdadestinations.NewSqsDestination(failures),
		RetryAttempts: jsii.Number(2),
		MaxEventAge:   awscdk.Duration_Hours(jsii.Number(1)),
	})
	return nil
}
