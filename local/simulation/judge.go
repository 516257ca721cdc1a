package simulation

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/quiesce/quiesce/events"
	"github.com/quiesce/quiesce/local/fault"
	"github.com/quiesce/quiesce/local/ledger"
	"github.com/quiesce/quiesce/local/sim"
	"github.com/quiesce/quiesce/shared/plugin"
	"github.com/quiesce/quiesce/shared/protocol"
	"github.com/quiesce/quiesce/shared/run"
)

const (
	tolerance = 500 * time.Millisecond // of a thaw, beyond its deadline
	sessions  = 2 * time.Minute        // a session outlives its scripts and its window by
	releases  = 25 * time.Second       // then letting go may take
)

// judge holds a history against every property. None of them asks the code
// under test what it thinks of it.
func (w *world) judge(h *History) {
	t := learn(w.happened(), volumes)
	say := func(format string, args ...any) {
		h.Violations = append(h.Violations, fmt.Sprintf(format, args...))
	}
	w.neverLeftFrozen(t, h, say)
	w.writesAgain(t, h, say)
	w.asBefore(h, say)
	for _, r := range h.Runs {
		w.ends(r, say)
		w.neverOverclaims(t, r, say)
		w.oneSet(t, r, say)
		w.isTold(h, r, say)
		w.neverUnderclaims(h, r, say)
	}
	w.further(t, h, say)
}

type sayer func(format string, args ...any)

// neverLeftFrozen: no freeze of a run comes before its guard or lasts past its
// deadline, no freeze of anybody's is left, and nobody's freeze is thawed by a run that did not make it.
func (w *world) neverLeftFrozen(t *truth, h *History, say sayer) {
	deadline := time.Duration(w.asked.Freeze.DeadlineSeconds) * time.Second
	end := time.Since(w.began)
	for _, x := range t.epochs {
		to := x.to
		if x.open {
			to = end
		}
		if x.run != "" && x.run != theTool && !x.guarded {
			say("%s was frozen by %s before a guard stood behind it", x.mount, x.run)
		}
		switch {
		case x.run == "" && x.open:
			say("%s is frozen by somebody else, who took that back", x.mount)
		case x.run == "" && !slices.Contains([]string{"somebody else", "power", theTool}, x.by):
			say("%s was frozen by somebody else at %s and thawed by %s", x.mount, stamp(x.from), x.by)
		case x.run != "" && x.open:
			say("%s is left frozen by %s", x.mount, x.run)
		case x.run == theTool: // when it lets go by itself is its own
		case x.run != "" && max(to-t.beneath(x, to, w)-x.from, 0) > deadline+tolerance && !w.forsaken(x.from, to, x.mount) && !w.withheld(h, x):
			say("%s was frozen for %s by %s, past the deadline of %s", x.mount, to-x.from, x.run, deadline)
		}
	}
}

// beneath is for how long of a freeze's end a stranger's freeze of the filesystem
// that it lies on stood in the way of its thaw.
func (t *truth) beneath(x *epoch, to time.Duration, w *world) time.Duration {
	if !w.schedule.Setup.Stacked || x.mount != w.mounts[1] {
		return 0
	}
	for _, under := range t.epochs {
		if under.mount == w.mounts[0] && under.run == "" && under.from < to && under.to > to-tolerance {
			return to - max(under.from, x.from)
		}
	}
	return 0
}

// forsaken reports that whoever stood behind a freeze or a rest was killed: the
// helper, its keeper, and the guard if it was a freeze. Then it is the next
// command that lets go, and until one comes nobody does.
func (w *world) forsaken(from, to time.Duration, mount string) bool {
	var helper, keeper, guard, gone time.Duration
	told := false
	for _, e := range w.happened() {
		switch {
		case e.Kind == sim.Died && e.By == "the helper":
			helper = e.At
		case e.Kind == sim.Died && e.By == "the keeper":
			keeper = e.At
		case e.Kind == sim.Died && e.By == "the guard" && e.Mount == mount:
			guard = e.At
		}
		if gone == 0 && helper > 0 && keeper > 0 && (guard > 0 || mount == "") {
			gone = max(helper, keeper, guard)
		}
		if gone > 0 && e.Kind == sim.Told && e.At > gone && e.At < to-30*time.Second && (e.Text == string(protocol.Begin) || e.Text == string(protocol.Thaw)) {
			told = true
		}
	}
	return gone > from && gone < to && !told
}

