// Package pollstatus asks once how far the set is. The definition waits
// between two polls for an event, so that no function is held open for hours.
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

// Check refuses an input without a plan.
func (in Input) Check() error { return in.Plan.Check() }

// Longest is the wait after the first poll. An event ends it, and one that was
// lost makes the label late by no more than this.
const Longest = 15 * time.Minute

// Span is the longest wait by provider: one state of a flow on Alibaba Cloud
// waits for at most five minutes.
func Span(provider string) time.Duration {
	if provider == run.Aliyun {
		return 5 * time.Minute
	}
	return Longest
}

// Shortest is the wait after the second poll: somebody said that the set was
// done, and it is not seen to be yet. From there on the wait doubles.
const Shortest = time.Minute

// Do reads the state of every member. Codes: SnapshotFailed when one is gone,
// and what the call itself returns.
func Do(ctx context.Context, disks cloud.Disks, in Input) (*run.Status, error) {
	started := time.Now()
	members, err := disks.Snapshots(ctx, in.Set.IDs())
	if err != nil {
		return nil, err
	}
	status := &run.Status{State: run.StateOf(in.Plan, in.Set, members, time.Now()), Snapshots: members, Polls: 1}
	if in.Status != nil {
		status.Polls += in.Status.Polls
	}
	limit := in.Set.CallEndedAt.Add(time.Duration(in.Plan.Policy.Completion.TimeoutMinutes) * time.Minute)
	status.WaitSeconds = int(wait(in.Status, time.Until(limit), Span(in.Plan.Target.Provider)).Seconds())
	status.Record = run.Record{StartedAt: started, EndedAt: time.Now()}
	return status, nil
}

// wait is how long to wait after this poll, given the one before, what is left
// of the time that the set may take, and the longest that one wait can be.
func wait(before *run.Status, left, longest time.Duration) time.Duration {
	next := longest
	switch {
	case before == nil:
	case before.Polls == 1:
		next = Shortest
	default:
		next = min(2*time.Duration(before.WaitSeconds)*time.Second, longest)
	}
	return max(min(next, left+time.Second), Shortest)
}
