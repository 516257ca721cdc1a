// Package verifyrecover lets the helper on the test instance bring the copies to
// life: it sends one command and, asked again, looks how far that is.
package verifyrecover

import (
	"context"
	"errors"
	"time"

	"github.com/quiesce/quiesce/shared/atlas"
	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/helper"
	"github.com/quiesce/quiesce/shared/label"
	"github.com/quiesce/quiesce/shared/protocol"
	"github.com/quiesce/quiesce/shared/restore"
	"github.com/quiesce/quiesce/shared/run"
	"github.com/quiesce/quiesce/shared/verify"
)

// Input is what is tested, where the copies are, and how it stood at the last
// look, null before the command was sent.
type Input struct {
	Choice verify.Choice    `json:"choice"`
	Plan   restore.Plan     `json:"plan"`
	Before *verify.Recovery `json:"before"`
}

// Check refuses an input without a choice and a plan.
func (in Input) Check() error { return errors.Join(in.Choice.Check(), in.Plan.Check()) }

// Cloud is what the step asks of a provider.
type Cloud interface {
	cloud.Agent
	cloud.Assets
	Instance(ctx context.Context, id string) (cloud.Instance, error)
	FindSet(ctx context.Context, runID string) ([]cloud.TaggedSnapshot, error)
	MarkDisks(ctx context.Context, ids []string, tags map[string]string) error
}

// least is the time without which nothing is begun, taking is what the helper
// needs to take everything away once its time is over, patience how much longer
// its answer is waited for, and looking how long the function looks by itself:
// most of what is tested comes to life in seconds.
const (
	least    = 10 * time.Second
	taking   = time.Minute
	patience = 2 * time.Minute
	looking  = 20 * time.Second
)

// at is above where the helper mounts a test's copies, in a namespace that nobody
// else sees.
const at = "/run/quiesce-test/"

// Do sends, unless that was done, and looks. Codes: those of the agent and of the helper's own reply;
// RestoreTimedOut and CommandTimedOut when the time limit has passed.
func Do(ctx context.Context, c Cloud, in Input) (*verify.Recovery, error) {
	started := time.Now()
	r := in.Before
	if r == nil {
		var err error
		if r, err = send(ctx, c, in); err != nil {
			return nil, err
		}
	}
	for pause := 250 * time.Millisecond; ; pause = min(2*pause, 4*time.Second) {
		next, err := look(ctx, c, in, *r)
		if err != nil {
			return nil, err
		}
		r = next
		if r.State == restore.Done || time.Since(started)+pause > looking {
			r.Record = run.Record{StartedAt: started, EndedAt: time.Now()}
			return r, nil
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, fault.Wrap(fault.Unavailable, ctx.Err(), "wait for the helper")
		}
	}
}

// request is what the helper is asked, but for the copies themselves. It needs no
// not-after: a command that comes late finds no copies.
func request(in Input, left time.Duration) protocol.Request {
	return protocol.Request{Verb: protocol.Recover, RunID: in.Choice.TestID, Recover: &protocol.RecoverRequest{
		At: at + in.Choice.TestID, Application: protocol.Application{Kind: in.Choice.Application}, Check: in.Choice.Script,
		TimeoutSeconds: min(int(left.Seconds()), protocol.MaxRecoverSeconds),
	}}
}

func send(ctx context.Context, c Cloud, in Input) (*verify.Recovery, error) {
	left := time.Until(in.Choice.Deadline)
	if left < least {
		return nil, fault.New(fault.RestoreTimedOut, "the copies were attached too late: the time limit is %s", in.Choice.Deadline.Format(time.RFC3339))
	}
	asked := request(in, left)
	var err error
	if asked.Recover.Disks, asked.Recover.Files, err = copies(ctx, c, in); err != nil {
		return nil, err
	}
	asset, err := c.Helper(ctx, in.Choice.Helper.Arch)
	if err != nil {
		return nil, err
	}
	sent := time.Now()
	id, err := helper.Send(ctx, c, helper.Call{
		InstanceID: in.Plan.Target.InstanceID, Asset: asset, Request: asked, Execution: time.Duration(asked.Recover.TimeoutSeconds)*time.Second + taking,
	})
	if err != nil {
		return nil, err
	}
	// Whoever cleans up after an execution that was stopped ends it by this.
	ids := make([]string, len(asked.Recover.Disks))
	for i, d := range asked.Recover.Disks {
		ids[i] = d.ID
	}
	if err := c.MarkDisks(ctx, ids, map[string]string{cloud.TagCommand: id}); err != nil {
		cloud.GiveUp(ctx, c, in.Plan.Target.InstanceID, id)
		return nil, err
	}
	return &verify.Recovery{State: restore.Pending, CommandID: id, SentAt: sent}, nil
}

// copies are the disks as the helper is to find them on the instance, with what
// the run has kept for them besides.
func copies(ctx context.Context, c Cloud, in Input) ([]protocol.RestoredDisk, protocol.Files, error) {
	host, err := c.Instance(ctx, in.Plan.Target.InstanceID)
	if err != nil {
		return nil, nil, err
	}
	set, err := c.FindSet(ctx, in.Choice.SetID)
	if err != nil {
		return nil, nil, err
	}
	var kept protocol.Files
	places := map[string][]protocol.Place{}
	for _, s := range set {
		places[s.VolumeID], _ = atlas.Places(s.Tags[cloud.TagMounts]) // what is left out is looked for
		kept = label.Files(s.Tags[cloud.TagLabel], s.Tags[cloud.TagSpaces])
	}
	var disks []protocol.RestoredDisk
	for _, v := range host.Volumes {
		if origin := v.Tags[cloud.TagOrigin]; v.Tags[cloud.TagScratch] == in.Choice.TestID {
			disks = append(disks, protocol.RestoredDisk{ID: v.ID, Origin: origin, Serials: v.Serials, Device: v.Device, Places: places[origin]})
		}
	}
	if len(disks) != len(in.Plan.Disks) {
		return nil, nil, fault.New(fault.VolumeBusy, "%d of %d copies are seen on %s", len(disks), len(in.Plan.Disks), host.ID)
	}
	return disks, kept, nil
}

// look asks once for the command's end, and gives it up past the time limit.
func look(ctx context.Context, c Cloud, in Input, r verify.Recovery) (*verify.Recovery, error) {
	result, err := c.Result(ctx, in.Plan.Target.InstanceID, r.CommandID)
	switch {
	case err != nil:
		return nil, err
	case !result.Done && time.Now().After(in.Choice.Deadline.Add(patience)):
		cloud.GiveUp(ctx, c, in.Plan.Target.InstanceID, r.CommandID)
		return nil, fault.New(fault.CommandTimedOut, "the helper on %s has not answered by the time limit, %s", in.Plan.Target.InstanceID, in.Choice.Deadline.Format(time.RFC3339))
	case !result.Done:
		return &r, nil
	}
	reply, err := helper.Read(request(in, 0), in.Plan.Target.InstanceID, result)
	if err != nil {
		return nil, err
	}
	if reply.Recover == nil {
		return nil, fault.New(fault.CommandFailed, "the helper on %s says nothing of the copies", in.Plan.Target.InstanceID)
	}
	r.State, r.Reply = restore.Done, reply.Recover
	return &r, nil
}