// withheld reports that the kernel holds the helper's own thaw, and that the guard
// behind it was killed: nobody else is there who would.
func (w *world) withheld(h *History, x *epoch) bool {
	held := slices.ContainsFunc(h.Hit, func(f fault.Fault) bool {
		return f.Kind == fault.Stall && (f.Target == "thaw/thaw" || f.Target == "thaw/rescue")
	})
	return held && slices.ContainsFunc(w.happened(), func(e sim.Event) bool {
		return e.Kind == sim.Died && e.By == "the guard" && e.Mount == x.mount && (x.open || e.At < x.to)
	})
}

// writesAgain: the application rests no longer than its session may last, and
// writes in the end. Where its release itself was made to fail, a person was
// told.
func (w *world) writesAgain(t *truth, h *History, say sayer) {
	w.mu.Lock()
	off := w.off
	w.mu.Unlock()
	if off {
		return // it went down with the machine
	}
	if w.schedule.Setup.Plugin && leftQuiesced(h) {
		w.isAlarmed(h, say)
		return
	}
	limit := 2*w.asked.Application.Limit() + time.Duration(w.asked.Freeze.DeadlineSeconds)*time.Second + sessions + releases
	if w.schedule.Setup.Plugin {
		limit = plugin.Limit + releases // the tool's command may take so long
	}
	end := time.Since(w.began)
	for _, p := range t.pauses {
		to := p.to
		if p.open {
			to = end
		}
		if to-p.from > limit && !w.forsaken(p.from, to, "") && !w.refusedRelease(h) {
			say("the application was held for %s by %s, longer than %s", to-p.from, p.by, limit)
		}
	}
	holders := w.ledger.Holders()
	if len(holders) > 0 {
		if w.refusedRelease(h) {
			w.isAlarmed(h, say)
		} else {
			say("the application is held by %v in the end", holders)
		}
		return
	}
	for _, m := range w.mounts {
		if w.sim.Frozen(m) {
			return // said already
		}
	}
	w.ledger.Pace(100 * time.Millisecond)
	before, _ := w.ledger.Last(w.life)
	w.rest(3 * time.Second)
	if after, _ := w.ledger.Last(w.life); after.N <= before.N {
		say("the application does not write in the end")
	}
}

// isAlarmed: who is to release the application was told that it is held, unless
// nothing tells even of the end of the run that held it.
func (w *world) isAlarmed(h *History, say sayer) {
	if slices.ContainsFunc(h.Runs, w.unheard) {
		return
	}
	if w.schedule.Setup.Plugin && slices.ContainsFunc(h.Runs, (*Ended).broken) {
		return // its janitor commands nothing, hence hears nothing
	}
	if holders := w.ledger.Holders(); len(holders) > 0 && !w.busDown(h) && !slices.ContainsFunc(h.Runs, func(r *Ended) bool { return r.Alarms > 0 }) {
		say("the application is held by %v in the end, and nobody was told", holders)
	}
}

// refusedRelease reports that what lets the application go was itself made to
// fail for good, or held up past its limits: a script's own failure, or a
// server's that was asked again and again. A person is told then.
func (w *world) refusedRelease(h *History) bool {
	n := 0
	for _, f := range h.Hit {
		release := slices.Contains([]string{"thaw/script", "thaw/scripted", "thaw/release", "thaw/undo"}, f.Target)
		if release && (f.Kind == fault.Refuse || f.Kind == fault.Stall) {
			n++
		}
	}
	return n > 0 && (w.server == nil || n > 2 || slices.ContainsFunc(h.Hit, func(f fault.Fault) bool { return f.Kind == fault.Stall || f.Target == "thaw/undo" }))
}

