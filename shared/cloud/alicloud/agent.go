package alicloud

import (
	"context"
	"encoding/base64"
	"strings"

	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/requests"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/ecs"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
)

// Cloud Assistant's limits on one command.
const (
	minExecution = 10
	maxExecution = 86400
	maxContent   = 24 << 10 // of the text in base64, with its parameters
	maxComment   = 512
)

// Ping asks for the agent's heartbeat, which is sent every minute.
func (p *Provider) Ping(ctx context.Context, instanceID string) (cloud.Ping, error) {
	request, response := ecs.CreateDescribeCloudAssistantStatusRequest(), ecs.CreateDescribeCloudAssistantStatusResponse()
	request.InstanceId = &[]string{instanceID}
	err := p.call(ctx, "ecs", request, response)
	if err != nil && codeOf(err) != fault.InstanceNotFound {
		return cloud.Ping{}, translate(err, "ask after the agent of %s", instanceID)
	}
	for _, s := range response.InstanceCloudAssistantStatusSet.InstanceCloudAssistantStatus {
		if s.InstanceId == instanceID {
			return cloud.Ping{
				Online: s.CloudAssistantStatus == "true",
				Last:   moment(s.LastHeartbeatTime),
				Linux:  strings.EqualFold(s.OSType, "linux"),
			}, nil
		}
	}
	return cloud.Ping{}, nil // it never had an agent
}

// Send runs the fixed text with the request among its parameters in base64, so
// that nothing of it is ever shell text. Cloud Assistant has no limit on
// delivery to ask for: it gives up after a minute by itself. The token makes an
// attempt whose answer was lost the same command.
func (p *Provider) Send(ctx context.Context, cmd cloud.Command) (string, error) {
	parameters, err := parameters(cmd)
	if err != nil {
		return "", err
	}
	if err := p.reachable(ctx, cmd); err != nil {
		return "", err
	}
	request, response := ecs.CreateRunCommandRequest(), ecs.CreateRunCommandResponse()
	request.Type = "RunShellScript"
	request.ContentEncoding = "Base64"
	request.CommandContent = base64.StdEncoding.EncodeToString([]byte(Script()))
	request.EnableParameter = requests.NewBoolean(true)
	request.Parameters = parameters
	request.InstanceId = &[]string{cmd.InstanceID}
	request.Name = "quiesce-" + cmd.Verb
	request.Description = clip(cmd.Comment, maxComment)
	request.Timeout = requests.NewInteger(min(max(cmd.ExecutionSecs, minExecution), maxExecution))
	request.RepeatMode = "Once"
	request.TerminationMode = "ProcessTree"
	request.KeepCommand = requests.NewBoolean(false)
	request.ClientToken = token()
	if err := p.call(ctx, "ecs", request, response); err != nil {
		if code := codeOf(err); code == fault.InstanceNotFound || code == fault.InstanceNotRunning {
			return "", fault.Wrap(fault.AgentOffline, err, "send %s to %s", cmd.Verb, cmd.InstanceID)
		}
		return "", translate(err, "send %s to %s", cmd.Verb, cmd.InstanceID)
	}
	return response.InvokeId, nil
}

// urgent are the verbs inside the window, where nothing is asked first.
var urgent = map[string]bool{"freeze": true, "probe": true, "thaw": true}

// reachable refuses a command whose agent is gone: Cloud Assistant takes it and
// tells a minute later. Where somebody's writes wait it is sent all the same.
func (p *Provider) reachable(ctx context.Context, cmd cloud.Command) error {
	if urgent[cmd.Verb] {
		return nil
	}
	ping, err := p.Ping(ctx, cmd.InstanceID)
	if err == nil && !ping.Online {
		return fault.New(fault.AgentOffline, "send %s to %s: its agent is not online", cmd.Verb, cmd.InstanceID)
	}
	return err
}

// Statuses in which an invocation stays.
var (
	ended  = map[string]bool{"Success": true, "Failed": true}
	gaveUp = map[string]bool{
		"Invalid": true, "Aborted": true, "Error": true, "Timeout": true, "Cancelled": true, "Terminated": true,
	}
)

// Result reads one invocation. The record of a command that was just sent may
// be missing for a moment.
func (p *Provider) Result(ctx context.Context, instanceID, commandID string) (cloud.Result, error) {
	request, response := ecs.CreateDescribeInvocationResultsRequest(), ecs.CreateDescribeInvocationResultsResponse()
	request.InvokeId, request.InstanceId, request.ContentEncoding = commandID, instanceID, "PlainText"
	if err := p.call(ctx, "ecs", request, response); err != nil {
		if hasCode(err, "InvalidInvokeId.NotFound") {
			return cloud.Result{Status: "Pending", ExitCode: -1}, nil
		}
		return cloud.Result{}, translate(err, "ask for command %s on %s", commandID, instanceID)
	}
	for _, r := range response.Invocation.InvocationResults.InvocationResult {
		if r.InstanceId == instanceID {
			return result(r), nil
		}
	}
	return cloud.Result{Status: "Pending", ExitCode: -1}, nil
}

func result(r ecs.InvocationResult) cloud.Result {
	out := cloud.Result{Status: r.InvocationStatus, ExitCode: int(r.ExitCode), Done: ended[r.InvocationStatus], Running: r.InvocationStatus == "Running"}
	if gaveUp[r.InvocationStatus] {
		out.Done, out.TimedOut = true, true
		if r.ExitCode == 0 {
			out.ExitCode = -1 // it has none
		}
	}
	if !out.Done {
		out.ExitCode = -1
		return out
	}
	out.Stdout, out.Stderr = apart(r.Output)
	if r.ErrorCode != "" && out.TimedOut {
		out.Status += " (" + r.ErrorCode + ")"
		out.Stderr += r.ErrorCode + ": " + r.ErrorInfo
	}
	return out
}

// Cancel stops a command that has not begun. One that runs once goes on to its
// own limit, whoever stops it.
func (p *Provider) Cancel(ctx context.Context, instanceID, commandID string) error {
	request, response := ecs.CreateStopInvocationRequest(), ecs.CreateStopInvocationResponse()
	request.InvokeId, request.InstanceId = commandID, &[]string{instanceID}
	return translate(p.call(ctx, "ecs", request, response), "cancel command %s on %s", commandID, instanceID)
}
