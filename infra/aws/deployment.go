package main

import (
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsevents"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/aws-cdk-go/awscdk/v2/awss3"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssns"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssqs"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsssm"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsstepfunctions"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
	"github.com/cdklabs/cdk-nag-go/cdknag/v2"
)

// stackID is the template's name in cdk.out; samconfig.toml knows it.
const stackID = "Quiesce"

// deployment is the one stack with what its parts need of each other.
type deployment struct {
	config
	stack     awscdk.Stack
	bus       awsevents.EventBus
	document  awsssm.CfnDocument
	shadow    awsssm.CfnDocument
	revert    awsssm.CfnDocument // an operator's: no step sends it
	helpers   helpers
	work      awss3.Bucket
	topic     awssns.Topic
	functions map[string]awslambda.Function            // by step
	machines  map[string]awsstepfunctions.StateMachine // by definition
	logs      map[string]string                        // names of log groups, by step or machine
	queues    map[string]awssqs.Queue                  // what could not be delivered, by who tried
	alarms    []alarm
}

// newDeployment makes everything, and has the whole of it judged by cdk-nag.
func newDeployment(app awscdk.App, c config) (*deployment, error) {
	d := &deployment{
		config: c,
		stack: awscdk.NewStack(app, jsii.String(stackID), &awscdk.StackProps{
			StackName:   jsii.String(c.name),
			Description: jsii.String("Quiesce: application-consistent snapshots of EC2 instances."),
		}),
		functions: map[string]awslambda.Function{},
		machines:  map[string]awsstepfunctions.StateMachine{},
		logs:      map[string]string{},
		queues:    map[string]awssqs.Queue{},
	}
	for _, make := range []func() error{
		d.makeBus, d.makeAssets, d.makeFunctions, d.makeMachines, d.makeJanitor, d.makeRestoreJanitor, d.makeCompletions,
		d.makeNotifications, d.makeSchedules, d.makeRetention, d.makeCuration, d.makeTests, d.makeAlarms, d.makeDashboard, d.makeOutputs,
	} {
		if err := make(); err != nil {
			return nil, err
		}
	}
	awscdk.Tags_Of(d.stack).Add(jsii.String("application"), jsii.String(c.name), nil)
	awscdk.Aspects_Of(app).Add(cdknag.NewAwsSolutionsChecks(&cdknag.NagPackProps{Verbose: jsii.Bool(true)}), nil)
	return d, nil
}

// named is a name in the account.
func (d *deployment) named(part string) *string { return jsii.String(d.name + "-" + part) }

// camel makes a construct's id of a name: run-prescript is RunPrescript.
func camel(name string) string {
	var b strings.Builder
	for part := range strings.FieldsFuncSeq(name, func(r rune) bool { return r == '-' || r == '_' || r == '.' }) {
		b.WriteString(strings.ToUpper(part[:1]) + part[1:])
	}
	return b.String()
}

// ident is camel for a name that somebody chose: a.b and a-b are two.
func ident(name string) string { return camel(name) + checksum([]byte(name))[:6] }

// accept writes down why a finding of cdk-nag stands, for one construct and
// one finding at a time.
func accept(at constructs.IConstruct, rule, finding, reason string) {
	s := &cdknag.NagPackSuppression{Id: jsii.String(rule), Reason: jsii.String(reason)}
	if finding != "" {
		s.AppliesTo = &[]any{jsii.String(finding)}
	}
	cdknag.NagSuppressions_AddResourceSuppressions(at, &[]*cdknag.NagPackSuppression{s}, jsii.Bool(true))
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func list(items ...string) *[]*string { return jsii.Strings(items...) }
