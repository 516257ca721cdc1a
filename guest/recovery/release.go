//go:build linux

package recovery

import (
	"context"
	"path/filepath"
	"slices"
	"strings"

	"github.com/quiesce/quiesce/guest/mounts"
	"github.com/quiesce/quiesce/shared/fault"
)

// release takes apart what the machine has assembled of the disks by itself
// when it saw them: logical volumes and arrays under their originals' names. It
// refuses what somebody uses, what lies on other disks too, and what a machine
// does not make of itself, such as a container that was unlocked.
func (w *work) release(ctx context.Context, disks []mounts.Device) error {
	list, err := mounts.ReadList(w.Root, "thread-self")
	if err != nil {
		return fault.Wrap(fault.Internal, err, "reading what is mounted")
	}
	r := releaser{all: map[string]mounts.Device{}, ours: map[string]bool{}, list: list}
	for _, d := range mounts.Devices(w.Root) {
		r.all[d.Name] = d
		for _, p := range d.Parts {
			r.all[p.Name] = p
		}
	}
	for _, d := range disks {
		for _, n := range append([]mounts.Device{d}, d.Parts...) {
			r.ours[n.Name] = true
		}
	}
	for i, d := range disks {
		for _, n := range append([]mounts.Device{d}, d.Parts...) {
			for _, h := range n.Holders {
				if why := r.over(h, 0); why != "" {
					return fault.New(fault.RestoreRefused, "%s of %s is in use already: %s", n.Name, w.req.Disks[i].ID, why)
				}
			}
		}
	}
	for _, d := range r.order {
		command := []string{"dmsetup", "remove", d.Part}
		if d.Array {
			command = []string{"mdadm", "--stop", filepath.Join("/dev", d.Name)}
		}
		if _, err := w.tool.must(ctx, command[0], command[1:]...); err != nil {
			return fault.Wrap(fault.RestoreRefused, err, "taking %s apart, which the machine has made of the disks", d.Name)
		}
	}
	return nil
}

// releaser finds what is to be taken apart, the topmost first.
type releaser struct {
	all   map[string]mounts.Device
	ours  map[string]bool
	list  mounts.List
	order []mounts.Device
}

// over takes in what was made on a disk; the answer tells why it must stay.
func (r *releaser) over(name string, depth int) (why string) {
	d, known := r.all[name]
	switch {
	case !known || depth > 8 || !d.LVM && !d.Array:
		return name + " was made of it, and not by the machine itself"
	case slices.ContainsFunc(r.order, func(o mounts.Device) bool { return o.Name == name }):
		return ""
	}
	for _, device := range []string{"/dev/" + name, "/dev/mapper/" + d.Part} {
		if uses := r.list.Uses(d.Number, device); len(uses) > 0 {
			return name + " was made of it, and is mounted at " + strings.Join(uses, ", ")
		}
	}
	for _, below := range d.Below {
		if under := r.all[below]; !r.ours[below] && !under.LVM && !under.Array {
			return name + " was made of it, and of " + below + ", which is not of the set"
		}
	}
	for _, h := range d.Holders {
		if why := r.over(h, depth+1); why != "" {
			return why
		}
	}
	r.order = append(r.order, d)
	return ""
}
