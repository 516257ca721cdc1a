package simulation

import (
	"encoding/json"
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quiesce/quiesce/local/fault"
)

var (
	hunt   = flag.Bool("hunt", false, "stop at the first violation, to tell whether a planted bug is found")
	near   = flag.String("near", "", "what to try first: words of faults, with commas between")
	tries  = flag.String("tries", "", "whole schedules to try before all others: faults with blanks between, schedules with semicolons")
	others = flag.Int("others", 5000, "how many single faults to try that are not near")
	random = flag.Int("random", 600, "how many random schedules to hunt in, after all that")
)

// Found is the last line of a hunt.
type Found struct {
	Runs      int     `json:"runs"`
	Seconds   float64 `json:"seconds"`
	Schedule  string  `json:"schedule,omitempty"` // that shows the bug; empty: nothing was found
	Violation string  `json:"violation,omitempty"`
}

// marker begins the line of what a hunt has found.
const marker = "FOUND "

// TestHunt looks for one violation in a tree into which a bug was planted: first
// where nothing goes wrong, then among the single faults and pairs that are near
// it, then everywhere. The unchanged tree has none.
func TestHunt(t *testing.T) {
	if !*hunt {
		t.Skip("-hunt asks for it")
	}
	s := site(t)
	began := time.Now()
	var found Found
	try := func(schedule Schedule) bool {
		h := live(t, s, schedule, false)
		found.Runs++
		if len(h.Violations) > 0 {
			found.Schedule, found.Violation = schedule.String(), strings.Join(h.Violations, "; ")
		}
		return len(h.Violations) > 0
	}
	search(t, s, try)
	found.Seconds = float64(time.Since(began).Milliseconds()) / 1000
	line, err := json.Marshal(found)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("%s%s\n", marker, line)
}

// search tries schedules until one of them shows something.
func search(t *testing.T, s *Site, try func(Schedule) bool) {
	var all []*History
	setups := slices.Concat(Setups, AlibabaSetups, unusual)
	for _, setup := range setups {
		schedule := Schedule{Seed: 1, Setup: setup}
		if try(schedule) {
			return
		}
		h := live(t, s, schedule, false)
		if !slices.Contains(unusual, setup) {
			all = append(all, h)
		}
	}
	for _, setup := range setups {
		for _, text := range strings.FieldsFunc(*tries, func(r rune) bool { return r == ';' }) {
			if try(directed(t, setup, text)) {
				return
			}
		}
	}
	words := strings.Split(*near, ",")
	isNear := func(f fault.Fault) bool {
		return *near != "" && slices.ContainsFunc(words, func(w string) bool { return strings.Contains(f.String(), w) })
	}
	var first, rest, both []Schedule
	for _, h := range all {
		var close []fault.Fault
		for _, f := range Singles(h) {
			one := Schedule{Seed: uint64(len(first) + len(rest) + 1), Setup: h.Schedule.Setup, Faults: []fault.Fault{f}}
			if isNear(f) {
				first, close = append(first, one), append(close, f)
			} else {
				rest = append(rest, one)
			}
		}
		for i, a := range close {
			for _, b := range close[i+1:] {
				both = append(both, Schedule{Seed: uint64(len(both) + 1), Setup: h.Schedule.Setup, Faults: []fault.Fault{a, b}})
			}
		}
	}
	for _, part := range [][]Schedule{first, spread(both, 400), spread(rest, *others)} {
		if slices.ContainsFunc(part, try) {
			return
		}
	}
	chance := NewChance(all)
	for seed := range uint64(*random) {
		if try(chance.Draw(firstSeed + seed)) {
			return
		}
	}
}

// directed is a schedule in words: faults, and how late or slow they are where
// that matters: lateness=150s.
func directed(t *testing.T, setup Setup, text string) Schedule {
	t.Helper()
	s := Schedule{Seed: 1, Setup: setup}
	for _, word := range strings.Fields(text) {
		var err error
		switch name, value, _ := strings.Cut(word, "="); name {
		case "lateness":
			s.Lateness, err = time.ParseDuration(value)
		case "slowness":
			s.Slowness, err = time.ParseDuration(value)
		default:
			var f fault.Fault
			f, err = fault.Parse(word)
			s.Faults = append(s.Faults, f)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// spread is an even choice of at most so many.
func spread(all []Schedule, most int) (some []Schedule) {
	step := max(1, len(all)/most)
	for i := 0; i < len(all); i += step {
		some = append(some, all[i])
	}
	return some
}

// unusual are setups in which some bugs show without any fault.
var unusual = []Setup{
	{Name: "stacked", Stacked: true},
	{Name: "second", Second: 900 * time.Millisecond},
	{Name: "bare", Bare: true},
	{Name: "skewed", Skew: time.Hour},
	{Name: "slow", Unlisted: 3 * time.Second, Completion: 20 * time.Minute, Dirty: 2 << 30},
}
