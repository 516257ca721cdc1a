package cloud

import (
	"context"
	"encoding/json"
	"time"
)

// Sweeper is what a provider has besides on whose cloud no event tells that an
// execution was stopped or ran out of its time: somebody has to look.
type Sweeper interface {
	// Broken returns the executions of the workflow that began at that time or
	// later and were stopped or ran out of their time, whoever has looked after
	// them. Codes: AccessDenied, Throttled, Unavailable.
	Broken(ctx context.Context, of Workflow, since time.Time) ([]Broken, error)

	// Swept returns the names of those executions, of the same time, for which a
	// janitor was started. One that was started a moment ago may be missing.
	// Codes: those of Broken.
	Swept(ctx context.Context, of Workflow, since time.Time) (map[string]bool, error)

	// Sweep starts the janitor of an execution with its input. An execution has
	// one: to start it again starts nothing and is no error, so that of two who
	// do it at once one does. Codes: those of Broken.
	Sweep(ctx context.Context, of Workflow, name string, input []byte) error
}

// Workflow is one whose executions have a janitor.
type Workflow string

// The workflows that somebody has to look after: in the order in which that is
// urgent.
const (
	SnapshotWorkflow Workflow = "snapshot"
	RestoreWorkflow  Workflow = "restore"
)

// Broken is an execution that somebody or its own time has ended, past every
// Catch.
type Broken struct {
	Name      string          // the run's or the restore's id
	Status    string          // the provider's own word
	Input     json.RawMessage // what it was started with
	StoppedAt time.Time
}
