// Package protocol is what the steps and the helper on the instance say to
// each other: one request and one reply, JSON, small enough for a command's
// output. Both sides compile it in, so that they cannot drift apart.
package protocol

import (
	"time"

	"github.com/quiesce/quiesce/shared/fault"
)

// Version is refused by the other side when it differs: a helper is pinned by
// checksum, hence a difference means that something else answered.
const Version = 1

// Verb is one thing that the helper can be asked. Each is idempotent per run:
// asked again it replays its recorded reply.
type Verb string

const (
	DryRun Verb = "dry-run" // look, change nothing
	Begin  Verb = "begin"   // open the session, quiesce the application
	Freeze Verb = "freeze"  // flush, arm the guards, freeze, see the tripwires blocked
	Probe  Verb = "probe"   // see whether the tripwires are still blocked
	Thaw   Verb = "thaw"    // thaw in reverse, release the application, bring the evidence home
	Status Verb = "status"  // what the session knows, changing nothing

	Recover Verb = "recover" // bring a set's attached disks to life; of a restore or its test, not of a run's session
	Unmount Verb = "unmount" // take away what a Recover with Keep has mounted; nothing there is no error
)

// Request is one verb for one run. NotAfter is on the instance's wall clock:
// a command that arrives later is refused, because its sender has given up.
// Thaw is never refused for lateness.
type Request struct {
	Version  int            `json:"version"`
	Verb     Verb           `json:"verb"`
	RunID    string         `json:"runId"`
	NotAfter time.Time      `json:"notAfter,omitzero"`
	DryRun   *DryRunRequest `json:"dryRun,omitempty"`
	Begin    *BeginRequest  `json:"begin,omitempty"`
	Thaw     *ThawRequest   `json:"thaw,omitempty"`

	Recover *RecoverRequest `json:"recover,omitempty"`
}

// DryRunRequest asks whether a run could be held here.
type DryRunRequest struct {
	Scripts     []string     `json:"scripts,omitempty"` // absolute paths whose safety is checked
	AllowRoot   bool         `json:"allowRoot,omitempty"`
	Application *Application `json:"application,omitempty"` // a server to look for, with kind "auto" every one that is found; nil for none
	Discover    bool         `json:"discover,omitempty"`    // tell which servers run
}

// BeginRequest opens the session. SessionSeconds bounds its whole life: when
// it ends, everything is thawed and the application released whatever the
// workflow does. FreezeSeconds bounds the frozen window alone.
type BeginRequest struct {
	SessionSeconds int          `json:"sessionSeconds"`
	FreezeSeconds  int          `json:"freezeSeconds"`
	AllowRoot      bool         `json:"allowRoot,omitempty"`
	Application    Application  `json:"application"`
	Filesystems    []Filesystem `json:"filesystems"` // empty: freeze not asked for
	// Known are the device numbers of the filesystems that the plan has
	// weighed: another one, mounted since, is a newcomer and goes on record.
	Known []string `json:"known,omitempty"`
}

// Servers are the kinds that have an adapter's name; a helper may lack some.
var Servers = []string{"mariadb", "mysql", "postgresql", "redis", "mongodb"}

// Application tells how the application is quiesced. Kind "none" does nothing,
// and so does "document": its commands are sent by others, and the session
// only keeps in mind that one may have been.
// No field is a secret: a server is reached by its socket as root, or with what
// an option file on the instance says.
type Application struct {
	Kind           string `json:"kind"` // none, script, document, mariadb, mysql, postgresql, redis, mongodb
	PreScript      string `json:"preScript,omitempty"`
	PostScript     string `json:"postScript,omitempty"`
	TimeoutSeconds int    `json:"timeoutSeconds,omitempty"` // of a script, or until a server is at rest
	Retries        int    `json:"retries,omitempty"`        // of a script

	Socket     string `json:"socket,omitempty"`     // absolute; empty: where the kind usually has it
	OptionFile string `json:"optionFile,omitempty"` // absolute, root's or the server's own
	Mode       string `json:"mode,omitempty"`       // one of the kind's; empty: its default

	// HoldSeconds is when a hold that outlives its connection must end by
	// itself; the session sets it, to its own end.
	HoldSeconds int `json:"holdSeconds,omitempty"`

	// Limits of the wait for a lock, named as Percona's tool names them.
	FTWRLWaitTimeout       int    `json:"ftwrlWaitTimeout,omitempty"`       // seconds to wait for quiet; 0: look once
	FTWRLWaitThreshold     int    `json:"ftwrlWaitThreshold,omitempty"`     // seconds from which on a query is long; 0: 60
	FTWRLWaitQueryType     string `json:"ftwrlWaitQueryType,omitempty"`     // all (also when empty), update
	KillLongQueriesTimeout int    `json:"killLongQueriesTimeout,omitempty"` // seconds until what blocks the lock is killed; 0: never
	KillLongQueryType      string `json:"killLongQueryType,omitempty"`      // select (also when empty), all
}

