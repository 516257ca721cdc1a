package prune

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/retention"
)

// Plan is what is to become of every set of a policy, newest first.
type Plan struct {
	Policy string
	At     time.Time // by the provider's clock
	Sets   []Set

	budget               int // of snapshots
	asks, marks, deletes pacer
}

// Set is one set with its decision, and what came of it.
type Set struct {
	retention.Decision
	Fate Fate
	Code fault.Code // of what failed
}

// Fate is what becomes of a set, or became.
type Fate string

const (
	Kept    Fate = "kept"
	Orphan  Fate = "orphan" // kept, and a person must look
	Removed Fate = "removed"
	Deleted Fate = "deleted"
	Left    Fate = "left"   // to be removed by the next run: the budget is spent
	Failed  Fate = "failed" // it could not be deleted; the next run tries again
)

// Look lists the policy's sets and decides: those that were taken there, or the
// copies of those of another Region. The two do not count against each other,
// though they carry one name: an instance is of one Region. What else may hold a set is asked
// for by Ask, or by Delete right before it deletes it.
func Look(ctx context.Context, k cloud.Keeper, asked Request) (*Plan, error) {
	name := asked.Policy.Name
	rule, from := asked.Rule()
	stock, err := k.Stored(ctx, name)
	if err != nil {
		return nil, err
	}
	sets := slices.DeleteFunc(retention.Sets(stock.Snapshots), func(s retention.Set) bool { return s.From != from })
	for i := range sets {
		sets[i].Release(asked.Policy.Archive.Keep, stock.At)
	}
	decisions, err := retention.Decide(rule, stock.At, sets)
	if err != nil {
		return nil, fault.Input("policy.retention", "%v", err)
	}
	p := &Plan{Policy: name, At: stock.At, Sets: make([]Set, len(decisions)), budget: Budget.Snapshots}
	p.asks.every, p.marks.every, p.deletes.every = second(Budget.AsksPerSecond), second(Budget.MarksPerSecond), second(Budget.DeletesPerSecond)
	for i, d := range decisions {
		p.Sets[i] = Set{Decision: d, Fate: Removed}
		switch {
		case d.Orphan:
			p.Sets[i].Fate = Orphan
		case d.Keep:
			p.Sets[i].Fate = Kept
		}
	}
	return p, nil
}

// Ask asks of every set that is to go what else holds it. Codes: those of Holds.
func (p *Plan) Ask(ctx context.Context, k cloud.Keeper) error {
	for i := range p.Sets {
		if s := &p.Sets[i]; s.Fate == Removed {
			if err := p.ask(ctx, k, s); err != nil {
				return err
			}
		}
	}
	return nil
}

// ask keeps a set that something holds. Half of one whose deletion has begun is
// of no use to whoever holds it, hence a person must look.
func (p *Plan) ask(ctx context.Context, k cloud.Keeper, s *Set) error {
	for range s.IDs {
		if err := p.asks.wait(ctx); err != nil {
			return err
		}
	}
	held, err := k.Holds(ctx, s.IDs)
	if err != nil || len(held) == 0 {
		return err
	}
	s.Held, s.Why, s.Keep, s.Fate = slices.Concat(s.Held, held), held, true, Kept
	if s.Marked > 0 {
		s.Orphan, s.Fate = true, Orphan
		s.Why = append(s.Why, "its deletion has begun")
	}
	return nil
}

// Count is how many sets have a fate, with their snapshots and sizes.
func (p *Plan) Count(f Fate) (sets, snapshots int, gib int64) {
	for _, s := range p.Sets {
		if s.Fate == f {
			sets, snapshots, gib = sets+1, snapshots+len(s.IDs), gib+s.SizeGiB
		}
	}
	return sets, snapshots, gib
}

// why is one line of the reasons.
func (s Set) why() string { return strings.Join(s.Why, "; ") }
