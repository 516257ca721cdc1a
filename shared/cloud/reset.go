package cloud

import (
	"context"
	"strings"

	"github.com/quiesce/quiesce/shared/fault"
)

// Resetter is a Restorer whose disks are set back where they are, to snapshots
// of their own. What was on them is lost by it, hence a restore in place first
// keeps it in a set of its own. Codes of all: AccessDenied, Throttled,
// Unavailable.
type Resetter interface {
	// MayReset tells by looking whether the disk could be set back to the
	// snapshot once its instance is stopped. It needs no right to do so, and
	// tells of none. Codes: SetNotRestorable, RestoreRefused, InstanceNotFound.
	MayReset(ctx context.Context, instance, disk, snapshot string) error

	// TryReset has the provider itself tell whether it would set the disk back
	// for this caller now, and changes nothing. Codes: those of Reset.
	TryReset(ctx context.Context, disk, snapshot string) error

	// Keep begins to snapshot disks of an instance by one call, and makes no
	// second set for the same Token. Codes: VolumeBusy while another snapshot
	// of one of them cannot be used yet, RestoreRefused.
	Keep(ctx context.Context, spec KeepSpec) error

	// Kept returns what was kept for a restore, which carries its mark; none is
	// not an error. What was made a moment ago may be missing for some seconds.
	Kept(ctx context.Context, restoreID string) ([]Source, error)

	// Reset begins to set a disk back; the same is asked for again freely.
	// Codes: VolumeBusy while the disk, its instance or a snapshot of it is
	// between two states or the instance runs, SetNotRestorable, RestoreRefused.
	Reset(ctx context.Context, disk, snapshot string) error

	// Drop deletes what was kept for a restore; nothing is no error.
	Drop(ctx context.Context, restoreID string) error
}

// KeepSpec asks for one set that a way back stands on. It carries no run's tag:
// no retention knows it.
type KeepSpec struct {
	Instance string
	Disks    []string
	Token    string // names the request: at most 64 characters
	Tags     map[string]string
}

// ResetterOf is the restorer as one that sets disks back. Codes: InvalidInput.
func ResetterOf(r Restorer) (Resetter, error) {
	if resets, ok := r.(Resetter); ok {
		return resets, nil
	}
	return nil, fault.Input("plan.resets", "is true, and this cloud sets no disk back where it is")
}

// TagContent is on a disk that a restore sets back: the snapshot whose content
// it has. It is written before the disk is touched, as what it is becoming.
const TagContent = "quiesce:content"

const becoming = "becoming "

// Becoming is the value of TagContent from before a disk is set back until that
// has begun for certain.
func Becoming(snapshot string) string { return becoming + snapshot }

// Became tells whether a value of TagContent says what the disk has become;
// false where it may not have.
func Became(content string) bool { return content != "" && !strings.HasPrefix(content, becoming) }
