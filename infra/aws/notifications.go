package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsevents"
	"github.com/aws/aws-cdk-go/awscdk/v2/awseventstargets"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssns"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssnssubscriptions"
	"github.com/aws/jsii-runtime-go"

	"github.com/quiesce/quiesce/events"
	"github.com/quiesce/quiesce/shared/policy"
)

// makeNotifications writes to people: the alarms' topic reaches all of them,
// and every receiver of a policy hears of the outcomes that it asked for.
func (d *deployment) makeNotifications() error {
	d.topic = d.newTopic("Alarms", "alarms", "Quiesce: alarms")
	d.topic.AddToResourcePolicy(awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
		Principals: &[]awsiam.IPrincipal{awsiam.NewServicePrincipal(jsii.String("cloudwatch.amazonaws.com"), nil)},
		Actions:    list("sns:Publish"),
		Resources:  &[]*string{d.topic.TopicArn()},
		Conditions: &map[string]any{"StringEquals": map[string]any{"aws:SourceAccount": d.stack.Account()}},
	}))
	told := map[string]bool{}
	tell := func(email string) {
		if email != "" && !told[email] {
			told[email] = true
			d.topic.AddSubscription(awssnssubscriptions.NewEmailSubscription(jsii.String(email), nil))
		}
	}
	tell(d.alarmEmail)
	for _, p := range d.policies {
		for i, n := range p.Notification {
			tell(n.Email)
			d.notify(p.Name, i, n)
		}
	}
	return nil
}

func (d *deployment) newTopic(id, name, display string) awssns.Topic {
	return awssns.NewTopic(d.stack, jsii.String(id), &awssns.TopicProps{
		TopicName: d.named(name), DisplayName: jsii.String(display), EnforceSSL: jsii.Bool(true),
	})
}

// told is the event of each outcome that a receiver may ask to hear of.
var told = map[policy.Outcome]string{
	policy.OnCompleted:  events.TypeCompleted,
	policy.OnDegraded:   events.TypeDegraded,
	policy.OnFailed:     events.TypeFailed,
	policy.OnThawFailed: events.TypeThawFailed,
}

// notify makes the rule of one receiver. A mail has a topic of its own, for
// one that several share could not tell who asked for what.
func (d *deployment) notify(name string, i int, n policy.Notification) {
	id := fmt.Sprintf("Notify%s%d", ident(name), i+1)
	var topic awssns.ITopic
	if n.TopicARN != "" {
		topic = awssns.Topic_FromTopicArn(d.stack, jsii.String(id+"Topic"), jsii.String(n.TopicARN))
	} else {
		own := d.newTopic(id+"Topic", fmt.Sprintf("%s-%d", strings.ReplaceAll(name, ".", "-"), i+1), "Quiesce: "+name)
		own.AddSubscription(awssnssubscriptions.NewEmailSubscription(jsii.String(n.Email), nil))
		topic = own
	}
	var kinds []string
	for _, o := range n.Wants() {
		kinds = append(kinds, told[o])
	}
	slices.Sort(kinds)
	field := func(path string) string { return *awsevents.EventField_FromPath(jsii.String(path)) }
	text := "Quiesce, " + field("$.detail.policy") + ": " + field("$.detail-type") + " on " + field("$.detail.instanceId") + ". " +
		field("$.detail.reason") + " (run " + field("$.detail.runId") + ", code " + field("$.detail.code") + ") " + field("$.detail.nextMove")
	rule := awsevents.NewRule(d.stack, jsii.String(id), &awsevents.RuleProps{
		Description: jsii.String("Tells a receiver of the policy " + name + " how its runs end."),
		EventBus:    d.bus,
		EventPattern: &awsevents.EventPattern{
			Source: list(events.Source), DetailType: list(kinds...),
			Detail: &map[string]any{"policy": list(name)},
		},
		Targets: &[]awsevents.IRuleTarget{awseventstargets.NewSnsTopic(topic, &awseventstargets.SnsTopicProps{
			Message:         awsevents.RuleTargetInput_FromText(jsii.String(text)),
			DeadLetterQueue: d.queue("notifications"),
		})},
	})
	awscdk.Annotations_Of(rule).AcknowledgeWarning(jsii.String("@aws-cdk/aws-events:ruleUnresolvedEnvironment"),
		jsii.String("A receiver's topic is in the Region of the stack, whichever that is."))
}
