package cloud

import (
	"context"
	"time"

	"github.com/quiesce/quiesce/shared/run"
)

// Restorer makes disks of a set and moves them to and from an instance. It is
// apart from Provider: one that cannot restore has none of it. Whatever
// changes something is asked for again freely: a repetition does nothing more.
// Codes of all: AccessDenied, Throttled, Unavailable.
type Restorer interface {
	Imager

	// Host describes an instance and the disks attached to it. Codes:
	// InstanceNotFound.
	Host(ctx context.Context, id string) (Host, error)

	// Sources returns the snapshots that carry the run's tag, of this account
	// alone; none is not an error.
	Sources(ctx context.Context, runID string) ([]Source, error)

	// Disks describes the disks, in no particular order; one that does not
	// exist is left out.
	Disks(ctx context.Context, ids []string) ([]Disk, error)

	// Marked returns the disks that carry the tag with the value. What was made a moment ago
	// may be missing for some seconds.
	Marked(ctx context.Context, key, value string) ([]Disk, error)

	// MayMake tells, without making it, whether the disk could be made, as far
	// as the provider lets that be told, and whether the key that the spec names
	// may be used for it. Codes besides those of MakeDisk: SetNotRestorable for
	// a key that nobody can use.
	MayMake(ctx context.Context, spec DiskSpec) error

	// MakeDisk begins to make a disk of a snapshot and returns its id, the
	// same for the same Token. Codes: RestoreRefused, SetNotRestorable.
	MakeDisk(ctx context.Context, spec DiskSpec) (id string, err error)

	// Attach begins to attach a disk under a device name. Codes: VolumeBusy
	// when the disk or the instance is between two states; RestoreRefused, also
	// for a name that another disk has.
	Attach(ctx context.Context, instance, disk, device string) error

	// Detach begins to take a disk from an instance, and never by force.
	// Codes: VolumeBusy, RestoreRefused.
	Detach(ctx context.Context, instance, disk string) error

	// Bind says of attached devices whether their disks end with the instance.
	Bind(ctx context.Context, instance string, ends map[string]bool) error

	// Stop and Start begin to change the instance's state; one that is there
	// already, or on its way, is left alone. Codes: InstanceNotFound,
	// InstanceNotRunning for one that cannot get there from where it is.
	Stop(ctx context.Context, instance string) error
	Start(ctx context.Context, instance string) error

	// MarkDisks puts tags on disks, UnmarkDisks takes them off.
	MarkDisks(ctx context.Context, ids []string, tags map[string]string) error
	UnmarkDisks(ctx context.Context, ids []string, keys []string) error

	// DeleteDisk deletes a detached disk; one that is gone is no error. Codes:
	// VolumeBusy.
	DeleteDisk(ctx context.Context, id string) error
}

// Host is an instance as a restore sees it.
type Host struct {
	ID        string
	Target    run.Target
	State     HostState
	Zone      string
	Root      string // the boot disk's device name
	Tags      map[string]string
	Names     []string // for the devices of data disks, in the order in which they are given
	Usual     string   // the kind of disk that is made where nobody says another
	Ephemeral bool     // its boot disk is lost when it stops
	Managed   string   // by whom it is replaced when it stops; empty: nobody
	Disks     []Disk   // attached, attaching or detaching
}

// HostState is an instance's state, translated.
type HostState string

// States of an instance. Any other is none that a restore can work with.
const (
	HostRunning  HostState = "running"
	HostStopping HostState = "stopping"
	HostStopped  HostState = "stopped"
	HostStarting HostState = "starting"
)

// Disk is a disk with its attachment, if it has one.
type Disk struct {
	ID         string
	State      DiskState
	Zone       string
	Kind       string
	SizeGiB    int32
	IOPS       int32 // 0: what the kind gives
	Throughput int32 // MiB/s; 0: what the kind gives
	Key        string
	Source     string // the snapshot that it was made of
	Tags       map[string]string

	Instance string // attached to, empty for none
	Device   string
	Ends     bool // with the instance
}

// DiskState is how far a disk is.
type DiskState string

// States of a disk.
const (
	DiskMaking    DiskState = "making"
	DiskFree      DiskState = "free"
	DiskAttaching DiskState = "attaching"
	DiskAttached  DiskState = "attached"
	DiskDetaching DiskState = "detaching"
	DiskResetting DiskState = "resetting" // attached, and its content is being replaced
	DiskBroken    DiskState = "broken"
)

// DiskSpec asks for one disk.
type DiskSpec struct {
	Snapshot   string
	Zone       string
	Kind       string
	SizeGiB    int32
	IOPS       int32
	Throughput int32
	Key        string // of the snapshot, to be asked about; empty: not encrypted, or not asked
	Token      string // names the request: at most 64 characters
	Tags       map[string]string
}

// Source is a member of a set, with what a disk made of it needs.
type Source struct {
	ID        string
	VolumeID  string
	State     string // of run.Snapshot
	StartedAt time.Time
	SizeGiB   int32
	Key       string // that it is encrypted with; empty: it is not
	Archived  bool   // nothing can be made of it before it is brought back
	Tags      map[string]string
}

// Tags by which a restore knows its disks.
const (
	TagRestore  = "quiesce:restore"      // on what it made: the restore's run
	TagScratch  = "quiesce:scratch"      // on what it made for a restore test: the test's execution
	TagCommand  = "quiesce:command"      // on what it made: the helper's command that works on it
	TagRecover  = "quiesce:recover"      // on what it made: that it comes to life on the instance, hence may be mounted
	TagOrigin   = "quiesce:origin"       // on what it made: the disk that the snapshot was taken of
	TagReplaced = "quiesce:replaced-by"  // on what it takes off: the restore's run
	TagDevice   = "quiesce:device"       // on both: the device's name
	TagEnds     = "quiesce:ends-with-it" // on both: whether it ends with the instance
	TagRan      = "quiesce:ran"          // on what it takes off: whether the instance was running
)
