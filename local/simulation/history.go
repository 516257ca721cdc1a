package simulation

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/quiesce/quiesce/events"
	"github.com/quiesce/quiesce/local/fault"
	"github.com/quiesce/quiesce/shared/run"
	"github.com/quiesce/quiesce/workflow/asl"
)

// History is one schedule with what became of it.
type History struct {
	Schedule   Schedule
	Runs       []*Ended
	Violations []string
	Unreached  []fault.Fault
	Hit        []fault.Fault
	Points     map[string]int // how often each point was reached
	Timeline   []string       // if it was asked for
}

// Ended is one run as it ended, read where everybody reads it.
type Ended struct {
	ID      string
	ARN     string
	Status  string
	Error   string
	Cause   string
	States  []string
	Verdict *run.Verdict // nil: nobody judged it
	Tags    map[string]map[string]string
	Finals  []final
	Alarms  int // events that call a person

	events []asl.Event
}

// final is an event that tells how a run ended.
type final struct {
	Type        string
	Consistency run.Consistency
	Outcome     string
}

// Run lives through a schedule, in a bubble of virtual time that its caller has
// made. tell asks for the timeline.
func (s *Site) Run(schedule Schedule, tell bool) (*History, error) {
	w, err := newWorld(s, schedule)
	if err != nil {
		return nil, err
	}
	w.run()
	h := &History{Schedule: schedule, Hit: w.plan.Hit(), Points: w.plan.Seen()}
	for _, f := range w.plan.Unreached() {
		if slices.Contains(schedule.Faults, f) {
			h.Unreached = append(h.Unreached, f)
		}
	}
	if err := w.read(h); err != nil {
		return nil, err
	}
	w.judge(h)
	if tell {
		h.Timeline = w.timeline(h)
	}
	return h, w.end()
}

// read collects how the runs ended.
func (w *world) read(h *History) error {
	list, err := w.engine.List(machineName, "")
	if err != nil {
		return err
	}
	found, err := w.cloud.snapshots()
	if err != nil {
		return err
	}
	published := w.cloud.published()
	for i := len(list) - 1; i >= 0; i-- {
		x := list[i]
		r := &Ended{ID: x.Name, ARN: x.ARN, Status: string(x.Status), Error: x.Error, Cause: x.Cause, Tags: map[string]map[string]string{}}
		if r.events, err = w.engine.History(x.ARN); err != nil {
			return err
		}
		if err := r.path(); err != nil {
			return err
		}
		for id, s := range found {
			if s.tags["quiesce:run"] == x.Name {
				r.Tags[id] = s.tags
			}
		}
		for _, e := range published {
			r.hear(e)
		}
		h.Runs = append(h.Runs, r)
	}
	h.Violations = append(h.Violations, w.untagged(h, found)...)
	return nil
}

// path reads the states out of the history, and the verdict out of the last
// document that has one.
func (r *Ended) path() error {
	for _, e := range r.events {
		if strings.HasSuffix(e.Type, "StateEntered") {
			r.States = append(r.States, e.Name)
		}
	}
	for i := len(r.events) - 1; i >= 0; i-- {
		if !strings.HasSuffix(r.events[i].Type, "StateEntered") {
			continue
		}
		var document struct{ Verdict *run.Verdict }
		err := json.Unmarshal(r.events[i].Input, &document)
		r.Verdict = document.Verdict
		if len(r.States) < 2 { // Open gets the request, not the document
			err = nil
		}
		return err
	}
	return nil
}

// hear takes in an event of this run.
func (r *Ended) hear(e message) {
	if e.source != events.Source || e.kind == events.TypeStep {
		return
	}
	var d struct {
		RunID       string          `json:"runId"`
		Consistency run.Consistency `json:"consistency"`
		Outcome     string          `json:"outcome"`
	}
	if json.Unmarshal(e.detail, &d) != nil || d.RunID != r.ID {
		return
	}
	if e.kind == events.TypeThawFailed {
		r.Alarms++
		return
	}
	r.Finals = append(r.Finals, final{e.kind, d.Consistency, d.Outcome})
}
