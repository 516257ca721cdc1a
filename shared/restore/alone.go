package restore

import (
	"context"
	"strings"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
)

// Alone refuses an instance on which a run is going on: disks that come would be
// in its set, and a stop would break its window. A provider that knows no runs
// says nothing about that.
func Alone(ctx context.Context, r cloud.Restorer, instance string) error {
	runs, known := r.(cloud.Runs)
	if !known {
		return nil
	}
	going, err := runs.Running(ctx, instance)
	if err == nil && len(going) > 0 {
		err = &fault.Error{Code: fault.RunInProgress, Field: "request.instanceId", Message: instance + " is being snapshotted by " + strings.Join(going, ", ")}
	}
	return err
}