// asBefore: a server has no lock, no session and no setting left.
func (w *world) asBefore(h *History, say sayer) {
	if w.server == nil {
		return
	}
	locked, open, changed := w.server.State()
	if w.refusedRelease(h) {
		return
	}
	if locked != "" || open > 0 {
		say("the server is locked by %q and has %d sessions in the end", locked, open)
	}
	if len(changed) > 0 {
		say("the server's settings are left changed: %v", changed)
	}
}

// ends: a run reaches an end, and it is one of its own unless somebody stopped
// it: an error that no state took is left to the janitor, who never judges.
func (w *world) ends(r *Ended, say sayer) {
	switch {
	case r.Status == "RUNNING":
		say("%s does not end: %v", r.ID, r.States)
	case r.Status == "FAILED" && r.Error != "FailedClean" && r.Error != "FailedDirty":
		say("%s broke off in %s: %s: %s", r.ID, r.States[len(r.States)-1], r.Error, r.Cause)
	}
}

// neverOverclaims: neither the verdict nor a tag nor an event says more than
// was so, and the set is what it is called.
func (w *world) neverOverclaims(t *truth, r *Ended, say sayer) {
	allowed := run.Consistency("")
	var set *copied
	for i, c := range t.copies {
		if w.belongs(c, r) && !w.spare(c, r) {
			allowed, set = c.allows(r.ID, w), &t.copies[i]
		}
	}
	check := func(what string, claimed run.Consistency) {
		if claimed.Rank() > allowed.Rank() {
			say("%s: %s says %s, and no more than %q is true", r.ID, what, claimed, allowed)
		}
	}
	if r.Verdict != nil {
		check("the verdict", r.Verdict.Consistency)
		if set != nil && r.Verdict.Consistency != "" {
			w.oracle(*set, r, say)
		}
	}
	for id, tags := range r.Tags {
		switch c := tags["quiesce:consistency"]; c {
		case "", "none":
		default:
			check("the tag of "+id, run.Consistency(c))
		}
		if tags["AppConsistent"] == "True" {
			check("AppConsistent of "+id, run.Application)
		}
		if tags["FsConsistent"] == "True" {
			check("FsConsistent of "+id, run.Filesystem)
		}
	}
	for _, f := range r.Finals {
		check("the event "+f.Type, f.Consistency)
		if f.Type == events.TypeCompleted {
			check("the event "+f.Type, run.Consistency(w.asked.Asked()))
		}
	}
}

// neverUnderclaims: a run in whose way nothing came gets what was asked for.
func (w *world) neverUnderclaims(h *History, r *Ended, say sayer) {
	s := w.schedule
	calm := len(h.Hit) == 0 && len(s.Strikes) == 0 && s.Setup.Second == 0
	if calm && s.Setup.Completion < time.Hour && (r.Verdict == nil || r.Verdict.Outcome != run.OutcomeCompleted) {
		say("%s ended %s with %+v, and nothing came in its way", r.ID, r.Status, r.Verdict)
	}
}

func (w *world) belongs(c copied, r *Ended) bool {
	for _, id := range c.set {
		if _, ok := r.Tags[id]; ok {
			return true
		}
	}
	return false
}

// oracle restores the set and looks at what is in it, for what it is called. The
// window is the world's own.
func (w *world) oracle(c copied, r *Ended, say sayer) {
	acks, _ := w.ledger.Acks()
	at := w.mono(c.at)
	k := ledger.Case{Asked: r.Verdict.Consistency, Acks: acks, Call: ledger.Span{Start: at, End: at}}
	for _, volume := range slices.Sorted(maps.Keys(c.set)) {
		contents, log, err := w.sim.Held(c.set[volume])
		if err != nil {
			say("%s: %v", r.ID, err)
			return
		}
		k.Volumes = append(k.Volumes, ledger.Volume{Name: w.of[volume], Contents: contents, Log: &log})
	}
	if r.Verdict.Consistency.Rank() >= run.Filesystem.Rank() && len(c.frozen) == volumes {
		k.Window = ledger.Window{ThawAt: at + 1}
		for _, x := range c.frozen {
			k.Window.FrozenAt = max(k.Window.FrozenAt, w.mono(x.from))
		}
	}
	if got := ledger.Verify(k); !got.Verified {
		say("%s: the set is called %s, and the oracle finds %v", r.ID, r.Verdict.Consistency, got.Findings)
	}
}

