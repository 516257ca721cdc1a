// Package events is what Quiesce tells the world: one struct a detail type,
// with a fixture and a JSON Schema beside it, so that a subscriber needs
// nothing else of the project. Events carry ids and codes, no secrets.
package events

import "time"

// Source is the source of every event.
const Source = "quiesce"

// Detail types. Every run publishes exactly one of Completed, Degraded and
// Failed, and one that was stopped while it told that may tell it twice; ThawFailed comes beside Failed when a person must act. Every fleet
// and every group publishes one report besides, and so does every deletion of
// what a policy's retention does not keep, and every look after its sets that
// did something. Every restore test publishes how it ended, and every restore
// that is no dry run one of Restored and Unrestored.
const (
	TypeStep       = "Consistent Snapshot Step"
	TypeCompleted  = "Consistent Snapshot Completed"
	TypeDegraded   = "Consistent Snapshot Degraded"
	TypeFailed     = "Consistent Snapshot Failed"
	TypeThawFailed = "Thaw Failed"
	TypeFleet      = "Consistent Snapshot Fleet Report"
	TypeRetention  = "Consistent Snapshot Retention Report"
	TypeCuration   = "Consistent Snapshot Curation Report"
	TypeTest       = "Restore Test Completed"
	TypeRestored   = "Restore Completed"
	TypeUnrestored = "Restore Failed"
)

// Event is one entry for the bus. Time is when the thing happened, which may
// be before it is published. Detail is one of the structs of this package.
type Event struct {
	Type      string
	Time      time.Time
	Resources []string
	Detail    any
}

// Subject is what every detail begins with.
type Subject struct {
	RunID      string `json:"runId"`
	Policy     string `json:"policy"`
	Provider   string `json:"provider,omitempty"`
	Region     string `json:"region,omitempty"`
	InstanceID string `json:"instanceId"`
}

// Step is the detail of TypeStep: one step has ended.
type Step struct {
	Subject
	Step      string    `json:"step"`
	Status    string    `json:"status"` // succeeded, failed
	Code      string    `json:"code,omitempty"`
	Reason    string    `json:"reason,omitempty"`
	StartedAt time.Time `json:"startedAt,omitzero"`
	EndedAt   time.Time `json:"endedAt,omitzero"`
}

// Step statuses.
const (
	Succeeded = "succeeded"
	Errored   = "failed"
)

// Outcome is the detail of TypeCompleted, TypeDegraded and TypeFailed.
type Outcome struct {
	Subject
	Outcome     string   `json:"outcome"` // completed, degraded, failed-clean, failed-dirty
	Consistency string   `json:"consistency,omitempty"`
	Asked       string   `json:"asked,omitempty"` // the consistency that the policy asked for
	Reason      string   `json:"reason"`
	Code        string   `json:"code,omitempty"`
	NextMove    string   `json:"nextMove,omitempty"`
	FrozenMs    float64  `json:"frozenMs"`
	SnapshotIDs []string `json:"snapshotIds,omitempty"`
}

// Thaw is the detail of TypeThawFailed: writes on the instance may stand.
type Thaw struct {
	Subject
	Code     string   `json:"code"`
	Reason   string   `json:"reason"`
	NextMove string   `json:"nextMove"`
	Mounts   []string `json:"mounts,omitempty"`
}

// Fleet is the detail of TypeFleet: a fleet or a group has ended. Its subject
// names no instance.
type Fleet struct {
	Subject
	Outcome     string   `json:"outcome"` // completed, completed-with-errors, failed; of a group those of a run
	Reason      string   `json:"reason"`
	Code        string   `json:"code,omitempty"`
	NextMove    string   `json:"nextMove,omitempty"`
	Together    bool     `json:"together"`              // it was a group
	Consistency string   `json:"consistency,omitempty"` // of a group: what was proved of every member
	Instances   int      `json:"instances"`
	Completed   int      `json:"completed"`
	Degraded    int      `json:"degraded"`
	Failed      int      `json:"failed"`
	TakenBefore int      `json:"takenBefore"` // by another execution for the same slot
	NotStarted  int      `json:"notStarted"`  // or not waited for, because the error budget was spent
	Skipped     int      `json:"skipped"`     // found, but stopped or not opted in
	Seconds     float64  `json:"seconds"`
	Failures    []Failed `json:"failures"` // the first 20
}

