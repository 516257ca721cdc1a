// Package retention decides which sets are kept and which may be deleted, and
// says of each one why. It is a pure function over what is known of the sets:
// whole sets only, and whatever is in doubt is kept.
package retention

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/run"
)

// Set is what is known of the snapshots of one run.
type Set struct {
	RunID       string
	Policy      string
	InstanceID  string
	TakenAt     time.Time
	State       string // run.Completed, run.Pending, run.Failed; the worst of its members
	Consistency run.Consistency
	Judged      bool // it carries a verdict
	Members     int  // that exist
	Expected    int  // that the call made; 0: not known
	Test        Test
	Held        []string  // what else speaks against deleting it: a lock, an image, another account
	Foreign     bool      // it does not carry Quiesce's tags
	Marked      int       // of its members, as being deleted: from the first on it is no set any more
	From        string    // Region of which it is a copy; empty: it was taken here
	Since       time.Time // of a copy: when the last of it was begun
	Spare       bool      // copies that are there a second time, by an answer that got lost

	// What was done with it besides, as its tags have it.
	CopiedTo    []string  // Regions that had all of it
	LockedUntil time.Time // zero: it was not locked by Quiesce
	SharedSince time.Time // zero: it is not shared, or not any more
	ArchivedAt  time.Time // zero: it was not archived by Quiesce

	// For whoever shows or deletes it.
	IDs      []string
	SizeGiB  int64
	FrozenMs string
}

// Test is how the last restore test of a set ended.
type Test string

const (
	Untested   Test = ""
	Running    Test = "VALIDATING"
	Successful Test = "SUCCESSFUL"
	TestFailed Test = "FAILED"
	TimedOut   Test = "TIMED_OUT" // which says nothing of the set
)

// Good reports a set that can be restored: only such a set fills a period, and
// only such a set is picked for a restore test.
func (s Set) Good() bool { return s.Marked == 0 && s.restorable() }

// restorable reports a set whose members would make a good one.
func (s Set) restorable() bool {
	return !s.Foreign && !s.Spare && s.Judged && s.Consistency.Rank() > 0 && s.State == run.Completed && s.whole() && s.Test != TestFailed
}

func (s Set) whole() bool { return s.Expected == 0 || s.Members >= s.Expected }

// Decision is what becomes of one set. Why is one reason a line, each of which
// would be enough.
type Decision struct {
	Set
	Keep   bool
	Orphan bool // a person must look at it, and nothing here deletes it
	Why    []string

	// Rare is how many of the reasons are a month's or a year's: where it is all
	// of them, nobody will want the set soon.
	Rare int

	passed []string // by which rules it is not kept
}

// String is the decision as a dry run prints it.
func (d Decision) String() string {
	word := "removed"
	if d.Keep {
		word = "kept"
	}
	return word + ": " + strings.Join(d.Why, "; ")
}

// grace is how long a set without a verdict may still be at work, and how long
// one that failed stays for whoever wants to know why.
const grace = 24 * time.Hour

// Decide decides over all sets of the rule's policy, newest first. Those of
// different instances do not count against each other.
func Decide(rule policy.Retention, now time.Time, sets []Set) ([]Decision, error) {
	zone, err := rule.Zone()
	if err != nil {
		return nil, fmt.Errorf("timezone: %w", err)
	}
	sorted := slices.Clone(sets)
	slices.SortStableFunc(sorted, func(a, b Set) int {
		return cmp.Or(b.TakenAt.Compare(a.TakenAt), cmp.Compare(a.RunID, b.RunID))
	})
	all := make([]Decision, len(sorted))
	series := map[[2]string][]*Decision{}
	for i, s := range sorted {
		all[i] = Decision{Set: s}
		key := [2]string{s.Policy, s.InstanceID}
		series[key] = append(series[key], &all[i])
	}
	for _, of := range series {
		(&judge{rule: rule, now: now, zone: zone}).decide(of)
	}
	return all, nil
}

// judge decides over the sets of one instance.
type judge struct {
	rule policy.Retention
	now  time.Time
	zone *time.Location
}

func (j *judge) decide(series []*Decision) {
	var good []*Decision
	for _, d := range series {
		if d.Good() && !d.TakenAt.After(j.now) { // one from the future would push others out
			good = append(good, d)
		}
	}
	j.last(good)
	j.age(good)
	for _, p := range periods {
		j.period(p, p.count(j.rule), good)
	}
	j.never(good)
	j.rescue(good, series)
	for _, d := range series {
		j.beyond(d)
	}
}

