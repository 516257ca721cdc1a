package main

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsstepfunctions"
	"github.com/aws/jsii-runtime-go"

	"github.com/quiesce/quiesce/workflow"
)

// definition is a state machine as a file: its text is deployed as it is, and
// what it names as ${Substitution} is filled in by CloudFormation.
type definition struct {
	name string // of the machine, after the deployment's
	text string
}

// definitions are in the order in which they start each other, last first.
func definitions() []definition {
	return []definition{
		{"snapshot", workflow.Snapshot()},
		{"group", workflow.Group()},
		{"fleet", workflow.Fleet()},
		{"start", start},
		{"restore", workflow.Restore()},
		{"verify", workflow.Verify()},
	}
}

var substitution = regexp.MustCompile(`\$\{([A-Za-z]+)\}`)

// substitutions are the names that a definition wants filled in.
func (f definition) substitutions() []string {
	names := map[string]bool{}
	for _, m := range substitution.FindAllStringSubmatch(f.text, -1) {
		names[m[1]] = true
	}
	return slices.Sorted(maps.Keys(names))
}

// makeMachines makes a Standard state machine of every definition.
func (d *deployment) makeMachines() error {
	for _, f := range definitions() {
		if err := d.makeMachine(f); err != nil {
			return fmt.Errorf("the definition %s: %w", f.name, err)
		}
	}
	return nil
}

func (d *deployment) makeMachine(f definition) error {
	values := map[string]*string{}
	for _, name := range f.substitutions() {
		value, err := d.resolve(name)
		if err != nil {
			return err
		}
		values[name] = value
	}
	id := camel(f.name) + "Machine"
	role := awsiam.NewRole(d.stack, jsii.String(id+"Role"), &awsiam.RoleProps{
		AssumedBy:   awsiam.NewServicePrincipal(jsii.String("states.amazonaws.com"), nil),
		Description: jsii.String("What the definition " + f.name + " of " + d.name + " calls."),
	})
	calls, err := d.calls(f, values)
	if err != nil {
		return err
	}
	for _, g := range calls {
		g.add(role, d.places(""), nil)
		g.excuse(role, d, "")
	}
	// Vended logs: a group of another name would count against the length of
	// the account's one resource policy.
	log := d.logGroup(id, "/aws/vendedlogs/states/"+d.name+"-"+f.name)
	d.machines[f.name] = awsstepfunctions.NewStateMachine(d.stack, jsii.String(id), &awsstepfunctions.StateMachineProps{
		StateMachineName:        d.named(f.name),
		StateMachineType:        awsstepfunctions.StateMachineType_STANDARD,
		DefinitionBody:          awsstepfunctions.DefinitionBody_FromString(jsii.String(f.text)),
		DefinitionSubstitutions: &values,
		Role:                    role,
		TracingEnabled:          jsii.Bool(true),
		Logs: &awsstepfunctions.LogOptions{
			Destination: log, Level: awsstepfunctions.LogLevel_ALL, IncludeExecutionData: jsii.Bool(true),
		},
	})
	accept(role, "AwsSolutions-IAM5", "Resource::*", "X-Ray and the delivery of logs know no resources; CDK adds both statements.")
	return nil
}

// The ends of a substitution's name, by which it is told what to fill in.
const (
	functionArn = "FunctionArn"
	machineArn  = "StateMachineArn"
)

// resolve fills in a substitution by its name, so that a new step or
// definition needs nothing here.
func (d *deployment) resolve(name string) (*string, error) {
	if name == workflow.EventBusName {
		return d.bus.EventBusName(), nil
	}
	if step, ok := strings.CutSuffix(name, functionArn); ok {
		if f, ok := d.functions[kebab(step)]; ok {
			return f.FunctionArn(), nil
		}
	}
	if machine, ok := strings.CutSuffix(name, machineArn); ok {
		if m, ok := d.machines[kebab(machine)]; ok {
			return m.StateMachineArn(), nil
		}
	}
	return nil, fmt.Errorf("${%s} is nothing that the deployment makes", name)
}

var hump = regexp.MustCompile(`([a-z])([A-Z])`)

// kebab undoes camel: RunPrescript is run-prescript.
func kebab(name string) string { return strings.ToLower(hump.ReplaceAllString(name, "$1-$2")) }
