// Package verifyrecover lets the helper on the test instance bring the copies to
// life, where nobody else sees them, and take them away again.
package verifyrecover

import (
	"context"
	"errors"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/protocol"
	"github.com/quiesce/quiesce/shared/restore"
	"github.com/quiesce/quiesce/shared/revive"
	"github.com/quiesce/quiesce/shared/verify"
)

// Input is what is tested, where the copies are, and how it stood at the last
// look, null before the command was sent.
type Input struct {
	Choice verify.Choice     `json:"choice"`
	Plan   restore.Plan      `json:"plan"`
	Before *restore.Recovery `json:"before"`
}

// Check refuses an input without a choice and a plan.
func (in Input) Check() error { return errors.Join(in.Choice.Check(), in.Plan.Check()) }

// at is above where the helper mounts a test's copies, in a namespace that nobody
// else sees.
const at = "/run/quiesce-test/"

// Do has the helper recover. Codes: those of revive.Do.
func Do(ctx context.Context, c revive.Cloud, in Input) (*restore.Recovery, error) {
	return revive.Do(ctx, c, revive.Work{
		Instance: in.Plan.Target.InstanceID, Arch: in.Choice.Helper.Arch, Deadline: in.Choice.Deadline,
		SetID: in.Choice.SetID, Mark: cloud.TagScratch, Count: len(in.Plan.Disks),
		Request: protocol.Request{Verb: protocol.Recover, RunID: in.Choice.TestID, Recover: &protocol.RecoverRequest{
			At: at + in.Choice.TestID, Application: protocol.Application{Kind: in.Choice.Application}, Check: in.Choice.Script,
		}},
	}, in.Before)
}
