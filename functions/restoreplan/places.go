package restoreplan

import (
	"fmt"
	"strings"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/restore"
)

// replace lets each new disk take the place of the one that its snapshot was
// taken of, with everything that the provider says of it.
func (p *planner) replace(set []cloud.Source) error {
	switch h := p.host; {
	case h.Ephemeral:
		return fault.Input("request.mode", "the boot disk of %s is lost when it stops", h.ID)
	case h.Managed != "":
		return fault.Input("request.mode", "%s is of the group %s, which replaces it when it stops", h.ID, h.Managed)
	}
	p.plan.Stops, p.plan.Starts = true, p.host.State == cloud.HostRunning
	_, p.plan.Resets = p.c.(cloud.Resetter)
	for _, s := range set {
		old := p.original(s.VolumeID)
		switch {
		case old == nil:
			return fault.Input("request.runId", "%s was taken of %s, which is not attached to %s", s.ID, s.VolumeID, p.host.ID)
		case old.State != cloud.DiskAttached:
			return fault.Input("request.instanceId", "%s is not attached yet, or not any more", old.ID)
		case old.Tags[cloud.TagReplaced] != "":
			return fault.Input("request.instanceId", "%s is held by the restore %s, which has not ended: roll that back first", old.ID, old.Tags[cloud.TagReplaced])
		case p.plan.Resets && old.ID != s.VolumeID:
			return fault.Input("request.runId", "%s was taken of %s, and in its place is %s, which is set back to no other's snapshot: restore the volumes instead", s.ID, s.VolumeID, old.ID)
		}
		p.plan.Old = append(p.plan.Old, restore.Old{ID: old.ID, Device: old.Device, Ends: old.Ends})
		p.plan.Disks = append(p.plan.Disks, restore.Disk{
			Snapshot: s.ID, Origin: s.VolumeID, Device: old.Device, SizeGiB: max(s.SizeGiB, old.SizeGiB), Kind: old.Kind,
			IOPS: old.IOPS, Throughput: old.Throughput, Key: s.Key, Ends: old.Ends,
		})
	}
	if p.plan.Resets {
		return nil
	}
	p.plan.Warnings = append(p.plan.Warnings, fmt.Sprintf("%s changes its public address when it is stopped and started, unless that is its own, and loses what is on disks of its host", p.host.ID))
	return nil
}

// original is the attached disk of an id, or else one that was restored of the
// same: a copy beside it does not stand for one that is there.
func (p *planner) original(id string) (found *cloud.Disk) {
	for i, d := range p.host.Disks {
		switch {
		case d.ID == id:
			return &p.host.Disks[i]
		case d.Tags[cloud.TagOrigin] == id && d.Tags[cloud.TagRestore] != p.plan.RestoreID:
			found = &p.host.Disks[i]
		}
	}
	return found
}

// beside gives each new disk a name that is free.
func (p *planner) beside(set []cloud.Source) error {
	taken := map[string]string{}
	for _, d := range p.host.Disks {
		taken[slot(d.Device)] = d.ID
	}
	taken[slot(p.host.Root)] = "the boot disk"
	names := map[string]string{}
	if err := p.choose(set, names, taken); err != nil {
		return err
	}
	for _, s := range set {
		p.plan.Disks = append(p.plan.Disks, restore.Disk{Snapshot: s.ID, Origin: s.VolumeID, Device: names[s.VolumeID], SizeGiB: s.SizeGiB, Kind: p.host.Usual, Key: s.Key, Ends: p.in.Scratch})
	}
	p.plan.Warnings = append(p.plan.Warnings, fmt.Sprintf("a run on %s takes the copies into its set as long as they are attached, unless its policy has volumes.excludeTags {%q: \"\"}", p.host.ID, cloud.TagRestore))
	return nil
}

// choose gives every disk of the set that has no name yet the one that was asked
// for, or one that is free.
func (p *planner) choose(set []cloud.Source, names, taken map[string]string) error {
	free, origins := p.host.Names, map[string]bool{}
	for _, s := range set {
		origins[s.VolumeID] = true
	}
	for origin, name := range p.in.Devices {
		field := "request.devices." + origin
		switch {
		case !origins[origin]:
			return fault.Input(field, "the set of %s has no snapshot of it", p.in.RunID)
		case names[origin] != "":
			return fault.Input(field, "is the boot disk, which is %s", names[origin])
		case !restore.DeviceName.MatchString(name):
			return fault.Input(field, "wants a device's name such as /dev/sdf, got %q", name)
		case taken[slot(name)] != "":
			return fault.Input(field, "%s is taken by %s", name, taken[slot(name)])
		}
		names[origin], taken[slot(name)] = name, "the disk of "+origin
	}
	for _, s := range set {
		for i := 0; names[s.VolumeID] == ""; i++ {
			if i == len(free) {
				return fault.Input("request.devices", "no name from %s to %s is free for the disk of %s", free[0], free[i-1], s.VolumeID)
			}
			if taken[slot(free[i])] == "" {
				names[s.VolumeID], taken[slot(free[i])] = free[i], "the disk of "+s.VolumeID
			}
		}
	}
	return nil
}

// slot is what two names of one attachment have in common: /dev/sdf is /dev/xvdf.
func slot(name string) string {
	return strings.Replace(strings.TrimPrefix(name, "/dev/"), "xvd", "sd", 1)
}
