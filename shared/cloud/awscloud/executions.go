package awscloud

import (
	"context"
	"encoding/json"
	"errors"
	"regexp"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/run"
)

var _ cloud.Runs = (*Provider)(nil)

// ofInstance is the end of a run's name as fleets and the command line make it.
// One that says another instance is not asked for what it was started with, so
// that a fleet of thousands costs no call each.
var ofInstance = regexp.MustCompile(`(?:^|-)(i-[0-9a-f]{8,17})-\d{8}T\d{6}Z$`)

// Running goes through the running executions of the machines that hold
// instances, and reads their inputs: a name alone, which anybody may choose,
// proves nothing.
func (p *Provider) Running(ctx context.Context, instanceID string) (names []string, err error) {
	for _, machine := range p.options.Machines {
		pages := sfn.NewListExecutionsPaginator(p.tasks, &sfn.ListExecutionsInput{
			StateMachineArn: aws.String(machine), StatusFilter: types.ExecutionStatusRunning, MaxResults: 1000,
		})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return nil, translate(err, "list what runs on %s", machine)
			}
			for _, e := range page.Executions {
				name := aws.ToString(e.Name)
				if m := ofInstance.FindStringSubmatch(name); m != nil && m[1] != instanceID {
					continue
				}
				on, err := p.on(ctx, aws.ToString(e.ExecutionArn), instanceID)
				if err != nil {
					return nil, err
				}
				if on {
					names = append(names, name)
				}
			}
		}
	}
	return names, nil
}

// on tells whether an execution was started on the instance, by itself or as a
// member of a group.
func (p *Provider) on(ctx context.Context, arn, instanceID string) (bool, error) {
	out, err := p.tasks.DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: aws.String(arn)})
	var gone *types.ExecutionDoesNotExist
	switch {
	case errors.As(err, &gone):
		return false, nil
	case err != nil:
		return false, translate(err, "read what %s was started with", arn)
	case out.Status != types.ExecutionStatusRunning:
		return false, nil
	}
	var started struct {
		InstanceID string       `json:"instanceId"`
		Members    []run.Member `json:"members"`
	}
	if json.Unmarshal([]byte(aws.ToString(out.Input)), &started) != nil {
		return false, nil // it is refused as it is read
	}
	for _, m := range started.Members {
		if m.InstanceID == instanceID {
			return true, nil
		}
	}
	return started.InstanceID == instanceID, nil
}