// mono is a moment on the machine's monotonic clock.
func (w *world) mono(at time.Duration) int64 { return int64(time.Second) + int64(at) }

// oneSet: at most one set is made for a run, whole, by one call, and whatever
// there is of it is labelled or told of.
func (w *world) oneSet(t *truth, r *Ended, say sayer) {
	sets, n := 0, len(r.Tags)
	for _, c := range t.copies {
		switch {
		case !w.belongs(c, r):
		case w.spare(c, r):
			n -= len(c.set)
		default:
			sets++
		}
	}
	if sets > 1 || n > volumes {
		say("%s made %d sets of %d snapshots", r.ID, sets, n)
	}
	if n != 0 && n != volumes {
		say("%s has %d snapshots of %d volumes", r.ID, n, volumes)
	}
	if r.Verdict != nil && r.Verdict.Outcome == run.OutcomeFailedClean {
		for id, tags := range r.Tags {
			if tags["quiesce:consistency"] != "none" {
				say("%s failed clean, and left %s labelled %q", r.ID, id, tags["quiesce:consistency"])
			}
		}
	}
}

// untagged: every snapshot carries its run's tag. The provider's own tool puts
// none on: the run does, as soon as it has heard of the set, and where it was
// stopped before, or its tag step cannot write, the group's name is all there is.
func (w *world) untagged(h *History, found map[string]snapshot) (list []string) {
	if w.schedule.Setup.Plugin && slices.ContainsFunc(h.Runs, func(r *Ended) bool { return r.broken() || r.States[len(r.States)-1] == "FailedUnlabelled" }) {
		return nil
	}
	for _, id := range slices.Sorted(maps.Keys(found)) {
		if s := found[id]; s.tags["quiesce:run"] == "" {
			list = append(list, fmt.Sprintf("the snapshot %s carries no run's tag: %v", id, s.tags))
		}
	}
	return list
}

// broken tells that somebody or the execution's own time ended the run.
func (r *Ended) broken() bool { return r.Status == "ABORTED" || r.Status == "TIMED_OUT" }

// unheard tells that a run was ended from outside and that no event came of that:
// the services' own events are best effort. Where a timer looks, none is missed.
func (w *world) unheard(r *Ended) bool {
	setup := w.schedule.Setup
	return r.broken() && setup.Deaf && setup.Cloud != Alibaba
}

// isTold: the end of a run is on the bus, and agrees with the run's own; or the
// bus did not take it.
func (w *world) isTold(h *History, r *Ended, say sayer) {
	if w.busDown(h) || w.unheard(r) {
		return
	}
	if len(r.Finals) == 0 {
		say("%s ended %s and no event tells of it: %s", r.ID, r.Status, strings.Join(r.States, " "))
	}
	want := events.TypeFailed
	if r.Verdict != nil && r.Status == "SUCCEEDED" {
		want = map[run.Outcome]string{run.OutcomeCompleted: events.TypeCompleted, run.OutcomeDegraded: events.TypeDegraded}[r.Verdict.Outcome]
	}
	// A tag step that told the end and then failed is overruled by what comes
	// last. One whose execution was stopped goes on alone, and its word holds.
	if n := len(r.Finals); n > 0 && !r.broken() && r.Finals[n-1].Type != want {
		say("%s ended %s, and the last event tells %s", r.ID, r.Status, r.Finals[n-1].Type)
	}
}

// busDown reports that the plan kept events from the bus.
func (w *world) busDown(h *History) bool {
	return slices.ContainsFunc(h.Hit, func(f fault.Fault) bool {
		return f.Kind == fault.BusDown || strings.HasSuffix(f.Target, "PutEvents")
	})
}

func stamp(d time.Duration) string { return fmt.Sprintf("%.3fs", d.Seconds()) }
