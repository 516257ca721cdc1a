package curate

import (
	"context"
	"fmt"
	"time"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/retention"
)

const day = 24 * time.Hour

// lock locks a set once, for as many days as are left since it was taken. What
// somebody has unlocked since stays so.
func (c *curator) lock(ctx context.Context, s retention.Decision) {
	l := c.policy.Lock
	days := l.Days - int(c.now.Sub(s.TakenAt)/day)
	if l == (policy.Lock{}) || days < 1 || c.home.tag(s.Set, cloud.TagLocked) != "" || !c.may(ctx) {
		return
	}
	locks, err := c.here.Locks(ctx, s.IDs)
	until := c.now.Add(time.Duration(days) * day)
	for _, id := range s.IDs {
		if _, locked := locks[id]; locked || err != nil {
			continue
		}
		if !c.may(ctx) {
			return
		}
		err = c.here.Lock(ctx, id, cloud.Lock{Compliance: l.Mode == policy.Compliance, Days: days, CoolOffHours: l.CoolOffHours})
	}
	if err == nil {
		err = c.home.note(ctx, s.Set, map[string]string{cloud.TagLocked: until.UTC().Format(time.RFC3339)})
	}
	if err != nil {
		c.failed(s, "lock", "", err)
		return
	}
	c.done.Locked++
	c.say(s, "locked", "", fmt.Sprintf("%s, until %s", l.Mode, until.UTC().Format(time.DateOnly)))
}

// What is noted of a set that is not shared, and never again will be.
const (
	ended = "ended"
	never = "refused"
)

// share lets the accounts use a set, wholly or not at all: whoever is given half
// of one has nothing. It is shared once, and while it is young enough to be so.
func (c *curator) share(ctx context.Context, s retention.Decision) {
	p := c.policy.Share
	old := !p.UnshareAfter.IsZero() && !s.TakenAt.After(p.UnshareAfter.Before(c.now))
	if p.IsZero() || old || c.home.tag(s.Set, cloud.TagShared) != "" || c.archivedAny(s) || !c.may(ctx) {
		return
	}
	for _, m := range c.home.members(s.Set) {
		good, err := c.mayGive(ctx, m.Key)
		if err == nil && !good {
			err = fault.New(fault.ShareRefused, "%s is encrypted with %s, which is AWS's own: nothing of the set is shared", m.ID, m.Key)
			if noted := c.home.note(ctx, s.Set, map[string]string{cloud.TagShared: never}); noted != nil {
				err = noted
			}
		}
		if err != nil {
			c.failed(s, "share", "", err)
			return
		}
	}
	for _, id := range s.IDs {
		if !c.may(ctx) {
			return
		}
		if err := c.here.Share(ctx, id, p.Accounts); err != nil {
			c.failed(s, "share", "", err)
			return
		}
	}
	if err := c.home.note(ctx, s.Set, map[string]string{cloud.TagShared: c.now.UTC().Format(time.RFC3339)}); err != nil {
		c.failed(s, "share", "", err)
		return
	}
	c.done.Shared++
	c.say(s, "shared", "", fmt.Sprintf("with %d accounts", len(p.Accounts)))
}

// mayGive asks once for a key.
func (c *curator) mayGive(ctx context.Context, key string) (bool, error) {
	if good, known := c.giveable[key]; known {
		return good, nil
	}
	good, err := c.here.Giveable(ctx, key)
	if err == nil {
		c.giveable[key] = good
	}
	return good, err
}

// unshare takes it back in time, whatever has become of the set.
func (c *curator) unshare(ctx context.Context, s retention.Decision) {
	p := c.policy.Share
	since, err := time.Parse(time.RFC3339, c.home.sharedSince(s.Set))
	if p.UnshareAfter.IsZero() || err != nil || since.After(p.UnshareAfter.Before(c.now)) || !c.may(ctx) {
		return
	}
	for _, id := range s.IDs {
		if !c.may(ctx) {
			return
		}
		if err := c.here.Unshare(ctx, id, p.Accounts); err != nil {
			c.failed(s, "unshare", "", err)
			return
		}
	}
	if err := c.home.note(ctx, s.Set, map[string]string{cloud.TagShared: ended}); err != nil {
		c.failed(s, "unshare", "", err)
		return
	}
	c.done.Unshared++
	c.say(s, "unshared", "", "it was shared since "+since.UTC().Format(time.DateOnly))
}

// sharedSince is the time on any member that has one: one that is shared must be
// taken back, whatever the others say.
func (s *shelf) sharedSince(set retention.Set) string {
	for _, m := range s.members(set) {
		if v := m.Tags[cloud.TagShared]; v != "" && v != never && v != ended {
			return v
		}
	}
	return ""
}

func (c *curator) archivedAny(s retention.Decision) bool {
	for _, m := range c.home.members(s.Set) {
		if m.Archived {
			return true
		}
	}
	return false
}
