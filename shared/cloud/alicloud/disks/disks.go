// Package disks does with single disks what people do by hand: snapshots, a
// policy of automatic ones, setting a disk back, an image. Each operation first
// asks for what it must know and refuses, by the field and with the reason, what
// the service would refuse or what cannot be undone and was not confirmed.
package disks

import (
	"context"
	"regexp"
	"strings"

	"github.com/quiesce/quiesce/shared/cloud/alicloud"
	"github.com/quiesce/quiesce/shared/fault"
)

// Cloud is what the operations ask of the provider.
type Cloud interface {
	Disk(ctx context.Context, id string) (*alicloud.Disk, error)
	Machine(ctx context.Context, id string) (*alicloud.Machine, error)
	ListSnapshots(ctx context.Context, w alicloud.Wanted) ([]alicloud.Snapshot, error)
	TakeSnapshot(ctx context.Context, disk, name, description string, retentionDays int, tags map[string]string) (string, error)
	ResetDisk(ctx context.Context, disk, snapshot string, dryRun bool) error
	NewImage(ctx context.Context, name, description string, snapshots []alicloud.Snapshot) (string, error)
	NewSchedule(ctx context.Context, s alicloud.Schedule) (string, error)
	ApplySchedule(ctx context.Context, id string, disks []string) error
	Schedules(ctx context.Context, id string) ([]alicloud.Schedule, error)
}

// The service's words.
const (
	inUse        = "In_use"
	available    = "Available"
	running      = "Running"
	stopped      = "Stopped"
	stopCharging = "StopCharging"
	progressing  = "progressing"
	accomplished = "accomplished"
)

var (
	diskID     = regexp.MustCompile(`^d-[0-9a-z]{1,40}$`)
	snapshotID = regexp.MustCompile(`^s-[0-9a-z]{1,40}$`)
	policyID   = regexp.MustCompile(`^sp-[0-9a-z]{1,40}$`)
)

func wellFormed(field string, form *regexp.Regexp, like string, ids ...string) error {
	for _, id := range ids {
		if !form.MatchString(id) {
			return fault.Input(field, "wants an id such as %s, got %q", like, id)
		}
	}
	return nil
}

// name is what ECS takes as one, of most things; reserved is what it must not
// begin with.
func name(field, text string, reserved ...string) error {
	if n := len([]rune(text)); n < 2 || n > 128 {
		return fault.Input(field, "wants 2-128 characters, got %d", n)
	}
	for _, r := range append(reserved, "http://", "https://") {
		if strings.HasPrefix(text, r) {
			return fault.Input(field, "must not begin with %s, got %q", r, text)
		}
	}
	return nil
}

// one returns the snapshot of an id.
func one(ctx context.Context, c Cloud, field, id string) (alicloud.Snapshot, error) {
	found, err := c.ListSnapshots(ctx, alicloud.Wanted{IDs: []string{id}})
	if err != nil {
		return alicloud.Snapshot{}, err
	}
	if len(found) != 1 {
		return alicloud.Snapshot{}, fault.Input(field, "%s does not exist in this Region", id)
	}
	return found[0], nil
}
