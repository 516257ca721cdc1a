// Package restorerecover lets the helper on the instance bring a restore's copies
// to life and leave them mounted, and takes the mounts away before the copies go.
package restorerecover

import (
	"context"
	"time"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/protocol"
	"github.com/quiesce/quiesce/shared/restore"
	"github.com/quiesce/quiesce/shared/revive"
	"github.com/quiesce/quiesce/shared/run"
)

// Input is the plan, what is to be done with the copies, and how it stood at the
// last look, null before the command was sent.
type Input struct {
	Plan   restore.Plan      `json:"plan"`
	What   string            `json:"what"` // recover, unmount
	Before *restore.Recovery `json:"before"`
}

// What is done with the copies.
const (
	Recover = "recover"
	Unmount = "unmount"
)

// Check refuses an input without a plan of copies that come to life.
func (in Input) Check() error {
	switch {
	case in.What != Recover && in.What != Unmount:
		return fault.Input("what", "wants %s or %s, got %q", Recover, Unmount, in.What)
	case in.Plan.Revival == nil:
		return fault.Input("plan.revival", "is missing: nothing of this restore is to come to life")
	}
	return in.Plan.Check()
}

// unmounting is how long it may take to let the mounts go: the helper waits for
// who has just ended, and for a recovery that is about to.
const unmounting = 4 * time.Minute

// told is how many bytes of a helper's reply are handed on: the document of a
// flow holds it twice, beside everything else.
const told = 4 << 10

// Do has it done. A second command of one restore finds the helper's record: it
// waits for the first, and replays its answer. Codes: those of revive.Do.
func Do(ctx context.Context, c revive.Cloud, in Input) (*restore.Recovery, error) {
	sent := time.Now()
	if in.Before != nil {
		sent = in.Before.SentAt
	}
	w := revive.Work{Instance: in.Plan.Target.InstanceID, Arch: in.Plan.Revival.Arch, Request: protocol.Request{RunID: in.Plan.RestoreID}}
	if in.What == Unmount {
		w.Request.Verb, w.Deadline = protocol.Unmount, sent.Add(unmounting)
		if in.Before == nil {
			switch gone, err := interrupt(ctx, c, in.Plan); {
			case err != nil:
				return nil, err
			case gone:
				return &restore.Recovery{State: restore.Done, SentAt: sent, Record: run.Record{StartedAt: sent, EndedAt: time.Now()}}, nil
			}
		}
		return revive.Do(ctx, c, w, in.Before)
	}
	asked := in.Plan.Revival
	w.Request.Verb, w.Request.Recover = protocol.Recover, &protocol.RecoverRequest{
		At: asked.At, Mounts: asked.Mounts, Keep: true, Application: protocol.Application{Kind: asked.Application}, Check: asked.Check,
	}
	w.Deadline = sent.Add(time.Duration(asked.TimeoutMinutes) * time.Minute)
	w.SetID, w.Mark, w.Count = in.Plan.SetID, cloud.TagRestore, len(in.Plan.Disks)
	r, err := revive.Do(ctx, c, w, in.Before)
	if err == nil && r.Reply != nil {
		r.Reply = r.Reply.Brief(told)
	}
	return r, err
}

// interrupt ends what still works on the copies, so that nobody waits for it; the
// helper takes back what it has done. Gone is an instance on which nothing can
// be mounted any more.
func interrupt(ctx context.Context, c revive.Cloud, plan restore.Plan) (gone bool, err error) {
	host, err := c.Instance(ctx, plan.Target.InstanceID)
	switch {
	case fault.CodeOf(err) == fault.InstanceNotFound:
		return true, nil
	case err != nil:
		return false, err
	case !host.Running:
		return true, nil
	}
	over := map[string]bool{}
	for _, v := range host.Volumes {
		if command := v.Tags[cloud.TagCommand]; v.Tags[cloud.TagRestore] == plan.RestoreID && command != "" && !over[command] {
			over[command] = true
			cloud.GiveUp(ctx, c, host.ID, command) // which is over most of the time
		}
	}
	return false, nil
}
