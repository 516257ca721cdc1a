package curate

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/retention"
	"github.com/quiesce/quiesce/shared/run"
)

// Limits of copying. A Region takes 20 copies at once, of everybody; some are
// left to others.
const (
	mostCopies = 16
	mostFailed = 3 // copies of one snapshot, then a person must look
	again      = time.Hour
)

// The tags of a set that its copy does not carry from the start: its verdict,
// which a half copy must not have, and what is noted of the set alone. The
// verdict travels under another name, because the set may be gone by then.
var (
	verdict = []string{cloud.TagConsistency, cloud.TagApp, cloud.TagFs}
	ownTags = []string{cloud.TagCopied, cloud.TagShared, cloud.TagLocked, cloud.TagTiered, cloud.TagTest, cloud.TagDeleting}
)

// copyAll brings every set to every Region. While copies wait for room, and there
// is the time, it goes round once more; the end of one that is on its way is left
// to the next look, because it may take hours.
func (c *curator) copyAll(ctx context.Context) {
	for {
		c.done.Waiting, c.crowded = 0, false
		for _, one := range c.policy.Copies {
			c.copies(ctx, one)
		}
		if !c.crowded || !c.pause(ctx) {
			return
		}
		for _, one := range c.policy.Copies {
			there, _, err := shelve(ctx, c.at(one.Region), c.policy.Name, c.here.Region(), one.Retention)
			if err != nil {
				c.failed(retention.Decision{}, "copy", one.Region, err)
				return
			}
			c.abroad[one.Region] = there
		}
	}
}

// pause waits for the next round, if there is the time for one.
func (c *curator) pause(ctx context.Context) bool {
	deadline, limited := ctx.Deadline()
	if !limited || c.stopped || time.Now().Add(round+Pace.Reserve).After(deadline) {
		return false
	}
	c.pace.next = time.Now().Add(round)
	return c.may(ctx)
}

// round is the time between two looks at copies that are on their way.
const round = 30 * time.Second

// copies brings every set to a Region that is wanted and would be kept there.
// Those that were begun go first, then the newest.
func (c *curator) copies(ctx context.Context, to policy.Copy) {
	there := c.abroad[to.Region]
	for _, s := range there.sets {
		c.judge(ctx, to, there, s)
		if s.Orphan && s.Members < s.Expected && !c.gaveUp[to.Region+s.RunID] {
			c.failed(s, "copy", to.Region, fault.New(fault.CopyFailed, "%s; it is no set, and can be deleted there", strings.Join(s.Why, "; ")))
		}
	}
	var wanted []retention.Decision
	for _, s := range c.home.sets {
		if c.wanted(s) && !slices.Contains(strings.Fields(c.home.tag(s.Set, cloud.TagCopied)), to.Region) {
			wanted = append(wanted, s)
		}
	}
	busy := 0
	for _, m := range there.all {
		if m.State == run.Pending {
			busy++
		}
	}
	slices.SortStableFunc(wanted, func(a, b retention.Decision) int {
		return there.begun(b.RunID) - there.begun(a.RunID)
	})
	for _, s := range wanted {
		if c.gaveUp[to.Region+s.RunID] {
			continue
		}
		if there.begun(s.RunID) > 0 || c.would(there, s, wanted) {
			busy = c.copy(ctx, to, there, s, busy)
		}
	}
}

// judge gives a copy that is whole the verdict of its set, by which it becomes
// one, whether or not the set is still there.
func (c *curator) judge(ctx context.Context, to policy.Copy, there *shelf, s retention.Decision) {
	if s.Judged || s.Spare || s.Marked > 0 || s.State != run.Completed || s.Expected == 0 || s.Members < s.Expected || c.gaveUp[to.Region+s.RunID] || !c.may(ctx) {
		return
	}
	proved := strings.Split(there.tag(s.Set, cloud.TagProved), "/")
	if len(proved) != len(verdict) {
		c.failed(s, "copy", to.Region, fault.New(fault.CopyFailed, "its members do not say the same of what was proved (%s)", cloud.TagProved))
		return
	}
	tags := map[string]string{}
	for i, key := range verdict {
		if proved[i] != "" {
			tags[key] = proved[i]
		}
	}
	if err := there.note(ctx, s.Set, tags); err != nil {
		c.failed(s, "copy", to.Region, err)
	}
}

// begun is 1 for a set of which anything is there.
func (s *shelf) begun(runID string) int {
	if slices.ContainsFunc(s.sets, func(d retention.Decision) bool { return d.RunID == runID }) {
		return 1
	}
	return 0
}

