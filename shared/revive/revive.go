// Package revive has the helper on an instance bring copies of a set to life, or
// take their mounts away again: it sends one command and, asked again, looks how
// far that is.
package revive

import (
	"context"
	"time"

	"github.com/quiesce/quiesce/shared/atlas"
	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/helper"
	"github.com/quiesce/quiesce/shared/label"
	"github.com/quiesce/quiesce/shared/protocol"
	"github.com/quiesce/quiesce/shared/restore"
	"github.com/quiesce/quiesce/shared/retention"
	"github.com/quiesce/quiesce/shared/run"
)

// Work is what the helper on an instance is asked, and until when. It needs no
// not-after: a command that comes late finds no copies.
type Work struct {
	Instance string
	Arch     string
	Request  protocol.Request // of a recovery without its disks and files, and without its time
	Deadline time.Time        // the helper ends by itself at it

	// Of a recovery: the run whose set it is, the tag by which its copies are
	// known on the instance, and how many there are.
	SetID string
	Mark  string // the tag's key; its value is the request's run
	Count int
}

// Cloud is what it asks of a provider.
type Cloud interface {
	cloud.Agent
	cloud.Assets
	Instance(ctx context.Context, id string) (cloud.Instance, error)
	FindSet(ctx context.Context, runID string) ([]cloud.TaggedSnapshot, error)
	MarkDisks(ctx context.Context, ids []string, tags map[string]string) error
}

// least is the time without which nothing is begun, taking is what the helper
// needs to take everything away once its time is over, patience how much longer
// its answer is waited for, and looking how long a function looks by itself:
// most of what is small comes to life in seconds.
const (
	least    = 10 * time.Second
	taking   = time.Minute
	patience = 2 * time.Minute
	looking  = 20 * time.Second
)

// Do sends, unless that was done before, and looks. Codes: those of the agent and
// of the helper's own reply; RestoreTimedOut and CommandTimedOut when the time
// has passed, VolumeBusy while a copy is not seen on the instance.
func Do(ctx context.Context, c Cloud, w Work, before *restore.Recovery) (*restore.Recovery, error) {
	started := time.Now()
	r := before
	if r == nil {
		var err error
		if r, err = w.send(ctx, c); err != nil {
			return nil, err
		}
	}
	for pause := 250 * time.Millisecond; ; pause = min(2*pause, 4*time.Second) {
		next, err := w.look(ctx, c, *r)
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

func (w Work) send(ctx context.Context, c Cloud) (*restore.Recovery, error) {
	left := time.Until(w.Deadline)
	if left < least {
		return nil, fault.New(fault.RestoreTimedOut, "the copies were attached too late: the time limit is %s", w.Deadline.Format(time.RFC3339))
	}
	asked := w.Request
	var ids []string
	if asked.Recover != nil {
		whole := *asked.Recover
		whole.TimeoutSeconds = min(int(left.Seconds()), protocol.MaxRecoverSeconds)
		left = time.Duration(whole.TimeoutSeconds) * time.Second
		var err error
		if whole.Disks, whole.Files, err = w.copies(ctx, c); err != nil {
			return nil, err
		}
		for _, d := range whole.Disks {
			ids = append(ids, d.ID)
		}
		asked.Recover = &whole
	}
	asset, err := c.Helper(ctx, w.Arch)
	if err != nil {
		return nil, err
	}
	sent := time.Now()
	id, err := helper.Send(ctx, c, helper.Call{InstanceID: w.Instance, Asset: asset, Request: asked, Execution: left + taking})
	if err != nil || ids == nil {
		return &restore.Recovery{State: restore.Pending, CommandID: id, SentAt: sent}, err
	}
	// Whoever cleans up after an execution that was stopped ends it by this.
	if err := c.MarkDisks(ctx, ids, map[string]string{cloud.TagCommand: id}); err != nil {
		cloud.GiveUp(ctx, c, w.Instance, id)
		return nil, err
	}
	return &restore.Recovery{State: restore.Pending, CommandID: id, SentAt: sent}, nil
}

// copies are the disks as the helper is to find them on the instance, with what
// the run has kept for them besides.
func (w Work) copies(ctx context.Context, c Cloud) ([]protocol.RestoredDisk, protocol.Files, error) {
	host, err := c.Instance(ctx, w.Instance)
	if err != nil {
		return nil, nil, err
	}
	set, err := c.FindSet(ctx, w.SetID)
	if err != nil {
		return nil, nil, err
	}
	var kept protocol.Files
	places := map[string][]protocol.Place{}
	for _, s := range set {
		origin := s.VolumeID
		if retention.CopiedFrom(s.Tags) != "" {
			origin = s.Tags[cloud.TagOrigin] // a copy's own means nothing
		}
		places[origin], _ = atlas.Places(s.Tags[cloud.TagMounts]) // what is left out is looked for
		kept = label.Files(s.Tags[cloud.TagLabel], s.Tags[cloud.TagSpaces])
	}
	var disks []protocol.RestoredDisk
	for _, v := range host.Volumes {
		if origin := v.Tags[cloud.TagOrigin]; v.Tags[w.Mark] == w.Request.RunID {
			disks = append(disks, protocol.RestoredDisk{ID: v.ID, Origin: origin, Serials: v.Serials, Device: v.Device, Places: places[origin]})
		}
	}
	if len(disks) != w.Count {
		return nil, nil, fault.New(fault.VolumeBusy, "%d of %d copies are seen on %s", len(disks), w.Count, host.ID)
	}
	return disks, kept, nil
}

// look asks once for the command's end, and gives it up past its time.
func (w Work) look(ctx context.Context, c Cloud, r restore.Recovery) (*restore.Recovery, error) {
	result, err := c.Result(ctx, w.Instance, r.CommandID)
	switch {
	case err != nil:
		return nil, err
	case !result.Done && time.Now().After(w.Deadline.Add(patience)):
		cloud.GiveUp(ctx, c, w.Instance, r.CommandID)
		return nil, fault.New(fault.CommandTimedOut, "the helper on %s has not answered by the time limit, %s", w.Instance, w.Deadline.Format(time.RFC3339))
	case !result.Done:
		return &r, nil
	}
	reply, err := helper.Read(w.Request, w.Instance, result)
	if err != nil {
		return nil, err
	}
	if w.Request.Recover != nil && reply.Recover == nil {
		return nil, fault.New(fault.CommandFailed, "the helper on %s says nothing of the copies", w.Instance)
	}
	r.State, r.Reply = restore.Done, reply.Recover
	return &r, nil
}
