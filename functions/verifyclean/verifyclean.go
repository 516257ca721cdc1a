// Package verifyclean takes away what a restore test has made: it ends the
// command that works on the copies, detaches and deletes them. It touches no disk
// that does not carry the test's own mark. Started by the event of an execution
// that was broken off, it also says how that ended.
package verifyclean

import (
	"context"
	"slices"
	"time"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/restore"
	"github.com/quiesce/quiesce/shared/run"
	"github.com/quiesce/quiesce/shared/telemetry"
	"github.com/quiesce/quiesce/shared/verify"
)

// Input is the test, what is known to have been made, and what the last look saw.
// A janitor knows only how the execution was started, and how it ended.
type Input struct {
	Run     run.Run           `json:"run"`
	Created *restore.Progress `json:"created"`
	Before  *restore.Progress `json:"before"`

	Request run.Typed `json:"request,omitempty"`
	Ended   *Ended    `json:"ended,omitempty"`

	Sweep bool `json:"sweep,omitempty"` // a timer asks: look for tests that broke off; the run is the look's own
}

// Ended is how an execution ended that a janitor cleans up after: its status,
// and its error if it had one.
type Ended struct {
	Status string `json:"status"`
	Error  string `json:"error,omitempty"`
}

// Check refuses an input that names no test: everything would be its own.
func (in Input) Check() error {
	if in.Run.ID == "" {
		return fault.Input("run.id", "is missing")
	}
	return nil
}

// Cloud is what the step asks of a provider.
type Cloud interface {
	cloud.Agent // of which only Cancel
	cloud.Bus
	verify.Disks
	Marked(ctx context.Context, key, value string) ([]cloud.Disk, error)
	Disks(ctx context.Context, ids []string) ([]cloud.Disk, error)
	Detach(ctx context.Context, instance, disk string) error
	DeleteDisk(ctx context.Context, id string) error
}

// Shelf lists the sets that there are, as Keeper does.
type Shelf interface {
	Stored(ctx context.Context, policy string) (cloud.Stock, error)
}

// limit is how long a disk may take to let go and to be deleted, grace how long
// a function that makes disks may go on unseen by an execution that was stopped,
// or that heard nothing of it, and how long a list may lag behind.
const (
	limit = 15 * time.Minute
	grace = 2*time.Minute + cloud.Settle
)

// Do looks, does what is missing and looks again. Codes: RestoreTimedOut, when a
// disk does not come off.
func Do(ctx context.Context, c Cloud, shelf Shelf, metrics *telemetry.Metrics, in Input) (*restore.Progress, error) {
	if in.Ended != nil {
		return janitor(ctx, c, shelf, metrics, in)
	}
	return clean(ctx, c, in, in.Before)
}

// clean goes by the mark, and by what is known to have been made. Only where all
// of that is known may it end as soon as nothing is seen.
func clean(ctx context.Context, c Cloud, in Input, before *restore.Progress) (*restore.Progress, error) {
	since := time.Now()
	if before != nil {
		since = before.Since
	}
	known := in.Created != nil && in.Created.State == restore.Done
	cancelled := map[string]bool{}
	return restore.Look(ctx, before, limit, func() (*restore.Progress, error) {
		left, err := seen(ctx, c, in)
		if err != nil {
			return nil, err
		}
		p := &restore.Progress{State: restore.Done, Detail: "nothing that the test has made is left"}
		if !known && time.Since(since) < grace {
			p.State, p.Detail = restore.Pending, "nothing is seen, and somebody may still be at it"
		}
		for _, d := range left {
			p.State, p.Detail = restore.Pending, d.ID+" is being deleted"
			p.Disks = append(p.Disks, restore.Made{ID: d.ID, Origin: d.Tags[cloud.TagOrigin], Device: d.Device, State: string(d.State)})
			if err := take(ctx, c, d, cancelled); err != nil {
				return nil, err
			}
		}
		return p, nil
	})
}

// seen are the disks of the test that are there.
func seen(ctx context.Context, c Cloud, in Input) ([]cloud.Disk, error) {
	found, err := c.Marked(ctx, cloud.TagScratch, in.Run.ID)
	if err != nil || in.Created == nil {
		return found, err
	}
	var unseen []string
	for _, m := range in.Created.Disks {
		if !slices.ContainsFunc(found, func(d cloud.Disk) bool { return d.ID == m.ID }) {
			unseen = append(unseen, m.ID)
		}
	}
	if len(unseen) == 0 {
		return found, nil
	}
	more, err := c.Disks(ctx, unseen)
	more = slices.DeleteFunc(more, func(d cloud.Disk) bool { return d.Tags[cloud.TagScratch] != in.Run.ID })
	return append(found, more...), err
}

// take goes one step further with a disk. What still works on it is ended first:
// a disk that is mounted does not come off.
func take(ctx context.Context, c Cloud, d cloud.Disk, cancelled map[string]bool) error {
	switch command := d.Tags[cloud.TagCommand]; d.State {
	case cloud.DiskAttached:
		if command != "" && !cancelled[command] {
			cloud.GiveUp(ctx, c, d.Instance, command) // which is over most of the time
			cancelled[command] = true
		}
		return c.Detach(ctx, d.Instance, d.ID)
	case cloud.DiskFree, cloud.DiskBroken:
		return c.DeleteDisk(ctx, d.ID)
	}
	return nil
}
