package local

import (
	"github.com/quiesce/quiesce/local/ledger"
	"github.com/quiesce/quiesce/shared/protocol"
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
	Set                []string           `json:"set"`
	Evidence           *protocol.Evidence `json:"evidence"`
	Oracle             *ledger.Result     `json:"oracle"`
	LeftFrozen         int                `json:"leftFrozen"`
	Events             map[string]int     `json:"events"`
	Metrics            []string           `json:"metrics"`
	Unreached          []string           `json:"unreachedFaults,omitempty"`
	Warnings           []string           `json:"warnings,omitempty"`
	Kept               string             `json:"kept,omitempty"` // where --keep left everything
}

// Good reports whether the run gave what its policy asked for and the restored
// set agrees, nothing was left frozen, and every planned fault happened.
func (r *Report) Good() bool {
	return r.Outcome == run.OutcomeCompleted &&
		r.Consistency.Rank() >= run.Consistency(r.Asked).Rank() &&
		r.Oracle != nil && r.Oracle.Verified &&
		r.LeftFrozen == 0 && len(r.Unreached) == 0
}
