package fleet

import "github.com/quiesce/quiesce/shared/run"

// Report is what one simulated fleet showed.
type Report struct {
	RunID       string      `json:"runId"`
	Mode        string      `json:"mode"` // always model
	Status      string      `json:"status"`
	Outcome     string      `json:"outcome"`
	Reason      string      `json:"reason"`
	Fleet       Figures     `json:"fleet"`
	Failures    []run.Ended `json:"failures"` // the first 20
	Modelled    Modelled    `json:"modelled"`
	WallSeconds float64     `json:"wallSeconds"` // that the simulation took
	Switches    int         `json:"switches"`    // between lines of work
}

// Figures are the fleet in numbers. Seconds are virtual.
type Figures struct {
	Instances          int            `json:"instances"`
	Completed          int            `json:"completed"`
	Degraded           int            `json:"degraded"`
	Failed             int            `json:"failed"`
	NotStarted         int            `json:"notStarted"`
	PlannedFailures    int            `json:"plannedFailures"`
	Throttled          int            `json:"throttled"`          // calls that were refused for their rate
	FailedByThrottling int            `json:"failedByThrottling"` // runs that ended because of one
	FrozenWaitSeconds  float64        `json:"frozenWaitSeconds"`  // the longest that an instance waited frozen for the quota
	MakespanSeconds    float64        `json:"makespanSeconds"`
	QuotaBoundSeconds  float64        `json:"quotaBoundSeconds"`        // what CreateSnapshots' bucket takes for as many calls
	OverQuotaBound     float64        `json:"overQuotaBound,omitempty"` // the makespan by the bound
	Calls              map[string]int `json:"calls"`
	ThrottledCalls     map[string]int `json:"throttledCalls"`
}

// Modelled declares what was assumed.
type Modelled struct {
	Note       string          `json:"note"`
	Steps      map[string]Step `json:"steps"`
	Completion Span            `json:"completionMs"`
	Invocation Span            `json:"invocationMs"`
}

// Good reports whether nothing failed but what was planned to.
func (r *Report) Good() bool {
	f := r.Fleet
	return r.Outcome != run.FleetFailed && f.Failed == f.PlannedFailures && f.Completed == f.Instances-f.PlannedFailures && f.FailedByThrottling == 0
}
