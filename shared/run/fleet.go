package run

import (
	"time"

	"github.com/quiesce/quiesce/shared/policy"
)

// Fleet is the document of a fleet's execution, as State is a run's.
type Fleet struct {
	Run      Run           `json:"run"`
	Request  Typed         `json:"request"`
	Targets  *Targets      `json:"targets"`
	Runs     *Runs         `json:"runs"`
	Group    *GroupEnd     `json:"group"`
	Report   *Report       `json:"report"`
	Failures FleetFailures `json:"failures"`
}

// FleetRequest starts a fleet: a policy file's content, and when its schedule
// wanted it; zero for a start by hand, which is never late.
type FleetRequest struct {
	Policy        policy.Document `json:"policy"`
	ScheduledTime time.Time       `json:"scheduledTime,omitzero"`
}

// Targets is the answer of resolve-targets. The list of a fleet is an object
// in the bucket; that of a group is here.
type Targets struct {
	Policy         policy.Policy `json:"policy"` // what each run is given
	Total          int           `json:"total"`
	Skipped        []Skipped     `json:"skipped"` // the first ones
	SkippedTotal   int           `json:"skippedTotal"`
	MaxConcurrency int           `json:"maxConcurrency"` // 0: as many as the quotas let through
	MaxErrors      int           `json:"maxErrors"`
	Bucket         string        `json:"bucket"`
	List           string        `json:"list"`    // its key: a JSON list of Member
	Results        string        `json:"results"` // the prefix below which the ends are written
	Together       bool          `json:"together"`
	GroupID        string        `json:"groupId"`
	Members        []Member      `json:"members"` // of a group
	BudgetSeconds  int           `json:"budgetSeconds"`
	Record         Record        `json:"record"`
}

// Member is one instance of a fleet or group, with the name of its run and the
// moment at which it may start.
type Member struct {
	InstanceID string    `json:"instanceId"`
	RunID      string    `json:"runId"`
	StartAt    time.Time `json:"startAt"`
}

// Skipped is an instance that the targets found and that is not snapshotted.
type Skipped struct {
	InstanceID string `json:"instanceId"`
	Reason     string `json:"reason"`
}

// Runs is where a Distributed Map has written how its children ended.
type Runs struct {
	MapRunArn           string        `json:"MapRunArn"`
	ResultWriterDetails ResultDetails `json:"ResultWriterDetails"`
}

// ResultDetails names the manifest of the results.
type ResultDetails struct {
	Bucket string `json:"Bucket"`
	Key    string `json:"Key"`
}

// GroupEnd is the end of the group's execution.
type GroupEnd struct {
	Report Report `json:"report"`
}

// FleetFailures holds what each state's Catch recorded.
type FleetFailures struct {
	Targets *Failure `json:"targets"`
	Runs    *Failure `json:"runs"`
	Group   *Failure `json:"group"`
	Report  *Failure `json:"report"`
}

// Report is how a fleet or a group ended.
type Report struct {
	Outcome     string      `json:"outcome"`
	Reason      string      `json:"reason"`
	Code        string      `json:"code,omitempty"`
	Together    bool        `json:"together"`              // of a group
	Consistency Consistency `json:"consistency,omitempty"` // of a group: what was proved of every member
	Instances   int         `json:"instances"`
	Completed   int         `json:"completed"`
	Degraded    int         `json:"degraded"`
	Failed      int         `json:"failed"`
	TakenBefore int         `json:"takenBefore"` // by another execution of the same slot
	NotStarted  int         `json:"notStarted"`  // or not waited for, because the error budget was spent
	Skipped     int         `json:"skipped"`
	Seconds     float64     `json:"seconds"`
	Failures    []Ended     `json:"failures"` // the first ones
	Record      Record      `json:"record"`
}

// Ended is how one instance's run ended, unless it completed.
type Ended struct {
	InstanceID string `json:"instanceId"`
	RunID      string `json:"runId"`
	Error      string `json:"error"`
	Reason     string `json:"reason"`
}

// Outcomes of a fleet. A group has those of a run.
const (
	FleetCompleted  = "completed"
	FleetWithErrors = "completed-with-errors"
	FleetFailed     = "failed"
)

// Listed is how many skipped or failed instances a document names; the others
// are counted.
const Listed = 20

// Group is the document of a group's execution.
type Group struct {
	Run      Run           `json:"run"`
	Request  Typed         `json:"request"`
	Group    *Arrangement  `json:"group"`
	Weighed  Weighed       `json:"weighed"`
	Report   *Report       `json:"report"`
	Failures GroupFailures `json:"failures"`
}

// GroupRequest starts a group.
type GroupRequest struct {
	Policy        policy.Policy `json:"policy"`
	Members       []Member      `json:"members"`
	BudgetSeconds int           `json:"budgetSeconds"`
}

// Arrangement is the answer of arrange: the members as they go from phase to
// phase, and what holds for all of them.
type Arrangement struct {
	Members   []GroupMember `json:"members"`
	Ready     bool          `json:"ready"`    // every member has a plan: the application may be touched
	FreezeBy  time.Time     `json:"freezeBy"` // later, nothing is frozen any more
	OnFailure string        `json:"onFailure"`
	Record    Record        `json:"record"`
}

// GroupMember is one member's run. Broken says what its last phases left.
type GroupMember struct {
	State
	Broken string `json:"broken"`
}

// What a phase leaves of a member.
const (
	Whole  = "no"
	Broken = "yes"  // onFailure decides
	Halted = "halt" // going on would disturb another run, or cannot succeed
)

// Weighed is what the members' marks add up to.
type Weighed struct {
	Broken bool `json:"broken"`
	Halted bool `json:"halted"`
}

// GroupFailures holds what each phase's Catch recorded; what failed for one
// member is in the member.
type GroupFailures struct {
	Gather    *Failure `json:"gather"`
	Precheck  *Failure `json:"precheck"`
	Arrange   *Failure `json:"arrange"`
	Prescript *Failure `json:"prescript"`
	Freeze    *Failure `json:"freeze"`
	Snapshot  *Failure `json:"snapshot"`
	Thaw      *Failure `json:"thaw"`
	Finish    *Failure `json:"finish"`
	Report    *Failure `json:"report"`
}

// Any returns the first failure of a phase, nil for none.
func (f GroupFailures) Any() *Failure {
	for _, one := range []*Failure{f.Gather, f.Precheck, f.Arrange, f.Prescript, f.Freeze, f.Snapshot, f.Thaw, f.Finish, f.Report} {
		if one != nil {
			return one
		}
	}
	return nil
}

// MaxMembers of a group: their plans and evidence share one document.
const MaxMembers = 20

// FleetItem is what a child execution of a fleet begins with.
type FleetItem struct {
	Member
	Policy  policy.Policy `json:"policy"`
	Failure *Failure      `json:"failure"`
}
