package simulation

import (
	"maps"
	"slices"
	"time"

	"github.com/quiesce/quiesce/local/fault"
	"github.com/quiesce/quiesce/local/sim"
	"github.com/quiesce/quiesce/shared/protocol"
	"github.com/quiesce/quiesce/shared/run"
)

// What a run may take when nothing is in its way.
const (
	quietWindow = 900 * time.Millisecond // of a filesystem, the call and the commands around it included
	quietRest   = 4 * time.Second        // of the application
	quietEnd    = 2 * time.Minute        // from the set's completion to the run's end
	undone      = 10 * time.Millisecond  // from a freeze that comes too late to its thaw
	swept       = 15 * time.Second       // from the stop of an execution to the application's release
)

// further are properties that a run can break without leaving anything frozen,
// claimed or behind: that it does what it was asked for, and by itself.
func (w *world) further(t *truth, h *History, say sayer) {
	for _, r := range h.Runs {
		w.endsAsDefined(r, say)
		w.letsGoItself(r, say)
		w.takesNothingLess(t, r, say)
		w.isWhole(r, say)
		w.isOver(t, r, say)
		w.isFound(h, r, say)
	}
	setup := h.Schedule.Setup
	if setup.Name != "" && len(h.Hit) == 0 && len(h.Schedule.Strikes) == 0 && setup.Second == 0 {
		w.quiet(t, h, say)
	}
	w.isAskedAgain(t, h, say)
	if setup.always() != nil && len(h.Schedule.Faults) == 0 {
		w.isSwept(t, say)
	}
}

// endsAsDefined: what a definition does not foresee is no way to end.
func (w *world) endsAsDefined(r *Ended, say sayer) {
	if r.Status == "FAILED" && r.Error != "FailedClean" && r.Error != "FailedDirty" {
		say("%s ended by %q, which is no end of its own: %v", r.ID, r.Error, r.States)
	}
}

// letsGoItself: a run that may have touched the application thaws, and does not
// leave that to deadlines.
func (w *world) letsGoItself(r *Ended, say sayer) {
	broken := r.Status == "ABORTED" || r.Status == "TIMED_OUT" || r.Status == "RUNNING"
	if touched := slices.Index(r.States, "RunPrescript"); touched >= 0 && !broken && !slices.Contains(r.States[touched:], "Thaw") {
		say("%s touched the instance and never thawed: %v", r.ID, r.States)
	}
}

// takesNothingLess: a policy that would rather have nothing gets no set where
// the run never had anything frozen.
func (w *world) takesNothingLess(t *truth, r *Ended, say sayer) {
	if setup := w.schedule.Setup; !setup.Fail || setup.Unfrozen || setup.Plugin {
		return
	}
	for _, c := range t.copies {
		stood := slices.ContainsFunc(t.epochs, func(x *epoch) bool { return x.run == r.ID && x.from < c.at })
		if w.belongs(c, r) && !stood {
			say("%s took a set with nothing frozen, though its policy would rather have none", r.ID)
		}
	}
}

// isWhole: what is called consistent is complete on its disks.
func (w *world) isWhole(r *Ended, say sayer) {
	if r.Verdict == nil || r.Verdict.Consistency == "" {
		return
	}
	found, err := w.cloud.snapshots()
	if err != nil {
		say("nobody could look at the snapshots: %v", err)
		return
	}
	for _, id := range slices.Sorted(maps.Keys(r.Tags)) {
		s := found[id]
		if w.schedule.Setup.Plugin && s.tags["quiesce:consistency"] == "none" {
			continue // of a command that came through twice
		}
		if !slices.Contains(r.Verdict.SnapshotIDs, id) {
			say("%s is called %s, and leaves out its snapshot %s", r.ID, r.Verdict.Consistency, id)
		}
		if !s.complete {
			say("%s is called %s, and its snapshot %s is not complete", r.ID, r.Verdict.Consistency, id)
		}
		if r.Verdict.Record.EndedAt.Before(s.done) {
			say("%s was judged before its snapshot %s was complete", r.ID, id)
		}
	}
}

