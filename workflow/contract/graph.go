package contract

import (
	"slices"
	"strings"
	"time"

	"github.com/quiesce/quiesce/workflow/asl"
)

// way finds a shortest way from a state to one that is wanted, never entering
// what is barred; nil if there is none.
func (c *checker) way(from string, barred func(string) bool, wanted func(*asl.State) bool) []string {
	seen := map[string]bool{from: true}
	for queue := [][]string{{from}}; len(queue) > 0; queue = queue[1:] {
		path := queue[0]
		s := c.m.States[path[len(path)-1]]
		if wanted(s) {
			return path
		}
		for _, e := range s.Edges() {
			if !seen[e.To] && !barred(e.To) {
				seen[e.To] = true
				queue = append(queue, append(slices.Clone(path), e.To))
			}
		}
	}
	return nil
}

// thaw checks that no way leads from the first state that touches the
// application to an end but through the thaw, and none back into the window.
func (c *checker) thaw() {
	if c.r.Quiescing == "" {
		return
	}
	thaw := c.r.Window[len(c.r.Window)-1]
	for _, name := range append([]string{c.r.Quiescing}, c.r.Window...) {
		if c.m.States[name] == nil {
			c.found("thaw", nil, "there is no state %s", name)
			return
		}
	}
	end := func(s *asl.State) bool { return len(s.Edges()) == 0 }
	if path := c.way(c.r.Quiescing, func(to string) bool { return to == thaw }, end); path != nil {
		c.found("thaw", c.m.States[c.r.Quiescing], "ends without %s: %s", thaw, strings.Join(path, " > "))
	}
	back := func(s *asl.State) bool {
		return s.Name == c.r.Quiescing || slices.Contains(c.r.Window[:len(c.r.Window)-1], s.Name)
	}
	if path := c.way(thaw, func(string) bool { return false }, back); path != nil {
		c.found("thaw", c.m.States[thaw], "leads back: %s", strings.Join(path, " > "))
	}
	first := func(to string) bool { return to == c.r.Quiescing }
	if path := c.way(c.m.StartAt, first, back); path != nil && path[len(path)-1] != c.r.Quiescing {
		c.found("thaw", c.m.States[c.r.Quiescing], "is passed by: %s", strings.Join(path, " > "))
	}
}

// undone checks that no failure of a state that changes the original leads to an
// end but through the state that puts it back.
func (c *checker) undone() {
	end := func(s *asl.State) bool { return len(s.Edges()) == 0 }
	for _, name := range c.r.Undone {
		s := c.m.States[name]
		if s == nil {
			c.found("undo", nil, "there is no state %s", name)
			continue
		}
		for _, e := range s.Edges() {
			if e.Catch == nil || e.To == c.r.Undoes {
				continue
			}
			if path := c.way(e.To, func(to string) bool { return to == c.r.Undoes }, end); path != nil {
				c.found("undo", s, "fails without %s: %s > %s", c.r.Undoes, name, strings.Join(path, " > "))
				break
			}
		}
	}
}

// window checks that its states follow each other directly, and that their
// retries do not wait as long as the shortest deadline.
func (c *checker) window() {
	for i, name := range c.r.Window {
		s := c.m.States[name]
		if s == nil || i == len(c.r.Window)-1 {
			return
		}
		if next := c.r.Window[i+1]; c.after(s) != next {
			c.found("window", s, "is followed by %s, not at once by %s", c.after(s), next)
		}
		if waits := waits(s); waits >= c.r.Deadline {
			c.found("window", s, "its retries may wait %v, the shortest deadline is %v", waits, c.r.Deadline)
		}
	}
}

// after is the state that follows by success and by no decision to the
// contrary, those that only decide left out.
func (c *checker) after(s *asl.State) string {
	next := s.Next
	for slices.Contains(c.r.Between, next) {
		t := c.m.States[next]
		switch t.Type {
		case asl.Pass:
			next = t.Next
		case asl.Choice:
			next = t.Default
		default:
			return next
		}
	}
	return next
}

// waits is the longest time that a state's retries can add up to, without the
// attempts themselves; of a Map, those of the state that waits longest.
func waits(s *asl.State) (sum time.Duration) {
	for _, b := range s.Branches {
		for _, t := range b.States {
			sum = max(sum, waits(t))
		}
	}
	for _, r := range s.Retry {
		d := float64(r.IntervalSeconds)
		for range r.MaxAttempts {
			if r.MaxDelaySeconds > 0 {
				d = min(d, float64(r.MaxDelaySeconds))
			}
			sum += time.Duration(d * float64(time.Second))
			d *= r.BackoffRate
		}
	}
	return sum
}

// pauses reports whether the state is where a cycle waits: for a time, or for
// an answer that may never come.
func pauses(s *asl.State) bool { return s.Type == asl.Wait || s.Callback() }

// loops checks that every cycle waits, and can be left by a Choice. An answer
// may come at once, but not again for the same thing; a failure that comes at
// once comes again, hence it leads to a Wait or out.
func (c *checker) loops() {
	for _, name := range c.m.Order {
		s := c.m.States[name]
		for _, e := range s.Edges() {
			isWait := func(to string) bool { return pauses(c.m.States[to]) }
			self := func(t *asl.State) bool { return t == s }
			if hasty := s.Callback() && e.Catch != nil && !slices.Equal(e.Catch.ErrorEquals, []string{asl.Timeout}); hasty {
				isWait = func(to string) bool { return c.m.States[to].Type == asl.Wait }
			} else if pauses(s) {
				continue
			}
			if isWait(e.To) {
				continue
			}
			if path := c.way(e.To, isWait, self); path != nil {
				c.found("loop", s, "runs without a Wait: %s > %s", name, strings.Join(path, " > "))
				break
			}
		}
		if pauses(s) && !c.leaves(s) {
			c.found("loop", s, "is in a loop that no Choice leaves")
		}
	}
}

// leaves reports whether a loop through s, if there is one, has a Choice with
// a way out.
func (c *checker) leaves(s *asl.State) bool {
	none := func(string) bool { return false }
	to := func(name string) func(*asl.State) bool { return func(t *asl.State) bool { return t.Name == name } }
	inLoop := func(name string) bool {
		return c.way(name, none, to(s.Name)) != nil
	}
	looping := false
	for _, e := range s.Edges() {
		looping = looping || inLoop(e.To)
	}
	if !looping {
		return true
	}
	for _, name := range c.m.Order {
		t := c.m.States[name]
		if t.Type != asl.Choice || !inLoop(name) || c.way(s.Name, none, to(name)) == nil {
			continue
		}
		for _, e := range t.Edges() {
			if !inLoop(e.To) {
				return true
			}
		}
	}
	return false
}