// Failed is one instance whose run did not complete.
type Failed struct {
	InstanceID string `json:"instanceId"`
	RunID      string `json:"runId"`
	Error      string `json:"error"`
	Reason     string `json:"reason"`
}

// Retention is the detail of TypeRetention: the sets of a policy were gone
// through, and what is not kept was deleted. Its subject names no instance.
type Retention struct {
	Subject
	Outcome   string `json:"outcome"` // completed, completed-with-errors
	Reason    string `json:"reason"`
	Code      string `json:"code,omitempty"`
	NextMove  string `json:"nextMove,omitempty"`
	Sets      int    `json:"sets"`
	Kept      int    `json:"kept"`
	Deleted   int    `json:"deleted"`
	Orphaned  int    `json:"orphaned"` // kept, and a person must look
	Left      int    `json:"left"`     // to the next day, because the budget of calls was spent
	Failed    int    `json:"failed"`   // could not be deleted; the next day tries again
	Snapshots int    `json:"snapshots"`
	GiB       int64  `json:"gib"`
	Lines     []Fate `json:"lines"` // the first 20 that are not simply kept
}

// Fate is one set that was not simply kept.
type Fate struct {
	RunID      string `json:"runId"`
	InstanceID string `json:"instanceId"`
	Fate       string `json:"fate"` // deleted, orphan, left, failed
	Why        string `json:"why"`
}

// Test is the detail of TypeTest: a set was restored beside and brought to life,
// or was not. Its subject is the test's execution and the instance that the set
// was taken of, both empty where nothing could be chosen.
type Test struct {
	Subject
	Verdict         string   `json:"verdict"` // SUCCESSFUL, FAILED, TIMED_OUT, NOT_TESTED
	Reason          string   `json:"reason"`
	Code            string   `json:"code,omitempty"`
	NextMove        string   `json:"nextMove,omitempty"`
	SetID           string   `json:"setId"`                 // the run whose set it is
	TestInstanceID  string   `json:"testInstanceId"`        // where it was brought to life
	Consistency     string   `json:"consistency,omitempty"` // what was proved of the set when it was taken
	SnapshotIDs     []string `json:"snapshotIds,omitempty"`
	RecoverySeconds float64  `json:"recoverySeconds"`    // until the copies had come to life and were checked; 0: they did not get that far
	Problems        []string `json:"problems,omitempty"` // what the checks found
	Seconds         float64  `json:"seconds"`            // of the whole test
	Cost            float64  `json:"cost"`               // of the copies until the time limit, at the policy's price; 0: it gives none
	Left            []string `json:"left"`               // disks of the test that are there still
}

// Curation is the detail of TypeCuration: a policy's sets were looked after, and
// something was done with them, or could not be. Its subject names no instance.
type Curation struct {
	Subject
	Outcome  string `json:"outcome"` // completed, completed-with-errors
	Reason   string `json:"reason"`
	Code     string `json:"code,omitempty"`
	NextMove string `json:"nextMove,omitempty"`
	Locked   int    `json:"locked"`
	Shared   int    `json:"shared"`
	Unshared int    `json:"unshared"`
	Copied   int    `json:"copied"`  // of which a Region has every member from now on
	Waiting  int    `json:"waiting"` // of which a Region has not every member yet
	Archived int    `json:"archived"`
	Failed   int    `json:"failed"` // could not be done; the next look tries again
	Lines    []Deed `json:"lines"`  // the first 20
}

// Deed is one thing that was done with a set, or could not be.
type Deed struct {
	RunID      string `json:"runId"`
	InstanceID string `json:"instanceId"`
	What       string `json:"what"`
	Region     string `json:"region,omitempty"` // of a copy
	Code       string `json:"code,omitempty"`   // why it could not be done
	Reason     string `json:"reason"`
}
