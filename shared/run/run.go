// Package run holds the nouns of one run as they travel through the workflow:
// what each step is given and what it answers, placed by the definition under
// the field names of State.
package run

import (
	"encoding/json"
	"time"

	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/protocol"
)

// State is the whole document that an execution carries from state to state.
// Every field is there from the first state on, null until its step has run,
// so that no reference to one can miss.
type State struct {
	Run       Run        `json:"run"`
	Request   Typed      `json:"request"`
	Plan      *Plan      `json:"plan"`
	Prescript *Prescript `json:"prescript"`
	Freeze    *Freeze    `json:"freeze"`
	Set       *Set       `json:"set"`
	Thaw      *Thaw      `json:"thaw"`
	Plugin    *Plugin    `json:"plugin"` // in every mode but orchestrated
	Status    *Status    `json:"status"`
	Verdict   *Verdict   `json:"verdict"`
	Failures  Failures   `json:"failures"`
}

// Run names the execution.
type Run struct {
	ID        string    `json:"id"` // the execution's name
	StartedAt time.Time `json:"startedAt"`
}

// Request starts a run: an instance id is enough.
type Request struct {
	InstanceID string        `json:"instanceId"`
	Policy     policy.Policy `json:"policy,omitzero"`
}

// Typed is a request as somebody typed it. Precheck reads it strictly; whoever
// comes after a refusal must not be refused for the same reason.
type Typed json.RawMessage

// Read takes out of a request what can be read; what cannot has its default.
func (t Typed) Read() Request {
	var loose struct {
		InstanceID json.RawMessage `json:"instanceId"`
		Policy     json.RawMessage `json:"policy"`
	}
	r := Request{Policy: policy.Default()}
	if json.Unmarshal(t, &loose) != nil {
		return r
	}
	_ = json.Unmarshal(loose.InstanceID, &r.InstanceID)
	if p := policy.Default(); json.Unmarshal(loose.Policy, &p) == nil {
		r.Policy = p
	}
	return r
}

// MarshalJSON gives back what was typed.
func (t Typed) MarshalJSON() ([]byte, error) { return json.RawMessage(t).MarshalJSON() }

// UnmarshalJSON takes any document.
func (t *Typed) UnmarshalJSON(data []byte) error {
	*t = append((*t)[:0], data...)
	return nil
}

// Target is the instance of a run.
type Target struct {
	Provider   string `json:"provider"` // aws, aliyun
	Region     string `json:"region"`
	InstanceID string `json:"instanceId"`
}

// Providers, as a target names them.
const (
	AWS    = "aws"
	Aliyun = "aliyun"
)

// Plan is what precheck decided, with every default written out.
type Plan struct {
	RunID       string                `json:"runId"`
	Target      Target                `json:"target"`
	Policy      policy.Policy         `json:"policy"`
	Volumes     []Volume              `json:"volumes"`
	Excluded    []string              `json:"excluded,omitempty"` // attached volumes that the set leaves out
	Boot        string                `json:"boot,omitempty"`     // the boot volume, in the set or not
	Filesystems []protocol.Filesystem `json:"filesystems"`        // to be frozen, in no particular order
	Unfrozen    []string              `json:"unfrozen,omitempty"` // mounts on the set's volumes that stay writable
	Known       []string              `json:"known,omitempty"`    // device numbers of all filesystems that precheck saw
	Servers     []Server              `json:"servers,omitempty"`  // database servers that precheck found on the instance
	Helper      Helper                `json:"helper"`
	ClockSkewMs int64                 `json:"clockSkewMs"` // the instance's wall clock minus the step's
	Warnings    []string              `json:"warnings,omitempty"`
	Record      Record                `json:"record"`
}

// Check refuses a plan that no precheck has made.
func (p Plan) Check() error {
	switch {
	case p.RunID == "":
		return fault.Input("plan.runId", "is missing")
	case p.Target.InstanceID == "":
		return fault.Input("plan.target.instanceId", "is missing")
	}
	return nil
}

// Volume is one attached disk of the target that the set covers.
type Volume struct {
	ID      string   `json:"id"`
	Device  string   `json:"device"`            // as the provider attaches it
	Serials []string `json:"serials,omitempty"` // what the machine may see as its serial number
	SizeGiB int32    `json:"sizeGiB"`
	Mounts  string   `json:"mounts,omitempty"` // where its filesystems are mounted, as the tag cloud.TagMounts has it
}

// Helper pins the binary on the instance.
type Helper struct {
	SHA256 string `json:"sha256"`
	Arch   string `json:"arch"` // amd64, arm64
}

