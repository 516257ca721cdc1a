// Package cloud declares the ports through which the steps reach a provider.
// Every provider passes the conformance suite in cloudtest, the emulated one
// included. Errors are faults: a provider translates its SDK's errors in one
// table and nobody behind this package sees them.
package cloud

import (
	"context"
	"regexp"
	"slices"
	"time"

	"github.com/quiesce/quiesce/events"
	"github.com/quiesce/quiesce/shared/run"
)

// Provider is everything that the steps ask of a cloud.
type Provider interface {
	Disks
	Agent
	Assets
	Bus
	Tokens
	Tasks
	Finder
	Store
}

// Disks reads instances and volumes and makes sets. Reads are retried by the
// provider; CreateSet never is, because its caller must look first.
type Disks interface {
	// Instance describes an instance with its attached volumes.
	// Codes: InstanceNotFound, AccessDenied, Throttled, Unavailable.
	Instance(ctx context.Context, id string) (Instance, error)

	// CreateSet snapshots the instance's volumes by ONE call, tagged at
	// creation. It makes exactly one attempt on the wire. Codes:
	// SnapshotThrottled, SnapshotTooSoon and SnapshotRefused when nothing was
	// made, SnapshotOutcomeUnknown when a set may exist all the same.
	CreateSet(ctx context.Context, spec SetSpec) ([]run.Snapshot, error)

	// FindSet returns the snapshots that carry the run's tag, with their
	// tags; none is not an error. What was created a moment ago may be
	// missing for some seconds.
	FindSet(ctx context.Context, runID string) ([]TaggedSnapshot, error)

	// Snapshots reports the state of the named snapshots; one that does not
	// exist is SnapshotFailed.
	Snapshots(ctx context.Context, ids []string) ([]run.Snapshot, error)

	// Pending returns the volumes that have snapshots in progress, with
	// their number.
	Pending(ctx context.Context, volumeIDs []string) (map[string]int, error)

	// TagSnapshots puts tags on the snapshots; idempotent.
	TagSnapshots(ctx context.Context, ids []string, tags map[string]string) error
}

// Instance is a target as the provider describes it.
type Instance struct {
	ID      string
	Running bool
	State   string // the provider's own word
	Arch    string // amd64, arm64
	Tags    map[string]string
	Target  run.Target
	Volumes []Volume
	System  string // the operating system as the provider calls it; empty: it does not say
	Type    string // its size, as the provider calls it; empty: it does not say
	Profile string // the identity of its own that it has for calls, on AWS; empty: none
}

// Volume is one attached volume. Device is the name the provider gives the
// attachment; the kernel's name may differ, hence Serials.
type Volume struct {
	ID      string
	Device  string
	Serials []string // what the guest may see as the disk's serial number
	Boot    bool
	SizeGiB int32
	Kind    string
	Tags    map[string]string
	// Concurrent is how many snapshots of it may be pending at once.
	Concurrent int
	// Unsupported tells why no consistent set can hold it; empty if one can.
	Unsupported string
}

// SetSpec asks for one set. Exclude lists attached volumes that it leaves out.
type SetSpec struct {
	InstanceID  string
	ExcludeBoot bool
	Boot        string
	Exclude     []string // data volumes, without the boot volume
	Include     []string // the volumes that the set must hold, for a provider that wants them
	Description string
	Tags        map[string]string
}

// TaggedSnapshot is a snapshot found by its tags.
type TaggedSnapshot struct {
	run.Snapshot
	Tags      map[string]string
	StartedAt time.Time
}

// Agent runs the helper on an instance through the provider's own agent.
type Agent interface {
	// Ping tells whether the agent answers and when it last did.
	Ping(ctx context.Context, instanceID string) (Ping, error)

	// Send starts a helper command and returns without waiting for it. The
	// agent may deliver it late or twice. Codes: AgentOffline, AccessDenied,
	// Throttled, Unavailable.
	Send(ctx context.Context, cmd Command) (commandID string, err error)

	// Result tells how far the command is. A command that the provider does
	// not know yet is pending.
	Result(ctx context.Context, instanceID, commandID string) (Result, error)

	// Cancel asks the agent to give the command up, without a guarantee.
	Cancel(ctx context.Context, instanceID, commandID string) error

	// Document describes a command document of the user's. Codes:
	// CommandFailed when there is none of this name or it cannot be read,
	// AccessDenied, Throttled, Unavailable.
	Document(ctx context.Context, name string) (Document, error)

	// SendDocument starts a command of the user's own document, as Send starts
	// the helper's; Result and Cancel know it too. Codes: those of Send, and
	// CommandFailed when the provider refuses the document or a parameter:
	// then nothing runs.
	SendDocument(ctx context.Context, cmd DocumentCommand) (commandID string, err error)
}

// Document is a command document of the user's, as far as its parameters go.
type Document struct {
	Command    bool // of the type whose commands an agent runs
	Parameters map[string]Parameter
}

// Parameter is one that a document declares.
type Parameter struct {
	Allowed  []string // the only values; empty: any that Pattern matches
	Pattern  string   // a regular expression; empty: any value
	Optional bool     // it has a default
}

// DocumentCommand is one run of a user's document on an instance.
type DocumentCommand struct {
	InstanceID   string
	Document     string // name or address, as the provider knows it
	Parameters   map[string]string
	DeliverySecs int // not started by then: never runs
	Comment      string
}

