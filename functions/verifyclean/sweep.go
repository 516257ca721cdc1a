package verifyclean

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/restore"
	"github.com/quiesce/quiesce/shared/run"
	"github.com/quiesce/quiesce/shared/telemetry"
)

// Sweep looks for tests that broke off, where no event tells of one, and does
// after each what the janitor does. What it does not come to is there the next
// time. Codes: those of Do.
func Sweep(ctx context.Context, c Cloud, tests cloud.Tests, shelf Shelf, metrics *telemetry.Metrics) (*restore.Progress, error) {
	started := time.Now()
	left, err := tests.Abandoned(ctx)
	if err != nil {
		return nil, err
	}
	failed := make([]error, len(left))
	var all sync.WaitGroup
	for i, of := range left {
		all.Go(func() {
			_, failed[i] = janitor(ctx, c, shelf, metrics, Input{Run: run.Run{ID: of.ID}, Request: run.Typed(of.Input), Ended: &Ended{Status: of.Status}})
		})
	}
	all.Wait()
	if err := errors.Join(failed...); err != nil {
		return nil, err
	}
	return &restore.Progress{
		State: restore.Done, Detail: fmt.Sprintf("%d tests that broke off are cleaned up after", len(left)),
		Since: started, Record: run.Record{StartedAt: started, EndedAt: time.Now()},
	}, nil
}
