package shadow

import "github.com/quiesce/quiesce/shared/run"

// Revert is the verb of the answer by which a document has gone back to shadow
// copies. No step sends its request: a person does, to disks that a restore made.
const Revert = "revert"

// RevertRequest names the set of shadow copies and the restored disks that hold
// it, each by its own volume and with the signature that it is to have.
type RevertRequest struct {
	Version int              `json:"version"`
	RunID   string           `json:"runId"`
	SetID   string           `json:"setId"`
	Disks   []run.ShadowDisk `json:"disks"`
}

// RevertReply tells the copies that were gone back to, also beside an error: what
// is done is not undone by it.
type RevertReply struct {
	Version  int      `json:"version"`
	Verb     string   `json:"verb"`
	RunID    string   `json:"runId"`
	Reverted []string `json:"reverted"`
	Error    *Failure `json:"error"`
}
