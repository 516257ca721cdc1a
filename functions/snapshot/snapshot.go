// Package snapshot takes the set by one call. It runs inside the window, and
// does nothing there but that call.
package snapshot

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/run"
	"github.com/quiesce/quiesce/shared/telemetry"
)

// Input is the plan, the hold if there is one, and how often the state
// machine has tried before.
type Input struct {
	Plan    run.Plan    `json:"plan"`
	Freeze  *run.Freeze `json:"freeze"`
	Attempt int         `json:"attempt"`
}

// Check refuses an input without a plan or with one that names no volumes.
func (in Input) Check() error {
	if err := in.Plan.Check(); err != nil {
		return err
	}
	if len(in.Plan.Volumes) == 0 {
		return fault.Input("plan.volumes", "is empty")
	}
	return nil
}

// fresh is how soon after the freeze a first attempt must begin to be trusted
// as the first: an execution that was redriven begins with attempt 0 again.
const fresh = 10 * time.Second

// Do makes the set, or finds the one that an earlier attempt made: the call
// has no idempotency token, so that the run's tag is looked up before any
// second call. Codes: Snapshot*, AccessDenied.
func Do(ctx context.Context, disks cloud.Disks, metrics *telemetry.Metrics, in Input) (*run.Set, error) {
	started := time.Now()
	hold := ""
	if in.Freeze != nil {
		hold = in.Freeze.Hold
	}
	first := in.Attempt == 0 && in.Freeze != nil && time.Since(in.Freeze.Record.EndedAt) < fresh
	if !first {
		wait := cloud.Settle
		if in.Attempt == 0 {
			wait = 0
		}
		if set, err := find(ctx, disks, in.Plan, started, wait); set != nil || err != nil {
			return set, err
		}
	}
	snapshots, err := create(ctx, disks, spec(in.Plan, hold))
	ended := time.Now()
	if fault.CodeOf(err) == fault.SnapshotOutcomeUnknown {
		if set, _ := find(ctx, disks, in.Plan, started, cloud.Settle); set != nil {
			return set, nil
		}
	}
	if err != nil {
		return nil, err
	}
	metrics.Emit(in.Plan.Policy.Name, "snapshot", in.Plan.RunID, telemetry.Count(telemetry.SetStarted))
	return assemble(hold, snapshots, started, ended, false), nil
}

// patience is how often, and after which pauses, a call that was refused for its
// rate is made again: a second of window costs less than a backup missed. The
// refusal is definite, nothing was made, so that there is nothing to look up.
var patience = []time.Duration{time.Second, 2 * time.Second}

func create(ctx context.Context, disks cloud.Disks, spec cloud.SetSpec) ([]run.Snapshot, error) {
	for _, pause := range patience {
		snapshots, err := disks.CreateSet(ctx, spec)
		if fault.CodeOf(err) != fault.SnapshotThrottled {
			return snapshots, err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, err
		}
	}
	return disks.CreateSet(ctx, spec)
}

func spec(plan run.Plan, hold string) cloud.SetSpec {
	tags := maps.Clone(plan.Policy.Tags)
	if tags == nil {
		tags = map[string]string{}
	}
	tags[cloud.TagRun] = plan.RunID
	tags[cloud.TagPolicy] = plan.Policy.Name
	tags[cloud.TagInstance] = plan.Target.InstanceID
	tags[cloud.TagMembers] = strconv.Itoa(len(plan.Volumes))
	if hold != "" {
		tags[cloud.TagHold] = hold
	}
	s := cloud.SetSpec{
		InstanceID:  plan.Target.InstanceID,
		Boot:        plan.Boot,
		ExcludeBoot: slices.Contains(plan.Excluded, plan.Boot),
		Description: "Quiesce run " + plan.RunID,
		Tags:        tags,
	}
	for _, v := range plan.Volumes {
		s.Include = append(s.Include, v.ID)
	}
	for _, id := range plan.Excluded {
		if id != plan.Boot {
			s.Exclude = append(s.Exclude, id)
		}
	}
	return s
}

// find looks the run's set up for as long as it may be invisible; nil means
// that there is none.
func find(ctx context.Context, disks cloud.Disks, plan run.Plan, started time.Time, wait time.Duration) (*run.Set, error) {
	found, err := cloud.Find(ctx, disks, plan.RunID, wait)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	snapshots := make([]run.Snapshot, len(found))
	hold := found[0].Tags[cloud.TagHold]
	for i, s := range found {
		snapshots[i] = s.Snapshot
		if s.Tags[cloud.TagHold] != hold {
			hold = "" // two calls made these: no hold covers them
		}
	}
	return assemble(hold, snapshots, started, time.Now(), true), nil
}

func assemble(hold string, snapshots []run.Snapshot, started, ended time.Time, found bool) *run.Set {
	return &run.Set{
		Hold:          hold,
		Snapshots:     snapshots,
		CallStartedAt: started,
		CallEndedAt:   ended,
		CallMs:        float64(ended.Sub(started).Microseconds()) / 1000,
		Found:         found,
		Record:        run.Record{StartedAt: started, EndedAt: time.Now()},
	}
}
