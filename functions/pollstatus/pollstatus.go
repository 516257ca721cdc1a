// Package pollstatus asks once how far the set is. The definition waits
// between two polls, so that no function is held open for hours.
package pollstatus

import (
	"context"
	"time"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/run"
)

// Input is the set and the last poll's answer, null at first.
type Input struct {
	Plan   run.Plan    `json:"plan"`
	Set    run.Set     `json:"set"`
	Status *run.Status `json:"status"`
}

// The wait doubles from poll to poll: a set of two hours costs twelve polls.
const (
	firstWait = 10
	longest   = 1800
)

// Do reads the state of every member. Codes: SnapshotFailed when one is gone,
// and what the call itself returns.
func Do(ctx context.Context, disks cloud.Disks, in Input) (*run.Status, error) {
	started := time.Now()
	ids := make([]string, len(in.Set.Snapshots))
	for i, s := range in.Set.Snapshots {
		ids[i] = s.ID
	}
	members, err := disks.Snapshots(ctx, ids)
	if err != nil {
		return nil, err
	}
	status := &run.Status{State: overall(members), Snapshots: members, Polls: 1, WaitSeconds: firstWait}
	if in.Status != nil {
		status.Polls = in.Status.Polls + 1
		status.WaitSeconds = min(2*in.Status.WaitSeconds, longest)
	}
	limit := time.Duration(in.Plan.Policy.Completion.TimeoutMinutes) * time.Minute
	if status.State == run.Pending && time.Since(in.Set.CallEndedAt) > limit {
		status.State = run.TimedOut
	}
	status.Record = run.Record{StartedAt: started, EndedAt: time.Now()}
	return status, nil
}

// overall is the set's state: as bad as its worst member, and done only when
// all are.
func overall(members []run.Snapshot) string {
	state := run.Completed
	for _, m := range members {
		switch m.State {
		case run.Completed:
		case run.Failed:
			return run.Failed
		default:
			state = run.Pending
		}
	}
	return state
}
