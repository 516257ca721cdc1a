package restoreplan

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/restore"
)

// image plans one of the whole set. Nothing is asked of the instance that it is
// of but what it is, and that can be said by a person if it is gone.
func (p *planner) image(ctx context.Context, set []cloud.Source, of string) error {
	said := restore.Image{}
	if p.in.Image != nil {
		said = *p.in.Image
	}
	p.plan.Image = &restore.PlannedImage{Name: said.Name}
	if said.Name == "" {
		p.plan.Image.Name = "quiesce-" + p.plan.RestoreID
	}
	root, err := p.model(ctx, said, of)
	if err != nil {
		return err
	}
	if err := p.mapping(set, root); err != nil {
		return err
	}
	if p.in.Launch != nil {
		p.plan.Launch = p.in.Launch
		if p.plan.Zone, err = p.c.Fits(ctx, p.plan.Launching(""), p.plan.Image.Model); err != nil {
			return err
		}
	}
	p.explainImage()
	if err := p.may(ctx); err != nil {
		return err
	}
	return p.c.MayRegister(ctx, p.plan.Registration())
}

// model takes what the machine was from the instance, and only if that is gone
// from the request. It returns the volume of the boot disk.
func (p *planner) model(ctx context.Context, said restore.Image, of string) (root string, err error) {
	host, err := p.c.Host(ctx, of)
	if err == nil && (host.State == "" || len(host.Disks) == 0) {
		err = fault.New(fault.InstanceNotFound, "%s is terminated", of)
	}
	switch {
	case fault.CodeOf(err) == fault.InstanceNotFound:
		return p.gone(said, of)
	case err != nil:
		return "", err
	case said.Root != "" || said.RootDevice != "" || said.Architecture != "" || said.BootMode != "":
		return "", fault.Input("request.image", "wants nothing but a name: %s exists, and says itself what it is", of)
	}
	p.host, p.plan.Target = host, host.Target
	if p.plan.Image.Model, err = p.c.Model(ctx, of); err != nil {
		return "", err
	}
	if m := p.plan.Image.Model; strings.HasPrefix(m.BootMode, "uefi") || m.TPM != "" {
		p.plan.Warnings = append(p.plan.Warnings, "the UEFI variables of "+of+" are not in a snapshot: with Secure Boot keys of its own, an instance of the image starts without them")
	}
	for _, d := range host.Disks {
		if d.Device == host.Root {
			root = d.ID
			if origin := d.Tags[cloud.TagOrigin]; origin != "" && !taken(p.set, d.ID) {
				root = origin
			}
		}
	}
	if root == "" {
		return "", fault.Input("request.mode", "%s has no boot disk attached (%s): nobody knows which snapshot an image boots from", of, host.Root)
	}
	return root, nil
}

// gone wants what only a person can know by now.
func (p *planner) gone(said restore.Image, of string) (root string, err error) {
	host, model := p.c.Bare()
	model.Architecture, model.BootMode, model.Root = said.Architecture, said.BootMode, cmp.Or(said.RootDevice, model.Root)
	for _, want := range []struct{ field, said string }{{"root", said.Root}, {"rootDevice", model.Root}, {"architecture", said.Architecture}} {
		if want.said == "" {
			return "", fault.Input("request.image."+want.field, "is missing: %s is gone, and nothing else says it", of)
		}
	}
	p.host, p.plan.Target, p.plan.Image.Model = host, host.Target, model
	p.plan.Target.InstanceID = of
	p.plan.Warnings = append(p.plan.Warnings, of+" is gone: what the image says of the machine is what you said, and what every current machine has")
	return said.Root, nil
}

func taken(set []cloud.Source, volume string) bool {
	return slices.ContainsFunc(set, func(s cloud.Source) bool { return s.VolumeID == volume })
}

// mapping gives every disk the name that it has on the instance, or a free one.
func (p *planner) mapping(set []cloud.Source, root string) error {
	if !taken(set, root) {
		return fault.Input("request.mode", "the set of %s has no snapshot of the boot disk %s, and no image boots without: restore its disks (mode %s), or take sets with volumes.excludeBoot false", p.in.RunID, root, restore.Volumes)
	}
	m := p.plan.Image.Model
	names := map[string]string{root: m.Root}
	used := map[string]string{slot(m.Root): "the boot disk"}
	for _, s := range set {
		if old := p.original(s.VolumeID); old != nil && s.VolumeID != root && p.in.Devices[s.VolumeID] == "" {
			names[s.VolumeID], used[slot(old.Device)] = old.Device, "the disk of "+s.VolumeID
		}
	}
	if err := p.choose(set, names, used); err != nil {
		return err
	}
	for _, s := range set {
		d := restore.Disk{Snapshot: s.ID, Origin: s.VolumeID, Device: names[s.VolumeID], SizeGiB: s.SizeGiB, Kind: p.host.Usual, Key: s.Key, Ends: s.VolumeID == root}
		if old := p.original(s.VolumeID); old != nil {
			d.Kind, d.IOPS, d.Throughput, d.Ends = old.Kind, old.IOPS, old.Throughput, old.Ends
			d.SizeGiB = max(d.SizeGiB, old.SizeGiB)
		}
		p.plan.Disks = append(p.plan.Disks, d)
	}
	return nil
}

// explainImage says in sentences what happens, what it costs and what is left
// to do.
func (p *planner) explainImage() {
	say := func(format string, args ...any) { p.plan.Steps = append(p.plan.Steps, fmt.Sprintf(format, args...)) }
	m := p.plan.Image.Model
	say("register the image %q for %s, with %s as its boot disk", p.plan.Image.Name, strings.TrimSpace(m.Architecture+" "+m.BootMode), m.Root)
	for _, d := range p.plan.Disks {
		say("map %s, which was taken of %s, to %s: %d GiB %s, ends with its instance: %t", d.Snapshot, d.Origin, d.Device, d.SizeGiB, d.Kind, d.Ends)
	}
	p.plan.CostHint = "an image costs nothing besides its snapshots, which are kept as long as it is there"
	if l := p.plan.Launch; l != nil {
		say("launch a %s of it in %s (%s), without the opt-in tag", l.Type, l.Subnet, p.plan.Zone)
		p.plan.CostHint += fmt.Sprintf("; the instance and its %d disks are billed until they are gone", len(p.plan.Disks))
		p.plan.Next = append(p.plan.Next, "What runs on the copy believes to be the original: see that it reaches nothing that it must not before it is let into a network.")
	}
	p.plan.Next = append(p.plan.Next,
		fmt.Sprintf("`quiesce restore --cleanup %s` takes away the image, and the instance and the disks that were launched of it.", p.plan.RestoreID),
		fmt.Sprintf("`quiesce restore --confirm %s` keeps them for good: no cleanup finds them any more.", p.plan.RestoreID))
}
