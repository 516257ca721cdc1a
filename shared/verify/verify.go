// Package verify holds the nouns of a restore test as they travel through its
// workflow, placed by the definition under the field names of State.
package verify

import (
	"encoding/json"
	"time"

	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/protocol"
	"github.com/quiesce/quiesce/shared/restore"
	"github.com/quiesce/quiesce/shared/retention"
	"github.com/quiesce/quiesce/shared/run"
)

// State is the whole document of a restore test's execution. Every field is
// there from the first state on, null until its step has run.
type State struct {
	Run       run.Run           `json:"run"`
	Request   run.Typed         `json:"request"`
	Choice    *Choice           `json:"choice"`
	Plan      *restore.Plan     `json:"plan"`
	Marked    *Mark             `json:"marked"`
	Created   *restore.Progress `json:"created"`
	Moved     *restore.Progress `json:"moved"`
	Recovered *restore.Recovery `json:"recovered"`
	Cleaned   *restore.Progress `json:"cleaned"`
	Verdict   *Verdict          `json:"verdict"`
	Failures  Failures          `json:"failures"`
}

// Failures holds what each step's Catch recorded.
type Failures struct {
	Choose  *run.Failure `json:"choose"`
	Plan    *run.Failure `json:"plan"`
	Mark    *run.Failure `json:"mark"`
	Create  *run.Failure `json:"create"`
	Move    *run.Failure `json:"move"`
	Recover *run.Failure `json:"recover"`
	Clean   *run.Failure `json:"clean"`
	Report  *run.Failure `json:"report"`
}

// First is what went wrong first, but for the cleaning, which is told apart.
func (f Failures) First() *run.Failure {
	for _, one := range []*run.Failure{f.Choose, f.Plan, f.Mark, f.Create, f.Move, f.Recover} {
		if one != nil {
			return one
		}
	}
	return nil
}

// Request starts a test. The policy's name finds the sets, its restoreTest says
// where and how.
type Request struct {
	RunID      string          `json:"runId,omitempty"`      // whose set is tested; empty: the newest good one of the policy
	InstanceID string          `json:"instanceId,omitempty"` // whose newest; empty: of the instance of which none was tested for longest
	Policy     policy.Document `json:"policy"`
	DryRun     bool            `json:"dryRun,omitempty"` // plan, touch nothing
}

// Check refuses what cannot be carried out, before anything is looked at.
func (r Request) Check() error {
	switch {
	case r.Policy.RestoreTest.IsZero():
		return fault.Input("request.policy.restoreTest", "is missing: it names the instance on which the set is tested")
	case r.RunID != "" && r.InstanceID != "":
		return fault.Input("request.instanceId", "is given, and the run %s has but one set", r.RunID)
	}
	return r.Policy.Check(time.Now())
}

// Choice is which set is tested, where, and within which limits.
type Choice struct {
	TestID      string          `json:"testId"` // the execution's name
	SetID       string          `json:"setId"`  // the run whose set it is
	Policy      string          `json:"policy"`
	InstanceID  string          `json:"instanceId"` // that the set was taken of
	SnapshotIDs []string        `json:"snapshotIds"`
	SizeGiB     int64           `json:"sizeGiB"`
	TakenAt     time.Time       `json:"takenAt"`
	Proved      run.Consistency `json:"proved"`
	Before      retention.Test  `json:"before"` // how the set's last test ended; empty: there was none
	Because     string          `json:"because"`
	Application string          `json:"application"` // the server that is started on the copies, or none
	Script      string          `json:"check"`       // the user's own check, or empty
	Restore     restore.Request `json:"restore"`
	Deadline    time.Time       `json:"deadline"` // the copies are taken away from then on
	Cost        float64         `json:"cost"`     // of the copies until then, by the policy's price
	CostHint    string          `json:"costHint"`
	Helper      run.Helper      `json:"helper"` // for the test instance
	DryRun      bool            `json:"dryRun"`
	Record      run.Record      `json:"record"`
}

// Check refuses a choice that no choosing step has made.
func (c Choice) Check() error {
	switch {
	case c.TestID == "":
		return fault.Input("choice.testId", "is missing")
	case c.SetID == "" || len(c.SnapshotIDs) == 0:
		return fault.Input("choice.setId", "is missing, or its snapshots")
	}
	return nil
}

// Mark is the answer of the step that says on the set that it is under test.
type Mark struct {
	Record run.Record `json:"record"`
}

// Verdict is the answer of the last step, and of the execution.
type Verdict struct {
	Outcome Outcome        `json:"outcome"`
	Result  retention.Test `json:"verdict"` // empty for a dry run
	Reason  string         `json:"reason"`
	Code    string         `json:"code,omitempty"`
	Choice  *Choice        `json:"choice"` // null: none was made
	Plan    *restore.Plan  `json:"plan"`   // null: there was none
	// RecoverySeconds is how long the copies took to come to life on the test
	// instance, from the first look for them to the end of the last check.
	RecoverySeconds float64                `json:"recoverySeconds"`
	Recovery        *protocol.RecoverReply `json:"recovery"`
	Seconds         float64                `json:"seconds"` // of the whole test
	Left            []string               `json:"left"`    // disks of it that are there still
	Next            []string               `json:"next"`
	Record          run.Record             `json:"record"`
}

// Outcome is how the execution ends.
type Outcome string

// Ends.
const (
	Planned     Outcome = "planned"      // a dry run: nothing was touched
	Passed      Outcome = "passed"       // the set came to life, and nothing of it is left
	FailedClean Outcome = "failed-clean" // it did not, or was not tested; nothing of it is left
	FailedDirty Outcome = "failed-dirty" // a person must look: disks of the test are left, or nobody has looked
)

// NotTested is the verdict of a test that was refused, or could not be carried
// out: it says nothing of the set, and is never written on one.
const NotTested retention.Test = "NOT_TESTED"

// Read takes out of a request what can be read: whoever comes after a refusal
// must not be refused for the same reason.
func Read(t run.Typed) Request {
	var loose struct {
		RunID      json.RawMessage `json:"runId"`
		InstanceID json.RawMessage `json:"instanceId"`
		Policy     json.RawMessage `json:"policy"`
		DryRun     json.RawMessage `json:"dryRun"`
	}
	r := Request{Policy: policy.DefaultDocument()}
	if json.Unmarshal(t, &loose) != nil {
		return r
	}
	_ = json.Unmarshal(loose.RunID, &r.RunID)
	_ = json.Unmarshal(loose.InstanceID, &r.InstanceID)
	_ = json.Unmarshal(loose.DryRun, &r.DryRun)
	if d := policy.DefaultDocument(); json.Unmarshal(loose.Policy, &d) == nil {
		r.Policy = d
	}
	return r
}
