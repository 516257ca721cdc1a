package verifyclean

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/quiesce/quiesce/events"
	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/restore"
	"github.com/quiesce/quiesce/shared/retention"
	"github.com/quiesce/quiesce/shared/telemetry"
	"github.com/quiesce/quiesce/shared/verify"
)

// janitor cleans to the end, and then does for a test that broke off what its
// report would have done: nothing is known of the set, and somebody is told.
func janitor(ctx context.Context, c Cloud, shelf Shelf, metrics *telemetry.Metrics, in Input) (p *restore.Progress, err error) {
	asked := verify.Read(in.Request)
	for p == nil || p.State == restore.Pending {
		next, err := clean(ctx, c, in, p)
		if err != nil {
			left := 1 // at the least: nobody has seen that there is none
			if p != nil {
				left = max(left, len(p.Disks))
			}
			metrics.Emit(asked.Policy.Name, "verify-clean", in.Run.ID, telemetry.Metric{Name: telemetry.RestoreTestLeft, Value: float64(left)})
			return nil, err
		}
		p = next
	}
	if asked.DryRun {
		return p, nil
	}
	return p, conclude(ctx, c, shelf, metrics, in, asked)
}

// conclude tells how the test ended, unless its report has done so.
func conclude(ctx context.Context, c Cloud, shelf Shelf, metrics *telemetry.Metrics, in Input, asked verify.Request) error {
	set, err := tested(ctx, c, shelf, in, asked)
	if err != nil {
		return err
	}
	under := slices.ContainsFunc(set, func(s cloud.TaggedSnapshot) bool { return s.Tags[cloud.TagTest] == string(retention.Running) })
	if len(set) > 0 && !under {
		return nil
	}
	v := &verify.Verdict{
		Outcome: verify.FailedClean, Result: verify.NotTested, Code: string(fault.Internal), Left: []string{},
		Reason: "the execution ended as " + in.Ended.Status + " before its verdict; nothing that it has made is left",
		Next:   []string{"Look at the execution's history for why it broke off, and start the test again."},
	}
	if len(set) > 0 {
		first := set[0].Tags
		v.Choice = &verify.Choice{SetID: first[cloud.TagRun], Policy: first[cloud.TagPolicy], InstanceID: first[cloud.TagInstance], SnapshotIDs: cloud.IDs(set)}
		asked.Policy.Name = first[cloud.TagPolicy]
	}
	detail := v.Detail(in.Run, asked)
	detail.NextMove = v.Next[0]
	if err := c.Publish(ctx, []events.Event{{Type: events.TypeTest, Time: time.Now(), Resources: detail.SnapshotIDs, Detail: detail}}); err != nil {
		return err
	}
	metrics.Emit(asked.Policy.Name, "verify-clean", in.Run.ID, telemetry.Count(telemetry.RestoreTestNotDone), telemetry.Metric{Name: telemetry.RestoreTestLeft})
	if v.Choice == nil {
		slog.Info("no set carries the mark of the test", "run", in.Run.ID)
		return nil
	}
	return verify.Label(ctx, c, in.Run.ID, v.Choice.SetID, verify.NotTested, 0)
}

// tested finds the set that the test has marked; none is not an error.
func tested(ctx context.Context, c Cloud, shelf Shelf, in Input, asked verify.Request) (set []cloud.TaggedSnapshot, err error) {
	if asked.RunID != "" {
		if set, err = c.FindSet(ctx, asked.RunID); err != nil {
			return nil, err
		}
	} else {
		name := asked.Policy.Name
		if len(in.Request) == 0 || string(in.Request) == "null" {
			name = "" // of any: the event came without the execution's input
		}
		stock, err := shelf.Stored(ctx, name)
		if err != nil {
			return nil, err
		}
		for _, s := range stock.Snapshots {
			set = append(set, s.TaggedSnapshot)
		}
	}
	return slices.DeleteFunc(set, func(s cloud.TaggedSnapshot) bool { return s.Tags[cloud.TagTestRun] != in.Run.ID }), nil
}