// isOver: nothing begins for a run that has ended. What a stopped execution had
// started goes on by itself, and a freeze call that the kernel held for longer
// than the run cannot be cut short: the run has then called a person, and the
// freeze is undone the moment it comes about. The same holds for a freeze on its
// way to the instance when the run lost the right to command it.
func (w *world) isOver(t *truth, r *Ended, say sayer) {
	if r.Status != "SUCCEEDED" && r.Status != "FAILED" {
		return
	}
	end := r.events[len(r.events)-1].Timestamp.Sub(w.began)
	for _, x := range t.epochs {
		held := r.Error == "FailedDirty" && (x.to-x.from < undone || w.silenced(r.ID, x.from))
		if x.run == r.ID && x.from > end && !held {
			say("%s was frozen by %s, %s after that had ended", x.mount, r.ID, x.from-end)
		}
	}
	for _, p := range t.pauses {
		if p.by == r.ID && p.from > end {
			say("the application was brought to rest by %s, %s after that had ended", r.ID, p.from-end)
		}
	}
}

// silenced reports that no thaw of a run had reached the instance by then.
func (w *world) silenced(run string, by time.Duration) bool {
	return !slices.ContainsFunc(w.happened(), func(e sim.Event) bool {
		return e.Kind == sim.Told && e.Run == run && e.Text == string(protocol.Thaw) && e.At < by
	})
}

// isFound: a set whose answer was lost on the way is a set all the same.
func (w *world) isFound(h *History, r *Ended, say sayer) {
	if len(h.Hit) != 1 || len(h.Schedule.Strikes) > 0 || w.schedule.Setup.Name == "" || r.Verdict == nil {
		return
	}
	f := h.Hit[0]
	at := w.schedule.Setup.Cloud.point
	lost := f.Kind == fault.LostReply && f.Target == at("snapshot/CreateSnapshots") || f.Kind == fault.CrashAfter && f.Target == "snapshot"
	if lost && len(r.Tags) > 0 && r.Verdict.Consistency == "" {
		say("%s made a set, did not hear of it and threw it away: %s", r.ID, r.Verdict.Reason)
	}
}

// isAskedAgain: one thaw that did not come about is no reason to leave the freeze
// to its deadline.
func (w *world) isAskedAgain(t *truth, h *History, say sayer) {
	if len(h.Hit) != 1 || len(h.Schedule.Strikes) > 0 || h.Schedule.Setup.Name == "" {
		return
	}
	f := h.Hit[0]
	once := f.Target == "thaw" && slices.Contains([]fault.Kind{fault.Fail, fault.Throttle, fault.CrashBefore}, f.Kind) ||
		f.Target == h.Schedule.Setup.Cloud.point("thaw/SendCommand") && f.Kind == fault.Throttle || f.Target == "thaw/thaw" && f.Kind == fault.Refuse
	for _, x := range t.epochs {
		if once && x.to-x.from > swept {
			say("%s was frozen for %s, because one thaw did not come about: %s", x.mount, x.to-x.from, f)
		}
	}
}

// quiet: with nothing in its way a run does all that was asked for, quickly.
func (w *world) quiet(t *truth, h *History, say sayer) {
	for _, r := range h.Runs {
		if r.Verdict == nil || r.Verdict.Outcome != run.OutcomeCompleted {
			if h.Schedule.Setup.always() == nil {
				say("%s ends with %+v, and nothing went wrong", r.ID, r.Verdict)
			}
		}
	}
	for _, x := range t.epochs {
		if x.to-x.from > quietWindow {
			say("%s was frozen for %s, and nothing went wrong", x.mount, x.to-x.from)
		}
	}
	for _, p := range t.pauses {
		if p.to-p.from > quietRest {
			say("the application rested for %s, and nothing went wrong", p.to-p.from)
		}
	}
	if c, r := t.copies, h.Runs; len(c) == 1 && len(r) == 1 && r[0].Verdict != nil {
		done := c[0].at + w.schedule.Setup.Completion
		if took := r[0].Verdict.Record.EndedAt.Sub(w.began) - done; took > quietEnd {
			say("%s ended %s after its set was complete, and nothing went wrong", r[0].ID, took)
		}
	}
}

// isSwept: what an execution that was stopped has left is let go by the janitor,
// long before any deadline.
func (w *world) isSwept(t *truth, say sayer) {
	swept := w.schedule.Setup.Cloud.sweeps()
	for _, c := range t.copies {
		for _, p := range t.pauses {
			if p.from < c.at && p.to-c.at > swept {
				say("the application rested for %s after its run was stopped", p.to-c.at)
			}
		}
		for _, x := range t.epochs {
			if x.from < c.at && x.to-c.at > swept {
				say("%s was frozen for %s after its run was stopped", x.mount, x.to-c.at)
			}
		}
	}
}
