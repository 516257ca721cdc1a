package main

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"time"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsevents"
	"github.com/aws/aws-cdk-go/awscdk/v2/awseventstargets"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsscheduler"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsschedulertargets"
	"github.com/aws/jsii-runtime-go"

	"github.com/quiesce/quiesce/shared/policy"
)

// start is the definition that every schedule starts; its comment says why.
//
//go:embed start.asl.json
var start string

// makeSchedules makes a rule of every schedule in UTC, and a schedule of
// EventBridge Scheduler where a time zone is given: rules know none. A start
// that is late by more than the policy allows is dropped into a queue, which
// raises an alarm: nobody wants a database to be frozen at noon.
func (d *deployment) makeSchedules() error {
	for _, p := range d.policies {
		for i, s := range p.Schedules {
			if err := d.makeSchedule(p, p.ScheduleName(i), s); err != nil {
				return fmt.Errorf("the schedule %s of the policy %s: %w", p.ScheduleName(i), p.Name, err)
			}
		}
	}
	return nil
}

func (d *deployment) makeSchedule(p policy.Document, name string, s policy.Schedule) error {
	fleet, err := fleetInput(p)
	if err != nil {
		return err
	}
	id := "Schedule" + ident(p.Name) + ident(name)
	input := map[string]any{"policy": p.Name, "document": fleet}
	late := awscdk.Duration_Minutes(jsii.Number(min(p.StartLate(), 24*time.Hour).Minutes()))
	about := jsii.String("Starts the policy " + p.Name + ".")
	machine, failures := d.machines["start"], d.queue("schedules")
	if s.Timezone == "" || s.Timezone == "UTC" {
		input["at"] = awsevents.EventField_Time()
		awsevents.NewRule(d.stack, jsii.String(id), &awsevents.RuleProps{
			Description: about,
			Schedule:    awsevents.Schedule_Expression(jsii.String(s.Expression)),
			Targets: &[]awsevents.IRuleTarget{awseventstargets.NewSfnStateMachine(machine, &awseventstargets.SfnStateMachineProps{
				Input:           awsevents.RuleTargetInput_FromObject(input),
				DeadLetterQueue: failures,
				MaxEventAge:     late,
			})},
		})
		return nil
	}
	input["at"] = awsscheduler.ContextAttribute_ScheduledTime()
	awsscheduler.NewSchedule(d.stack, jsii.String(id), &awsscheduler.ScheduleProps{
		Description: about,
		Schedule:    awsscheduler.ScheduleExpression_Expression(jsii.String(s.Expression), awscdk.TimeZone_Of(jsii.String(s.Timezone))),
		TimeWindow:  awsscheduler.TimeWindow_Off(),
		Target: awsschedulertargets.NewStepFunctionsStartExecution(machine, &awsschedulertargets.ScheduleTargetBaseProps{
			Input:           awsscheduler.ScheduleTargetInput_FromObject(input),
			DeadLetterQueue: failures,
			MaxEventAge:     late,
		}),
	})
	return nil
}

// fleetInput is the policy that a fleet is started with, but for when it starts,
// who is written to and what is kept.
func fleetInput(p policy.Document) (input map[string]any, err error) {
	p.Schema, p.Schedules, p.Notification, p.Retention, p.RestoreTest = "", nil, nil, policy.Retention{}, policy.RestoreTest{}
	text, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	return input, json.Unmarshal(text, &input)
}
