package main

import (
	"encoding/json"
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
		g.excuse(role, "")
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

// resolve fills in a substitution by the end of its name, so that a new step
// or definition needs nothing here.
func (d *deployment) resolve(name string) (*string, error) {
	switch {
	case name == workflow.EventBusName:
		return d.bus.EventBusName(), nil
	case strings.HasSuffix(name, "FunctionArn"):
		for step, f := range d.functions {
			if camel(step)+"FunctionArn" == name {
				return f.FunctionArn(), nil
			}
		}
	case strings.HasSuffix(name, "StateMachineArn"):
		for machine, m := range d.machines {
			if camel(machine)+"StateMachineArn" == name {
				return m.StateMachineArn(), nil
			}
		}
	}
	return nil, fmt.Errorf("${%s} is nothing that the deployment makes", name)
}

// calls reads out of a definition what its role must be granted.
func (d *deployment) calls(f definition, values map[string]*string) (grants []grant, err error) {
	var document any
	if err := json.Unmarshal([]byte(f.text), &document); err != nil {
		return nil, err
	}
	var functions, machines []string
	for _, name := range slices.Sorted(maps.Keys(values)) {
		switch {
		case strings.HasSuffix(name, "FunctionArn"):
			functions = append(functions, *values[name])
		case strings.HasSuffix(name, "StateMachineArn"):
			machines = append(machines, *values[name])
		}
	}
	if len(functions) > 0 {
		grants = append(grants, grant{sid: "Invoke", actions: []string{"lambda:InvokeFunction"}, on: functions})
	}
	resources, distributed := tasks(document)
	for _, resource := range slices.Sorted(maps.Keys(resources)) {
		switch _, service, _ := strings.Cut(resource, ":states:::"); service {
		case "", "lambda:invoke", "lambda:invoke.waitForTaskToken":
		case "events:putEvents":
			grants = append(grants, grant{sid: "Publish", actions: []string{"events:PutEvents"}, on: []string{*d.bus.EventBusArn()}})
		case "states:startExecution":
			grants = append(grants, grant{sid: "Start", actions: []string{"states:StartExecution"}, on: machines})
		case "states:startExecution.sync:2":
			grants = append(grants, d.startAndWait(machines)...)
		default:
			return nil, fmt.Errorf("nobody wrote down what the resource %s needs to be granted", resource)
		}
	}
	if distributed {
		grants = append(grants, d.mapRun(f))
	}
	return grants, nil
}

// startAndWait is what AWS documents for .sync: the service watches the other
// execution by a rule of its own.
func (d *deployment) startAndWait(machines []string) []grant {
	return []grant{
		{sid: "Start", actions: []string{"states:StartExecution"}, on: machines},
		{
			sid: "Follow", actions: []string{"states:DescribeExecution", "states:StopExecution"}, on: []string{"arn:{partition}:states:{region}:{account}:execution:" + d.name + "-*"},
			why: "An execution's name is not known before it was started; the machines are those of this deployment.",
		},
		{
			sid: "HearOfTheEnd", actions: []string{"events:PutTargets", "events:PutRule", "events:DescribeRule"},
			on: []string{"arn:{partition}:events:{region}:{account}:rule/StepFunctionsGetEventsForStepFunctionsExecutionRule"},
		},
	}
}

// mapRun is what a Distributed Map needs: it starts the definition's own
// children. The machine's ARN is written out, because the role is made first.
func (d *deployment) mapRun(f definition) grant {
	return grant{
		sid: "MapRun", actions: []string{"states:StartExecution"},
		on: []string{"arn:{partition}:states:{region}:{account}:stateMachine:" + d.name + "-" + f.name},
	}
}

// tasks finds the resources of every Task at any depth, and whether a Map is
// distributed.
func tasks(value any) (resources map[string]bool, distributed bool) {
	resources = map[string]bool{}
	var walk func(any)
	walk = func(value any) {
		switch value := value.(type) {
		case []any:
			for _, v := range value {
				walk(v)
			}
		case map[string]any:
			if r, ok := value["Resource"].(string); ok && value["Type"] == "Task" {
				resources[r] = true
			}
			if c, ok := value["ProcessorConfig"].(map[string]any); ok && c["Mode"] == "DISTRIBUTED" {
				distributed = true
			}
			for _, v := range value {
				walk(v)
			}
		}
	}
	walk(value)
	return resources, distributed
}
