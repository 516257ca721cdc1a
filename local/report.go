package local

import (
	"time"

	"github.com/quiesce/quiesce/local/aws/wire"
	"github.com/quiesce/quiesce/local/ledger"
	"github.com/quiesce/quiesce/shared/protocol"
	"github.com/quiesce/quiesce/shared/retention"
	"github.com/quiesce/quiesce/shared/run"
)

// Modes of a local run.
const (
	Real      = "real"      // loop devices, filesystems and processes of this host
	Simulated = "simulated" // a machine in memory behind the same protocols
)

// Report is what one local run showed. Times are in milliseconds; frozenMs is
// taken on the instance, applicationPauseMs by the application itself.
type Report struct {
	RunID              string             `json:"runId"`
	Mode               string             `json:"mode"`
	Tool               string             `json:"tool,omitempty"`       // who took the set in the place of whom
	ModeReason         string             `json:"modeReason,omitempty"` // why it is simulated
	Status             string             `json:"status"`
	Outcome            run.Outcome        `json:"outcome"`
	Consistency        run.Consistency    `json:"consistency"`
	Asked              string             `json:"asked"`
	Reason             string             `json:"reason"`
	Code               string             `json:"code,omitempty"`
	States             []string           `json:"states"`
	FrozenMs           float64            `json:"frozenMs"`
	ApplicationPauseMs float64            `json:"applicationPauseMs"`
	SnapshotCallMs     float64            `json:"snapshotCallMs"`
	InWindow           []Call             `json:"inWindow,omitempty"`
	Set                []string           `json:"set"`
	Evidence           *protocol.Evidence `json:"evidence"`
	Oracle             *ledger.Result     `json:"oracle"`
	RestoreTest        *RestoreTest       `json:"restoreTest,omitempty"` // where one was asked for
	RecoveryMs         float64            `json:"recoveryMs,omitempty"`  // of the restored server, from its start until it answers
	Notes              []string           `json:"notes,omitempty"`       // what of the restored is not as it was, and was not promised to be
	Changed            string             `json:"changed,omitempty"`     // settings of the server that the run left changed
	LeftFrozen         int                `json:"leftFrozen"`
	Events             map[string]int     `json:"events"`
	Metrics            []string           `json:"metrics"`
	Unreached          []string           `json:"unreachedFaults,omitempty"`
	Warnings           []string           `json:"warnings,omitempty"`
	Servers            []run.Server       `json:"servers,omitempty"` // that precheck found, and what it made of them
	Kept               string             `json:"kept,omitempty"`    // where --keep left everything
}

// Call is a request that reached the account while the filesystems were frozen.
type Call struct {
	Action string  `json:"action"`
	AtMs   float64 `json:"atMs"` // since the first freeze
}

// InWindow lists the calls of a window, without those of whoever only watches
// the execution.
func InWindow(calls []wire.Record, began time.Time, frozenMs float64) (list []Call) {
	for _, c := range calls {
		at := float64(c.At.Sub(began).Microseconds()) / 1000
		if c.Service != "states" && c.Service != "fnf" && at >= 0 && at <= frozenMs {
			list = append(list, Call{c.Action, at})
		}
	}
	return list
}

// opened is when the first freeze succeeded; zero if none did.
func opened(e *protocol.Evidence) (first time.Time) {
	if e == nil {
		return first
	}
	for _, f := range e.Filesystems {
		if at := f.FrozenAt.Wall; !at.IsZero() && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	return first
}

// judge joins what the oracle says with what the restored server does.
func (r *Report) judge(result ledger.Result, found *restored) {
	result.Findings = append(result.Findings, found.findings...)
	result.Verified = len(result.Findings) == 0
	r.Oracle, r.RecoveryMs, r.Notes = &result, found.recoveryMs, found.notes
}

// Good reports whether the run gave what its policy asked for and the restored
// set agrees, its restore test too if there was one, nothing was left frozen, and
// every planned fault happened.
func (r *Report) Good() bool {
	return r.Outcome == run.OutcomeCompleted &&
		r.Consistency.Rank() >= run.Consistency(r.Asked).Rank() &&
		r.Oracle != nil && r.Oracle.Verified &&
		(r.RestoreTest == nil || r.RestoreTest.Verdict == retention.Successful && len(r.RestoreTest.Left) == 0) &&
		r.LeftFrozen == 0 && r.Changed == "" && len(r.Unreached) == 0
}
