package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/quiesce/quiesce/local/fleet"
	"github.com/quiesce/quiesce/shared/fault"
)

// fleetFlags are those of a simulated fleet.
type fleetFlags struct {
	Fleet          int    `placeholder:"N" help:"Run the fleet machine over N simulated instances in virtual time instead, under the published quotas."`
	FleetFailures  int    `placeholder:"K" help:"With --fleet: K instances whose run fails."`
	MaxErrors      string `placeholder:"K|P%" help:"With --fleet: failures after which no further instance is started."`
	MaxConcurrency int    `placeholder:"N" help:"With --fleet: instances at once; by default as many as the quotas let through."`
	Seed           uint64 `default:"1" help:"With --fleet: of everything that is drawn by chance."`
}

// check refuses a fleet's flags without a fleet, and a fault with one.
func (f fleetFlags) check(faults []string) error {
	switch {
	case f.Fleet == 0 && f.FleetFailures != 0:
		return fault.Input("--fleet-failures", "is for --fleet")
	case f.Fleet == 0 && f.MaxErrors != "":
		return fault.Input("--max-errors", "is for --fleet")
	case f.Fleet == 0 && f.MaxConcurrency != 0:
		return fault.Input("--max-concurrency", "is for --fleet")
	case f.Fleet != 0 && len(faults) > 0:
		return fault.Input("--fault", "is for one run; a fleet has --fleet-failures")
	}
	return nil
}

func (f fleetFlags) run(ctx context.Context, s *streams, output string) error {
	if output != "json" {
		fmt.Fprintf(s.out, "%d simulated instances, virtual time, published quotas\n", f.Fleet)
	}
	r, err := fleet.Run(ctx, fleet.Options{
		Instances: f.Fleet, Failures: f.FleetFailures, MaxErrors: f.MaxErrors, MaxConcurrency: f.MaxConcurrency, Seed: f.Seed,
	})
	if err != nil {
		return err
	}
	if output == "json" {
		err = writeJSON(s.out, r)
	} else {
		fmt.Fprintln(s.out, fleetTable(r))
	}
	if err == nil && !r.Good() {
		err = errLess
	}
	return err
}

// fleetTable is the report as a person reads it.
func fleetTable(r *fleet.Report) string {
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	color := text.FgGreen
	switch {
	case !r.Good():
		color = text.FgRed
	case r.Outcome != "completed":
		color = text.FgYellow
	}
	f := r.Fleet
	t.AppendRow(table.Row{"outcome", color.Sprint(r.Outcome) + ": " + text.WrapSoft(r.Reason, 90)})
	t.AppendRow(table.Row{"instances", fmt.Sprintf("%d: %d completed, %d degraded, %d failed (%d planned), %d not started", f.Instances, f.Completed, f.Degraded, f.Failed, f.PlannedFailures, f.NotStarted)})
	bound := "within the burst of CreateSnapshots"
	if f.QuotaBoundSeconds > 0 {
		bound = fmt.Sprintf("the quota bound of CreateSnapshots is %.0f s: %.2f times that", f.QuotaBoundSeconds, f.OverQuotaBound)
	}
	t.AppendRow(table.Row{"makespan", fmt.Sprintf("%.0f s (%s), %s", f.MakespanSeconds, time.Duration(f.MakespanSeconds)*time.Second, bound)})
	throttled := fmt.Sprintf("%d calls, %d runs failed by it, the longest wait while frozen %.0f s", f.Throttled, f.FailedByThrottling, f.FrozenWaitSeconds)
	for _, name := range slices.Sorted(maps.Keys(f.ThrottledCalls)) {
		throttled += fmt.Sprintf("\n%s %d of %d", name, f.ThrottledCalls[name], f.Calls[name])
	}
	t.AppendRow(table.Row{"throttled", throttled})
	for i, e := range r.Failures[:min(len(r.Failures), 3)] {
		t.AppendRow(table.Row{map[bool]string{true: "failed"}[i == 0], e.InstanceID + "  " + e.Error + ": " + text.WrapSoft(e.Reason, 80)})
	}
	t.AppendRow(table.Row{"modelled", text.WrapSoft(strings.TrimSuffix(r.Modelled.Note, "."), 90)})
	t.AppendRow(table.Row{"took", fmt.Sprintf("%.1f s here", r.WallSeconds)})
	return t.Render()
}
