package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// calls reads out of a definition what its role must be granted, so that the
// role follows the file.
func (d *deployment) calls(f definition, values map[string]*string) ([]grant, error) {
	var document any
	if err := json.Unmarshal([]byte(f.text), &document); err != nil {
		return nil, err
	}
	var functions, machines, executions []string
	for _, name := range sortedKeys(values) {
		if strings.HasSuffix(name, functionArn) {
			functions = append(functions, *values[name])
		}
		if machine, ok := strings.CutSuffix(name, machineArn); ok {
			machines = append(machines, *values[name])
			executions = append(executions, "arn:{partition}:states:{region}:{account}:execution:"+d.name+"-"+kebab(machine)+":*")
		}
	}
	var grants []grant
	if len(functions) > 0 {
		grants = append(grants, grant{sid: "Invoke", actions: []string{"lambda:InvokeFunction"}, on: functions})
	}
	resources, distributed := tasks(document)
	for _, resource := range slices.Sorted(maps.Keys(resources)) {
		switch _, service, _ := strings.Cut(resource, ":states:::"); service {
		case "", "lambda:invoke", "lambda:invoke.waitForTaskToken":
		case "events:putEvents":
			grants = append(grants, grant{sid: "Publish", actions: []string{"events:PutEvents"}, on: []string{"{bus}"}})
		case "states:startExecution":
			grants = append(grants, grant{sid: "Start", actions: []string{"states:StartExecution"}, on: machines})
		case "states:startExecution.sync:2":
			grants = append(grants, startAndWait(machines, executions)...)
		case "s3:getObject":
			grants = append(grants, grant{
				sid: "ReadList", actions: []string{"s3:GetObject"}, on: []string{fleets}, why: workObjects,
			})
		case "s3:putObject":
			grants = append(grants, grant{
				sid: "WriteResults", actions: []string{"s3:PutObject", "s3:GetObject", "s3:ListMultipartUploadParts", "s3:AbortMultipartUpload"},
				on: []string{fleets}, why: workObjects,
			})
		default:
			return nil, fmt.Errorf("nobody wrote down what the resource %s needs to be granted", resource)
		}
	}
	if distributed {
		grants = append(grants, d.mapRun(f)...)
	}
	return grants, nil
}

// startAndWait is what AWS documents for .sync, but for the right to stop: an
// execution that is given up must not take a run out of its window. The
// service hears of the other's end by a rule of its own.
func startAndWait(machines, executions []string) []grant {
	return []grant{
		{sid: "Start", actions: []string{"states:StartExecution"}, on: machines},
		{
			sid: "Follow", actions: []string{"states:DescribeExecution"}, on: executions,
			why: "The execution's name is made when it is started; the machine is this deployment's own.",
		},
		{
			sid: "HearOfTheEnd", actions: []string{"events:PutTargets", "events:PutRule", "events:DescribeRule"},
			on: []string{"arn:{partition}:events:{region}:{account}:rule/StepFunctionsGetEventsForStepFunctionsExecutionRule"},
		},
	}
}

// mapRun is what a Distributed Map needs: it starts and stops the children of
// its own definition. The ARNs are written out, because the role is made first.
func (d *deployment) mapRun(f definition) []grant {
	own := d.name + "-" + f.name
	return []grant{
		{sid: "MapRun", actions: []string{"states:StartExecution"}, on: []string{"arn:{partition}:states:{region}:{account}:stateMachine:" + own}},
		{
			sid: "MapChildren", actions: []string{"states:DescribeExecution", "states:StopExecution"},
			on:  []string{"arn:{partition}:states:{region}:{account}:execution:" + own + "/*"},
			why: "Step Functions names the children of the Map; a run that a child has started is none of them.",
		},
	}
}

// tasks finds the resources at any depth, of Tasks and of what reads and
// writes a Map's items, and whether a Map is distributed.
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
			if r, ok := value["Resource"].(string); ok {
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
