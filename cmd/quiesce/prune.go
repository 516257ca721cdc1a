package main

import (
	"context"
	"fmt"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/quiesce/quiesce/functions/prune"
	"github.com/quiesce/quiesce/shared/fault"
)

type pruneCmd struct {
	where
	Policy string `arg:"" type:"existingfile" help:"Policy file with a retention."`
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
	if d.Retention.IsZero() {
		return fault.Input("retention", "is missing in %s: without it every set is kept", c.Policy)
	}
	k, err := c.keeper(ctx)
	if err != nil {
		return err
	}
	plan, err := prune.Look(ctx, k, d.Name, d.Retention)
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
