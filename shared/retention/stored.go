package retention

import (
	"cmp"
	"maps"
	"slices"
	"strconv"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/run"
)

// Sets reads the sets out of the snapshots that there are, by the run that each
// names, in the order of the runs' ids.
func Sets(snapshots []cloud.Stored) []Set {
	of := map[string][]cloud.Stored{}
	for _, s := range snapshots {
		id := s.Tags[cloud.TagRun]
		of[id] = append(of[id], s)
	}
	sets := make([]Set, 0, len(of))
	for _, id := range slices.Sorted(maps.Keys(of)) {
		sets = append(sets, whole(id, of[id]))
	}
	return sets
}

// whole reads one set. Where its members disagree, the worse of what they say
// counts, and what cannot be told keeps it.
func whole(runID string, members []cloud.Stored) Set {
	first := members[0].Tags
	s := Set{
		RunID: runID, Policy: first[cloud.TagPolicy], InstanceID: first[cloud.TagInstance], TakenAt: members[0].StartedAt,
		State: run.Completed, Consistency: run.Consistency(first[cloud.TagConsistency]), Judged: true, Members: len(members),
		Foreign: runID == "", Test: Test(first[cloud.TagTest]),
	}
	for _, m := range members {
		s.IDs = append(s.IDs, m.ID)
		s.SizeGiB += m.SizeGiB
		if m.StartedAt.Before(s.TakenAt) {
			s.TakenAt = m.StartedAt
		}
		if severity(m.State) > severity(s.State) {
			s.State = m.State
		}
		consistency := run.Consistency(m.Tags[cloud.TagConsistency])
		s.Judged = s.Judged && consistency != ""
		if consistency.Rank() < s.Consistency.Rank() {
			s.Consistency = consistency
		}
		if t := Test(m.Tags[cloud.TagTest]); t != s.Test {
			s.Test = worse(t, s.Test)
		}
		if m.Tags[cloud.TagDeleting] != "" {
			s.Marked++
		}
		s.Expected = max(s.Expected, number(m.Tags[cloud.TagMembers]))
		s.FrozenMs = cmp.Or(s.FrozenMs, m.Tags[cloud.TagFrozenMs])
		if m.Archived {
			s.hold(m.ID + " is archived")
		}
		if m.Tags[cloud.TagInstance] != s.InstanceID || m.Tags[cloud.TagPolicy] != s.Policy {
			s.hold("its members name more than one instance or policy")
		}
	}
	if s.InstanceID == "" {
		s.hold("its tags do not say of which instance it is")
	}
	slices.Sort(s.IDs)
	return s
}

// hold notes once what speaks against deleting the set.
func (s *Set) hold(why string) {
	if !slices.Contains(s.Held, why) {
		s.Held = append(s.Held, why)
	}
}

func severity(state string) int {
	return slices.Index([]string{run.Completed, run.Pending, run.Failed}, state)
}

// worse is what counts where two members tell of their set's test differently:
// one that is at work, then one that failed, then none.
func worse(a, b Test) Test {
	for _, t := range []Test{Running, TestFailed} {
		if a == t || b == t {
			return t
		}
	}
	return Untested
}

// number reads a tag that is a number; one that is none is not known.
func number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0
	}
	return n
}
