package run

import (
	"time"

	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/protocol"
)

// Document is what became of one command of the user's document. Its output
// stays with the provider, under the command's id.
type Document struct {
	Name        string            `json:"name"`
	Command     string            `json:"command"`             // pre-script, post-script, dry-run
	ExecutionID string            `json:"executionId"`         // the same for all commands of a run
	CommandID   string            `json:"commandId,omitempty"` // of the last attempt
	Attempts    int               `json:"attempts"`
	ExitCode    int               `json:"exitCode"` // -1: nobody heard of one
	StartedAt   time.Time         `json:"startedAt"`
	EndedAt     time.Time         `json:"endedAt"`
	Error       *protocol.Failure `json:"error,omitempty"` // why it did not succeed
}

// LetGo reports that the application is not held any more: the post-script has
// released it, or found that somebody had before.
func (d *Document) LetGo() bool {
	if d == nil || d.Error == nil {
		return true
	}
	return d.Error.Code == fault.HoldLost || d.Error.Code == fault.AlreadyThawed
}
