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
)

// archive sends away whole what is kept for a month's or a year's sake alone:
// hence never the newest good set, nor any that a person would look for first.
func (c *curator) archive(ctx context.Context) {
	a := c.policy.Archive
	if a == (policy.Archive{}) {
		return
	}
	for _, s := range c.home.sets {
		rare := s.Keep && s.Rare > 0 && s.Rare == len(s.Why)
		if !c.wanted(s) || !rare || s.TakenAt.After(a.After.Before(c.now)) || c.home.tag(s.Set, cloud.TagTiered) != "" {
			continue
		}
		if c.home.sharedSince(s.Set) != "" || !c.everywhere(s) || c.isFast(s) || !c.may(ctx) {
			continue
		}
		c.archiveOne(ctx, s)
	}
}

func (c *curator) archiveOne(ctx context.Context, s retention.Decision) {
	for _, m := range c.home.members(s.Set) {
		if m.Archived {
			continue
		}
		if !c.may(ctx) {
			return
		}
		if err := c.here.Archive(ctx, m.ID); err != nil {
			c.failed(s, "archive", "", err)
			return
		}
	}
	if err := c.home.note(ctx, s.Set, map[string]string{cloud.TagTiered: c.now.UTC().Format(time.RFC3339)}); err != nil {
		c.failed(s, "archive", "", err)
		return
	}
	c.done.Archived++
	c.say(s, "archived", "", fmt.Sprintf("%d GiB, at the most", s.SizeGiB))
}

// everywhere reports that no Region is still to have the set: what is archived
// cannot be copied.
func (c *curator) everywhere(s retention.Decision) bool {
	copied := strings.Fields(c.home.tag(s.Set, cloud.TagCopied))
	for _, to := range c.policy.Copies {
		there := c.abroad[to.Region]
		if !slices.Contains(copied, to.Region) && (there.begun(s.RunID) > 0 || c.would(there, s, []retention.Decision{s})) {
			return false
		}
	}
	return true
}

// largestFast is the size of the largest volume that is restored fast.
const largestFast = 16 << 10

// isFast reports a set that the policy has restored fast.
func (c *curator) isFast(s retention.Decision) bool {
	f, newer := c.policy.FastRestore, 0
	switch {
	case f.IsZero():
		return false
	case f.Count == 0:
		return c.wanted(s) && s.TakenAt.After(f.Within.Before(c.now))
	}
	for _, other := range c.home.sets {
		if other.InstanceID == s.InstanceID && c.wanted(other) && other.TakenAt.After(s.TakenAt) {
			newer++
		}
	}
	return c.wanted(s) && newer < f.Count
}

// fast turns on what is to be restored fast and is not, and off what is paid for
// and not wanted any more, in the policy's zones.
func (c *curator) fast(ctx context.Context) {
	zones := c.policy.FastRestore.Zones
	if len(zones) == 0 || !c.may(ctx) {
		return
	}
	now, err := c.here.Fast(ctx)
	if err != nil {
		c.failed(retention.Decision{}, "fast-restore", "", err)
		return
	}
	on := map[string][]string{}
	for _, f := range now {
		if slices.Contains(zones, f.Zone) {
			on[f.ID] = append(on[f.ID], f.Zone)
		}
	}
	for _, s := range c.home.sets {
		if c.isFast(s) {
			c.turn(ctx, s, on, true)
		}
	}
	for _, s := range c.home.sets {
		if !c.isFast(s) {
			c.turn(ctx, s, on, false)
		}
	}
}

// turn changes what is not as it should be of one set.
func (c *curator) turn(ctx context.Context, s retention.Decision, on map[string][]string, want bool) {
	changed := 0
	for _, m := range c.home.members(s.Set) {
		var zones []string
		for _, z := range c.policy.FastRestore.Zones {
			if slices.Contains(on[m.ID], z) != want {
				zones = append(zones, z)
			}
		}
		if len(zones) == 0 || !c.may(ctx) {
			continue
		}
		var err error
		if want && m.SizeGiB > largestFast {
			err = fault.New(fault.SnapshotRefused, "%s is of %d GiB, and no volume above %d is restored fast", m.ID, m.SizeGiB, largestFast)
		} else {
			err = c.here.SetFast(ctx, m.ID, zones, want)
		}
		if err != nil {
			c.failed(s, "fast-restore", "", err)
			return
		}
		changed += len(zones)
	}
	if changed > 0 {
		c.say(s, map[bool]string{true: "fast", false: "not-fast"}[want], "", fmt.Sprintf("%d snapshots and zones", changed))
	}
}
