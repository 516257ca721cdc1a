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
// keeps. A day that was missed is made up for by the next one.
func (d *deployment) makeRetention() error {
	for _, p := range d.policies {
		if p.Retention.IsZero() {
			continue
		}
		document, err := retained(p)
		if err != nil {
			return fmt.Errorf("the retention of the policy %s: %w", p.Name, err)
		}
		id := "Retention" + ident(p.Name)
		awsevents.NewRule(d.stack, jsii.String(id), &awsevents.RuleProps{
			Description: jsii.String("Deletes what the policy " + p.Name + " does not keep."),
			Schedule:    awsevents.Schedule_Expression(jsii.String(daily(p.Name))),
			Targets: &[]awsevents.IRuleTarget{awseventstargets.NewLambdaFunction(d.functions["prune"], &awseventstargets.LambdaFunctionProps{
				Event: awsevents.RuleTargetInput_FromObject(map[string]any{
					"run":     map[string]any{"id": awsevents.EventField_EventId(), "startedAt": awsevents.EventField_Time()},
					"request": map[string]any{"policy": document},
				}),
				DeadLetterQueue: d.queue(parkedIn["prune"]),
				RetryAttempts:   jsii.Number(10),
				MaxEventAge:     awscdk.Duration_Hours(jsii.Number(1)),
			})},
		})
	}
	d.retried("Retention", "prune")
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

// retained is what prune needs of a policy: its name and what it keeps.
func retained(p policy.Document) (document map[string]any, err error) {
	text, err := json.Marshal(map[string]any{"name": p.Name, "retention": p.Retention})
	if err != nil {
		return nil, err
	}
	return document, json.Unmarshal(text, &document)
}
