package main

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"time"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsevents"
	"github.com/aws/aws-cdk-go/awscdk/v2/awseventstargets"
	"github.com/aws/jsii-runtime-go"

	"github.com/quiesce/quiesce/shared/policy"
)

// makeRetention starts prune once a day for each policy that says what it
// keeps, and for each Region of its copies that has a retention of its own. A day
// that was missed is made up for by the next one.
func (d *deployment) makeRetention() error {
	for _, p := range d.policies {
		if !p.Retention.IsZero() {
			of := map[string]any{"name": p.Name, "retention": p.Retention}
			if p.Archive != (policy.Archive{}) {
				of["archive"] = p.Archive
			}
			if err := d.prunes(p.Name, p.Name, of, nil); err != nil {
				return err
			}
		}
		for _, one := range p.Copies {
			if one.Retention.IsZero() {
				continue
			}
			of := policy.Copy{Region: one.Region, Retention: one.Retention}
			err := d.prunes(p.Name+"-"+one.Region, p.Name+" in "+one.Region, map[string]any{"name": p.Name, "copies": []policy.Copy{of}},
				map[string]any{"region": one.Region, "from": *d.stack.Region()})
			if err != nil {
				return err
			}
		}
	}
	d.retried("Retention", "prune")
	return nil
}

// prunes starts it with what it needs of a policy.
func (d *deployment) prunes(id, what string, of map[string]any, copies map[string]any) error {
	document, err := plain(of)
	if err != nil {
		return fmt.Errorf("the retention of the policy %s: %w", what, err)
	}
	request := map[string]any{"policy": document}
	if copies != nil {
		request["copies"] = copies
	}
	d.chore("prune", "Retention"+ident(id), "Deletes what the policy "+what+" does not keep.", daily(id), request)
	return nil
}

// chore is a rule of its own for a function that no workflow calls.
func (d *deployment) chore(step, id, about, schedule string, request map[string]any) {
	awsevents.NewRule(d.stack, jsii.String(id), &awsevents.RuleProps{
		Description: jsii.String(about),
		Schedule:    awsevents.Schedule_Expression(jsii.String(schedule)),
		Targets: &[]awsevents.IRuleTarget{awseventstargets.NewLambdaFunction(d.functions[step], &awseventstargets.LambdaFunctionProps{
			Event: awsevents.RuleTargetInput_FromObject(map[string]any{
				"run":     map[string]any{"id": awsevents.EventField_EventId(), "startedAt": awsevents.EventField_Time()},
				"request": request,
			}),
			DeadLetterQueue: d.queue(parkedIn[step]),
			RetryAttempts:   jsii.Number(10),
			MaxEventAge:     awscdk.Duration_Hours(jsii.Number(1)),
		})},
	})
}

// looking is how often curate looks: a set that has just completed is soon
// locked, and a copy that waits for room finds it.
const looking = "rate(15 minutes)"

// makeCuration starts curate for each policy that says what becomes of its sets.
func (d *deployment) makeCuration() error {
	for _, p := range d.policies {
		if !p.Curated() {
			continue
		}
		p.Schema, p.Schedules, p.Notification, p.Targets, p.Group, p.Tags, p.RestoreTest = "", nil, nil, policy.Targets{}, false, nil, policy.RestoreTest{}
		document, err := plain(p)
		if err != nil {
			return fmt.Errorf("what becomes of the sets of the policy %s: %w", p.Name, err)
		}
		d.chore("curate", "Curation"+ident(p.Name), "Locks, shares, copies and archives the sets of the policy "+p.Name+".", looking, map[string]any{"policy": document})
	}
	d.retried("Curation", "curate")
	return nil
}

// daily gives each policy a quarter of an hour of the day by its name: what one
// deletes leaves the account's request limits to the others.
func daily(name string) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(name))
	at := time.Duration(h.Sum32()%96) * 15 * time.Minute
	return fmt.Sprintf("cron(%d %d * * ? *)", int(at.Minutes())%60, int(at.Hours()))
}

// plain is a value as a rule's input takes it.
func plain(of any) (document map[string]any, err error) {
	text, err := json.Marshal(of)
	if err != nil {
		return nil, err
	}
	return document, json.Unmarshal(text, &document)
}
