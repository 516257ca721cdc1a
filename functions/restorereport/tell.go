package restorereport

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/quiesce/quiesce/events"
	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/restore"
	"github.com/quiesce/quiesce/shared/telemetry"
)

// tell counts the end and publishes it; a dry run has done nothing to be told.
// The verdict stands without its event, unless it is the event that is wanted:
// whoever tells of an execution that has ended is asked again.
func tell(ctx context.Context, bus cloud.Bus, metrics *telemetry.Metrics, in Input, v *restore.Verdict) error {
	if v.Outcome == restore.Planned {
		return nil
	}
	detail := detailOf(in, v)
	values := []telemetry.Metric{telemetry.Millis(telemetry.RestoreDuration, v.Seconds*1000)}
	kind := events.TypeUnrestored
	switch v.Outcome {
	case restore.FailedClean:
		values = append(values, telemetry.Count(telemetry.RestoreFailed))
	case restore.FailedDirty:
		values = append(values, telemetry.Count(telemetry.RestoreDirty))
	default:
		kind = events.TypeRestored
		values = append(values, telemetry.Count(telemetry.RestoreCompleted))
	}
	if detail.RecoverySeconds > 0 {
		values = append(values, telemetry.Seconds(telemetry.RestoreRecovery, detail.RecoverySeconds))
	}
	metrics.Emit(detail.Policy, "restore-report", in.Run.ID, values...)
	resources := append(append([]string{}, detail.Created...), detail.Kept...)
	err := bus.Publish(ctx, []events.Event{{Type: kind, Time: time.Now(), Resources: resources, Detail: detail}})
	if err != nil && in.Ended == nil {
		slog.Error("the end of the restore was not published", "run", in.Run.ID, "outcome", v.Outcome, "error", err)
		return nil
	}
	return err
}

func detailOf(in Input, v *restore.Verdict) events.Restore {
	d := events.Restore{
		Subject:   events.Subject{RunID: in.Run.ID, Policy: policy.Default().Name},
		RestoreID: in.Run.ID, Action: restore.Restore, Outcome: string(v.Outcome), Reason: v.Reason, Code: v.Code,
		Created: []string{}, Kept: []string{}, Seconds: v.Seconds,
	}
	d.NextMove = strings.Join(v.Next, " ")
	if p := in.Plan; p != nil {
		d.Provider, d.Region, d.InstanceID = p.Target.Provider, p.Target.Region, p.Target.InstanceID
		d.RestoreID, d.Action, d.Mode, d.SetID, d.Consistency = p.RestoreID, p.Action, string(p.Mode), p.SetID, p.Proved
		if p.Policy.Name != "" {
			d.Policy = p.Policy.Name
		}
	}
	if r := v.Recovery; r != nil {
		d.RecoverySeconds, d.Problems = r.Seconds, r.Problems
	}
	for _, m := range v.Created {
		d.Created = append(d.Created, m.ID)
	}
	for _, o := range v.Old {
		d.Kept = append(d.Kept, o.ID)
	}
	for _, k := range v.Kept {
		d.Kept = append(d.Kept, k.ID)
	}
	return d
}
