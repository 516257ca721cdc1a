package awscloud

import (
	"context"
	"encoding/base64"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
)

// Systems Manager's limits on one command.
const (
	minDelivery  = 30
	minExecution = 5
	maxComment   = 100
)

// Ping reads the agent's last heartbeat, which is sent every five minutes: an
// agent may be called online for a while after it died.
func (p *Provider) Ping(ctx context.Context, instanceID string) (cloud.Ping, error) {
	out, err := p.ssm.DescribeInstanceInformation(ctx, &ssm.DescribeInstanceInformationInput{
		Filters: []types.InstanceInformationStringFilter{{Key: aws.String("InstanceIds"), Values: []string{instanceID}}},
	})
	if err != nil && !hasCode(err, "InvalidInstanceId") {
		return cloud.Ping{}, translate(err, "ask after the agent of %s", instanceID)
	}
	if err != nil || len(out.InstanceInformationList) == 0 {
		return cloud.Ping{}, nil // it never registered
	}
	info := out.InstanceInformationList[0]
	return cloud.Ping{
		Online:  info.PingStatus == types.PingStatusOnline,
		Last:    aws.ToTime(info.LastPingDateTime),
		Linux:   info.PlatformType == types.PlatformTypeLinux,
		System:  aws.ToString(info.PlatformName),
		Version: aws.ToString(info.AgentVersion),
	}, nil
}

// Send puts the request into the document's parameters in base64, so that
// nothing of it is ever shell text.
func (p *Provider) Send(ctx context.Context, cmd cloud.Command) (string, error) {
	if p.options.Document == "" {
		return "", fault.New(fault.Internal, "send %s to %s: this deployment names no command document", cmd.Verb, cmd.InstanceID)
	}
	parameters := map[string][]string{
		"Verb":             {cmd.Verb},
		"Request":          {base64.StdEncoding.EncodeToString(cmd.Request)},
		"Sha256":           {cmd.Asset.SHA256},
		"ExecutionTimeout": {strconv.Itoa(max(cmd.ExecutionSecs, minExecution))},
	}
	if cmd.Asset.URL != "" {
		parameters["Url"] = []string{base64.StdEncoding.EncodeToString([]byte(cmd.Asset.URL))}
	}
	in := &ssm.SendCommandInput{
		DocumentName:   aws.String(p.options.Document),
		InstanceIds:    []string{cmd.InstanceID},
		Parameters:     parameters,
		TimeoutSeconds: aws.Int32(int32(max(cmd.DeliverySecs, minDelivery))),
		Comment:        aws.String(clip(cmd.Comment, maxComment)),
	}
	if p.options.DocumentHash != "" {
		in.DocumentHash = aws.String(p.options.DocumentHash)
		in.DocumentHashType = types.DocumentHashTypeSha256
	}
	out, err := p.ssm.SendCommand(ctx, in)
	if err != nil {
		return "", translate(err, "send %s to %s", cmd.Verb, cmd.InstanceID)
	}
	return aws.ToString(out.Command.CommandId), nil
}

// Result reads one invocation. The service says for a moment after Send that
// it does not exist.
func (p *Provider) Result(ctx context.Context, instanceID, commandID string) (cloud.Result, error) {
	out, err := p.ssm.GetCommandInvocation(ctx, &ssm.GetCommandInvocationInput{
		InstanceId: aws.String(instanceID),
		CommandId:  aws.String(commandID),
	})
	if hasCode(err, "InvocationDoesNotExist") {
		return cloud.Result{Status: string(types.CommandInvocationStatusPending), ExitCode: -1}, nil
	}
	if err != nil {
		return cloud.Result{}, translate(err, "ask for command %s on %s", commandID, instanceID)
	}
	return result(out), nil
}

// result goes by the details, which tell apart what the status does not. They
// come with and without spaces.
func result(out *ssm.GetCommandInvocationOutput) cloud.Result {
	details := strings.ReplaceAll(aws.ToString(out.StatusDetails), " ", "")
	if details == "" {
		details = string(out.Status)
	}
	r := cloud.Result{
		Status:   details,
		ExitCode: int(out.ResponseCode),
		Stdout:   aws.ToString(out.StandardOutputContent),
		Stderr:   aws.ToString(out.StandardErrorContent),
	}
	switch out.Status {
	case types.CommandInvocationStatusInProgress, types.CommandInvocationStatusCancelling:
		r.Running = true
	case types.CommandInvocationStatusSuccess, types.CommandInvocationStatusFailed:
		r.Done = true
	case types.CommandInvocationStatusTimedOut, types.CommandInvocationStatusCancelled:
		r.Done, r.TimedOut = true, true
	}
	switch details {
	case "Undeliverable", "Terminated": // with status Failed, though the agent never had it
		r.Done, r.TimedOut = true, true
	}
	return r
}

// Cancel is heard by an agent that is there to hear it.
func (p *Provider) Cancel(ctx context.Context, instanceID, commandID string) error {
	_, err := p.ssm.CancelCommand(ctx, &ssm.CancelCommandInput{
		CommandId:   aws.String(commandID),
		InstanceIds: []string{instanceID},
	})
	return translate(err, "cancel command %s on %s", commandID, instanceID)
}
