// Package restorereport says how a restore ended, by what is there now and not
// by what was meant: every restore ends through here.
package restorereport

import (
	"context"
	"fmt"
	"time"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/restore"
	"github.com/quiesce/quiesce/shared/run"
	"github.com/quiesce/quiesce/shared/step"
	"github.com/quiesce/quiesce/shared/telemetry"
)

// Input is the document without the request, which may be anything. Of an
// execution that ended before its report there is what it was started with, and
// how it ended.
type Input struct {
	Run       run.Run           `json:"run"`
	Plan      *restore.Plan     `json:"plan"`
	Failures  restore.Failures  `json:"failures"`
	Recovered *restore.Recovery `json:"recovered"`
	Request   run.Typed         `json:"request,omitempty"`
	Ended     *Ended            `json:"ended,omitempty"`
}

// Check refuses an input without a run.
func (in Input) Check() error {
	if in.Run.ID == "" {
		return fault.Input("run.id", "is missing")
	}
	return nil
}

// Do looks at the instance and the disks, changes nothing of them, and tells how
// it ended.
func Do(ctx context.Context, r cloud.Restorer, bus cloud.Bus, metrics *telemetry.Metrics, in Input) (*restore.Verdict, error) {
	started := time.Now()
	if in.Ended != nil {
		if err := recall(ctx, r, &in); err != nil {
			return nil, err
		}
	}
	v := &restore.Verdict{Plan: in.Plan, Created: []restore.Made{}, Old: []restore.Old{}, Kept: []restore.Kept{}, Next: []string{}}
	now := found{}
	if in.Plan != nil && in.Plan.Do != restore.DoNothing {
		var err error
		if now, err = look(ctx, r, in.Plan); err != nil {
			return nil, err
		}
		v.Created, v.Old, v.Kept = now.created, now.old, now.kept
	}
	if in.Recovered != nil {
		v.Recovery = in.Recovered.Reply
	}
	judge(v, in, now)
	if !in.Run.StartedAt.IsZero() {
		v.Seconds = time.Since(in.Run.StartedAt).Seconds()
	}
	v.Record = run.Record{StartedAt: started, EndedAt: time.Now()}
	return v, tell(ctx, bus, metrics, in, v)
}

// found is what is there.
type found struct {
	created []restore.Made
	old     []restore.Old
	kept    []restore.Kept
	amiss   string // how the original differs from what it was; empty: not at all
}

func look(ctx context.Context, r cloud.Restorer, plan *restore.Plan) (found, error) {
	f := found{old: []restore.Old{}}
	marks, kept, err := all(ctx, r, plan)
	if err != nil {
		return f, err
	}
	f.created, f.kept = marks.All(), kept
	ids := make([]string, len(plan.Old))
	for i, o := range plan.Old {
		ids[i] = o.ID
	}
	var disks []cloud.Disk
	if len(ids) > 0 {
		if disks, err = r.Disks(ctx, ids); err != nil {
			return f, err
		}
	}
	before := map[string]string{}
	for _, k := range f.kept {
		before[k.Disk] = k.ID
	}
	by := map[string]cloud.Disk{}
	for _, d := range disks {
		by[d.ID] = d
	}
	for _, o := range plan.Old {
		switch d, ok := by[o.ID]; {
		case !ok:
			f.amiss = o.ID + " does not exist any more"
		case d.Instance != plan.Target.InstanceID || d.Device != o.Device || d.State != cloud.DiskAttached:
			f.amiss = fmt.Sprintf("%s is not attached as %s", o.ID, o.Device)
			f.old = append(f.old, o)
		case d.Ends != o.Ends:
			f.amiss = fmt.Sprintf("%s does not end with the instance as it did", o.ID)
		case d.Tags[cloud.TagContent] != "" && d.Tags[cloud.TagContent] != before[o.ID]:
			f.amiss = fmt.Sprintf("%s does not have what was on it", o.ID)
		}
	}
	if plan.Stops && plan.Starts && f.amiss == "" {
		h, err := r.Host(ctx, plan.Target.InstanceID)
		switch {
		case fault.CodeOf(err) == fault.InstanceNotFound:
			f.amiss = plan.Target.InstanceID + " does not exist any more"
		case err != nil:
			return f, err
		case h.State != cloud.HostRunning:
			f.amiss = fmt.Sprintf("%s is %s", h.ID, h.State)
		}
	}
	return f, nil
}

// lag is how long what was made a moment ago may be missing from a list.
const lag = 5 * time.Second

// all is what the restore has made or kept. Where that is less than was meant
// it is looked for until no list lags behind any more.
func all(ctx context.Context, r cloud.Restorer, plan *restore.Plan) (marks restore.Marks, kept []restore.Kept, err error) {
	for give := time.Now().Add(lag); ; {
		if marks, err = restore.Marked(ctx, r, plan.RestoreID); err != nil {
			return marks, nil, err
		}
		if kept, err = keptBy(ctx, r, plan); err != nil {
			return marks, nil, err
		}
		whole := len(marks.Made) >= len(plan.Disks)
		if plan.Resets {
			whole = len(kept) >= len(plan.Old)
		}
		if !plan.Makes() || whole || time.Now().After(give) {
			return marks, kept, nil
		}
		select {
		case <-time.After(lag / 5):
		case <-ctx.Done():
			return marks, nil, fault.Wrap(fault.Unavailable, ctx.Err(), "wait for what the restore has made")
		}
	}
}

