package events

// Restore is the detail of TypeRestored and TypeUnrestored: something was done
// with a set, or taken back. Its runId is the execution that did it.
type Restore struct {
	Subject
	RestoreID   string   `json:"restoreId"` // the restore that is meant: this execution, or the one that it goes on with
	Action      string   `json:"action"`    // restore, rollback, confirm, cleanup
	Mode        string   `json:"mode,omitempty"`
	SetID       string   `json:"setId,omitempty"`       // the run whose set it is
	Consistency string   `json:"consistency,omitempty"` // of the set
	Outcome     string   `json:"outcome"`               // restored, rolled-back, settled; failed-clean, failed-dirty
	Reason      string   `json:"reason"`
	Code        string   `json:"code,omitempty"`
	NextMove    string   `json:"nextMove,omitempty"`
	Created     []string `json:"created"` // what the restore has made and is still there
	Kept        []string `json:"kept"`    // what it took off, or has kept in snapshots
	Seconds     float64  `json:"seconds"`

	// Of copies that came to life on the instance, or did not quite.
	RecoverySeconds float64  `json:"recoverySeconds,omitempty"` // from the first look for them there to the end of the last check
	Problems        []string `json:"problems,omitempty"`
}
