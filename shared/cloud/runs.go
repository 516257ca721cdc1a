package cloud

import "context"

// Runs is what a provider may know besides: who else works on an instance. A
// Restorer that is none of it says nothing about that.
type Runs interface {
	// Running names the runs, of one instance or of a group, that have begun
	// on the instance and have not ended, by what they were started with.
	// What was started a moment ago may be missing for some seconds. Codes:
	// AccessDenied, Throttled, Unavailable.
	Running(ctx context.Context, instanceID string) ([]string, error)
}
