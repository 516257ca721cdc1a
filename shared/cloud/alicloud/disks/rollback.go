package disks

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/cloud/alicloud"
	"github.com/quiesce/quiesce/shared/fault"
)

// Rollback asks for a disk to be set back to a snapshot of its own. What was
// written since is gone, hence a snapshot of it is taken first.
type Rollback struct {
	Disk, Snapshot string

	// Alone sets one disk of a set back without the others, whose contents
	// then no longer fit to it.
	Alone bool
	// DryRun asks the service whether it would, and changes nothing.
	DryRun bool
	// Confirm repeats the disk's id; nothing is changed without it.
	Confirm string
}

// Done is what was, or would be, done.
type Done struct {
	Disk     *alicloud.Disk
	Snapshot alicloud.Snapshot
	Instance *alicloud.Machine // nil: attached to none
	Safety   string            // the snapshot that was taken first; empty for a dry run
}

// patience is how long the safety snapshot is waited for. A large first
// snapshot of a disk takes hours.
const patience = 24 * time.Hour

// Back sets the disk back. Codes: InvalidInput, SnapshotRefused,
// SnapshotTooSoon, SnapshotFailed, AccessDenied for a locked instance, and those
// of the calls. tell hears what is being done; it may be nil.
func Back(ctx context.Context, c Cloud, r Rollback, tell func(format string, args ...any)) (*Done, error) {
	if tell == nil {
		tell = func(string, ...any) {}
	}
	done, err := plan(ctx, c, r)
	if err != nil {
		return nil, err
	}
	if err := c.ResetDisk(ctx, r.Disk, r.Snapshot, true); err != nil {
		return nil, err
	}
	if r.DryRun {
		return done, nil
	}
	if r.Confirm != r.Disk {
		return nil, fault.Input("confirm", "wants the disk's id, %s: everything written to it since %s is replaced", r.Disk, done.Snapshot.CreatedAt.Format(time.RFC3339))
	}
	safety := "before-rollback-" + time.Now().UTC().Format("20060102-150405")
	if done.Safety, err = c.TakeSnapshot(ctx, r.Disk, safety, "before the disk was set back to "+r.Snapshot, 0, nil); err != nil {
		return nil, err
	}
	tell("%s is being taken of what is on the disk now", done.Safety)
	if err := complete(ctx, c, done.Safety, tell); err != nil {
		return nil, err
	}
	if _, err := plan(ctx, c, r); err != nil { // the world may have changed meanwhile
		return nil, err
	}
	return done, c.ResetDisk(ctx, r.Disk, r.Snapshot, false)
}

// plan refuses what the service would.
func plan(ctx context.Context, c Cloud, r Rollback) (*Done, error) {
	if err := wellFormed("disk", diskID, "d-bp1234567890abcdefgh", r.Disk); err != nil {
		return nil, err
	}
	if err := wellFormed("snapshot", snapshotID, "s-bp1234567890abcdefgh", r.Snapshot); err != nil {
		return nil, err
	}
	d, err := c.Disk(ctx, r.Disk)
	if err != nil {
		return nil, err
	}
	s, err := one(ctx, c, "snapshot", r.Snapshot)
	if err != nil {
		return nil, err
	}
	switch {
	case s.DiskID != r.Disk:
		return nil, fault.Input("snapshot", "%s is of %s: a disk is set back to a snapshot of its own; for another one make a new disk of it", s.ID, s.DiskID)
	case s.Status != accomplished:
		return nil, fault.New(fault.SnapshotRefused, "%s is %s (%s), and a disk is set back to one that is accomplished", s.ID, s.Status, s.Progress)
	}
	if err := whole(ctx, c, s, r.Alone); err != nil {
		return nil, err
	}
	if d.MultiAttach {
		return nil, fault.New(fault.SnapshotRefused, "%s may be attached to several instances: detach it from all, and make a new disk of the snapshot", d.ID)
	}
	m, err := ready(ctx, c, d)
	if err != nil {
		return nil, err
	}
	if err := still(ctx, c, d); err != nil {
		return nil, err
	}
	return &Done{Disk: d, Snapshot: s, Instance: m}, halted(m)
}

// whole refuses one member of a set, which is restored as a whole or not.
func whole(ctx context.Context, c Cloud, s alicloud.Snapshot, alone bool) error {
	run := s.Tags[cloud.TagRun]
	if run == "" || alone {
		return nil
	}
	set, err := c.ListSnapshots(ctx, alicloud.Wanted{Tags: map[string]string{cloud.TagRun: run}})
	if err != nil {
		return err
	}
	var others []string
	for _, other := range set {
		if other.ID != s.ID {
			others = append(others, other.ID+" of "+other.DiskID)
		}
	}
	if len(others) > 0 {
		return fault.Input("alone", "%s belongs to the set of the run %s, with %s: set all of them back, or say that this one goes alone", s.ID, run, strings.Join(others, ", "))
	}
	return nil
}

// still refuses a disk of which a snapshot is in progress, usable or not.
func still(ctx context.Context, c Cloud, d *alicloud.Disk) error {
	busy, err := c.ListSnapshots(ctx, alicloud.Wanted{DiskID: d.ID, Status: progressing})
	if err != nil {
		return err
	}
	if len(busy) > 0 {
		return fault.New(fault.SnapshotTooSoon, "%s of the disk is in progress (%s)", busy[0].ID, busy[0].Progress)
	}
	return nil
}

// halted refuses an instance that is not at rest, or might not start again.
func halted(m *alicloud.Machine) error {
	switch {
	case m == nil:
		return nil
	case len(m.Locks) > 0:
		return fault.New(fault.AccessDenied, "%s is locked: %s", m.ID, strings.Join(m.Locks, ", "))
	case m.Status != stopped:
		return fault.New(fault.SnapshotRefused, "%s is %s: stop it first, keeping it charged, so that it starts again", m.ID, m.Status)
	case m.StoppedMode == stopCharging:
		return fault.New(fault.SnapshotRefused, "%s was stopped without being charged, and may not start again when its resources are gone: start it, then stop it with StoppedMode KeepCharging", m.ID)
	}
	return nil
}

// complete waits for the safety snapshot: with one in progress the service sets
// nothing back.
func complete(ctx context.Context, c Cloud, id string, tell func(string, ...any)) error {
	give, last := time.Now().Add(patience), ""
	for pause := time.Second; ; pause = min(2*pause, 30*time.Second) {
		s, err := one(ctx, c, "snapshot", id)
		switch {
		case err != nil && fault.CodeOf(err) != fault.InvalidInput: // it may not be listed yet
			return err
		case s.Status == accomplished:
			return nil
		case err == nil && s.Status != progressing:
			return fault.New(fault.SnapshotFailed, "the safety snapshot %s is %s; nothing was set back", id, s.Status)
		case time.Now().After(give):
			return fault.New(fault.SnapshotTimedOut, "the safety snapshot %s is still %s; nothing was set back", id, s.Progress)
		}
		if s.Progress != last {
			last = s.Progress
			tell("%s: %s", id, last)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s, nothing was set back: %w", id, ctx.Err())
		}
	}
}
