package verify

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/quiesce/quiesce/events"
	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/retention"
	"github.com/quiesce/quiesce/shared/run"
)

// Disks is what Label asks of a provider.
type Disks interface {
	FindSet(ctx context.Context, runID string) ([]cloud.TaggedSnapshot, error)
	TagSnapshots(ctx context.Context, ids []string, tags map[string]string) error
}

// Label writes on a set how its test ended, if the test has marked it. What was
// not tested has its earlier verdict again. It may be done again.
func Label(ctx context.Context, disks Disks, testID, setID string, result retention.Test, recoverySeconds float64) error {
	set, err := disks.FindSet(ctx, setID)
	if err != nil {
		return err
	}
	set = slices.DeleteFunc(set, func(s cloud.TaggedSnapshot) bool { return s.Tags[cloud.TagTestRun] != testID })
	if len(set) == 0 {
		return nil
	}
	// The run's tag is written again as it is: the right to tag is bound to it.
	tags := map[string]string{cloud.TagRun: setID, cloud.TagTest: set[0].Tags[cloud.TagTestBefore]}
	if result != NotTested {
		tags[cloud.TagTest], tags[cloud.TagTestAt] = string(result), time.Now().UTC().Format(time.RFC3339)
	}
	if result == retention.Successful {
		tags[cloud.TagRecovery] = strconv.FormatFloat(recoverySeconds, 'f', 1, 64)
	}
	return disks.TagSnapshots(ctx, cloud.IDs(set), tags)
}

// Detail is that of the event that tells how the test of an execution ended; asked
// is for what could not be chosen.
func (v *Verdict) Detail(test run.Run, asked Request) events.Test {
	d := events.Test{
		Subject: events.Subject{RunID: test.ID, Policy: asked.Policy.Name, InstanceID: asked.InstanceID},
		Verdict: string(v.Result), Reason: v.Reason, Code: v.Code, NextMove: fault.Code(v.Code).NextMove(),
		SetID: asked.RunID, TestInstanceID: asked.Policy.RestoreTest.Instance,
		RecoverySeconds: v.RecoverySeconds, Seconds: v.Seconds, Left: v.Left,
	}
	if c := v.Choice; c != nil {
		d.Policy, d.InstanceID, d.SetID = c.Policy, c.InstanceID, c.SetID
		d.Consistency, d.SnapshotIDs, d.Cost = string(c.Proved), c.SnapshotIDs, c.Cost
	}
	if p := v.Plan; p != nil {
		d.Provider, d.Region = p.Target.Provider, p.Target.Region
	}
	if v.Recovery != nil {
		d.Problems = v.Recovery.Problems
	}
	if d.NextMove == "" && len(v.Next) > 0 {
		d.NextMove = v.Next[0]
	}
	return d
}
