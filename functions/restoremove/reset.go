package restoremove

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/restore"
	"github.com/quiesce/quiesce/shared/run"
)

// keeping is how long the snapshots of what is on the disks may take: what was
// written since the last ones is copied while the instance stands still.
const keeping = 4 * time.Hour

// reset lets disks stay where they are and replaces what is on them: by the set,
// once that is kept in snapshots of its own, or by these.
func reset(ctx context.Context, r cloud.Restorer, in Input) (*restore.Progress, error) {
	resetter, err := cloud.ResetterOf(r)
	if err != nil {
		return nil, err
	}
	within := limit
	if in.To == New {
		within = keeping
	}
	return restore.Look(ctx, in.Before, within, func() (*restore.Progress, error) {
		b := setBack{
			move: move{r: r, plan: in.Plan, p: &restore.Progress{State: restore.Done, Detail: "every disk has what it is to have"}},
			by:   resetter, kept: map[string]string{},
		}
		return b.p, b.look(ctx, in.To)
	})
}

type setBack struct {
	move
	by    cloud.Resetter
	kept  map[string]string // the snapshot of what was on a disk
	whole bool              // there is one of each disk, and all are complete
	known []cloud.Source
}

func (b *setBack) look(ctx context.Context, to string) (err error) {
	if b.host, err = b.r.Host(ctx, b.plan.Target.InstanceID); err != nil {
		return err
	}
	if b.known, err = b.by.Kept(ctx, b.plan.RestoreID); err != nil {
		return err
	}
	b.whole = true
	for _, s := range b.known {
		b.kept[s.VolumeID] = s.ID
		b.whole = b.whole && s.State == run.Completed
	}
	for _, o := range b.plan.Old {
		b.whole = b.whole && b.kept[o.ID] != ""
		if b.attached(o.ID) == nil {
			return fault.New(fault.RestoreRefused, "%s is not attached to %s any more", o.ID, b.host.ID)
		}
	}
	if to == Old {
		return b.back(ctx)
	}
	return b.forth(ctx)
}

// forth gives each disk what its member of the set holds. Nothing is touched
// before all that was on the disks is kept, and no disk before its mark is seen
// to say so: by that the way back knows it.
func (b *setBack) forth(ctx context.Context) error {
	want := map[string]string{}
	var unmarked []restore.Disk
	there := true
	for _, d := range b.plan.Disks {
		want[d.Origin] = d.Snapshot
		at := b.attached(d.Origin)
		if at == nil {
			return fault.New(fault.RestoreRefused, "%s is not attached to %s any more", d.Origin, b.host.ID)
		}
		if at.Tags[cloud.TagContent] == "" {
			unmarked = append(unmarked, d)
		}
		there = there && at.Tags[cloud.TagContent] == d.Snapshot && at.State == cloud.DiskAttached
	}
	switch {
	case there:
	case b.host.State != cloud.HostStopped:
		return fault.New(fault.RestoreRefused, "%s is not stopped: no disk of a running system is set back", b.host.ID)
	case !b.whole:
		return b.keep(ctx)
	case len(unmarked) > 0:
		for _, d := range unmarked {
			if err := b.r.MarkDisks(ctx, []string{d.Origin}, map[string]string{cloud.TagContent: cloud.Becoming(d.Snapshot)}); err != nil {
				return err
			}
		}
		b.pending("it is noted on %d disks what they become", len(unmarked))
		return nil
	}
	return b.give(ctx, want)
}

// back gives each disk that was touched what was on it before. One without the
// mark was not; where nothing is kept, none was.
func (b *setBack) back(ctx context.Context) error {
	want := map[string]string{}
	for _, o := range b.plan.Old {
		d := b.attached(o.ID)
		if d.Tags[cloud.TagContent] == "" {
			continue
		}
		if !b.whole {
			return fault.New(fault.VolumeBusy, "what was on %s is not seen, and has been kept", o.ID)
		}
		if want[o.ID] = b.kept[o.ID]; b.host.State != cloud.HostStopped && !b.has(d, want[o.ID]) {
			return fault.New(fault.RestoreRefused, "%s is not stopped: no disk of a running system is set back", b.host.ID)
		}
	}
	return b.give(ctx, want)
}

func (b *setBack) has(d *cloud.Disk, snapshot string) bool {
	return d.Tags[cloud.TagContent] == snapshot && d.State == cloud.DiskAttached
}

// give sets back what does not have yet what it is to have.
func (b *setBack) give(ctx context.Context, want map[string]string) error {
	for _, o := range b.plan.Old {
		d, snapshot := b.attached(o.ID), want[o.ID]
		made := restore.Made{ID: o.ID, Origin: o.ID, Device: o.Device, State: string(d.State)}
		b.p.Disks = append(b.p.Disks, made)
		switch {
		case snapshot == "" || b.has(d, snapshot):
			continue
		case d.State == cloud.DiskResetting || d.Tags[cloud.TagContent] == snapshot:
		default:
			if err := b.by.Reset(ctx, o.ID, snapshot); err != nil {
				return err
			}
			if err := b.r.MarkDisks(ctx, []string{o.ID}, map[string]string{cloud.TagContent: snapshot}); err != nil {
				return err
			}
		}
		b.pending("%s is being set back to %s", o.ID, snapshot)
	}
	return nil
}

// keep snapshots all disks by one call, as they are while nothing writes to
// them, and waits for it.
func (b *setBack) keep(ctx context.Context) error {
	for _, s := range b.known {
		if s.State == run.Failed {
			return fault.New(fault.RestoreRefused, "%s, of what was on %s, has failed: nothing is set back", s.ID, s.VolumeID)
		}
	}
	b.pending("what is on %d disks is being kept", len(b.plan.Old))
	if len(b.known) > 0 {
		return nil
	}
	for _, d := range b.plan.Disks { // before anything is done, by the right that does it
		if err := b.by.TryReset(ctx, d.Origin, d.Snapshot); err != nil {
			return err
		}
	}
	sum := sha256.Sum256([]byte(b.plan.RestoreID + " kept"))
	spec := cloud.KeepSpec{
		Instance: b.host.ID, Token: hex.EncodeToString(sum[:]),
		Tags: map[string]string{cloud.TagRestore: b.plan.RestoreID, cloud.TagInstance: b.host.ID},
	}
	for _, o := range b.plan.Old {
		spec.Disks = append(spec.Disks, o.ID)
	}
	return b.by.Keep(ctx, spec)
}

func (b *setBack) pending(format string, args ...any) {
	b.p.State, b.p.Detail = restore.Pending, fmt.Sprintf(format, args...)
}