func (d *Decision) keep(format string, args ...any) {
	d.Keep = true
	d.Why = append(d.Why, fmt.Sprintf(format, args...))
}

// pass notes a rule that does not keep the set, for the case that none does.
func (d *Decision) pass(format string, args ...any) {
	d.passed = append(d.passed, fmt.Sprintf(format, args...))
}

func (j *judge) last(good []*Decision) {
	for i, d := range good {
		switch {
		case i < j.rule.Last:
			d.keep("last %d of %d", i+1, j.rule.Last)
		case j.rule.Last > 0:
			d.pass("%d newer ones are there", i)
		}
	}
}

func (j *judge) age(good []*Decision) {
	if j.rule.Within.IsZero() {
		return
	}
	since := j.rule.Within.Before(j.now)
	for _, d := range good {
		if d.TakenAt.After(since) {
			d.keep("younger than %s", j.rule.Within)
		} else {
			d.pass("it is older than %s", j.rule.Within)
		}
	}
}

// never keeps what no rule may delete: without these nothing could be restored.
func (j *judge) never(good []*Decision) {
	if len(good) == 0 {
		return
	}
	good[0].keep("the newest good one")
	best := good[0]
	for _, d := range good {
		if d.Consistency.Rank() > best.Consistency.Rank() {
			best = d
		}
	}
	if best != good[0] {
		best.keep("the newest %s-consistent one", best.Consistency)
	}
	for _, d := range good {
		if d.Test == Successful {
			d.keep("the newest that was restored and checked")
			break
		}
	}
}

// rescue keeps a set whose deletion has begun and broken off before any of it
// was deleted, if by now it is the only good one that is left.
func (j *judge) rescue(good, series []*Decision) {
	if len(good) > 0 {
		return
	}
	for _, d := range series {
		if d.Marked > 0 && d.restorable() && d.Expected > 0 {
			d.Orphan = true
			d.keep("its deletion had begun, and no other good one is left: take the tag %s off to keep it", cloud.TagDeleting)
			return
		}
	}
}

// beyond decides what no rule is about.
func (j *judge) beyond(d *Decision) {
	for _, held := range d.Held {
		d.keep("%s", held)
	}
	age := j.now.Sub(d.TakenAt)
	if d.From != "" {
		age = j.now.Sub(d.Since)
	}
	switch {
	case d.Foreign:
		d.keep("not Quiesce's")
	case d.Marked > 0 && !j.rule.IsZero():
		d.Orphan = d.Orphan || d.Keep
		d.Why = append(d.Why, "its deletion has begun")
	case d.Spare && age < grace:
		d.keep("a second copy, less than a day old")
	case d.Spare:
		d.Why = append(d.Why, "a second copy of what is there")
	case d.Test == Running:
		d.keep("under test")
	case d.Test == TestFailed:
		d.Orphan = true
		d.keep("its restore test failed: find out why before it is deleted")
	case d.State == run.Pending:
		d.keep("not complete yet")
	case age < 0:
		d.keep("taken after now: a clock is wrong")
	case d.State == run.Failed && age < grace:
		d.keep("failed less than a day ago")
	case d.State == run.Failed:
		d.Why = append(d.Why, "it failed and cannot be restored")
	case d.From != "" && !(d.whole() && d.Judged) && age < grace:
		d.keep("no set yet: %d of %d members are copied", d.Members, d.Expected)
	case d.From != "" && !(d.whole() && d.Judged):
		d.Orphan = true
		d.keep("%d of %d members are copied, and for a day nothing was added: look why", d.Members, d.Expected)
	case !d.Judged && age < grace:
		d.keep("its run may not have judged it yet")
	case !d.Judged || d.Consistency.Rank() == 0:
		d.Orphan = true
		d.keep("an orphan: no run has judged it, look at %s", d.RunID)
	case !d.whole():
		d.Orphan = true
		d.keep("%d of %d members are there: look who deleted the others", d.Members, d.Expected)
	case j.rule.IsZero():
		d.keep("its policy has no retention")
	}
	if !d.Keep {
		d.Why = append(d.Why, d.passed...)
	}
}
