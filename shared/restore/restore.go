// Package restore holds the nouns of a restore as they travel through its
// workflow, placed by the definition under the field names of State.
package restore

import (
	"regexp"
	"time"

	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/protocol"
	"github.com/quiesce/quiesce/shared/run"
)

// State is the whole document of a restore's execution. Every field is there
// from the first state on, null until its step has run.
type State struct {
	Run       run.Run   `json:"run"`
	Request   run.Typed `json:"request"`
	Plan      *Plan     `json:"plan"`
	Created   *Progress `json:"created"`
	Imaged    *Progress `json:"imaged"`
	Stopped   *Progress `json:"stopped"`
	Moved     *Progress `json:"moved"`
	Recovered *Recovery `json:"recovered"`
	Started   *Progress `json:"started"`
	Halted    *Progress `json:"halted"` // stopped once more, for the way back
	Back      *Progress `json:"back"`
	Again     *Progress `json:"again"` // started with what it had
	Forgot    *Progress `json:"forgot"`
	Unmounted *Recovery `json:"unmounted"`
	Settled   *Progress `json:"settled"`
	Verdict   *Verdict  `json:"verdict"`
	Failures  Failures  `json:"failures"`
}

// Failures holds what each step's Catch recorded.
type Failures struct {
	Plan    *run.Failure `json:"plan"`
	Create  *run.Failure `json:"create"`
	Image   *run.Failure `json:"image"`
	Stop    *run.Failure `json:"stop"`
	Move    *run.Failure `json:"move"`
	Recover *run.Failure `json:"recover"`
	Start   *run.Failure `json:"start"`
	Halt    *run.Failure `json:"halt"`
	Back    *run.Failure `json:"back"`
	Again   *run.Failure `json:"again"`
	Forget  *run.Failure `json:"forget"`
	Unmount *run.Failure `json:"unmount"`
	Settle  *run.Failure `json:"settle"`
	Report  *run.Failure `json:"report"`
}

// Request starts a restore, or goes on with one that was started before.
type Request struct {
	Action string `json:"action,omitempty"` // restore if it is empty
	RunID  string `json:"runId"`            // whose set is restored; of any other action, the restore's own
	Mode   Mode   `json:"mode,omitempty"`   // of a restore

	// InstanceID is where the disks go: by default the set's own instance, and
	// in place no other.
	InstanceID string `json:"instanceId,omitempty"`
	Zone       string `json:"zone,omitempty"` // refused unless the instance is there
	// Devices are the names that disks get, by the volume that their snapshot
	// was taken of; by default free ones are chosen.
	Devices map[string]string `json:"devices,omitempty"`
	// AcceptCrashConsistent is the explicit yes to a set of which nothing more
	// was proved.
	AcceptCrashConsistent bool `json:"acceptCrashConsistent,omitempty"`
	// AcceptUncheckedKeys is the yes to a key that KMS lets nobody ask about but
	// services, so that the dry run of its use is denied.
	AcceptUncheckedKeys bool         `json:"acceptUncheckedKeys,omitempty"`
	DryRun              bool         `json:"dryRun,omitempty"`  // plan, touch nothing
	Image               *Image       `json:"image,omitempty"`   // of the mode image
	Launch              *Launch      `json:"launch,omitempty"`  // of the mode image: an instance is wanted too
	Recover             *Recover     `json:"recover,omitempty"` // of the mode volumes: the copies come to life
	OptIn               policy.OptIn `json:"optIn,omitzero"`    // the tag without which an instance is not touched

	// Unmounted is for the action cleanup: a person has seen that nothing of the
	// copies is mounted any more, and the helper is not asked.
	Unmounted bool `json:"unmounted,omitempty"`

	// Scratch is for a restore test: the disks are marked as its own, end with
	// the instance, and are deleted after it.
	Scratch bool `json:"scratch,omitempty"`
	// Until is for the same: what has not been made and attached by then is given up.
	Until time.Time `json:"until,omitzero"`
}

// Actions.
const (
	Restore  = "restore"
	Rollback = "rollback" // the old disks go back
	Confirm  = "confirm"  // the old disks are let go: nothing goes back any more
	Cleanup  = "cleanup"  // what the restore made is deleted
)

