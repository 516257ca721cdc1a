package prune

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
)

// Budget keeps one call of the function under the request limits of the account
// and Region, which runs and people share: DeleteSnapshot and CreateTags take
// 100 calls at once and then 5 and 10 a second, what only looks takes 20. None
// of the burst is used. What is over the budget is left to the next day.
var Budget = struct {
	Snapshots                                       int
	DeletesPerSecond, MarksPerSecond, AsksPerSecond float64
	Reserve                                         time.Duration // before the function's end no further set is begun
}{2000, 4, 8, 10, 30 * time.Second}

// Delete deletes the sets that are to go, the oldest first, but before them
// those whose deletion has begun. A set is marked on all its members before the
// first is deleted, so that a deletion that breaks off leaves none that looks
// like a good one, and the next run finishes it. The error has the code of the
// first failure, unless it is nil; each set has its own.
func (p *Plan) Delete(ctx context.Context, k cloud.Keeper, now func() time.Time) error {
	var first error
	stopped := false
	for _, s := range p.doomed() {
		if stopped = stopped || p.spent(ctx, s, now()); stopped {
			s.Fate = Left
			continue
		}
		err := p.delete(ctx, k, s)
		if err == nil {
			continue
		}
		s.Fate, s.Code = Failed, fault.CodeOf(err)
		s.Why = append(s.Why, err.Error())
		if first == nil {
			first = err
		}
		// Whoever is throttled, or hears nothing, makes it worse by going on.
		stopped = s.Code == fault.Throttled || s.Code == fault.Unavailable
	}
	if first == nil {
		return nil
	}
	failed, _, _ := p.Count(Failed)
	return fault.Wrap(fault.CodeOf(first), first, "%d sets of the policy %s could not be deleted, the first for this reason", failed, p.Policy)
}

// doomed are the sets that go, in the order in which they go.
func (p *Plan) doomed() (sets []*Set) {
	for i := range slices.Backward(p.Sets) {
		if p.Sets[i].Fate == Removed {
			sets = append(sets, &p.Sets[i])
		}
	}
	slices.SortStableFunc(sets, func(a, b *Set) int { return min(b.Marked, 1) - min(a.Marked, 1) })
	return sets
}

// spent tells that the set is not to be begun any more. The first one is, even
// if it is larger than the budget: it would never be.
func (p *Plan) spent(ctx context.Context, s *Set, now time.Time) bool {
	deadline, limited := ctx.Deadline()
	return limited && now.Add(Budget.Reserve).After(deadline) || p.budget < len(s.IDs) && p.budget < Budget.Snapshots
}

func (p *Plan) delete(ctx context.Context, k cloud.Keeper, s *Set) error {
	if err := p.ask(ctx, k, s); err != nil || s.Keep {
		return err
	}
	p.budget -= len(s.IDs)
	fresh := s.Marked < len(s.IDs)
	if fresh {
		if err := p.marks.wait(ctx); err != nil {
			return err
		}
		// The run's tag is written again as it is: the right to tag is bound to it.
		err := k.TagSnapshots(ctx, s.IDs, map[string]string{cloud.TagRun: s.RunID, cloud.TagDeleting: p.At.UTC().Format(time.RFC3339)})
		if err != nil {
			return err
		}
		s.Marked = len(s.IDs)
		// Who begins to test it marks it too, and looks then: one of the two sees
		// the other.
		by, err := k.UnderTest(ctx, s.IDs)
		if err != nil {
			return err
		}
		if by != "" {
			s.Keep, s.Orphan, s.Fate, s.Why = true, true, Orphan, []string{"under test by " + by, "its deletion has begun"}
			return nil
		}
	}
	for i, id := range s.IDs {
		if err := p.deletes.wait(ctx); err != nil {
			return err
		}
		err := k.DeleteSnapshot(ctx, id)
		if fresh && fault.CodeOf(err) == fault.AccessDenied {
			fresh = false
			if err = settle(ctx); err == nil {
				err = k.DeleteSnapshot(ctx, id)
			}
		}
		if err != nil {
			return fmt.Errorf("after %d of %d snapshots: %w", i, len(s.IDs), err)
		}
	}
	s.Fate = Deleted
	return nil
}

// settle waits until a mark is seen by those who decide what may be deleted:
// the right to is bound to it, and tags are not seen everywhere at once.
func settle(ctx context.Context) error {
	p := pacer{next: time.Now().Add(5 * time.Second)}
	return p.wait(ctx)
}

// pacer lets calls through at a rate, without a burst.
type pacer struct {
	every time.Duration
	next  time.Time
}

func second(rate float64) time.Duration { return time.Duration(float64(time.Second) / rate) }

func (p *pacer) wait(ctx context.Context) error {
	now := time.Now()
	if p.next.Before(now) {
		p.next = now
	}
	t := time.NewTimer(p.next.Sub(now))
	defer t.Stop()
	p.next = p.next.Add(p.every)
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return fault.Wrap(fault.Unavailable, ctx.Err(), "wait for the next call")
	}
}
