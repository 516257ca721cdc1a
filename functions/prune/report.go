package prune

import (
	"fmt"
	"time"

	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/run"
)

// Report is what became of a policy's sets, counted, and a line for each.
type Report struct {
	Policy    string     `json:"policy"`
	At        time.Time  `json:"at"` // by the provider's clock
	Sets      int        `json:"sets"`
	Kept      int        `json:"kept"`      // orphans not among them
	Deleted   int        `json:"deleted"`   // whole sets
	Removed   int        `json:"removed"`   // in a dry run: what would be deleted
	Orphaned  int        `json:"orphaned"`  // a person must look
	Left      int        `json:"left"`      // to the next run
	Failed    int        `json:"failed"`    // to be deleted
	Snapshots int        `json:"snapshots"` // of those deleted, or that would be
	GiB       int64      `json:"gib"`       // the sizes of their volumes, which are not what the snapshots take
	Code      fault.Code `json:"code,omitempty"`
	Lines     []Line     `json:"lines"` // newest first; the first 2000
}

// Line is one set as a person reads it.
type Line struct {
	RunID       string          `json:"runId"`
	InstanceID  string          `json:"instanceId"`
	TakenAt     time.Time       `json:"takenAt"`
	Consistency run.Consistency `json:"consistency"`
	Snapshots   int             `json:"snapshots"`
	Fate        Fate            `json:"fate"`
	Why         string          `json:"why"`
}

// String is the line as a dry run prints it.
func (l Line) String() string { return string(l.Fate) + ": " + l.Why }

// lines bounds what a function answers.
const lines = 2000

// Report counts the plan as it is by now.
func (p *Plan) Report() *Report {
	r := &Report{Policy: p.Policy, At: p.At, Sets: len(p.Sets), Lines: []Line{}}
	for f, into := range map[Fate]*int{Kept: &r.Kept, Deleted: &r.Deleted, Removed: &r.Removed, Orphan: &r.Orphaned, Left: &r.Left, Failed: &r.Failed} {
		n, snapshots, gib := p.Count(f)
		*into = n
		if f == Deleted || f == Removed {
			r.Snapshots, r.GiB = r.Snapshots+snapshots, r.GiB+gib
		}
	}
	for _, s := range p.Sets {
		if s.Code != "" && r.Code == "" {
			r.Code = s.Code
		}
		if len(r.Lines) < lines {
			r.Lines = append(r.Lines, s.Line())
		}
	}
	return r
}

// Line is the set as a person reads it.
func (s Set) Line() Line {
	return Line{s.RunID, s.InstanceID, s.TakenAt, s.Consistency, len(s.IDs), s.Fate, s.why()}
}

// Outcomes of a run of retention.
const (
	Completed  = "completed"
	WithErrors = "completed-with-errors"
)

// Outcome says whether something could not be deleted.
func (r *Report) Outcome() string {
	if r.Failed > 0 {
		return WithErrors
	}
	return Completed
}

// String is the report in a sentence.
func (r *Report) String() string {
	deleted, what := r.Deleted, "deleted"
	if r.Removed > 0 {
		deleted, what = r.Deleted+r.Removed, "to be deleted"
	}
	text := fmt.Sprintf("%d of %d sets kept, %d %s (%d snapshots)", r.Kept+r.Orphaned, r.Sets, deleted, what, r.Snapshots)
	for _, also := range []struct {
		n    int
		what string
	}{{r.Orphaned, "kept ones are to be looked at"}, {r.Left, "left to the next run"}, {r.Failed, "could not be deleted"}} {
		if also.n > 0 {
			text += fmt.Sprintf(", %d %s", also.n, also.what)
		}
	}
	return text
}
