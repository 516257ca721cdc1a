// Package targets finds the instances of a policy's fleet and gives each the
// moment at which its run may start.
package targets

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"regexp"
	"time"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/run"
)

// Input is the execution's name and what it was started with.
type Input struct {
	Run     run.Run          `json:"run"`
	Request run.FleetRequest `json:"request"`
}

// Cloud is what targets asks of a provider.
type Cloud interface {
	cloud.Finder
	cloud.Store
}

// Pace spreads the starts of a fleet under the quota of the call that makes a
// set: 100 at once, then 5 a second, for the whole account and Region. An
// instance that is refused waits frozen, hence half of the burst is left to
// runs that take longer on their way to the call, and to whoever else calls;
// and a fiftieth of the rate, by which what they took comes back.
var Pace = struct {
	Burst     int
	PerSecond float64
}{50, 4.9}

// offset is how long after the first the i-th run starts.
func offset(i int) time.Duration {
	if i < Pace.Burst {
		return 0
	}
	return time.Duration(float64(i-Pace.Burst+1) / Pace.PerSecond * float64(time.Second)).Truncate(time.Millisecond)
}

// Do answers who is snapshotted, and when. Codes: InvalidInput; TooLate for a
// start that the policy no longer wants; NothingToSnapshot where no instance is
// found, because a schedule for nobody is a backup that nobody misses in time;
// and what the calls return.
func Do(ctx context.Context, c Cloud, now time.Time, in Input) (*run.Targets, error) {
	doc, started := in.Request.Policy, now
	switch due := in.Request.ScheduledTime; {
	case doc.Targets.Empty():
		return nil, fault.Input("policy.targets", "is missing: a fleet needs ids or tags to find its instances by")
	case !due.IsZero() && now.Sub(due) > doc.StartLate():
		return nil, fault.New(fault.TooLate, "the start for %s is %s late, the policy allows %s",
			due.UTC().Format(time.RFC3339), now.Sub(due).Round(time.Second), doc.StartLate())
	}
	if err := doc.Check(now); err != nil {
		return nil, err
	}
	found, err := c.Find(ctx, doc.Targets.InstanceIDs, doc.Targets.Tags)
	if err != nil {
		return nil, err
	}
	t := &run.Targets{
		Policy: doc.Policy, MaxConcurrency: doc.MaxConcurrency, Bucket: c.Bucket(), Together: doc.Group,
		BudgetSeconds: doc.GroupBudgetSeconds, Skipped: []run.Skipped{}, Members: []run.Member{},
	}
	members := pick(t, in, found, now)
	if t.Total = len(members); t.Total == 0 {
		return nil, fault.New(fault.NothingToSnapshot, "the policy's targets find no instance that runs and has opted in (%d were left out)", t.SkippedTotal)
	}
	t.MaxErrors = doc.MaxErrors.Of(t.Total)
	if doc.Group {
		if t.Total > run.MaxMembers {
			return nil, fault.Input("policy.group", "wants at most %d instances, the targets find %d", run.MaxMembers, t.Total)
		}
		t.Members, t.GroupID = members, name(doc.Name, "group", slot(in))
	} else if err := publish(ctx, c, t, in.Run.ID, members); err != nil {
		return nil, err
	}
	t.Record = run.Record{StartedAt: started, EndedAt: now}
	return t, nil
}

// pick takes the instances that may be commanded, each with its moment, and
// notes the others.
func pick(t *run.Targets, in Input, found []cloud.Found, now time.Time) (members []run.Member) {
	optIn, named := t.Policy.OptIn, map[string]bool{}
	skip := func(id, reason string) {
		if t.SkippedTotal++; len(t.Skipped) < run.Listed {
			t.Skipped = append(t.Skipped, run.Skipped{InstanceID: id, Reason: reason})
		}
	}
	for _, f := range found {
		named[f.ID] = true
		switch {
		case f.Tags[optIn.Key] != optIn.Value:
			skip(f.ID, string(fault.InstanceNotOptedIn))
		case !f.Running:
			skip(f.ID, string(fault.InstanceNotRunning))
		default:
			members = append(members, run.Member{
				InstanceID: f.ID, RunID: name(t.Policy.Name, f.ID, slot(in)),
				StartAt: now.Add(offset(len(members))).UTC().Truncate(time.Millisecond),
			})
		}
	}
	for _, id := range in.Request.Policy.Targets.InstanceIDs {
		if !named[id] {
			named[id] = true
			skip(id, string(fault.InstanceNotFound))
		}
	}
	return members
}

// publish puts the list where the workflow reads it. Always there, however
// short: one way that is always gone is one that works.
func publish(ctx context.Context, c Cloud, t *run.Targets, fleet string, members []run.Member) error {
	list, err := json.Marshal(members)
	if err != nil {
		return fault.Wrap(fault.Internal, err, "encode the list")
	}
	t.List, t.Results = "fleet/"+fleet+"/targets.json", "fleet/"+fleet+"/results"
	return c.Put(ctx, t.List, list)
}

// slot is the time that a run is for: that of the schedule, so that a start
// which comes twice has the same.
func slot(in Input) time.Time {
	if due := in.Request.ScheduledTime; !due.IsZero() {
		return due
	}
	return in.Run.StartedAt
}

var notInNames = regexp.MustCompile(`[^A-Za-z0-9_-]+`)

// longest leaves room for the instance and the slot in an execution's name.
const longest = 43

// name is a run's: the same for the same policy, instance and slot, so that
// the second start of a slot is refused as the first one's double.
func name(of, who string, at time.Time) string {
	short := notInNames.ReplaceAllString(of, "-")
	if short != of || len(short) > longest {
		h := fnv.New32a()
		_, _ = h.Write([]byte(of))
		short = fmt.Sprintf("%.*s-%08x", longest-9, short, h.Sum32())
	}
	return short + "-" + who + "-" + at.UTC().Format("20060102T150405Z")
}
