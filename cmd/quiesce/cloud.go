package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/quiesce/quiesce/functions/precheck"
	"github.com/quiesce/quiesce/shared/cloud/awscloud/history"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/run"
)

// access is how the workflow in the cloud is reached. Credentials and Region
// come from where the AWS tools take them.
type access struct {
	StateMachine string `required:"" env:"QUIESCE_STATE_MACHINE" placeholder:"ARN" help:"State machine of the workflow."`
	place
}

// place is which account's cloud is meant.
type place struct {
	Region      string `env:"AWS_REGION" help:"Region, if not the configured one."`
	EndpointURL string `env:"AWS_ENDPOINT_URL" placeholder:"URL" help:"Another endpoint, such as an emulator's."`
}

func (p place) config(ctx context.Context) (aws.Config, error) {
	cfg, err := config.LoadDefaultConfig(ctx, func(o *config.LoadOptions) error {
		if p.Region != "" {
			o.Region = p.Region
		}
		return nil
	})
	if err != nil {
		return cfg, fmt.Errorf("AWS configuration: %w", err)
	}
	if p.EndpointURL != "" {
		cfg.BaseEndpoint = aws.String(p.EndpointURL)
	}
	return cfg, nil
}

func (a access) client(ctx context.Context) (*sfn.Client, error) {
	if !strings.HasPrefix(a.StateMachine, "arn:") || !strings.Contains(a.StateMachine, ":stateMachine:") {
		return nil, fault.Input("--state-machine", "wants a state machine's ARN, got %q", a.StateMachine)
	}
	cfg, err := a.config(ctx)
	if err != nil {
		return nil, err
	}
	return sfn.NewFromConfig(cfg), nil
}

// execution is the ARN of a run, which may be given as one.
func (a access) execution(id string) string {
	if strings.HasPrefix(id, "arn:") {
		return id
	}
	return strings.Replace(a.StateMachine, ":stateMachine:", ":execution:", 1) + ":" + id
}

type startCmd struct {
	access
	Instance string `arg:"" help:"Instance id."`
	Policy   string `type:"existingfile" help:"Policy file, YAML or JSON; without one the default policy holds."`
	Name     string `help:"Run id; by default made of the instance and the time."`
}

func (c *startCmd) Run(ctx context.Context, s *streams) error {
	request := run.Request{InstanceID: c.Instance, Policy: policy.Default()}
	if c.Policy != "" {
		d, err := readPolicy(c.Policy)
		if err != nil {
			return err
		}
		request.Policy = d.Policy
	}
	if c.Name == "" {
		c.Name = c.Instance + "-" + time.Now().UTC().Format("20060102T150405Z")
	}
	if err := precheck.Check(precheck.Input{Run: run.Run{ID: c.Name}, Request: request}); err != nil {
		return err
	}
	client, err := c.client(ctx)
	if err != nil {
		return err
	}
	input, err := json.Marshal(request)
	if err != nil {
		return err
	}
	out, err := client.StartExecution(ctx, &sfn.StartExecutionInput{
		StateMachineArn: &c.StateMachine, Name: &c.Name, Input: aws.String(string(input)),
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(s.out, "%s\n", *out.ExecutionArn)
	return nil
}

type statusCmd struct {
	access
	RunID  string `arg:"" name:"run" help:"Run id or execution ARN."`
	Output string `short:"o" enum:"text,json" default:"text" help:"text or json."`
}

func (c *statusCmd) Run(ctx context.Context, s *streams) error {
	client, err := c.client(ctx)
	if err != nil {
		return err
	}
	record, err := history.Look(ctx, client, c.execution(c.RunID))
	if err != nil {
		return err
	}
	if c.Output == "json" {
		return writeJSON(s.out, record)
	}
	fmt.Fprintf(s.out, "%s  %s\n%s\n", record.RunID, record.Status, strings.Join(record.States, " > "))
	if v := record.State.Verdict; v != nil {
		fmt.Fprintf(s.out, "%s  %s: %s\n", v.Outcome, v.Consistency, v.Reason)
	}
	return nil
}

type listCmd struct {
	access
	Status string `enum:"all,running,succeeded,failed,timed_out,aborted" default:"all" help:"Only runs in this status."`
	Max    int32  `default:"20" help:"At most so many."`
	Output string `short:"o" enum:"text,json" default:"text" help:"text or json."`
}

func (c *listCmd) Run(ctx context.Context, s *streams) error {
	if c.Max < 1 || c.Max > 1000 {
		return fault.Input("--max", "wants 1-1000, got %d", c.Max)
	}
	client, err := c.client(ctx)
	if err != nil {
		return err
	}
	in := &sfn.ListExecutionsInput{StateMachineArn: &c.StateMachine, MaxResults: c.Max}
	if c.Status != "all" {
		in.StatusFilter = types.ExecutionStatus(strings.ToUpper(c.Status))
	}
	out, err := client.ListExecutions(ctx, in)
	if err != nil {
		return err
	}
	if c.Output == "json" {
		return writeJSON(s.out, out.Executions)
	}
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.AppendHeader(table.Row{"run", "status", "started", "took"})
	for _, e := range out.Executions {
		took := "-"
		if e.StopDate != nil {
			took = e.StopDate.Sub(*e.StartDate).Round(time.Millisecond).String()
		}
		t.AppendRow(table.Row{*e.Name, e.Status, e.StartDate.Local().Format(time.DateTime), took})
	}
	fmt.Fprintln(s.out, t.Render())
	return nil
}

type stopCmd struct {
	access
	RunID string `arg:"" name:"run" help:"Run id or execution ARN."`
	Cause string `default:"stopped by an operator" help:"Why, for the history."`
}

func (c *stopCmd) Run(ctx context.Context, s *streams) error {
	client, err := c.client(ctx)
	if err != nil {
		return err
	}
	arn := c.execution(c.RunID)
	if _, err := client.StopExecution(ctx, &sfn.StopExecutionInput{ExecutionArn: &arn, Cause: &c.Cause}); err != nil {
		return err
	}
	fmt.Fprintln(s.out, "stopped; the instance is let go by the janitor, at the latest by its own deadline")
	return nil
}
