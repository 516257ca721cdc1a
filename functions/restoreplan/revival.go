package restoreplan

import (
	"context"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"time"

	"github.com/quiesce/quiesce/shared/atlas"
	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/protocol"
	"github.com/quiesce/quiesce/shared/restore"
)

// name is what the helper can call a recovery.
var name = regexp.MustCompile(`^[A-Za-z0-9_-]{1,80}$`)

// revive plans how the copies come to life, and refuses what the helper would
// once they are there.
func (p *planner) revive(ctx context.Context, set []cloud.Source) error {
	id := p.plan.RestoreID
	if !name.MatchString(id) {
		return fault.Input("run.id", "wants 1-80 letters, digits, dashes or underscores for copies that come to life, got %q", id)
	}
	if p.host.State != cloud.HostRunning {
		return &fault.Error{Code: fault.InstanceNotRunning, Field: "request.recover", Message: p.host.ID + " does not run: copies come to life on an instance that does"}
	}
	r := &restore.Revival{Recover: p.in.Recover.WithDefaults(id), Places: []restore.Mount{}}
	var err error
	if r.Arch, err = p.reach(ctx); err != nil {
		return err
	}
	if r.Places, err = places(set, r.Recover); err != nil {
		return err
	}
	p.serve(set[0].Tags[cloud.TagKind], r)
	p.plan.Revival, p.plan.Do = r, restore.DoRecover
	return nil
}

// reach refuses an instance whose agent hears nothing, and one on which the
// helper cannot work; the answer is its architecture.
func (p *planner) reach(ctx context.Context) (arch string, err error) {
	ping, err := p.c.Ping(ctx, p.host.ID)
	switch {
	case err != nil:
		return "", err
	case !ping.Online:
		return "", fault.New(fault.AgentOffline, "the agent of %s was last heard of at %s", p.host.ID, ping.Last.UTC().Format(time.RFC3339))
	case !ping.Linux:
		return "", fault.Input("request.recover", "%s does not run Linux, which the helper does", p.host.ID)
	}
	instance, err := p.c.Instance(ctx, p.host.ID)
	if err != nil {
		return "", err
	}
	_, err = p.c.Helper(ctx, instance.Arch)
	return instance.Arch, err
}

// serve decides which server recovers: the one that is named, or the set's own
// if a helper starts that kind.
func (p *planner) serve(own string, r *restore.Revival) {
	warn := func(format string, args ...any) {
		p.plan.Warnings = append(p.plan.Warnings, fmt.Sprintf(format, args...))
	}
	switch {
	case r.Application != "":
	case slices.Contains(protocol.Recoverable, own):
		r.Application = own
	case own != "":
		warn("the set is of %s, which no helper starts on copies: they are only mounted", own)
	default:
		warn("the set names no server, so that the copies are only mounted: say which recovers by request.recover.application")
	}
	if r.Application == "" {
		r.Application = restore.NoServer
	}
}

// places tells where the set's filesystems go, as far as it tells where they
// were. A wish for what it certainly does not have is refused.
func places(set []cloud.Source, r restore.Recover) ([]restore.Mount, error) {
	var list []restore.Mount
	unused, whole := maps.Clone(r.Mounts), true
	taken := map[string]string{}
	for _, s := range set {
		known, left := atlas.Places(s.Tags[cloud.TagMounts])
		byVolume, named := r.Mounts[s.VolumeID]
		if delete(unused, s.VolumeID); named && len(known) > 1 {
			return nil, fault.Input("request.recover.mounts["+s.VolumeID+"]", "has %d filesystems: name them by their old mount points", len(known))
		}
		for _, k := range known {
			at := r.Mounts[k.Path]
			if delete(unused, k.Path); at == "" {
				at = byVolume
			}
			if at == "" {
				at = path.Join(r.At, k.Path)
			}
			if other, twice := taken[at]; twice {
				return nil, fault.Input("request.recover.mounts", "%s and %s would both be mounted at %s", other, k.Path, at)
			}
			taken[at] = k.Path
			list = append(list, restore.Mount{Origin: s.VolumeID, Was: k.Path, At: at})
		}
		if len(known) == 0 || left > 0 {
			whole = false
			list = append(list, restore.Mount{Origin: s.VolumeID, At: byVolume})
		}
	}
	for _, of := range slices.Sorted(maps.Keys(unused)) {
		if whole {
			return nil, fault.Input("request.recover.mounts["+of+"]", "is neither an old mount point nor a volume of the set")
		}
	}
	return list, nil
}

// explainRevival says in sentences what happens once the copies are attached, and
// what is left to do.
func (p *planner) explainRevival() {
	r, id := p.plan.Revival, p.plan.Target.InstanceID
	for _, m := range r.Places {
		at := m.At
		if at == "" {
			at = "a folder below " + r.At
		}
		p.plan.Steps = append(p.plan.Steps, fmt.Sprintf("check what is on the disk of %s and mount it on %s at %s", m.Origin, id, at))
	}
	if r.Application != restore.NoServer {
		p.plan.Steps = append(p.plan.Steps, fmt.Sprintf("let a second %s recover on the copies on %s, check its data, and stop it", r.Application, id))
	}
	if r.Check != "" {
		p.plan.Steps = append(p.plan.Steps, "run "+r.Check+" on "+id)
	}
	p.plan.Next = append(p.plan.Next,
		fmt.Sprintf("What is mounted stays so until the instance restarts: it is in no table of mounts. Start a server of your own on it, if you want one; the second one is stopped. Mount nothing of it by its UUID, and do not restart %s with both.", id),
		fmt.Sprintf("`quiesce restore --cleanup %s` unmounts, detaches and deletes the copies.", p.plan.RestoreID))
}

// release lets the copies that may be mounted be unmounted before they go. On an
// instance that does not run nothing is mounted.
func (p *planner) release(ctx context.Context, made []cloud.Disk) error {
	if p.plan.Revival == nil || p.in.Action != restore.Cleanup || p.in.Unmounted {
		return nil
	}
	attached := slices.ContainsFunc(made, func(d cloud.Disk) bool { return d.Instance != "" })
	if !attached {
		return nil
	}
	var err error
	switch p.host, err = p.c.Host(ctx, p.plan.Target.InstanceID); {
	case fault.CodeOf(err) == fault.InstanceNotFound:
		return nil
	case err != nil:
		return err
	case p.host.State != cloud.HostRunning:
		return nil
	}
	p.plan.Target, p.plan.Zone = p.host.Target, p.host.Zone
	if p.plan.Revival.Arch, err = p.reach(ctx); fault.CodeOf(err) == fault.AgentOffline {
		return &fault.Error{Code: fault.AgentOffline, Field: "request.action", Message: "the copies may be mounted on " + p.host.ID + ", and its agent does not answer: unmount them by hand and say --unmounted, or stop the instance", Cause: err}
	} else if err != nil {
		return err
	}
	p.plan.Do = restore.DoUnmount
	p.plan.Steps = append(p.plan.Steps, "unmount the copies on "+p.host.ID)
	return nil
}
