package fleet

import (
	"time"

	"github.com/quiesce/quiesce/local/aws"
	"github.com/quiesce/quiesce/local/aws/bus"
	"github.com/quiesce/quiesce/local/aws/ec2"
	"github.com/quiesce/quiesce/local/aws/states"
	"github.com/quiesce/quiesce/local/aws/wire"
)

// Step is what a simulated step does: the calls that it makes in their order,
// and how long its command takes on the instance, the agent's way included.
type Step struct {
	Calls  []string `json:"calls"`
	OnHost Span     `json:"onInstanceMs,omitzero"`
}

// Span is drawn from evenly, in milliseconds.
type Span struct {
	From int64 `json:"from"`
	To   int64 `json:"to"`
}

// Model stands for the steps of a run. The calls are those that the handlers
// make, which a test compares; a command's result is asked for once here and
// several times there, of a service whose limits are not published. The times
// on the instance are assumptions: AWS's own examples show two seconds for a
// command that does nothing.
var Model = map[string]Step{
	"precheck": {[]string{"ec2:DescribeInstances", "ec2:DescribeVolumes", "ec2:DescribeSnapshots", "ssm:DescribeInstanceInformation",
		"ssm:SendCommand", "ssm:GetCommandInvocation", "events:PutEvents"}, Span{1500, 6000}},
	"run-prescript": {[]string{"ssm:SendCommand", "ssm:GetCommandInvocation"}, Span{1200, 5000}},
	"freeze":        {[]string{"ssm:SendCommand", "ssm:GetCommandInvocation"}, Span{1000, 3000}},
	"snapshot":      {[]string{"ec2:CreateSnapshots"}, Span{}},
	"thaw":          {[]string{"ssm:SendCommand", "ssm:GetCommandInvocation", "events:PutEvents", "events:PutEvents"}, Span{1000, 3000}},
	"poll-status":   {[]string{"ec2:DescribeSnapshots", "events:PutEvents"}, Span{}},
	"await":         {[]string{"s3:PutObject", "ec2:DescribeSnapshots"}, Span{}},
	"wake":          {[]string{"s3:GetObject", "states:SendTaskSuccess"}, Span{}},
	"tag":           {[]string{"ec2:CreateTags", "ec2:CreateTags", "events:PutEvents", "events:PutEvents"}, Span{}},
}

// Completion is how long a set takes, and Invocation what a function's own
// start adds to each step.
var (
	Completion = Span{30_000, 90_000}
	Invocation = Span{5, 60}
)

// A refused read is made again as the provider does it; a refused
// CreateSnapshots as the step does it, while the instance waits frozen.
var (
	attempts   = 4
	maxBackoff = 2 * time.Second
	patience   = []time.Duration{time.Second, 2 * time.Second}
)

// limits are the emulated account's own, which are the published ones.
func limit(service, action string) wire.Limit {
	call := &wire.Call{Service: service, Action: action, Form: map[string][]string{"MaxResults": {"1000"}}}
	var l wire.Limit
	switch service {
	case "ec2":
		_, l = new(ec2.EC2).Limit(call)
	case "events":
		_, l = new(bus.Bus).Limit(call)
	case "states":
		_, l = new(states.States).Limit(call)
	}
	return l
}

func latency(service, action string) time.Duration {
	if d, ok := aws.Latencies[action]; ok {
		return d
	}
	return aws.Latencies[service]
}
