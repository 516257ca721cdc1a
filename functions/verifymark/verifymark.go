// Package verifymark says on a set that it is under test, so that nothing
// deletes it meanwhile and nobody else tests it.
package verifymark

import (
	"context"
	"time"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/retention"
	"github.com/quiesce/quiesce/shared/run"
	"github.com/quiesce/quiesce/shared/verify"
)

// Input is the choice.
type Input struct {
	Choice verify.Choice `json:"choice"`
}

// Check refuses an input without a choice.
func (in Input) Check() error { return in.Choice.Check() }

// Do looks, marks and looks again: whoever deletes the set marks it too before
// he does, and one of the two sees the other. Codes: SetNotRestorable,
// RunInProgress.
func Do(ctx context.Context, disks cloud.Disks, in Input) (*verify.Mark, error) {
	started, c := time.Now(), in.Choice
	if err := free(ctx, disks, c, false); err != nil {
		return nil, err
	}
	// The run's tag is written again as it is: the right to tag is bound to it.
	err := disks.TagSnapshots(ctx, c.SnapshotIDs, map[string]string{
		cloud.TagRun: c.SetID, cloud.TagTest: string(retention.Running), cloud.TagTestRun: c.TestID, cloud.TagTestBefore: string(c.Before),
	})
	if err != nil {
		return nil, err
	}
	if err := free(ctx, disks, c, true); err != nil {
		return nil, err
	}
	return &verify.Mark{Record: run.Record{StartedAt: started, EndedAt: time.Now()}}, nil
}

// free refuses a set that is being deleted, or that somebody else tests.
func free(ctx context.Context, disks cloud.Disks, c verify.Choice, marked bool) error {
	set, err := disks.FindSet(ctx, c.SetID)
	if err != nil {
		return err
	}
	if len(set) < len(c.SnapshotIDs) {
		return fault.New(fault.SetNotRestorable, "%d of %d snapshots of %s are there", len(set), len(c.SnapshotIDs), c.SetID)
	}
	for _, s := range set {
		by := s.Tags[cloud.TagTestRun]
		switch {
		case s.Tags[cloud.TagDeleting] != "":
			return fault.New(fault.SetNotRestorable, "the deletion of the set of %s has begun", c.SetID)
		case by != c.TestID && (marked || s.Tags[cloud.TagTest] == string(retention.Running)):
			return fault.New(fault.RunInProgress, "the set of %s is under test by %s", c.SetID, by)
		}
	}
	return nil
}