// Mode is what becomes of a set.
type Mode string

// Modes.
const (
	Volumes Mode = "volumes"  // new disks beside those of an instance
	InPlace Mode = "in-place" // new disks in the place of those of the set's instance
	AsImage Mode = "image"    // a machine image, and an instance of it if one is wanted
)

// Check refuses what cannot be read as a request.
func (r Request) Check() error {
	switch {
	case r.RunID == "":
		return fault.Input("request.runId", "is missing: a set is restored by the id of its run")
	case r.Action != "" && r.Action != Restore && r.Action != Rollback && r.Action != Confirm && r.Action != Cleanup:
		return fault.Input("request.action", "wants %s, %s, %s or %s, got %q", Restore, Rollback, Confirm, Cleanup, r.Action)
	case r.IsRestore() && r.Mode != Volumes && r.Mode != InPlace && r.Mode != AsImage:
		return fault.Input("request.mode", "wants %s, %s or %s, got %q", Volumes, InPlace, AsImage, r.Mode)
	case !r.IsRestore() && (r.Mode != "" || r.InstanceID != "" || r.Zone != "" || len(r.Devices) > 0 || r.AcceptCrashConsistent || r.AcceptUncheckedKeys || r.Image != nil || r.Launch != nil || r.Recover != nil):
		return fault.Input("request.action", "%s wants the restore's id alone", r.Action)
	case r.Scratch && r.Mode != Volumes:
		return fault.Input("request.scratch", "is for the mode %s: a test takes nothing from an instance", Volumes)
	case !r.Until.IsZero() && !r.Scratch:
		return fault.Input("request.until", "is for a restore test: the way back of a restore is not to be given up")
	case r.Mode == InPlace && len(r.Devices) > 0:
		return fault.Input("request.devices", "is for the other modes: in place each disk gets the name of the one that it replaces")
	}
	if err := r.checkImage(); err != nil {
		return err
	}
	return r.checkRecover()
}

// IsRestore reports whether something is to be restored.
func (r Request) IsRestore() bool { return r.Action == "" || r.Action == Restore }

// Do is what a plan wants done next.
type Do string

// What is to be done.
const (
	DoNothing Do = "nothing"
	DoCreate  Do = "create"
	DoRecover Do = "recover" // what DoCreate does, and the copies come to life
	DoImage   Do = "image"
	DoBack    Do = "back"
	DoSettle  Do = "settle"
	DoUnmount Do = "unmount" // what DoSettle does, once the copies are mounted no more
)

// Plan is what is going to happen, with everything written out.
type Plan struct {
	RestoreID string        `json:"restoreId"` // whose disks are meant: this run, or the one that is gone on with
	Action    string        `json:"action"`
	Do        Do            `json:"do"`
	Mode      Mode          `json:"mode"`
	Policy    Policy        `json:"policy"`          // that the set is of
	SetID     string        `json:"setId,omitempty"` // the run whose set it is
	Target    run.Target    `json:"target"`
	Zone      string        `json:"zone"`
	Disks     []Disk        `json:"disks"` // made or to be made
	Image     *PlannedImage `json:"image,omitempty"`
	Launch    *Launch       `json:"launch,omitempty"`
	Revival   *Revival      `json:"revival,omitempty"`       // of copies that come to life, or that may have
	Old       []Old         `json:"old"`                     // taken off, or to be; nothing is left out of a disk that was
	Resets    bool          `json:"resets"`                  // the disks stay, and their content is replaced once it is kept in snapshots
	Stops     bool          `json:"stops"`                   // the instance is stopped on the way
	Starts    bool          `json:"starts"`                  // and started again: it was running
	Proved    string        `json:"proved"`                  // the set's consistency
	Because   string        `json:"because"`                 // and the reason
	Unchecked bool          `json:"uncheckedKeys,omitempty"` // KMS is not asked whether the keys may be used
	CostHint  string        `json:"costHint"`                // in a sentence
	Steps     []string      `json:"steps"`                   // what happens, in sentences
	Next      []string      `json:"next,omitempty"`          // what is the operator's to do
	Warnings  []string      `json:"warnings,omitempty"`
	Record    run.Record    `json:"record"`

	Scratch bool      `json:"scratch,omitempty"` // the disks are a restore test's
	Until   time.Time `json:"until,omitzero"`    // and are given up then
}