// keptBy are the snapshots of what was on disks that are set back.
func keptBy(ctx context.Context, r cloud.Restorer, plan *restore.Plan) ([]restore.Kept, error) {
	list := []restore.Kept{}
	if !plan.Resets {
		return list, nil
	}
	by, err := cloud.ResetterOf(r)
	if err != nil {
		return nil, err
	}
	set, err := by.Kept(ctx, plan.RestoreID)
	for _, s := range set {
		list = append(list, restore.Kept{ID: s.ID, Disk: s.VolumeID})
	}
	return list, err
}

// judge decides how it ended: whatever failed, the end is clean only if the
// original is seen to be as it was.
func judge(v *restore.Verdict, in Input, now found) {
	failed := first(in.Failures)
	if failed != nil {
		v.Code = failed.Error
		v.Reason, _, _ = step.Explain(failed.Error, failed.Cause)
		v.Next = next(in, now)
		v.Outcome = restore.FailedClean
		left := in.Ended == nil || len(now.created)+len(in.Plan.Old) > 0
		if in.Failures.Unmount != nil {
			left = false // nothing was taken away, as if it had not been asked for
		}
		if now.amiss != "" || in.Plan != nil && in.Plan.Action != restore.Restore && left {
			v.Outcome = restore.FailedDirty
		}
		if now.amiss != "" {
			v.Reason += "; " + now.amiss
		}
		return
	}
	v.Next = append(v.Next, in.Plan.Next...)
	switch {
	case v.Recovery != nil && len(v.Recovery.Problems) > 0:
		unrecovered(v, in.Plan)
	case in.Plan.Do == restore.DoNothing:
		v.Outcome, v.Reason = restore.Planned, "nothing was touched"
	case in.Plan.Do == restore.DoBack && now.amiss != "":
		v.Outcome, v.Reason = restore.FailedDirty, now.amiss
	case in.Plan.Do == restore.DoBack:
		v.Outcome, v.Reason = restore.RolledBack, fmt.Sprintf("%s has its old disks again", in.Plan.Target.InstanceID)
		v.Next = []string{fmt.Sprintf("`quiesce restore --cleanup %s` deletes the disks that the restore made.", in.Plan.RestoreID)}
		if in.Plan.Resets {
			v.Reason = fmt.Sprintf("the disks of %s have what was on them before", in.Plan.Target.InstanceID)
			v.Next = []string{fmt.Sprintf("`quiesce restore --cleanup %s` deletes the snapshots that the way back stood on.", in.Plan.RestoreID)}
		}
	case in.Plan.Settles():
		v.Outcome, v.Reason = restore.Settled, in.Plan.Action+" is done"
		if in.Plan.Action == restore.Confirm && !in.Plan.Resets {
			for _, o := range in.Plan.Old {
				v.Next = append(v.Next, fmt.Sprintf("%s (%s) is not needed any more, and is billed until you delete it.", o.ID, o.Device))
			}
		}
	case in.Plan.Resets:
		v.Outcome, v.Reason = restore.Restored, fmt.Sprintf("%d disks of %s are set back to the set of %s, %s-consistent", len(in.Plan.Disks), in.Plan.Target.InstanceID, in.Plan.SetID, in.Plan.Proved)
	case in.Plan.Do == restore.DoImage:
		v.Outcome, v.Reason = restore.Restored, fmt.Sprintf("the set of %s, %s-consistent, is the image %s", in.Plan.SetID, in.Plan.Proved, id(now.created, restore.KindImage))
		if in.Plan.Launch != nil {
			v.Reason += ", and " + id(now.created, restore.KindInstance) + " runs from it"
		}
	default:
		v.Outcome, v.Reason = restore.Restored, fmt.Sprintf("%d disks of the set of %s, %s-consistent, are attached to %s", len(in.Plan.Disks), in.Plan.SetID, in.Plan.Proved, in.Plan.Target.InstanceID)
		if v.Recovery != nil {
			v.Reason += " and came to life in " + alive(v.Recovery)
		}
	}
}

// id is that of the first of a kind.
func id(made []restore.Made, kind string) string {
	for _, m := range made {
		if m.Kind == kind {
			return m.ID
		}
	}
	return "which is not listed yet"
}

// next is what a person does after a failure.
func next(in Input, now found) []string {
	plan, moves := in.Plan, []string{}
	if plan == nil {
		return moves
	}
	if now.amiss != "" {
		moves = append(moves, fmt.Sprintf("Look at %s first. `quiesce restore --rollback %s` tries the way back again.", plan.Target.InstanceID, plan.RestoreID))
	}
	switch {
	case len(now.created) > 0 && plan.Revival != nil:
		moves = append(moves, wakes(in)...)
	case len(now.created)+len(now.kept) > 0:
		moves = append(moves, fmt.Sprintf("`quiesce restore --cleanup %s` deletes what was created.", plan.RestoreID))
	case in.Ended != nil && now.amiss == "" && len(plan.Old) > 0:
		moves = append(moves, fmt.Sprintf("`quiesce restore --cleanup %s` takes its marks off the disks, which keep runs from the instance.", plan.RestoreID))
	}
	if in.Ended != nil {
		moves = append(moves, "A function that was at work when the execution was stopped goes on for up to two minutes: look again after that.")
	}
	return moves
}

// first is what went wrong first.
func first(f restore.Failures) *run.Failure {
	for _, one := range []*run.Failure{f.Plan, f.Create, f.Image, f.Stop, f.Move, f.Recover, f.Start, f.Halt, f.Back, f.Again, f.Forget, f.Unmount, f.Settle, f.Report} {
		if one != nil {
			return one
		}
	}
	return nil
}
