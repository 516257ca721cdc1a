package cloud

import (
	"context"
	"time"
)

// Curator is what a set that is complete is asked for: that it be copied,
// shared, locked, archived, restored fast. It stands apart from Provider and
// Keeper: no step of a run can give anything away, and who curates can delete
// nothing. Codes of all: AccessDenied, Throttled, Unavailable.
type Curator interface {
	// Region is where this one works; Copy brings snapshots here.
	Region() string

	// Stored is that of Keeper, TagSnapshots that of Disks.
	Stored(ctx context.Context, policy string) (Stock, error)
	TagSnapshots(ctx context.Context, ids []string, tags map[string]string) error

	// Copy begins to copy one snapshot into this Region, tagged at creation,
	// and returns the copy's id. It makes exactly one attempt on the wire: its
	// caller looks first. What is wrong with the key may show in the copy's
	// state alone. Codes: CopyLimitReached, SnapshotThrottled and
	// SnapshotRefused when nothing was made, SnapshotOutcomeUnknown when a copy
	// may exist all the same.
	Copy(ctx context.Context, spec CopySpec) (id string, err error)

	// Giveable tells whether what is encrypted with the key can be shared:
	// what the provider's own key encrypts cannot.
	Giveable(ctx context.Context, key string) (bool, error)

	// Share lets accounts use a snapshot, Unshare takes that back; both may be
	// repeated. Codes: SnapshotRefused.
	Share(ctx context.Context, id string, accounts []string) error
	Unshare(ctx context.Context, id string, accounts []string) error

	// Locks returns until when each of the snapshots is locked, or was; one
	// that never was is left out. One that is gone is no error.
	Locks(ctx context.Context, ids []string) (map[string]time.Time, error)

	// Lock locks one that is not locked. Codes: SnapshotRefused.
	Lock(ctx context.Context, id string, lock Lock) error

	// Archive begins to move one to the archive tier; one that is there, or on
	// its way, is no error. Codes: SnapshotRefused.
	Archive(ctx context.Context, id string) error

	// Fast lists what is restored fast in this Region.
	Fast(ctx context.Context) ([]FastRestore, error)

	// SetFast turns fast restores of a snapshot on or off in zones. Codes:
	// SnapshotRefused for what is not so already.
	SetFast(ctx context.Context, id string, zones []string, on bool) error
}

// CopySpec asks for one copy.
type CopySpec struct {
	From        string // the source's Region
	ID          string // of the source
	Encrypt     bool   // a source that is not; one that is stays so in any case
	Key         string // that the copy is encrypted with; empty: the Region's usual one
	Description string
	Tags        map[string]string
}

// Lock is how a snapshot is locked.
type Lock struct {
	Compliance   bool // nobody can take it off again; else whoever has the right can
	Days         int
	CoolOffHours int // of compliance: so long it still can be; 0: not even then
}

// FastRestore is one snapshot that is restored fast in a zone, or soon will be.
type FastRestore struct{ ID, Zone string }

// Region is a provider's Region, as far as it keeps sets and their copies.
type Region interface {
	Keeper
	Curator
}

// Tags by which a copy is known, and what was done with a set. A copy names no
// volume and no moment of its own: both are its source's.
const (
	TagCopyOf  = "quiesce:copy-of"   // on a copy: Region and id of its source
	TagTakenAt = "quiesce:taken-at"  // on a copy: when its source was taken, to the fraction of a second
	TagProved  = "quiesce:proved"    // on a copy: what becomes its verdict once it is whole
	TagCopied  = "quiesce:copied-to" // on a set: Regions, once each has it whole
	TagShared  = "quiesce:shared"    // on a set: when it was shared, or that it is not any more
	TagLocked  = "quiesce:locked"    // on a set: until when it was locked
	TagTiered  = "quiesce:archived"  // on a set: when it was sent to the archive tier
)