// copy brings one set on by what can be done now.
func (c *curator) copy(ctx context.Context, to policy.Copy, there *shelf, s retention.Decision, busy int) int {
	have, failed := map[string]cloud.Stored{}, map[string][]cloud.Stored{}
	var set *retention.Set
	for i := range there.sets {
		d := &there.sets[i]
		switch {
		case d.RunID != s.RunID:
			continue
		case d.Marked > 0 && !d.Spare:
			return busy // it is being deleted there
		case !d.Spare:
			set = &d.Set
		}
		for _, m := range there.members(d.Set) {
			of := m.Tags[cloud.TagCopyOf]
			if m.State == run.Failed {
				failed[of] = append(failed[of], m)
			} else if _, twice := have[of]; !twice || !d.Spare {
				have[of] = m
			}
		}
	}
	missing, pending := 0, 0
	for _, m := range c.home.members(s.Set) {
		of := c.here.Region() + "/" + m.ID
		copied, began := have[of]
		switch {
		case began && copied.State == run.Completed:
			continue
		case began:
			pending++
			continue
		}
		missing++
		switch f := failed[of]; {
		case m.Archived:
			c.failed(s, "copy", to.Region, fault.New(fault.CopyFailed, "%s is archived, and cannot be copied before it is brought back", m.ID))
			return busy
		case len(f) >= mostFailed:
			c.failed(s, "copy", to.Region, fault.New(fault.CopyFailed, "the copies of %s went to error %d times; delete them to have it tried again", m.ID, len(f)))
			return busy
		case slices.ContainsFunc(f, func(one cloud.Stored) bool { return c.now.Sub(one.StartedAt) < again }):
			continue
		case busy >= mostCopies:
			c.crowded = true
			continue
		case !c.may(ctx):
			continue
		}
		switch _, err := there.place.Copy(ctx, c.spec(to, s, m)); fault.CodeOf(err) {
		case "":
			busy, missing, pending = busy+1, missing-1, pending+1
		case fault.CopyLimitReached:
			busy, c.crowded = mostCopies, true
		case fault.SnapshotOutcomeUnknown: // the next look sees it, or makes it
		default:
			c.failed(s, "copy", to.Region, err)
			return busy
		}
	}
	if missing+pending > 0 {
		c.done.Waiting++
		return busy
	}
	c.copied(ctx, to, there, s, *set)
	return busy
}

// spec asks for the copy of one member.
func (c *curator) spec(to policy.Copy, s retention.Decision, m cloud.Stored) cloud.CopySpec {
	tags := map[string]string{}
	for key, value := range m.Tags {
		if !strings.HasPrefix(key, "aws:") && !slices.Contains(verdict, key) && !slices.Contains(ownTags, key) {
			tags[key] = value
		}
	}
	tags[cloud.TagProved] = m.Tags[verdict[0]] + "/" + m.Tags[verdict[1]] + "/" + m.Tags[verdict[2]]
	tags[cloud.TagCopyOf] = c.here.Region() + "/" + m.ID
	tags[cloud.TagOrigin] = m.VolumeID
	tags[cloud.TagTakenAt] = m.StartedAt.UTC().Format(time.RFC3339Nano)
	return cloud.CopySpec{
		From: c.here.Region(), ID: m.ID, Encrypt: to.Encrypted, Key: to.KeyARN, Tags: tags,
		Description: fmt.Sprintf("Quiesce: %s of %s, copied from %s", s.RunID, m.VolumeID, c.here.Region()),
	}
}

// copied notes on a set that a Region has it: a copy that retention deletes is
// not made again.
func (c *curator) copied(ctx context.Context, to policy.Copy, there *shelf, s retention.Decision, copied retention.Set) {
	if there.tag(copied, cloud.TagConsistency) == "" || !c.may(ctx) {
		c.done.Waiting++
		return
	}
	regions := append(strings.Fields(c.home.tag(s.Set, cloud.TagCopied)), to.Region)
	slices.Sort(regions)
	if err := c.home.note(ctx, s.Set, map[string]string{cloud.TagCopied: strings.Join(slices.Compact(regions), " ")}); err != nil {
		c.failed(s, "copy", to.Region, err)
		return
	}
	c.done.Copied++
	c.say(s, "copied", to.Region, fmt.Sprintf("%d snapshots", len(copied.IDs)))
}
