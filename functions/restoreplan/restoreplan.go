// Package restoreplan decides what a restore does, and refuses whatever cannot
// be done before anything is created or stopped. It only reads.
package restoreplan

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/restore"
	"github.com/quiesce/quiesce/shared/run"
)

// Input is what somebody asks for.
type Input struct {
	Run     run.Run         `json:"run"`
	Request restore.Request `json:"request"`
}

// Check refuses a request that cannot be read.
func (in Input) Check() error {
	if in.Run.ID == "" {
		return fault.Input("run.id", "is missing")
	}
	return in.Request.Check()
}

// Cloud is what the step asks of a provider.
type Cloud interface {
	cloud.Restorer
	// Instance, Ping and Helper are those of the ports.
	Instance(ctx context.Context, id string) (cloud.Instance, error)
	Ping(ctx context.Context, instanceID string) (cloud.Ping, error)
	Helper(ctx context.Context, arch string) (cloud.Asset, error)
}

// Do plans. Codes: InvalidInput, SetNotRestorable, InstanceNotFound,
// InstanceNotOptedIn, RunInProgress, AccessDenied, RestoreRefused; of copies that
// are to come to life, or that may be mounted, InstanceNotRunning and AgentOffline.
func Do(ctx context.Context, c Cloud, in Input) (*restore.Plan, error) {
	started := time.Now()
	p := planner{c: c, in: in.Request, plan: &restore.Plan{
		RestoreID: in.Run.ID, Action: in.Request.Action, Mode: in.Request.Mode, Do: restore.DoCreate, Scratch: in.Request.Scratch, Until: in.Request.Until,
		Disks: []restore.Disk{}, Old: []restore.Old{},
	}}
	if p.in.OptIn == (policy.OptIn{}) {
		p.in.OptIn = policy.Default().OptIn
	}
	var err error
	if in.Request.IsRestore() {
		p.plan.Action, p.plan.SetID, p.plan.Unchecked = restore.Restore, in.Request.RunID, in.Request.AcceptUncheckedKeys
		err = p.restore(ctx)
	} else {
		p.plan.RestoreID = in.Request.RunID
		err = p.goOn(ctx)
	}
	if err != nil {
		return nil, err
	}
	if in.Request.DryRun {
		p.plan.Do = restore.DoNothing
	}
	p.plan.Record = run.Record{StartedAt: started, EndedAt: time.Now()}
	return p.plan, nil
}

type planner struct {
	c    Cloud
	in   restore.Request
	plan *restore.Plan
	host cloud.Host
	set  []cloud.Source
}

// restore plans a new one.
func (p *planner) restore(ctx context.Context) error {
	set, err := p.c.Sources(ctx, p.in.RunID)
	if err != nil {
		return err
	}
	set, from, err := asTaken(set)
	if err != nil {
		return err
	}
	of, err := whole(p.in.RunID, set)
	if err == nil {
		err = p.elsewhere(from, of)
	}
	if err != nil {
		return err
	}
	p.plan.Policy.Name = set[0].Tags[cloud.TagPolicy]
	p.tested(set[0].Tags[cloud.TagTest])
	p.plan.Proved, p.plan.Because = set[0].Tags[cloud.TagConsistency], set[0].Tags[cloud.TagReason]
	if p.plan.Proved == string(run.Crash) && !p.in.AcceptCrashConsistent {
		if !p.in.DryRun {
			return fault.Input("request.acceptCrashConsistent", "the set of %s is crash-consistent (%s): it is restored only at an explicit yes", p.in.RunID, p.plan.Because)
		}
		p.plan.Warnings = append(p.plan.Warnings, "the set is crash-consistent: it is restored only at an explicit yes (acceptCrashConsistent)")
	}
	slices.SortFunc(set, func(a, b cloud.Source) int { return strings.Compare(a.VolumeID, b.VolumeID) })
	p.set = set
	if p.in.Mode == restore.AsImage {
		p.plan.Do = restore.DoImage
		return p.image(ctx, set, of)
	}
	instance := p.in.InstanceID
	if instance == "" {
		instance = of
	}
	if p.in.Mode == restore.InPlace && instance != of {
		return fault.Input("request.instanceId", "the set is of %s: in place it goes nowhere else, and not to %s", of, instance)
	}
	if err := p.look(ctx, instance); err != nil {
		return err
	}
	if err := p.alone(ctx); err != nil {
		return err
	}
	if p.in.Mode == restore.InPlace {
		err = p.replace(set)
	} else {
		err = p.beside(set)
	}
	if err == nil && p.in.Recover != nil {
		err = p.revive(ctx, set)
	}
	if err != nil {
		return err
	}
	p.explain()
	return p.may(ctx)
}

// explain says in sentences what happens, what it costs and what is left to do.
func (p *planner) explain() {
	var gib int32
	for _, d := range p.plan.Disks {
		gib += d.SizeGiB
	}
	if p.plan.Resets {
		p.explainResets(gib)
		return
	}
	p.plan.CostHint = fmt.Sprintf("%d new disks of %d GiB in all are billed until they are deleted", len(p.plan.Disks), gib)
	if p.host.Usual == "gp3" {
		p.plan.CostHint += fmt.Sprintf(", about %.2f USD a month as gp3 at 0.08 USD a GiB", float64(gib)*0.08)
	}
	say := func(format string, args ...any) { p.plan.Steps = append(p.plan.Steps, fmt.Sprintf(format, args...)) }
	for _, d := range p.plan.Disks {
		key := "not encrypted"
		if d.Key != "" {
			key = "encrypted with " + d.Key
		}
		say("create a %s disk of %d GiB in %s of %s, which was taken of %s, %s", d.Kind, d.SizeGiB, p.plan.Zone, d.Snapshot, d.Origin, key)
	}
	if p.plan.Stops && p.plan.Starts {
		say("stop %s", p.plan.Target.InstanceID)
	}
	for _, o := range p.plan.Old {
		say("detach %s from %s, and keep it", o.ID, o.Device)
	}
	for _, d := range p.plan.Disks {
		say("attach the disk of %s to %s as %s", d.Origin, p.plan.Target.InstanceID, d.Device)
	}
	if p.plan.Stops && p.plan.Starts {
		say("start %s", p.plan.Target.InstanceID)
	}
	if p.plan.Revival != nil {
		p.explainRevival()
		return
	}
	p.next()
}

// next is what only the operator can do.
func (p *planner) next() {
	say := func(format string, args ...any) { p.plan.Next = append(p.plan.Next, fmt.Sprintf(format, args...)) }
	switch {
	case p.plan.Resets:
		say("Look at the application. Then `quiesce restore --confirm %[1]s` to delete the snapshots of what was on the disks before, or `quiesce restore --rollback %[1]s` to have that back.", p.plan.RestoreID)
	case p.plan.Mode == restore.InPlace:
		say("Look at the application. Then `quiesce restore --confirm %[1]s` to let the old disks go, or `quiesce restore --rollback %[1]s` to have them back.", p.plan.RestoreID)
	default:
		say("With `--recover` they come to life on the instance by themselves. By hand: the copies carry the originals' identity. Beside them mount xfs with nouuid, ext4 by its device and not by UUID; import LVM with vgimportclone; assemble md under another name. Mount read-only first, and over no existing mount.")
		say("`quiesce restore --cleanup %s` detaches and deletes the copies; unmount them before.", p.plan.RestoreID)
	}
	say("A database recovers when it is started on the disks. PostgreSQL taken in backup mode first wants the set's backup_label, and tablespace_map if there is one, in the restored data folder.")
}
