// Package history is an execution of the workflow as its history tells it,
// whatever service kept it.
package history

import (
	"encoding/json"
	"time"

	"github.com/quiesce/quiesce/shared/run"
)

// Record is an execution as its history tells it.
type Record struct {
	RunID     string     `json:"runId"`
	Status    string     `json:"status"` // the provider's own word
	StartedAt time.Time  `json:"startedAt"`
	StoppedAt *time.Time `json:"stoppedAt,omitempty"`
	Error     string     `json:"error,omitempty"`
	Cause     string     `json:"cause,omitempty"`
	States    []string   `json:"states"` // the path, in order
	State     run.State  `json:"state"`  // the document as it was last
	Events    int        `json:"-"`

	// Document is the same as text: of a machine other than the snapshot's,
	// State holds no more than the run.
	Document json.RawMessage `json:"-"`
}

// Passage is one state's visit, as it is told while a run goes on.
type Passage struct {
	State  string
	Type   string    // Task, Choice, Wait, ...
	Done   bool      // it has been left, or it has failed
	Failed string    // the error that its Catch took
	At     time.Time // when it was entered
	Took   time.Duration
	After  run.State // the document as it is now, of one that has been left
}
