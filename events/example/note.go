package main

import (
	"context"
	"time"

	"github.com/quiesce/quiesce/events"
)

// Event is "Consistent Snapshot Completed" as EventBridge delivers it.
type Event struct {
	Time   time.Time      `json:"time"`
	Detail events.Outcome `json:"detail"`
}

// Tags are the tags of instances; a tag that is not there is empty.
type Tags interface {
	Get(ctx context.Context, instance, key string) (string, error)
	Put(ctx context.Context, instance string, tags map[string]string) error
}

// The tags that Note writes. The set itself is found by its run: each of its
// snapshots carries the same id under quiesce:run.
const (
	LastRun         = "last-good-set:run"
	LastTime        = "last-good-set:time"
	LastConsistency = "last-good-set:consistency"
)

// Note writes the event's set on its instance, unless a later one stands there:
// events come out of order, twice, or weeks late out of the archive. An error
// makes Lambda try again.
func Note(ctx context.Context, tags Tags, e Event) error {
	last, err := tags.Get(ctx, e.Detail.InstanceID, LastTime)
	if err != nil {
		return err
	}
	if at, err := time.Parse(time.RFC3339, last); err == nil && at.After(e.Time) {
		return nil
	}
	return tags.Put(ctx, e.Detail.InstanceID, map[string]string{
		LastRun:         e.Detail.RunID,
		LastTime:        e.Time.UTC().Format(time.RFC3339),
		LastConsistency: e.Detail.Consistency,
	})
}