// Filesystem names one superblock by the mount point it was resolved at and
// the device number it had then; the freeze is refused if they part.
type Filesystem struct {
	Mount  string `json:"mount"`
	Device string `json:"device"` // major:minor of the superblock
}

// ThawRequest tells the helper what its sender knew. CallEnded is set only by
// a sender to whom the snapshot call had returned; it is what makes the end of
// the hold a proof.
type ThawRequest struct {
	CallEnded string `json:"callEnded,omitempty"` // the Evidence.Hold under which the call was made
	Reason    string `json:"reason,omitempty"`    // "snapshot-taken", "failure", "janitor", "operator"
}

// Reply is what a verb answers. Error is set when it did not do what was
// asked; the other fields hold as far as they are present even then.
type Reply struct {
	Version  int          `json:"version"`
	Verb     Verb         `json:"verb"`
	RunID    string       `json:"runId"`
	Replayed bool         `json:"replayed,omitempty"`
	Now      time.Time    `json:"now"` // the instance's wall clock
	Error    *Failure     `json:"error,omitempty"`
	DryRun   *DryRunReply `json:"dryRun,omitempty"`
	Evidence *Evidence    `json:"evidence,omitempty"`

	Recover *RecoverReply `json:"recover,omitempty"`
}

// Failure is a fault as it crosses from the instance.
type Failure struct {
	Code    fault.Code `json:"code"`
	Field   string     `json:"field,omitempty"`
	Message string     `json:"message"`
}

// Err returns the failure as a fault, nil for none.
func (f *Failure) Err() error {
	if f == nil {
		return nil
	}
	return &fault.Error{Code: f.Code, Field: f.Field, Message: f.Message}
}

// FailureOf translates an error for the wire, nil for nil.
func FailureOf(err error) *Failure {
	if err == nil {
		return nil
	}
	f := &Failure{Code: fault.CodeOf(err), Message: err.Error()}
	if e, ok := err.(*fault.Error); ok && e.Field != "" {
		f.Field, f.Message = e.Field, (&fault.Error{Message: e.Message, Cause: e.Cause}).Error()
	}
	return f
}

// DryRunReply is the machine as the helper sees it.
type DryRunReply struct {
	Hostname  string   `json:"hostname"`
	Kernel    string   `json:"kernel"`
	BootID    string   `json:"bootId"`
	ActiveRun string   `json:"activeRun,omitempty"` // another run's session that is open now
	Mounts    []Mount  `json:"mounts"`
	Devices   []string `json:"devices,omitempty"`  // device numbers of all mounts, those left out for brevity too
	Server    *Server  `json:"server,omitempty"`   // the application that was looked for
	NoServer  *Failure `json:"noServer,omitempty"` // why it was not found
	Found     []Found  `json:"found,omitempty"`    // the servers that run, if they were to be discovered
	Untold    int      `json:"untold,omitempty"`   // how many more of them run: the list was too long
	Warnings  []string `json:"warnings,omitempty"` // hazards that do not forbid the run
}

// Server is an application as its adapter found it.
type Server struct {
	Kind     string   `json:"kind"`
	Version  string   `json:"version"`
	Replica  bool     `json:"replica,omitempty"`  // it follows another server
	Dirs     []string `json:"dirs,omitempty"`     // where its data and logs lie
	Warnings []string `json:"warnings,omitempty"` // what the operator should know, in sentences
}

// Mount is one superblock that can be frozen, with the disks under it. Its
// Mount is the shortest of its mount points; binds of it are folded in. Depth
// counts the filesystems it stands on: deeper ones freeze first.
type Mount struct {
	Mount    string   `json:"mount"`
	Device   string   `json:"device"`
	Type     string   `json:"type"`
	Part     string   `json:"part,omitempty"` // which of a disk's: as Place has it
	ReadOnly bool     `json:"readOnly,omitempty"`
	Depth    int      `json:"depth"`
	On       string   `json:"on,omitempty"` // the mount that holds its loop device's file
	Disks    []Disk   `json:"disks"`
	Refused  string   `json:"refused,omitempty"` // why it must not be frozen; empty if it may
	Binds    []string `json:"binds,omitempty"`
}

// Disk is a whole block device at the bottom of a mount: Name as the kernel
// calls it (nvme1n1, xvdf, loop3), Serial as the device reports it.
type Disk struct {
	Name   string `json:"name"`
	Serial string `json:"serial,omitempty"`
}