// DeviceName is what an attachment may be called.
var DeviceName = regexp.MustCompile(`^/dev/[a-z][a-z0-9/]{1,30}$`)

// Policy is which policy a set was taken by.
type Policy struct {
	Name string `json:"name"`
}

// Check refuses a plan that no planning step has made.
func (p Plan) Check() error {
	switch {
	case p.RestoreID == "":
		return fault.Input("plan.restoreId", "is missing")
	case p.Target.InstanceID == "" && !p.Settles():
		return fault.Input("plan.target.instanceId", "is missing")
	}
	return nil
}

// Makes reports whether disks are made.
func (p Plan) Makes() bool { return p.Do == DoCreate || p.Do == DoRecover }

// Settles reports whether what was restored before is confirmed or cleaned up.
func (p Plan) Settles() bool { return p.Do == DoSettle || p.Do == DoUnmount }

// Disk is one that the restore makes.
type Disk struct {
	Snapshot   string `json:"snapshot"`
	Origin     string `json:"origin"` // the volume that the snapshot was taken of
	Device     string `json:"device"`
	SizeGiB    int32  `json:"sizeGiB"`
	Kind       string `json:"kind"`
	IOPS       int32  `json:"iops,omitempty"`
	Throughput int32  `json:"throughput,omitempty"`
	Key        string `json:"key,omitempty"`
	Ends       bool   `json:"endsWithInstance"`
	ID         string `json:"id,omitempty"` // once it is known
}

// Old is a disk that makes room.
type Old struct {
	ID     string `json:"id"`
	Device string `json:"device"`
	Ends   bool   `json:"endsWithInstance"`
}

// Kept is the snapshot that a disk which was set back can be set back to once
// more, to what was on it before.
type Kept struct {
	ID   string `json:"id"`
	Disk string `json:"disk"`
}

// Progress is how far something is that takes its time. The definition waits
// while it is pending.
type Progress struct {
	State  string     `json:"state"`  // pending, done
	Detail string     `json:"detail"` // in a sentence
	Disks  []Made     `json:"disks,omitempty"`
	Since  time.Time  `json:"since"` // the first look
	Record run.Record `json:"record"`
}

// States of a progress.
const (
	Pending = "pending"
	Done    = "done"
)

// Made is what the restore has made, as it is: a disk, or of the mode image what
// Kind says.
type Made struct {
	Kind   string `json:"kind,omitempty"` // image, instance; empty: disk
	ID     string `json:"id"`
	Origin string `json:"origin,omitempty"` // of a disk: the volume that its snapshot was taken of
	Device string `json:"device,omitempty"`
	State  string `json:"state"` // of a disk, an image or an instance
}

// Kinds of what a restore makes besides disks.
const (
	KindImage    = "image"
	KindInstance = "instance"
)

// Verdict is the answer of the last step, and of the execution.
type Verdict struct {
	Outcome Outcome    `json:"outcome"`
	Reason  string     `json:"reason"`
	Code    string     `json:"code,omitempty"`
	Plan    *Plan      `json:"plan"`    // null: there was none
	Created []Made     `json:"created"` // all that this restore has made and that is still there
	Old     []Old      `json:"old"`     // all that it took off and that is kept
	Kept    []Kept     `json:"kept"`    // what was on the disks that it has set back, in snapshots
	Next    []string   `json:"next"`
	Seconds float64    `json:"seconds"`
	Record  run.Record `json:"record"`

	Recovery *protocol.RecoverReply `json:"recovery,omitempty"` // of copies that came to life, or did not quite
}

// Outcome is how a restore ends.
type Outcome string

// Ends.
const (
	Planned     Outcome = "planned"      // a dry run: nothing was touched
	Restored    Outcome = "restored"     // as it was asked for
	RolledBack  Outcome = "rolled-back"  // as it was asked for
	Settled     Outcome = "settled"      // confirmed or cleaned up
	FailedClean Outcome = "failed-clean" // the original is as it was
	FailedDirty Outcome = "failed-dirty" // a person must look
)
