package curate

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/retention"
	"github.com/quiesce/quiesce/shared/run"
)

// shelf is what a Region has of a policy: the sets that were taken there, or the
// copies of those of another.
type shelf struct {
	place cloud.Curator
	rule  policy.Retention
	sets  []retention.Decision // newest first
	of    map[string]cloud.Stored
	all   []cloud.Stored
}

// shelve lists the sets that come from a Region, an empty one for those taken
// there, and what retention makes of them.
func shelve(ctx context.Context, place cloud.Curator, name, from string, rule policy.Retention) (*shelf, time.Time, error) {
	stock, err := place.Stored(ctx, name)
	if err != nil {
		return nil, time.Time{}, err
	}
	s := &shelf{place: place, rule: rule, of: map[string]cloud.Stored{}}
	for _, snapshot := range stock.Snapshots {
		s.of[snapshot.ID] = snapshot
	}
	var sets []retention.Set
	for _, one := range retention.Sets(stock.Snapshots) {
		if one.From == from {
			sets = append(sets, one)
			s.all = append(s.all, s.members(one)...)
		}
	}
	s.sets, err = retention.Decide(rule, stock.At, sets)
	if err != nil {
		return nil, time.Time{}, fault.Input("policy.retention", "%v", err)
	}
	return s, stock.At, nil
}

// members are the snapshots of a set.
func (s *shelf) members(set retention.Set) []cloud.Stored {
	list := make([]cloud.Stored, len(set.IDs))
	for i, id := range set.IDs {
		list[i] = s.of[id]
	}
	return list
}

// tag reads what is noted on every member, empty where one lacks it.
func (s *shelf) tag(set retention.Set, key string) string {
	value := ""
	for i, m := range s.members(set) {
		if i > 0 && m.Tags[key] != value {
			return ""
		}
		value = m.Tags[key]
	}
	return value
}

// note writes on every member of a set what was done with it. The run's tag is
// written again as it is: the right to tag is bound to it.
func (s *shelf) note(ctx context.Context, set retention.Set, tags map[string]string) error {
	all := maps.Clone(tags)
	all[cloud.TagRun] = set.RunID
	if err := s.place.TagSnapshots(ctx, set.IDs, all); err != nil {
		return err
	}
	for _, id := range set.IDs {
		maps.Copy(s.of[id].Tags, all)
	}
	return nil
}

// wanted reports a set that something becomes of: one that can be restored as a
// whole, of which as much was proved as the policy says it must be.
func (c *curator) wanted(s retention.Decision) bool {
	switch {
	case !s.Good() || s.Expected == 0 || s.Members != s.Expected || s.TakenAt.After(c.now):
		return false
	case s.Test == retention.Running:
		return false
	}
	asked := run.Consistency(c.policy.Asked())
	return !c.policy.SkipDegraded || s.Consistency.Rank() >= asked.Rank()
}

// would reports whether a Region's retention would keep the copy of a set, if all
// that are wanted there were: what would be deleted the next day is not copied.
func (c *curator) would(there *shelf, set retention.Decision, wanted []retention.Decision) bool {
	if there.rule.IsZero() {
		return true
	}
	proved := map[string]run.Consistency{} // a copy says it only once it is whole
	for _, d := range c.home.sets {
		proved[d.RunID] = d.Consistency
	}
	var sets []retention.Set
	known := map[string]bool{}
	add := func(s retention.Set) {
		s.Consistency = cmp.Or(s.Consistency, proved[s.RunID])
		s.State, s.Held, s.Judged, s.Test, s.Members = run.Completed, nil, true, retention.Untested, s.Expected
		known[s.RunID] = true
		sets = append(sets, s)
	}
	for _, d := range there.sets {
		if !d.Spare && d.Marked == 0 && d.State != run.Failed {
			add(d.Set)
		}
	}
	for _, d := range wanted {
		if !known[d.RunID] {
			add(d.Set)
		}
	}
	decisions, err := retention.Decide(there.rule, c.now, sets)
	return err == nil && slices.ContainsFunc(decisions, func(d retention.Decision) bool { return d.RunID == set.RunID && d.Keep })
}
