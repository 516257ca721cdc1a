package main

import (
	"fmt"
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsevents"
	"github.com/aws/aws-cdk-go/awscdk/v2/awseventschemas"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssqs"
	"github.com/aws/jsii-runtime-go"

	"github.com/quiesce/quiesce/events"
)

// archiveDays is how long events can be replayed to a new subscriber.
const archiveDays = 90

// makeBus makes the bus that the steps publish on, an archive of it, and a
// registry in which subscribers find what the events look like.
func (d *deployment) makeBus() error {
	d.bus = awsevents.NewEventBus(d.stack, jsii.String("Bus"), &awsevents.EventBusProps{
		EventBusName: jsii.String(d.name),
		Description:  jsii.String("What the runs of Quiesce tell the world."),
	})
	awsevents.NewArchive(d.stack, jsii.String("Archive"), &awsevents.ArchiveProps{
		SourceEventBus: d.bus,
		ArchiveName:    jsii.String(d.name),
		Description:    jsii.String("Every event of Quiesce, to be replayed to a new subscriber."),
		EventPattern:   &awsevents.EventPattern{Source: list(events.Source)},
		Retention:      awscdk.Duration_Days(jsii.Number(archiveDays)),
	})
	registry := awseventschemas.NewCfnRegistry(d.stack, jsii.String("Registry"), &awseventschemas.CfnRegistryProps{
		RegistryName: jsii.String(d.name),
		Description:  jsii.String("The events of Quiesce."),
	})
	schemas, err := eventSchemas()
	if err != nil {
		return fmt.Errorf("the schemas of the events: %w", err)
	}
	for _, kind := range schemas {
		word := strings.ReplaceAll(kind.detailType, " ", "")
		awseventschemas.NewCfnSchema(d.stack, jsii.String("Schema"+word), &awseventschemas.CfnSchemaProps{
			RegistryName: registry.AttrRegistryName(),
			SchemaName:   jsii.String(events.Source + "@" + word),
			Type:         jsii.String("JSONSchemaDraft4"),
			Content:      jsii.String(kind.content),
		})
	}
	return nil
}

// queue keeps what could not be delivered for good; an alarm says when it is
// not empty, because each message is a thing that should have happened.
func (d *deployment) queue(of string) awssqs.Queue {
	if q, ok := d.queues[of]; ok {
		return q
	}
	q := awssqs.NewQueue(d.stack, jsii.String(camel(of)+"Failures"), &awssqs.QueueProps{
		QueueName:       d.named(of + "-failures"),
		Encryption:      awssqs.QueueEncryption_SQS_MANAGED,
		EnforceSSL:      jsii.Bool(true),
		RetentionPeriod: awscdk.Duration_Days(jsii.Number(14)),
	})
	accept(q, "AwsSolutions-SQS3", "", "This queue is itself where failures go; what enters it raises an alarm.")
	d.queues[of] = q
	return q
}
