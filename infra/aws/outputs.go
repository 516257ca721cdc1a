package main

import (
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/jsii-runtime-go"
)

// console is the address of a page of the console, in the stack's Region.
func (d *deployment) console(page string) string {
	return "https://" + *d.stack.Region() + ".console.aws.amazon.com/" + strings.ReplaceAll(page, "{region}", *d.stack.Region())
}

func (d *deployment) consoleRuns() string {
	return d.console("states/home?region={region}#/statemachines/view/" + *d.machines["snapshot"].StateMachineArn())
}

func (d *deployment) consoleDashboard() string {
	return d.console("cloudwatch/home?region={region}#dashboards/dashboard/" + d.name)
}

func (d *deployment) consoleAlarms() string {
	return d.console("cloudwatch/home?region={region}#alarmsV2:?search=" + d.name + "-")
}

func (d *deployment) consoleBus() string {
	return d.console("events/home?region={region}#/eventbus/" + d.name)
}

// makeOutputs says where to go from here.
func (d *deployment) makeOutputs() error {
	for _, o := range []struct{ name, value, about string }{
		{"StartARun", d.consoleRuns(), `Here: Start execution, with {"instanceId": "i-..."} as its input.`},
		{"DashboardLink", d.consoleDashboard(), "How runs end and how long writes stand still."},
		{"AlarmsLink", d.consoleAlarms(), "Each says what it means and what to do."},
		{"StateMachineArn", *d.machines["snapshot"].StateMachineArn(), "To start a run from anywhere else."},
		{"RestoreMachineArn", *d.machines["restore"].StateMachineArn(), "For `quiesce restore`, as QUIESCE_RESTORE_MACHINE."},
		{"VerifyMachineArn", *d.machines["verify"].StateMachineArn(), "For `quiesce verify`, as QUIESCE_VERIFY_MACHINE."},
		{"RevertDocumentName", *d.revert.Ref(), "By which a person goes back to shadow copies on restored disks of Windows: docs/windows.md."},
		{"EventBusName", *d.bus.EventBusName(), "Subscribers put their rules on it."},
		{"AlarmTopicArn", *d.topic.TopicArn(), "All alarms go there."},
	} {
		awscdk.NewCfnOutput(d.stack, jsii.String(o.name), &awscdk.CfnOutputProps{Value: jsii.String(o.value), Description: jsii.String(o.about)})
	}
	return nil
}
