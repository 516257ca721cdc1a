package alicloud

import (
	"context"
	"encoding/json"
	"time"

	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/requests"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/fnf"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
)

var _ cloud.Sweeper = (*Provider)(nil)

// broken are CloudFlow's words for executions that ended past every Catch. The
// list takes one at a time.
var broken = []string{"Stopped", "TimedOut"}

// flows are the workflow's own and that of its janitor.
func (p *Provider) flows(of cloud.Workflow) (own, janitor string) {
	if of == cloud.RestoreWorkflow {
		return p.options.Restorer, p.options.RestoreJanitor
	}
	return p.options.Flow, p.options.Janitor
}

// Broken goes through the lists of the workflow's flow. A list that is empty,
// as it is in most minutes, costs one call.
func (p *Provider) Broken(ctx context.Context, of cloud.Workflow, since time.Time) (found []cloud.Broken, err error) {
	flow, _ := p.flows(of)
	if flow == "" && of == cloud.RestoreWorkflow {
		return nil, nil // a deployment without
	}
	for _, status := range broken {
		if err := p.executions(ctx, flow, status, since, func(e fnf.ExecutionsItem) {
			found = append(found, cloud.Broken{Name: e.Name, Status: e.Status, Input: json.RawMessage(e.Input), StoppedAt: moment(e.StoppedTime)})
		}); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// Swept names the executions of the janitor's flow, which are called as those that
// they are for.
func (p *Provider) Swept(ctx context.Context, of cloud.Workflow, since time.Time) (map[string]bool, error) {
	_, janitor := p.flows(of)
	names := map[string]bool{}
	return names, p.executions(ctx, janitor, "", since, func(e fnf.ExecutionsItem) { names[e.Name] = true })
}

// Sweep starts an execution of the janitor's flow. CloudFlow starts one of a
// name once: while it runs it answers with that, and refuses the name afterwards.
func (p *Provider) Sweep(ctx context.Context, of cloud.Workflow, name string, input []byte) error {
	_, janitor := p.flows(of)
	err := p.StartExecution(ctx, janitor, name, input)
	if Refused(err) == "ExecutionAlreadyExists" {
		return nil
	}
	return err
}

// executions goes through those of a flow that began since then.
func (p *Provider) executions(ctx context.Context, flow, status string, since time.Time, take func(fnf.ExecutionsItem)) error {
	if flow == "" {
		return fault.New(fault.Internal, "this deployment names no flow to look at")
	}
	for token := ""; ; {
		request, page := fnf.CreateListExecutionsRequest(), fnf.CreateListExecutionsResponse()
		request.FlowName, request.Status, request.NextToken, request.Limit = flow, status, token, requests.NewInteger(100)
		request.StartedTimeBegin = since.UTC().Format("2006-01-02T15:04:05.000Z")
		if err := p.call(ctx, "fnf", request, page); err != nil {
			return translate(err, "list the executions of %s", flow)
		}
		for _, e := range page.Executions {
			take(e)
		}
		if token = page.NextToken; token == "" {
			return nil
		}
	}
}
