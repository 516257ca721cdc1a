package awscloud

import (
	"context"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
)

// SendOnce makes one attempt: SendCommand takes no client token, and a second
// command would make a second set.
func (p *Provider) SendOnce(ctx context.Context, cmd cloud.DocumentCommand) (string, error) {
	var sent bool
	out, err := p.ssm.SendCommand(ctx, documentInput(cmd), func(o *ssm.Options) {
		o.Retryer = aws.NopRetryer{}
		o.APIOptions = append(o.APIOptions[:len(o.APIOptions):len(o.APIOptions)], noteSending(&sent))
	})
	if err != nil {
		return "", unsent(err, sent, "send the document %s to %s", cmd.Document, cmd.InstanceID)
	}
	return aws.ToString(out.Command.CommandId), nil
}

// unsent makes a fault of an error of a call that must not be made twice
// blindly: only an answer that says no proves that nothing runs.
func unsent(err error, sent bool, format string, args ...any) error {
	code, status := codeOf(err), statusOf(err)
	if sent && !unreachable(err) && code != fault.Throttled && (status < 400 || status >= 500 || status == http.StatusRequestTimeout) {
		code = fault.CommandUnknown
	}
	return fault.Wrap(code, err, format, args...)
}

// FindCommand looks among the commands that were sent to the instance.
func (p *Provider) FindCommand(ctx context.Context, instanceID, comment string, since time.Time) (string, error) {
	pages := ssm.NewListCommandsPaginator(p.ssm, &ssm.ListCommandsInput{
		InstanceId: aws.String(instanceID),
		Filters:    []types.CommandFilter{{Key: types.CommandFilterKeyInvokedAfter, Value: aws.String(since.UTC().Format(time.RFC3339))}},
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return "", translate(err, "look for a command on %s", instanceID)
		}
		for _, c := range page.Commands {
			if aws.ToString(c.Comment) == clip(comment, maxComment) {
				return aws.ToString(c.CommandId), nil
			}
		}
	}
	return "", nil
}

// Invocation reads all steps by one call: to ask for one of them by its name
// would be to know all the names, and some are AWS's.
func (p *Provider) Invocation(ctx context.Context, instanceID, commandID string) (cloud.Invocation, error) {
	out, err := p.ssm.ListCommandInvocations(ctx, &ssm.ListCommandInvocationsInput{
		CommandId: aws.String(commandID), InstanceId: aws.String(instanceID), Details: true,
	})
	if err != nil && !hasCode(err, "InvalidCommandId") {
		return cloud.Invocation{}, translate(err, "ask for the steps of %s on %s", commandID, instanceID)
	}
	if err != nil || len(out.CommandInvocations) == 0 { // for a moment after it was sent
		return cloud.Invocation{Status: string(types.CommandInvocationStatusPending)}, nil
	}
	i := out.CommandInvocations[0]
	inv := cloud.Invocation{Status: strings.ReplaceAll(aws.ToString(i.StatusDetails), " ", "")}
	if inv.Status == "" {
		inv.Status = string(i.Status)
	}
	switch i.Status {
	case types.CommandInvocationStatusSuccess, types.CommandInvocationStatusFailed, types.CommandInvocationStatusTimedOut, types.CommandInvocationStatusCancelled:
		inv.Done = true
	}
	for _, s := range i.CommandPlugins {
		inv.Steps = append(inv.Steps, cloud.StepResult{
			Name: aws.ToString(s.Name), Status: string(s.Status), ExitCode: int(s.ResponseCode), Output: aws.ToString(s.Output),
		})
	}
	return inv, nil
}

// SendShadow puts the request into the document's one parameter in base64, so
// that nothing of it is ever script text.
func (p *Provider) SendShadow(ctx context.Context, cmd cloud.ShadowCommand) (string, error) {
	if p.options.Shadow == "" {
		return "", fault.New(fault.Internal, "send shadow copies to %s: this deployment names no document for them", cmd.InstanceID)
	}
	in := &ssm.SendCommandInput{
		DocumentName: aws.String(p.options.Shadow),
		InstanceIds:  []string{cmd.InstanceID},
		Parameters: map[string][]string{
			"Request":          {base64.StdEncoding.EncodeToString(cmd.Request)},
			"ExecutionTimeout": {strconv.Itoa(max(cmd.ExecutionSecs, minExecution))},
		},
		TimeoutSeconds: aws.Int32(minDelivery),
		Comment:        aws.String(clip(cmd.Comment, maxComment)),
	}
	if p.options.ShadowHash != "" {
		in.DocumentHash = aws.String(p.options.ShadowHash)
		in.DocumentHashType = types.DocumentHashTypeSha256
	}
	out, err := p.ssm.SendCommand(ctx, in)
	if err != nil {
		return "", translate(err, "send shadow copies to %s", cmd.InstanceID)
	}
	return aws.ToString(out.Command.CommandId), nil
}
