package retention

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/run"
)

// Sets reads the sets out of the snapshots that there are, by the run that each
// names, in the order of the runs' ids. A set and its copy are two; so are a
// copy and what of it is there a second time.
func Sets(snapshots []cloud.Stored) []Set {
	of := map[[2]string][]cloud.Stored{}
	for _, s := range snapshots {
		key := [2]string{s.Tags[cloud.TagRun], CopiedFrom(s.Tags)}
		of[key] = append(of[key], s)
	}
	keys := slices.SortedFunc(maps.Keys(of), func(a, b [2]string) int { return slices.Compare(a[:], b[:]) })
	sets := make([]Set, 0, len(of))
	for _, key := range keys {
		members, spare := of[key], []cloud.Stored(nil)
		if key[1] != "" {
			members, spare = Elect(of[key], func(s cloud.Stored) cloud.TaggedSnapshot { return s.TaggedSnapshot })
		}
		sets = append(sets, whole(key[0], members))
		if len(spare) > 0 {
			second := whole(key[0], spare)
			second.Spare = true
			sets = append(sets, second)
		}
	}
	return sets
}

// CopiedFrom is the Region of which a snapshot is a copy, by its tags; empty for
// one that was taken where it is.
func CopiedFrom(tags map[string]string) string {
	region, _, _ := strings.Cut(tags[cloud.TagCopyOf], "/")
	return region
}

// Elect picks one copy of each source, and what is there besides. A copy whose
// answer was lost is made again if it is not seen in time, and one that failed
// is: of several that which is furthest counts, then the first.
func Elect[T any](copies []T, as func(T) cloud.TaggedSnapshot) (members, spare []T) {
	sorted := slices.Clone(copies)
	slices.SortFunc(sorted, func(x, y T) int {
		a, b := as(x), as(y)
		return cmp.Or(
			strings.Compare(a.Tags[cloud.TagCopyOf], b.Tags[cloud.TagCopyOf]),
			strings.Compare(a.Tags[cloud.TagDeleting], b.Tags[cloud.TagDeleting]),
			severity(a.State)-severity(b.State), a.StartedAt.Compare(b.StartedAt), strings.Compare(a.ID, b.ID))
	})
	for i, s := range sorted {
		if i > 0 && as(s).Tags[cloud.TagCopyOf] == as(sorted[i-1]).Tags[cloud.TagCopyOf] {
			spare = append(spare, s)
		} else {
			members = append(members, s)
		}
	}
	return members, spare
}

// whole reads one set. Where its members disagree, the worse of what they say
// counts, and what cannot be told keeps it.
func whole(runID string, members []cloud.Stored) Set {
	first := members[0].Tags
	s := Set{
		RunID: runID, Policy: first[cloud.TagPolicy], InstanceID: first[cloud.TagInstance], TakenAt: members[0].StartedAt,
		State: run.Completed, Consistency: run.Consistency(first[cloud.TagConsistency]), Judged: true, Members: len(members),
		Foreign: runID == "", Test: Test(first[cloud.TagTest]), From: CopiedFrom(first),
		LockedUntil: moment(first[cloud.TagLocked]), SharedSince: moment(first[cloud.TagShared]), ArchivedAt: moment(first[cloud.TagTiered]),
	}
	if to := first[cloud.TagCopied]; to != "" {
		s.CopiedTo = strings.Fields(to)
	}
	if s.From != "" {
		members = s.asTaken(members)
		s.TakenAt = members[0].StartedAt
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
			s.hold(m.ID + archived)
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

// asTaken dates copies by their sources: they have moments of their own, at
// which nothing was taken.
func (s *Set) asTaken(copies []cloud.Stored) []cloud.Stored {
	dated := slices.Clone(copies)
	for i, c := range dated {
		if c.StartedAt.After(s.Since) {
			s.Since = c.StartedAt
		}
		at, err := time.Parse(time.RFC3339, c.Tags[cloud.TagTakenAt])
		if err != nil {
			s.hold(c.ID + " does not say when its source was taken")
			continue
		}
		dated[i].StartedAt = at
	}
	return dated
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

// archived is said of a member that must be brought back before it is used.
const archived = " is archived"

// Archived reports whether a member must be brought back before it is used,
// whoever has put it away.
func (s Set) Archived() bool {
	return slices.ContainsFunc(s.Held, func(why string) bool { return strings.HasSuffix(why, archived) })
}

// Release takes it off that a set is archived, once it was for as long as its
// policy says: from then on the rules decide. Without such an age it stays.
func (s *Set) Release(keep policy.Age, now time.Time) {
	if keep.IsZero() || s.ArchivedAt.IsZero() || s.ArchivedAt.After(keep.Before(now)) {
		return
	}
	s.Held = slices.DeleteFunc(s.Held, func(why string) bool { return strings.HasSuffix(why, archived) })
}

// moment reads a tag that is a time; one that is none is zero.
func moment(text string) time.Time {
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}
	}
	return at
}

// number reads a tag that is a number; one that is none is not known.
func number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0
	}
	return n
}
