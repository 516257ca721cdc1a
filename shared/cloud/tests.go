package cloud

import (
	"context"
	"encoding/json"
)

// Tests is what a provider has besides on whose cloud no event tells that a
// restore test was stopped: somebody has to look.
type Tests interface {
	// Abandoned returns the restore tests that have ended and left something: a
	// disk that was made for one, or a set that says it is under it. What was
	// marked a moment ago may be missing, and a test of which this deployment
	// knows nothing is another's. Codes: AccessDenied, Throttled, Unavailable.
	Abandoned(ctx context.Context) ([]Abandoned, error)
}

// Abandoned is the execution of a restore test that left something.
type Abandoned struct {
	ID     string          // its name, which is the test's id
	Status string          // the provider's own word
	Input  json.RawMessage // what it was started with
}