// Ping is the state of an instance's agent.
type Ping struct {
	Online  bool
	Last    time.Time
	Linux   bool
	System  string // the operating system as the agent calls it; empty: it does not say
	Version string // the agent's own
}

// Command is one verb for the helper on an instance. Request is a
// protocol.Request in JSON; it travels encoded, never as shell text. Asset
// with a URL has the helper fetched first if it is not there yet.
type Command struct {
	InstanceID    string
	Asset         Asset
	Verb          string
	Request       []byte
	DeliverySecs  int // not started by then: never runs
	ExecutionSecs int // killed with its process group after
	Comment       string
}

// Result is how far a command is.
type Result struct {
	Done     bool
	Running  bool   // the agent has begun it, and it is not over
	Status   string // the provider's own word
	ExitCode int
	Stdout   string
	Stderr   string
	// TimedOut: the agent gave it up or never answered.
	TimedOut bool
}

// Assets serves the helper by checksum.
type Assets interface {
	// Helper returns the helper for an architecture: its checksum, and a URL
	// that is good for some minutes.
	Helper(ctx context.Context, arch string) (Asset, error)
}

// Asset is a file pinned by its checksum. URL may be empty: then the file is
// expected to be there already.
type Asset struct {
	SHA256 string
	URL    string
}

// Bus publishes events.
type Bus interface {
	// Publish puts the events on the bus in order; all or an error.
	Publish(ctx context.Context, entries []events.Event) error
}

// Tokens keeps what ends the wait for a set, from the one who waits to the one
// who hears that the set is done. A token is short-lived: a provider may forget
// it after a day.
type Tokens interface {
	// SaveToken keeps the token of a set, which SetKey names; a later token
	// takes the earlier one's place. Whoever looks after SaveToken has
	// returned finds it. Codes: AccessDenied, Throttled, Unavailable.
	SaveToken(ctx context.Context, set, token string) error

	// FindToken returns the set's token, empty if nobody has saved one. Codes:
	// AccessDenied, Throttled, Unavailable.
	FindToken(ctx context.Context, set string) (token string, err error)
}

// Tasks answers states of the workflow that wait.
type Tasks interface {
	// Answer ends the wait of the token. One that is over already, or that
	// never was, is no error: the wait has ended, which is what was asked for.
	// Codes: AccessDenied, Throttled, Unavailable.
	Answer(ctx context.Context, token string) error
}

// SetKey names a set by its members, whatever their order: an event about a
// set lists all of them, and knows neither its run nor its tags.
func SetKey(snapshotIDs []string) string { return slices.Min(snapshotIDs) }

// SetKeys are the names under which the token of a set is to be kept. On
// Alibaba Cloud each member's completion is an event of its own, so that each
// is a name.
func SetKeys(provider string, snapshotIDs []string) []string {
	if provider == run.Aliyun {
		return snapshotIDs
	}
	return []string{SetKey(snapshotIDs)}
}

// Tags by which a set is known.
const (
	TagRun         = "quiesce:run"
	TagHold        = "quiesce:hold"
	TagPolicy      = "quiesce:policy"
	TagInstance    = "quiesce:instance" // a volume may be another's by the time it is wanted back
	TagMembers     = "quiesce:members"  // how many snapshots the set has; a list does not tell what is missing
	TagConsistency = "quiesce:consistency"
	TagReason      = "quiesce:reason"
	TagFrozenMs    = "quiesce:frozen-ms"
	TagMounts      = "quiesce:mounts"         // where the volume's filesystems were mounted: atlas.PlacesTag
	TagLabel       = "quiesce:backup-label"   // of PostgreSQL's online backup: label.Tags
	TagSpaces      = "quiesce:tablespaces"    // and its map of tablespaces
	TagKind        = "quiesce:application"    // the kind of server that the policy holds
	TagShadows     = "quiesce:shadow-set"     // the set of shadow copies that lie in the snapshots
	TagSignature   = "quiesce:disk-signature" // of the disk as Windows knew it: mbr:0A1B2C3D, gpt:GUID
	TagApp         = "AppConsistent"
	TagFs          = "FsConsistent"
	TagTest        = "quiesce:restore-test"        // how the last restore test of the set ended
	TagTestRun     = "quiesce:restore-test-run"    // the execution that tests the set, or did last
	TagTestBefore  = "quiesce:restore-test-before" // while it is under test: how the test before ended
	TagTestAt      = "quiesce:restore-test-at"     // when its last test ended
	TagRecovery    = "quiesce:recovery-seconds"    // how long it took to come to life then
	TagDeleting    = "quiesce:deleting"            // the deletion of its set has begun, and when; it is no set any more
	TagOptIn       = "quiesce:opt-in"              // on the instance: it may be commanded
)

// TagRoom is how many characters a provider allows for a tag's value.
func TagRoom(provider string) int {
	if provider == run.Aliyun {
		return 128
	}
	return 255
}

var notInTags = regexp.MustCompile(`[^\p{L}\p{Z}\p{N}_.:/=+\-@]+`)

// TagValue makes a sentence fit to be a tag's value.
func TagValue(s string) string {
	r := []rune(notInTags.ReplaceAllString(s, " "))
	if len(r) > 255 {
		r = r[:255]
	}
	return string(r)
}
