// Package verifychoose decides which set a restore test is of, where it is
// brought to life and within which limits. It refuses what cannot be carried
// out, or could cost more than the policy allows, and only reads.
package verifychoose

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/restore"
	"github.com/quiesce/quiesce/shared/retention"
	"github.com/quiesce/quiesce/shared/run"
	"github.com/quiesce/quiesce/shared/verify"
)

// Input is what somebody, or a schedule, asks for.
type Input struct {
	Run     run.Run        `json:"run"`
	Request verify.Request `json:"request"`
}

// Check refuses a request that cannot be read.
func (in Input) Check() error {
	if in.Run.ID == "" {
		return fault.Input("run.id", "is missing")
	}
	return in.Request.Check()
}

// Cloud is what the step asks of a provider.
type Cloud interface {
	// Instance, Ping and Helper are those of the ports.
	Instance(ctx context.Context, id string) (cloud.Instance, error)
	Ping(ctx context.Context, instanceID string) (cloud.Ping, error)
	Helper(ctx context.Context, arch string) (cloud.Asset, error)
	// Sources is that of Restorer.
	Sources(ctx context.Context, runID string) ([]cloud.Source, error)
}

// Shelf lists the sets that there are, as Keeper does.
type Shelf interface {
	Stored(ctx context.Context, policy string) (cloud.Stock, error)
}

// Do chooses. Codes: InvalidInput, InstanceNotFound, InstanceNotRunning,
// InstanceNotOptedIn, AgentOffline, SetNotRestorable, RunInProgress.
func Do(ctx context.Context, c Cloud, shelf Shelf, in Input) (*verify.Choice, error) {
	started, test := time.Now(), in.Request.Policy.RestoreTest
	begun := in.Run.StartedAt
	if begun.IsZero() { // CloudFlow does not tell
		begun = started
	}
	helper, err := host(ctx, c, in.Request)
	if err != nil {
		return nil, err
	}
	set, why, err := choose(ctx, c, shelf, in.Request)
	if err != nil {
		return nil, err
	}
	deadline := begun.Add(test.TimeLimit()).UTC()
	choice := &verify.Choice{
		TestID: in.Run.ID, SetID: set.RunID, Policy: set.Policy, InstanceID: set.InstanceID, SnapshotIDs: set.IDs, SizeGiB: set.SizeGiB,
		TakenAt: set.TakenAt, Proved: set.Consistency, Before: set.Test, Because: why,
		Application: in.Request.Policy.Tested(), Script: test.Check, Helper: helper, DryRun: in.Request.DryRun,
		Deadline: deadline, Cost: test.Cost(set.SizeGiB),
		// A test takes nothing from anybody: it needs no yes to what was proved.
		Restore: restore.Request{
			RunID: set.RunID, Mode: restore.Volumes, InstanceID: test.Instance, OptIn: in.Request.Policy.OptIn,
			AcceptCrashConsistent: true, AcceptUncheckedKeys: true, Scratch: true, Until: deadline, DryRun: in.Request.DryRun,
		},
	}
	choice.CostHint = fmt.Sprintf("%d GiB of disks for at most %s", set.SizeGiB, test.TimeLimit())
	if test.PricePerGiBMonth > 0 {
		choice.CostHint += fmt.Sprintf(", %.4f at %v a GiB and month", choice.Cost, test.PricePerGiBMonth)
	} else {
		choice.CostHint += "; what that costs is not known, because the policy gives no price"
	}
	if test.CostLimit > 0 && choice.Cost > test.CostLimit {
		return nil, fault.Input("request.policy.restoreTest.costLimit", "is %v, and the test could cost more: %s", test.CostLimit, choice.CostHint)
	}
	choice.Record = run.Record{StartedAt: started, EndedAt: time.Now()}
	return choice, nil
}

// host refuses an instance on which nothing can be brought to life, and tells
// which helper it needs.
func host(ctx context.Context, c Cloud, asked verify.Request) (run.Helper, error) {
	id, tag := asked.Policy.RestoreTest.Instance, asked.Policy.OptIn
	instance, err := c.Instance(ctx, id)
	if err != nil {
		return run.Helper{}, err
	}
	text, err := json.Marshal(asked.Policy)
	switch {
	case err != nil:
		return run.Helper{}, fault.Wrap(fault.Internal, err, "encode the policy")
	case instance.Target.Provider == run.Aliyun && len(text) > policy.FlowRoom:
		return run.Helper{}, fault.Input("request.policy", "wants at most %d bytes on Alibaba Cloud, got %d", policy.FlowRoom, len(text))
	case instance.Tags[tag.Key] != tag.Value:
		return run.Helper{}, fault.New(fault.InstanceNotOptedIn, "the test instance %s does not carry the tag %s=%s", id, tag.Key, tag.Value)
	case !instance.Running:
		return run.Helper{}, fault.New(fault.InstanceNotRunning, "the test instance %s is %s: copies come to life on one that runs", id, instance.State)
	}
	ping, err := c.Ping(ctx, id)
	switch {
	case err != nil:
		return run.Helper{}, err
	case !ping.Online:
		return run.Helper{}, fault.New(fault.AgentOffline, "the agent of the test instance %s was last heard of at %s", id, ping.Last.UTC().Format(time.RFC3339))
	case !ping.Linux:
		return run.Helper{}, fault.Input("request.policy.restoreTest.instance", "%s does not run Linux, which the helper does", id)
	}
	asset, err := c.Helper(ctx, instance.Arch)
	return run.Helper{SHA256: asset.SHA256, Arch: instance.Arch}, err
}

// choose finds the set that is named, or picks one of the policy's.
func choose(ctx context.Context, c Cloud, shelf Shelf, asked verify.Request) (set retention.Set, why string, err error) {
	if asked.RunID != "" {
		sources, err := c.Sources(ctx, asked.RunID)
		if err != nil {
			return set, "", err
		}
		sets := retention.Sets(stored(sources))
		if len(sets) == 0 {
			return set, "", fault.New(fault.SetNotRestorable, "no snapshot of this account and Region carries the run's tag %s", asked.RunID)
		}
		set, why = sets[0], "it was named"
	} else {
		stock, err := shelf.Stored(ctx, asked.Policy.Name)
		if err != nil {
			return set, "", err
		}
		if set, why, err = Pick(stock, asked.InstanceID); err != nil {
			return set, "", fault.New(fault.SetNotRestorable, "of the policy %s %v", asked.Policy.Name, err)
		}
	}
	switch {
	case set.Test == retention.Running:
		return set, "", fault.New(fault.RunInProgress, "the set of %s is under test already", set.RunID)
	case set.Marked > 0:
		return set, "", fault.New(fault.SetNotRestorable, "the deletion of the set of %s has begun", set.RunID)
	case set.Archived():
		return set, "", fault.New(fault.SetNotRestorable, "the set of %s is archived (%s): bring it back to the standard tier first, which takes up to 72 hours", set.RunID, strings.Join(set.Held, "; "))
	}
	return set, why, nil
}

// stored are sources as a shelf would list them.
func stored(sources []cloud.Source) []cloud.Stored {
	list := make([]cloud.Stored, len(sources))
	for i, s := range sources {
		list[i] = cloud.Stored{SizeGiB: int64(s.SizeGiB), Archived: s.Archived}
		list[i].ID, list[i].VolumeID, list[i].State, list[i].Tags, list[i].StartedAt = s.ID, s.VolumeID, s.State, s.Tags, s.StartedAt
	}
	return list
}
