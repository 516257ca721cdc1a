package cloud

import (
	"context"
	"encoding/json"
	"time"
)

// Sweeper is what a provider has besides on whose cloud no event tells that an
// execution was stopped or ran out of its time: somebody has to look.
type Sweeper interface {
	// Broken returns the executions of the snapshot workflow that began at
	// that time or later and were stopped or ran out of their time, whoever
	// has looked after them. Codes: AccessDenied, Throttled, Unavailable.
	Broken(ctx context.Context, since time.Time) ([]Broken, error)

	// Swept returns the names of those runs, of the same time, for which a
	// janitor was started. One that was started a moment ago may be missing.
	// Codes: those of Broken.
	Swept(ctx context.Context, since time.Time) (map[string]bool, error)

	// Sweep starts the janitor of a run with its input. A run has one: to start
	// it again starts nothing and is no error, so that of two who do it at once
	// one does. Codes: those of Broken.
	Sweep(ctx context.Context, runID string, input []byte) error
}

// Broken is an execution that somebody or its own time has ended, past every
// Catch.
type Broken struct {
	RunID     string
	Status    string          // the provider's own word
	Input     json.RawMessage // what it was started with
	StoppedAt time.Time
}
