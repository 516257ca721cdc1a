package main

import (
	"context"
	"fmt"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/quiesce/quiesce/functions/prune"
	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/run"
)

type pruneCmd struct {
	where
	Policy string `arg:"" type:"existingfile" help:"Policy file with a retention."`
	Copies string `placeholder:"REGION" help:"Go through the copies in that Region instead, by the retention that the policy has for them."`
	DryRun bool   `help:"Delete nothing: only show what would become of every set."`
	Yes    bool   `help:"Delete what the plan says, for good."`
	Output string `short:"o" enum:"text,json" default:"text" help:"text or json."`
}

// Run shows the plan before it does anything, and does nothing without a yes.
func (c *pruneCmd) Run(ctx context.Context, s *streams) error {
	if c.DryRun && c.Yes {
		return fault.Input("--yes", "is given, and --dry-run deletes nothing")
	}
	d, err := readPolicy(c.Policy)
	if err != nil {
		return err
	}
	asked := prune.Request{Policy: d}
	k, from, err := c.stock(ctx)
	if err != nil {
		return err
	}
	if c.Copies != "" {
		asked.Copies = &prune.Copies{Region: c.Copies, From: from}
	}
	switch rule, _ := asked.Rule(); {
	case rule.IsZero() && c.Copies != "":
		return fault.Input("--copies", "wants a Region of copies in %s that have a retention, got %s", c.Policy, c.Copies)
	case rule.IsZero():
		return fault.Input("retention", "is missing in %s: without it every set is kept", c.Policy)
	}
	plan, err := prune.Look(ctx, k, asked)
	if err == nil {
		err = plan.Ask(ctx, k)
	}
	if err != nil {
		return err
	}
	planned := plan.Report()
	if c.Output != "json" {
		showFates(s, plan)
		fmt.Fprintf(s.out, "%s\n", planned)
	}
	switch {
	case (c.DryRun || planned.Removed == 0) && c.Output == "json":
		return writeJSON(s.out, planned)
	case c.DryRun || planned.Removed == 0:
		return nil
	case !c.Yes:
		return fault.Input("--yes", "is missing: %d sets of %d snapshots would be deleted for good", planned.Removed, planned.Snapshots)
	}
	failed := plan.Delete(ctx, k, time.Now)
	return c.told(ctx, s, plan.Report(), failed)
}

// stock is the store of what is meant: the sets, or their copies, and then the
// Region that those are from.
func (c *pruneCmd) stock(ctx context.Context) (k cloud.Keeper, from string, err error) {
	if c.Copies == "" {
		k, err = c.keeper(ctx)
		return k, "", err
	}
	if c.Cloud == run.Aliyun {
		return nil, "", fault.Input("--copies", "is given, and nothing is copied on Alibaba Cloud")
	}
	here, err := c.place.keeper(ctx)
	if err != nil {
		return nil, "", err
	}
	return here.In(c.Copies), here.Region(), nil
}

// told says what was done.
func (c *pruneCmd) told(ctx context.Context, s *streams, r *prune.Report, failed error) error {
	if c.Output == "json" {
		if err := writeJSON(s.out, r); err != nil {
			return err
		}
	} else {
		for _, l := range r.Lines {
			if l.Fate == prune.Failed {
				fmt.Fprintf(s.out, "%s %s\n", l.RunID, l)
			}
		}
		fmt.Fprintf(s.out, "%s\n", r)
	}
	switch {
	case ctx.Err() != nil:
		fmt.Fprintln(s.progress, "quiesce: interrupted; a deletion that has begun is finished by the next prune")
		return errLess
	case r.Left > 0 && failed == nil:
		fmt.Fprintf(s.progress, "quiesce: %d sets are over the budget of one run: prune again\n", r.Left)
	}
	return failed
}

func showFates(s *streams, plan *prune.Plan) {
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.Style().Format.Header = text.FormatDefault
	t.AppendHeader(table.Row{"when", "instance", "consistency", "GiB", "run", "what becomes of it"})
	for _, set := range plan.Sets {
		t.AppendRow(table.Row{
			set.TakenAt.Local().Format(time.DateTime), set.InstanceID, set.Consistency, set.SizeGiB, set.RunID, set.Line(),
		})
	}
	fmt.Fprintln(s.out, t.Render())
}
