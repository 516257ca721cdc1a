package cloud

import (
	"context"
	"time"
)

// Keeper is what retention asks of a provider. It stands apart from Provider,
// so that the steps of a run have no way to delete anything.
type Keeper interface {
	// Stored lists the account's own snapshots that carry a run's tag: those
	// of one policy, or of all for an empty name. Codes: AccessDenied,
	// Throttled, Unavailable.
	Stored(ctx context.Context, policy string) (Stock, error)

	// Holds tells what else speaks against deleting snapshots: a lock, an
	// image that is made of them, an account that they are shared with. It
	// costs a call a snapshot and is asked of those alone that are about to
	// go. One that is gone already is held by nothing. Codes: those of Stored.
	Holds(ctx context.Context, ids []string) ([]string, error)

	// UnderTest tells by which execution any of the snapshots is being tested;
	// empty for none. Codes: those of Stored.
	UnderTest(ctx context.Context, ids []string) (by string, err error)

	// TagSnapshots is that of Disks.
	TagSnapshots(ctx context.Context, ids []string, tags map[string]string) error

	// DeleteSnapshot deletes one; idempotent: one that is gone already is no
	// error. Codes: those of Stored, and SnapshotRefused for one that is held.
	DeleteSnapshot(ctx context.Context, id string) error
}

// Stock is the snapshots that there are. At is when, by the provider's clock:
// the age of a set is told by the clock that dated it.
type Stock struct {
	Snapshots []Stored
	At        time.Time
}

// Stored is a snapshot as it is kept.
type Stored struct {
	TaggedSnapshot
	SizeGiB  int64  // of its volume
	Archived bool   // somebody has put it where it must be brought back from first
	Key      string // that it is encrypted with; empty: it is not
}
