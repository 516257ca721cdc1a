// Package restorecreate makes the disks of a restore, beside everything that is
// there, and notes on the disks that they are to replace how these were
// attached. Nothing of the original is changed by it.
package restorecreate

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/restore"
)

// Input is the plan and what the last look saw, null at first.
type Input struct {
	Plan   restore.Plan      `json:"plan"`
	Before *restore.Progress `json:"before"`
}

// Check refuses an input without a plan.
func (in Input) Check() error { return in.Plan.Check() }

// limit is how long disks may be in the making: they are there in seconds, and
// read their content later.
const limit = 30 * time.Minute

// Do makes what is missing. Whatever was made before is found, by its tag or by
// the token of its request. Codes: RestoreRefused, RestoreTimedOut.
func Do(ctx context.Context, r cloud.Restorer, in Input) (*restore.Progress, error) {
	first := in.Before == nil
	return restore.Look(ctx, in.Before, in.Plan.Limit(limit, in.Before), func() (*restore.Progress, error) {
		asked := first
		first = false
		return look(ctx, r, in.Plan, asked)
	})
}

// look makes nothing at first if it may not make everything: the plan was asked
// for under another role.
func look(ctx context.Context, r cloud.Restorer, plan restore.Plan, first bool) (*restore.Progress, error) {
	if plan.Resets { // the disks stay what they are
		return &restore.Progress{State: restore.Done, Detail: fmt.Sprintf("%d disks are noted", len(plan.Old))}, mark(ctx, r, plan)
	}
	found, err := r.Marked(ctx, cloud.TagRestore, plan.RestoreID)
	if err != nil {
		return nil, err
	}
	if first && len(found) == 0 {
		for _, want := range plan.Disks {
			if err := r.MayMake(ctx, Spec(plan, want)); err != nil {
				return nil, err
			}
		}
	}
	by := map[string]cloud.Disk{}
	for _, d := range found {
		by[d.Tags[cloud.TagOrigin]] = d
	}
	p := &restore.Progress{State: restore.Done, Detail: fmt.Sprintf("%d disks are made", len(plan.Disks))}
	for _, want := range plan.Disks {
		have, ok := by[want.Origin]
		if !ok {
			have = cloud.Disk{State: cloud.DiskMaking}
			if have.ID, err = r.MakeDisk(ctx, Spec(plan, want)); err != nil {
				return nil, err
			}
		}
		switch have.State {
		case cloud.DiskBroken:
			return nil, fault.New(fault.RestoreRefused, "%s, made of %s, is broken: the key of the snapshot (%s) may not be this account's to use", have.ID, want.Snapshot, orNone(want.Key))
		case cloud.DiskMaking:
			p.State, p.Detail = restore.Pending, have.ID+" is in the making"
		}
		p.Disks = append(p.Disks, restore.Made{ID: have.ID, Origin: want.Origin, Device: want.Device, State: string(have.State)})
	}
	if p.State == restore.Done && len(plan.Old) > 0 {
		if err = mark(ctx, r, plan); err == nil {
			// A run that begins after the disks were marked refuses them, and one
			// that began before is seen here: neither is missed.
			err = restore.Alone(ctx, r, plan.Target.InstanceID)
		}
	}
	return p, err
}

// Spec is the request for one disk. The same is asked again whoever asks.
func Spec(plan restore.Plan, d restore.Disk) cloud.DiskSpec {
	spec := cloud.DiskSpec{
		Snapshot: d.Snapshot, Zone: plan.Zone, Kind: d.Kind, SizeGiB: d.SizeGiB, IOPS: d.IOPS, Throughput: d.Throughput,
		Token: restore.Token(plan.RestoreID, d.Snapshot),
		Tags: map[string]string{
			cloud.TagRestore: plan.RestoreID, cloud.TagOrigin: d.Origin, cloud.TagDevice: d.Device,
			cloud.TagEnds: strconv.FormatBool(d.Ends), cloud.TagInstance: plan.Target.InstanceID,
		},
	}
	if plan.Scratch {
		spec.Tags[cloud.TagScratch] = plan.RestoreID
	}
	if plan.Revival != nil {
		spec.Tags[cloud.TagRecover] = "true"
	}
	if plan.Policy.Name != "" {
		spec.Tags[cloud.TagPolicy] = plan.Policy.Name
	}
	if !plan.Unchecked {
		spec.Key = d.Key
	}
	return spec
}

// mark writes on each disk that makes room what its way back needs, before the
// instance is stopped: whatever dies after that, it can be put back.
func mark(ctx context.Context, r cloud.Restorer, plan restore.Plan) error {
	for _, o := range plan.Old {
		if err := r.MarkDisks(ctx, []string{o.ID}, map[string]string{
			cloud.TagReplaced: plan.RestoreID, cloud.TagDevice: o.Device, cloud.TagEnds: strconv.FormatBool(o.Ends),
			cloud.TagRan: strconv.FormatBool(plan.Starts), cloud.TagInstance: plan.Target.InstanceID,
		}); err != nil {
			return err
		}
	}
	return nil
}

func orNone(key string) string {
	if key == "" {
		return "none"
	}
	return key
}
