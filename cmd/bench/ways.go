package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"github.com/quiesce/quiesce/local/instance"
)

// oneScript runs the script as a timer on the instance would.
func (s *stand) oneScript(ctx context.Context, run string) (callMs float64, err error) {
	result := s.machine.Execute(ctx, instance.Command{Script: `exec env QUIESCE_RUN_ID=` + run + ` "$BENCH_DIR/one.sh"`})
	if result.ExitCode != 0 {
		return 0, fmt.Errorf("the script ended with %d: %s", result.ExitCode, result.Stderr)
	}
	m, err := readMarks(s.marks)
	return ms(m.first("called").Sub(m.first("call"))), err
}

// callOnce is the script's client, one call a process as the AWS CLI is, though
// without the CLI's own start-up.
func callOnce(ctx context.Context, args []string, out io.Writer) error {
	if len(args) != 2 {
		return errors.New("call wants an action and an id")
	}
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return err
	}
	client := ec2.NewFromConfig(cfg)
	switch args[0] {
	case "describe-instances":
		found, err := client.DescribeInstances(ctx, &ec2.DescribeInstancesInput{InstanceIds: args[1:]})
		if err != nil {
			return err
		}
		for _, r := range found.Reservations {
			for _, i := range r.Instances {
				for _, d := range i.BlockDeviceMappings {
					if *d.DeviceName != *i.RootDeviceName {
						fmt.Fprintln(out, *d.Ebs.VolumeId)
					}
				}
			}
		}
	case "create-snapshot":
		made, err := client.CreateSnapshot(ctx, &ec2.CreateSnapshotInput{VolumeId: &args[1]})
		if err != nil {
			return err
		}
		fmt.Fprintln(out, *made.SnapshotId)
	default:
		return fmt.Errorf("no such call: %s", args[0])
	}
	return nil
}

const document = "Bench-PrePost"

// documentText takes the parameters that DLM passes, and nothing else.
const documentText = `
schemaVersion: "2.2"
parameters:
  executionId: {type: String, default: None}
  command: {type: String, default: dry-run, allowedValues: [pre-script, post-script, dry-run]}
mainSteps:
  - action: aws:runShellScript
    name: run_pre_post_scripts
    inputs:
      timeoutSeconds: "120"
      runCommand: ['exec env QUIESCE_RUN_ID="{{ executionId }}" "$BENCH_DIR/dlm.sh" {{ command }}']
`

// patience is how a command's end is waited for.
type patience func(ctx context.Context, client *ssm.Client, commandID string) error

// dlm is the order of DLM, without whatever it needs between its calls.
func (s *stand) dlm(wait patience) func(context.Context, string) (float64, error) {
	cfg := s.client("dlm")
	commands, disks := ssm.NewFromConfig(cfg), ec2.NewFromConfig(cfg)
	send := func(ctx context.Context, run, command string) error {
		sent, err := commands.SendCommand(ctx, &ssm.SendCommandInput{
			DocumentName: aws.String(document), InstanceIds: []string{instanceID},
			Parameters: map[string][]string{"command": {command}, "executionId": {run}},
		})
		if err != nil {
			return fmt.Errorf("%s: %w", command, err)
		}
		if err := wait(ctx, commands, *sent.Command.CommandId); err != nil {
			return fmt.Errorf("%s: %w", command, err)
		}
		return nil
	}
	return func(ctx context.Context, run string) (float64, error) {
		if err := send(ctx, run, "pre-script"); err != nil {
			return 0, err
		}
		began := time.Now()
		_, err := disks.CreateSnapshots(ctx, &ec2.CreateSnapshotsInput{
			InstanceSpecification: &types.InstanceSpecification{InstanceId: aws.String(instanceID), ExcludeBootVolume: aws.Bool(true)},
		})
		took := ms(time.Since(began))
		return took, errors.Join(err, send(ctx, run, "post-script"))
	}
}

// quickly is the rhythm in which Quiesce asks: as good as it gets, where that
// of DLM is not published.
func quickly(ctx context.Context, client *ssm.Client, id string) error {
	for started := time.Now(); ; {
		got, err := client.GetCommandInvocation(ctx, &ssm.GetCommandInvocationInput{CommandId: &id, InstanceId: aws.String(instanceID)})
		switch {
		case err == nil && got.Status == "Success":
			return nil
		case err == nil && got.Status != "Pending" && got.Status != "InProgress" && got.Status != "Delayed":
			return fmt.Errorf("%s with %d: %s", got.Status, got.ResponseCode, aws.ToString(got.StandardErrorContent))
		case ctx.Err() != nil:
			return ctx.Err()
		}
		if err := sleep(ctx, max(time.Since(started)/20, 25*time.Millisecond)); err != nil {
			return err
		}
	}
}

// waiter is the SDK's own, whose shortest pause is five seconds.
func waiter(ctx context.Context, client *ssm.Client, id string) error {
	return ssm.NewCommandExecutedWaiter(client).Wait(ctx,
		&ssm.GetCommandInvocationInput{CommandId: &id, InstanceId: aws.String(instanceID)}, 2*time.Minute)
}
