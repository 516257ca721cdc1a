package curate

import (
	"context"
	"fmt"
	"time"

	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/retention"
)

// Done counts sets, by what was done with them.
type Done struct {
	Locked   int `json:"locked"`
	Shared   int `json:"shared"`
	Unshared int `json:"unshared"`
	Copied   int `json:"copied"`  // of which a Region has every member from now on
	Waiting  int `json:"waiting"` // of which a Region has not every member yet
	Archived int `json:"archived"`
	Failed   int `json:"failed"` // things that could not be done; the next look tries again
}

// Report is what was done, counted, and a line for each.
type Report struct {
	Policy string    `json:"policy"`
	At     time.Time `json:"at"` // by the provider's clock
	Sets   int       `json:"sets"`
	Done
	Code  fault.Code `json:"code,omitempty"` // of the first that failed
	Lines []Line     `json:"lines"`
}

// Line is one thing that was done, or could not be.
type Line struct {
	RunID      string     `json:"runId"`
	InstanceID string     `json:"instanceId"`
	What       string     `json:"what"` // locked, shared, unshared, copied, archived, fast, not-fast; with a code: that it failed
	Region     string     `json:"region,omitempty"`
	Code       fault.Code `json:"code,omitempty"`
	Reason     string     `json:"reason"`
}

// lines bounds what a function answers.
const lines = 1000

func (c *curator) say(s retention.Decision, what, region, reason string) {
	c.add(Line{RunID: s.RunID, InstanceID: s.InstanceID, What: what, Region: region, Reason: reason})
}

func (c *curator) add(l Line) {
	if len(c.lines) < lines {
		c.lines = append(c.lines, l)
	}
}

// failed notes what could not be done. Whoever is throttled, or hears nothing,
// makes it worse by going on.
func (c *curator) failed(s retention.Decision, what, region string, err error) {
	code := fault.CodeOf(err)
	c.done.Failed++
	c.gaveUp[region+s.RunID] = true
	c.add(Line{RunID: s.RunID, InstanceID: s.InstanceID, What: what, Region: region, Code: code, Reason: err.Error()})
	c.stopped = c.stopped || code == fault.Throttled || code == fault.SnapshotThrottled || code == fault.Unavailable
}

func (c *curator) report() *Report {
	r := &Report{Policy: c.policy.Name, At: c.now, Sets: len(c.home.sets), Done: c.done, Lines: c.lines}
	for _, l := range c.lines {
		if l.Code != "" {
			r.Code = l.Code
			break
		}
	}
	if r.Lines == nil {
		r.Lines = []Line{}
	}
	return r
}

// Outcomes of a look.
const (
	Completed  = "completed"
	WithErrors = "completed-with-errors"
)

// Outcome says whether something could not be done.
func (r *Report) Outcome() string {
	if r.Failed > 0 {
		return WithErrors
	}
	return Completed
}

// String is the report in a sentence.
func (r *Report) String() string {
	text := fmt.Sprintf("of %d sets", r.Sets)
	for _, also := range []struct {
		n    int
		what string
	}{{r.Locked, "locked"}, {r.Shared, "shared"}, {r.Unshared, "not shared any more"}, {r.Copied, "copied"}, {r.Waiting, "being copied"}, {r.Archived, "archived"}} {
		if also.n > 0 {
			text += fmt.Sprintf(", %d %s", also.n, also.what)
		}
	}
	if r.Failed > 0 {
		text += fmt.Sprintf("; %d things could not be done", r.Failed)
	}
	return text
}

// Pace keeps a look under the request limits of the account and Region, which
// runs and people share: ModifySnapshotAttribute takes 5 calls a second.
var Pace = struct {
	PerSecond float64
	Reserve   time.Duration // before the function's end nothing is begun
}{4, 30 * time.Second}

// pacer lets calls through at a rate, without a burst.
type pacer struct{ next time.Time }

// may waits for the next call's turn; false is that nothing more is to be begun.
func (c *curator) may(ctx context.Context) bool {
	now := time.Now()
	if deadline, limited := ctx.Deadline(); limited && now.Add(Pace.Reserve).After(deadline) {
		c.stopped = true
	}
	if c.stopped {
		return false
	}
	if c.pace.next.Before(now) {
		c.pace.next = now
	}
	t := time.NewTimer(c.pace.next.Sub(now))
	defer t.Stop()
	c.pace.next = c.pace.next.Add(time.Duration(float64(time.Second) / Pace.PerSecond))
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		c.stopped = true
		return false
	}
}
