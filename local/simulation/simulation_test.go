package simulation

import (
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
	"time"
)

func site(t *testing.T) *Site {
	t.Helper()
	s, err := Deploy(nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// live lives through one schedule in a bubble of its own. A world in which
// something waits for ever is a violation, and no end of the others.
func live(t *testing.T, s *Site, schedule Schedule, tell bool) (h *History) {
	t.Helper()
	defer func() {
		if p := recover(); p != nil {
			h = &History{Schedule: schedule, Violations: []string{fmt.Sprint(p)}}
			if tell {
				h.Timeline = strings.Split(string(debug.Stack()), "\n")
			}
		}
	}()
	synctest.Test(t, func(t *testing.T) {
		cryptotest.SetGlobalRandom(t, schedule.Seed)
		var err error
		if h, err = s.Run(schedule, tell); err != nil {
			t.Fatalf("%s: %v", schedule, err)
		}
	})
	return h
}

// judged fails the test by what is wrong with a history, and counts it.
func judged(t *testing.T, s *Site, h *History) {
	t.Helper()
	counted(t, h)
	if len(h.Violations) == 0 {
		return
	}
	t.Errorf("%s\n    %s", h.Schedule, strings.Join(h.Violations, "\n    "))
	if *bare { // a test's own words come when it has ended, which may be hours later
		fmt.Printf("VIOLATION %s\n    %s\n", h.Schedule, strings.Join(h.Violations, "\n    "))
	}
	if *story {
		for _, line := range live(t, s, h.Schedule, true).Timeline {
			t.Log(line)
		}
	}
	if *brief {
		t.FailNow()
	}
}

// calm lives through every setup with nothing going wrong.
func calm(t *testing.T, s *Site) (all []*History) {
	t.Helper()
	return calmIn(t, s, Setups)
}

func calmIn(t *testing.T, s *Site, setups []Setup) (all []*History) {
	t.Helper()
	for _, setup := range setups {
		h := live(t, s, Schedule{Seed: 1, Setup: setup}, false)
		judged(t, s, h)
		if v := h.Runs[0].Verdict; setup.always() == nil && (v == nil || string(v.Outcome) != "completed") {
			t.Fatalf("with nothing going wrong %s ends with %+v", setup, v)
		}
		all = append(all, h)
	}
	return all
}

// measured counts what one test does, which answers how far it came.
func measured(name string, do func() (through uint64)) {
	runs, violations := total.Runs, total.Violations
	through := do()
	total.Parts = append(total.Parts, part{name, total.Runs - runs, total.Violations - violations, through})
}

// TestSingles tries every kind of fault at every point of every setup. A fault
// that was planned there and did not happen has shown nothing.
func TestSingles(t *testing.T) {
	singles(t, "singles", Setups, 1)
}

// singles tries each once, and each n-th again where another setup offers it.
func singles(t *testing.T, name string, setups []Setup, n int) {
	t.Helper()
	s := site(t)
	measured(name, func() uint64 {
		for i, one := range Sparingly(calmIn(t, s, setups), n) {
			if !mine(i + 1) {
				continue
			}
			h := live(t, s, one, false)
			judged(t, s, h)
			for _, f := range h.Unreached {
				t.Errorf("%s: the fault %s never happened", h.Schedule, f)
			}
		}
		return 0
	})
}

// TestPairs tries two faults at a time: all pairs of kinds at steps, or an even
// choice of them.
func TestPairs(t *testing.T) {
	both(t, "pairs", Setups, *pairs)
}

// both tries at most so many pairs; -1: all.
func both(t *testing.T, name string, setups []Setup, most int) {
	t.Helper()
	s := site(t)
	measured(name, func() uint64 {
		all := Pairs(calmIn(t, s, setups))
		step := 1
		if most >= 0 {
			step = max(1, len(all)/max(most, 1))
		}
		for i := 0; i < len(all); i += step {
			if mine(i / step) {
				judged(t, s, live(t, s, all[i], false))
			}
		}
		return 0
	})
}

// TestRandom lives through random schedules.
func TestRandom(t *testing.T) {
	n := *many
	if n == 0 {
		n = ciSeeds
	}
	chosen(t, "random", Setups, n)
}

// chosen lives through n schedules that chance draws.
func chosen(t *testing.T, name string, setups []Setup, n int) {
	t.Helper()
	s := site(t)
	measured(name, func() (through uint64) {
		chance := NewChance(calmIn(t, s, setups))
		began := time.Now()
		last := began
		for i := range n {
			if !mine(i) {
				continue
			}
			if *span > 0 && time.Since(began) > *span {
				return through
			}
			through = *from + uint64(i)
			judged(t, s, live(t, s, chance.Draw(*from+uint64(i)), false))
			if *many > 0 && time.Since(last) > time.Minute {
				last = time.Now()
				progress(i)
			}
		}
		return through
	})
}

// TestSimulation tells the whole story of one seed.
func TestSimulation(t *testing.T) {
	if *seed == 0 {
		t.Skip("-seed=N names no seed")
	}
	setups := Setups
	if *abroad {
		setups = AlibabaSetups
	}
	s := site(t)
	h := live(t, s, NewChance(calmIn(t, s, setups)).Draw(*seed), true)
	for _, line := range h.Timeline {
		t.Log(line)
	}
	if len(h.Violations) > 0 {
		t.Error("it has a violation")
	}
}

// A seed is one history: lived through again, it is the same to the last line.
func TestTheSameSeedIsTheSameHistory(t *testing.T) {
	if raced {
		t.Skip("the race detector has the scheduler choose at random; `make test` runs this without it")
	}
	twice(t, Setups, 25)
}

// twice lives through the schedules of n seeds two times each.
func twice(t *testing.T, setups []Setup, n uint64) {
	t.Helper()
	s := site(t)
	chance := NewChance(calmIn(t, s, setups))
	if *many > 0 {
		n = uint64(*many)
	}
	for seed := *from; seed < *from+n; seed++ {
		first := live(t, s, chance.Draw(seed), true).Timeline
		again := live(t, s, chance.Draw(seed), true).Timeline
		if !slices.Equal(first, again) {
			for i := range min(len(first), len(again)) {
				if first[i] != again[i] {
					t.Errorf("seed %d differs in line %d:\n%s\n%s", seed, i, first[i], again[i])
					break
				}
			}
		}
	}
}
