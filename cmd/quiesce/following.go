package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"

	awshistory "github.com/quiesce/quiesce/shared/cloud/awscloud/history"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/history"
	"github.com/quiesce/quiesce/shared/run"
)

// following waits for the end of an execution that was started, and tells of each
// state on the way.
type following func(tell func(history.Passage)) (*history.Record, error)

// execution names one by what it does and when it was asked for.
func execution(what string) string {
	return strings.Replace(what+"-"+time.Now().UTC().Format("20060102T150405.000Z"), ".", "-", 1)
}

// start begins an execution of a state machine, which the flag has named.
func (p place) start(ctx context.Context, flag, machine, name, input string) (following, error) {
	if !strings.HasPrefix(machine, "arn:") || !strings.Contains(machine, ":stateMachine:") {
		return nil, fault.Input(flag, "wants a state machine's ARN, got %q", machine)
	}
	cfg, err := p.config(ctx)
	if err != nil {
		return nil, err
	}
	client := sfn.NewFromConfig(cfg)
	started, err := client.StartExecution(ctx, &sfn.StartExecutionInput{StateMachineArn: &machine, Name: &name, Input: aws.String(input)})
	if err != nil {
		return nil, err
	}
	return func(tell func(history.Passage)) (*history.Record, error) {
		return awshistory.Follow(ctx, client, *started.ExecutionArn, tell)
	}, nil
}

// workflowOf names the definition that is deployed: a state machine, which the flag
// gives, or a flow.
type workflowOf struct{ flag, machine, flow string }

// begin starts an execution on the cloud that is meant.
func (w where) begin(ctx context.Context, of workflowOf, name, input string) (following, error) {
	if w.Cloud != run.Aliyun {
		return w.start(ctx, of.flag, of.machine, name, input)
	}
	p, err := w.provider()
	if err != nil {
		return nil, err
	}
	if err := p.StartExecution(ctx, of.flow, name, []byte(input)); err != nil {
		return nil, err
	}
	return func(tell func(history.Passage)) (*history.Record, error) { return p.Follow(ctx, of.flow, name, tell) }, nil
}

// follow prints what is under way, and each of its steps as it ends.
func (s *streams) follow(what, name string, follow following) (*history.Record, error) {
	fmt.Fprintln(s.progress, what+" "+name)
	return follow(func(p history.Passage) {
		if p.Done && p.Type == "Task" {
			fmt.Fprintf(s.progress, "  %-14s %8s  %s\n", p.State, millis(p.Took), p.Failed)
		}
	})
}