// Record is when a step worked: its event is published from it later, where
// publishing at once would have lengthened the window.
type Record struct {
	StartedAt time.Time `json:"startedAt"`
	EndedAt   time.Time `json:"endedAt"`
}

// Prescript is the answer of run-prescript.
type Prescript struct {
	Quiesced bool      `json:"quiesced"`
	Document *Document `json:"document,omitempty"` // the pre-script's command, with kind document
	Record   Record    `json:"record"`
}

// Freeze is the answer of the freeze step. Hold names the hold that the helper
// saw complete; the set is created under this name.
type Freeze struct {
	Hold   string `json:"hold"`
	Mounts int    `json:"mounts"`
	Record Record `json:"record"`
}

// Set is the snapshots of one run, one per volume, taken by one call.
type Set struct {
	Hold          string     `json:"hold,omitempty"` // the hold it was created under; empty for none
	Snapshots     []Snapshot `json:"snapshots"`
	CallStartedAt time.Time  `json:"callStartedAt"`
	CallEndedAt   time.Time  `json:"callEndedAt"`
	CallMs        float64    `json:"callMs"`
	Found         bool       `json:"found,omitempty"` // looked up by its tag after a lost reply
	Record        Record     `json:"record"`
}

// Snapshot is one member of a set.
type Snapshot struct {
	ID       string `json:"id"`
	VolumeID string `json:"volumeId"`
	State    string `json:"state"`
	Progress string `json:"progress,omitempty"`
}

// Snapshot states, as every provider's are translated.
const (
	Pending   = "pending"
	Completed = "completed"
	Failed    = "error"
)

// Thaw is the answer of the thaw step: the evidence, brought home.
type Thaw struct {
	Evidence  *protocol.Evidence `json:"evidence,omitempty"` // nil: the instance knew no session of the run
	Document  *Document          `json:"document,omitempty"` // the post-script's command, with kind document; nil: it was not owed
	Published bool               `json:"published"`          // the events of the steps before it are out
	Record    Record             `json:"record"`
}

// Status is the answer of one poll. WaitSeconds is how long to wait for an event
// before the set is looked at again.
type Status struct {
	State       string     `json:"state"` // pending, completed, error, timed-out
	Snapshots   []Snapshot `json:"snapshots"`
	Polls       int        `json:"polls"`
	WaitSeconds int        `json:"waitSeconds"`
	Record      Record     `json:"record"`
}

// TimedOut is the poll's state when the completion limit has passed.
const TimedOut = "timed-out"

// Verdict is the answer of the tag step, and of the run.
type Verdict struct {
	Outcome     Outcome     `json:"outcome"`
	Consistency Consistency `json:"consistency,omitempty"` // empty: there is no set
	Reason      string      `json:"reason"`
	Code        string      `json:"code,omitempty"` // the fault that lowered it or failed the run
	FrozenMs    float64     `json:"frozenMs"`
	SnapshotIDs []string    `json:"snapshotIds,omitempty"`
	Record      Record      `json:"record"`
}

// Consistency is what was proved of a set, highest first.
type Consistency string

const (
	Application Consistency = "application"
	Filesystem  Consistency = "filesystem"
	Crash       Consistency = "crash"
)

// Rank orders consistencies: the higher the more was proved; none is 0.
func (c Consistency) Rank() int {
	switch c {
	case Application:
		return 3
	case Filesystem:
		return 2
	case Crash:
		return 1
	}
	return 0
}

// Outcome is how a run ends.
type Outcome string

const (
	OutcomeCompleted   Outcome = "completed"
	OutcomeDegraded    Outcome = "degraded"
	OutcomeFailedClean Outcome = "failed-clean"
	OutcomeFailedDirty Outcome = "failed-dirty" // a person must look
)

// Failures holds what each step's Catch recorded, null where nothing failed.
type Failures struct {
	Precheck     *Failure `json:"precheck"`
	RunPrescript *Failure `json:"runPrescript"`
	Freeze       *Failure `json:"freeze"`
	Snapshot     *Failure `json:"snapshot"`
	Thaw         *Failure `json:"thaw"`
	Plugin       *Failure `json:"plugin"`
	PollStatus   *Failure `json:"pollStatus"`
	Tag          *Failure `json:"tag"`
}

// Failure is an error as the state machine hands it to a Catch: Error is the
// fault code, Cause the JSON document of the function that failed.
type Failure struct {
	Error string `json:"Error"`
	Cause string `json:"Cause"`
}
