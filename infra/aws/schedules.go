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
	"github.com/aws/aws-cdk-go/awscdk/v2/awssqs"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsstepfunctions"
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
	d.starts(clocked{
		id: "Schedule" + ident(p.Name) + ident(name), about: "Starts the policy " + p.Name + ".", when: s, late: p.StartLate(),
		machine: d.machines["start"], input: map[string]any{"policy": p.Name, "document": fleet}, stamped: true, failures: d.queue("schedules"),
	})
	return nil
}

// clocked is a machine that is started by a clock.
type clocked struct {
	id, about string
	when      policy.Schedule
	late      time.Duration // by which a start may be late
	machine   awsstepfunctions.StateMachine
	input     map[string]any
	stamped   bool // the input has the time of the start, as at
	failures  awssqs.Queue
}

// starts makes a rule or, where a time zone is given, a schedule of EventBridge
// Scheduler.
func (d *deployment) starts(s clocked) {
	late := awscdk.Duration_Minutes(jsii.Number(min(s.late, 24*time.Hour).Minutes()))
	if s.when.Timezone == "" || s.when.Timezone == "UTC" {
		if s.stamped {
			s.input["at"] = awsevents.EventField_Time()
		}
		awsevents.NewRule(d.stack, jsii.String(s.id), &awsevents.RuleProps{
			Description: jsii.String(s.about),
			Schedule:    awsevents.Schedule_Expression(jsii.String(s.when.Expression)),
			Targets: &[]awsevents.IRuleTarget{awseventstargets.NewSfnStateMachine(s.machine, &awseventstargets.SfnStateMachineProps{
				Input:           awsevents.RuleTargetInput_FromObject(s.input),
				DeadLetterQueue: s.failures,
				MaxEventAge:     late,
			})},
		})
		return
	}
	if s.stamped {
		s.input["at"] = awsscheduler.ContextAttribute_ScheduledTime()
	}
	awsscheduler.NewSchedule(d.stack, jsii.String(s.id), &awsscheduler.ScheduleProps{
		Description: jsii.String(s.about),
		Schedule:    awsscheduler.ScheduleExpression_Expression(jsii.String(s.when.Expression), awscdk.TimeZone_Of(jsii.String(s.when.Timezone))),
		TimeWindow:  awsscheduler.TimeWindow_Off(),
		Target: awsschedulertargets.NewStepFunctionsStartExecution(s.machine, &awsschedulertargets.ScheduleTargetBaseProps{
			Input:           awsscheduler.ScheduleTargetInput_FromObject(s.input),
			DeadLetterQueue: s.failures,
			MaxEventAge:     late,
		}),
	})
}

// fleetInput is the policy that a fleet is started with, but for when it starts,
// who is written to, what is kept and what else becomes of a set.
func fleetInput(p policy.Document) (input map[string]any, err error) {
	p.Schema, p.Schedules, p.Notification, p.Retention, p.RestoreTest, p.Curation = "", nil, nil, policy.Retention{}, policy.RestoreTest{}, policy.Curation{}
	text, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	return input, json.Unmarshal(text, &input)
}
