package simulation

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/quiesce/quiesce/local/fault"
)

// mostOf is how many times of one point are each tried: polling comes through
// one again and again, and the third time is like the second.
const mostOf = 2

// Singles are all single faults that a history offers: every kind at every
// point that it reached.
func Singles(h *History) (all []fault.Fault) {
	for _, point := range slices.Sorted(maps.Keys(h.Points)) {
		if !h.Schedule.Setup.concerns(point) {
			continue
		}
		for _, kind := range fault.KindsOf(point) {
			if Excused(h.Schedule.Setup, point, kind) != "" {
				continue
			}
			for n := 1; n <= min(h.Points[point], mostOf); n++ {
				all = append(all, fault.Fault{Target: point, Kind: kind, N: n})
			}
		}
	}
	return all
}

// Sparingly are the singles of several histories: every one once, in the first
// history that offers it, and of those that others offer again each n-th.
func Sparingly(calm []*History, n int) (all []Schedule) {
	seen, again := map[fault.Fault]bool{}, 0
	for _, h := range calm {
		for _, f := range Singles(h) {
			if seen[f] {
				if again++; again%n != 0 {
					continue
				}
			}
			seen[f] = true
			all = append(all, Schedule{Seed: uint64(len(all) + 1), Setup: h.Schedule.Setup, Faults: []fault.Fault{f}})
		}
	}
	return all
}

// Excused tells why a kind cannot happen at a point, or would be another one
// there; empty if it can.
func Excused(s Setup, point string, kind fault.Kind) string {
	step, at, inside := strings.Cut(point, "/")
	operation := inside && slices.Contains(fault.Operations[step], at)
	switch {
	case s.Cloud == Alibaba && kind == fault.AgentBusy:
		return "its agent has no workers that others could take up"
	case s.Plugin && slices.Contains([]fault.Kind{fault.KillHelper, fault.KillGuard, fault.DiskFull}, kind):
		return "there is no helper"
	case !s.Server && kind == fault.KillSession:
		return "no session holds scripts"
	case operation && kind == fault.Refuse && slices.Contains([]string{"frozen", "thawed", "copy"}, at):
		return "it is over by then"
	case operation && kind == fault.Stall && slices.Contains([]string{"held", "copy", "save"}, at):
		return "it never waits"
	case inside && !operation:
		return ""
	case !inside && (kind == fault.Deny || kind == fault.LostReply || slices.Contains(ofCommand, kind) || kind == fault.ErrorSet):
		return "it is the step's main call's"
	}
	return ""
}

var ofCommand = []fault.Kind{fault.Duplicate, fault.Late, fault.Reorder, fault.AgentOffline}

// Cell is one field of the coverage table.
type Cell struct{ Runs, Unreached, Violations int }

// Coverage counts runs by step and kind.
type Coverage map[string]map[fault.Kind]*Cell

// Count enters a history.
func (c Coverage) Count(h *History) {
	for _, f := range h.Schedule.Faults {
		step, _, _ := strings.Cut(f.Target, "/")
		if c[step] == nil {
			c[step] = map[fault.Kind]*Cell{}
		}
		cell := c[step][f.Kind]
		if cell == nil {
			cell = &Cell{}
			c[step][f.Kind] = cell
		}
		if slices.Contains(h.Unreached, f) {
			cell.Unreached++
			continue
		}
		cell.Runs++
		if len(h.Violations) > 0 {
			cell.Violations++
		}
	}
}

// Merge adds another table.
func (c Coverage) Merge(other Coverage) {
	for step, kinds := range other {
		if c[step] == nil {
			c[step] = map[fault.Kind]*Cell{}
		}
		for kind, cell := range kinds {
			mine := c[step][kind]
			if mine == nil {
				mine = &Cell{}
				c[step][kind] = mine
			}
			mine.Runs += cell.Runs
			mine.Unreached += cell.Unreached
			mine.Violations += cell.Violations
		}
	}
}

// kinds are all that the table knows, in order.
func (c Coverage) kinds() []fault.Kind {
	seen := map[fault.Kind]bool{}
	for _, kinds := range c {
		for k := range kinds {
			seen[k] = true
		}
	}
	return slices.SortedFunc(maps.Keys(seen), cmp.Compare[fault.Kind])
}

// Pairs are two faults at a time, each of a kind at a step: all pairs of them,
// one schedule for each. Inside a step the first point that is good for the kind
// stands for all.
func Pairs(calm []*History) (all []Schedule) {
	for _, h := range calm {
		var first []fault.Fault
		seen := map[string]bool{}
		for _, f := range Singles(h) {
			step, _, _ := strings.Cut(f.Target, "/")
			if id := step + ":" + string(f.Kind); !seen[id] {
				seen[id] = true
				first = append(first, f)
			}
		}
		for i, a := range first {
			for _, b := range first[i+1:] {
				all = append(all, Schedule{Seed: uint64(len(all) + 1), Setup: h.Schedule.Setup, Faults: []fault.Fault{a, b}})
			}
		}
	}
	return all
}
