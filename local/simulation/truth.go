package simulation

import (
	"cmp"
	"slices"
	"time"

	"github.com/quiesce/quiesce/local/sim"
	"github.com/quiesce/quiesce/shared/run"
)

// epoch is one freeze of one filesystem, from when it stood to when it did not.
type epoch struct {
	mount    string
	run      string // whose it is, or the tool's; empty: somebody else's
	from, to time.Duration
	open     bool // it stands still
	by       string
	guarded  bool // a guard was armed for it before
}

// pause is one time of rest of the application.
type pause struct {
	by       string // the run or the session that holds it
	from, to time.Duration
	open     bool
}

// copied is one set, and what was true of it at its point in time.
type copied struct {
	at      time.Duration
	set     map[string]string // snapshots by their volumes
	frozen  []epoch           // of each volume's filesystem that stood; fewer than volumes: not all did
	resting *pause
	on      bool // the machine had power
}

// truth is what the world knows of a history. None of it was said by what is
// tested.
type truth struct {
	epochs []*epoch
	pauses []*pause
	copies []copied
}

// learn reads the world's events.
func learn(events []sim.Event, mounts int) *truth {
	t := &truth{}
	stands, guarded := map[string]*epoch{}, map[string]string{}
	var rests *pause
	on := true
	for _, e := range events {
		switch e.Kind {
		case sim.Guarded:
			guarded[e.Mount] = e.Run
		case sim.Froze:
			x := &epoch{mount: e.Mount, run: cmp.Or(e.Run, e.By), from: e.At, open: true, guarded: guarded[e.Mount] == e.Run}
			stands[e.Mount] = x
			t.epochs = append(t.epochs, x)
		case sim.Thawed:
			if x := stands[e.Mount]; x != nil {
				x.to, x.open, x.by = e.At, false, e.By
				delete(stands, e.Mount)
			}
		case sim.Went:
			on = e.Text == "on"
			for mount, x := range stands {
				x.to, x.open, x.by = e.At, false, "power"
				delete(stands, mount)
			}
			if rests != nil {
				rests.to, rests.open = e.At, false
				rests = nil
			}
		case sim.Rested:
			if rests != nil && rests.by == e.By {
				continue // a script that is tried again holds once
			}
			rests = &pause{by: e.By, from: e.At, open: true}
			t.pauses = append(t.pauses, rests)
		case sim.Resumed:
			if rests != nil && rests.by == e.By {
				rests.to, rests.open = e.At, false
				rests = nil
			}
		case sim.Copied:
			c := copied{at: e.At, set: e.Set, on: on, resting: rests}
			for _, x := range stands {
				c.frozen = append(c.frozen, *x)
			}
			slices.SortFunc(c.frozen, func(a, b epoch) int { return int(a.from - b.from) })
			t.copies = append(t.copies, c)
		}
	}
	return t
}

// allowsTool is the most that may be said of a set that the provider's own tool
// took: what that wrote on it. Where nobody got into its way it is true besides.
func (c copied) allowsTool(w *world) run.Consistency {
	said := w.said(c)
	if !w.alone() {
		return said
	}
	so, frozen := run.Crash, len(c.frozen) == volumes && c.on
	switch {
	case c.resting != nil && c.on && (frozen || w.schedule.Setup.Unfrozen):
		so = run.Application
	case frozen:
		so = run.Filesystem
	}
	if so.Rank() < said.Rank() {
		return so
	}
	return said
}

// allows is the most that may be said of a set: what was so at its point in
// time, by the run's own doing. What a stranger holds, the run cannot prove.
func (c copied) allows(runID string, w *world) run.Consistency {
	if w.schedule.Setup.Plugin {
		return c.allowsTool(w)
	}
	frozen := len(c.frozen) == volumes && c.on
	for _, x := range c.frozen {
		frozen = frozen && x.run == runID
	}
	rest := c.resting != nil && c.on
	if rest && w.server == nil {
		rest = c.resting.by == runID
	}
	for _, x := range c.frozen { // it was brought to rest before it was frozen
		rest = rest && (x.run != runID || c.resting.from < x.from)
	}
	switch {
	case rest && (frozen || w.schedule.Setup.Unfrozen && w.server == nil):
		return run.Application
	case frozen:
		return run.Filesystem
	}
	return run.Crash
}
