//go:build linux

package recovery

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/quiesce/quiesce/shared/fault"
)

// assemble makes devices of the arrays and volume groups on the disks, under
// names and identities of their own: what the copies carry are their
// originals'. Arrays come first, since a volume group may lie on them.
func (w *work) assemble(ctx context.Context) error {
	if err := w.arrays(ctx); err != nil {
		return err
	}
	return w.groups(ctx)
}

// name is one that nothing on the machine has yet, and that tells whose it is.
func (w *work) name(n int) string { return fmt.Sprintf("quiesce%s%d", w.short, n) }

// arrays assembles md arrays with a new UUID each.
func (w *work) arrays(ctx context.Context) error {
	members := map[string][]*copied{}
	names := map[string]string{}
	for _, c := range w.copies {
		if c.kind != raid {
			continue
		}
		out, err := w.tool.must(ctx, "mdadm", "--examine", "--export", c.device)
		if err != nil {
			return fault.Wrap(fault.RestoreRefused, err, "reading the array of %s", c.device)
		}
		about := exported(out)
		id := about["MD_UUID"]
		if id == "" {
			return fault.New(fault.RestoreRefused, "mdadm does not tell the array of %s", c.device)
		}
		members[id] = append(members[id], c)
		_, names[id], _ = strings.Cut(":"+about["MD_NAME"], ":")
		if i := strings.LastIndex(names[id], ":"); i >= 0 { // with the host's name before it
			names[id] = names[id][i+1:]
		}
	}
	for n, id := range slices.Sorted(maps.Keys(members)) {
		device := "/dev/md/" + w.name(n)
		if err := w.record(step{Kind: array, Path: device}); err != nil {
			return err
		}
		args := []string{"--assemble", device, "--run", "--update=uuid"}
		made := &copied{part: names[id]}
		for _, m := range members[id] {
			args = append(args, m.device)
			made.takes(m, device)
		}
		if _, err := w.tool.must(ctx, "mdadm", args...); err != nil {
			return fault.Wrap(fault.RestoreRefused, err, "assembling the array %s", id)
		}
		if err := w.made(ctx, made, device, "assembled by mdadm as "+device+" with a new UUID"); err != nil {
			return err
		}
	}
	return nil
}

// exported reads lines of NAME=value.
func exported(text string) map[string]string {
	all := map[string]string{}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		all[name] = value
	}
	return all
}

// takes notes that a device lies on another.
func (c *copied) takes(below *copied, how string) {
	c.origins = append(c.origins, below.origins...)
	c.places = append(c.places, below.places...)
	below.told.How = "part of " + how
}

// made adds a device that was made of others.
func (w *work) made(ctx context.Context, c *copied, device, how string) (err error) {
	if c.device, c.number, err = w.Node(device); err != nil {
		return fault.Wrap(fault.RestoreRefused, err, "%s", how)
	}
	slices.Sort(c.origins)
	c.origins = slices.Compact(c.origins)
	c.told.How = how
	if err := w.identify(ctx, c); err != nil {
		return err
	}
	w.copies = append(w.copies, c)
	return nil
}

// report is what LVM prints as JSON.
type report struct {
	Report []struct {
		PV []struct {
			Device string `json:"pv_name"`
			Group  string `json:"vg_name"`
			ID     string `json:"vg_uuid"`
			Absent string `json:"pv_missing"`
		} `json:"pv"`
		LV []struct {
			Name string `json:"lv_name"`
			Path string `json:"lv_path"`
		} `json:"lv"`
	} `json:"report"`
}

// only lets LVM see the set's own devices: beside their originals the copies
// are duplicates to it, of which it picks one.
func only(devices []string) string {
	var list strings.Builder
	for _, d := range devices {
		fmt.Fprintf(&list, `"a|^%s$|",`, d)
	}
	return `devices { use_devicesfile=0 filter=[` + list.String() + `"r|.*|"] global_filter=[` + list.String() + `"r|.*|"] }`
}

func (w *work) pvs(ctx context.Context, devices []string) (report, error) {
	return w.lvm(ctx, "pvs", devices, "-o", "pv_name,vg_name,vg_uuid,pv_missing")
}

func (w *work) lvm(ctx context.Context, command string, devices []string, args ...string) (r report, err error) {
	out, err := w.tool.must(ctx, command, append([]string{"--config", only(devices), "--reportformat", "json"}, args...)...)
	if err == nil {
		err = json.Unmarshal([]byte(out), &r)
	}
	return r, fault.Wrap(fault.RestoreRefused, err, "reading the volume groups of %s", strings.Join(devices, ", "))
}

// groups imports each volume group under a name and identities of its own, and
// activates its logical volumes.
func (w *work) groups(ctx context.Context) error {
	below := map[string]*copied{}
	for _, c := range w.copies {
		if c.kind == pv {
			below[c.device] = c
		}
	}
	if len(below) == 0 {
		return nil
	}
	found, err := w.pvs(ctx, slices.Sorted(maps.Keys(below)))
	if err != nil {
		return err
	}
	type member struct {
		name    string
		devices []string
	}
	groups := map[string]*member{}
	for _, r := range found.Report {
		for _, p := range r.PV {
			switch {
			case p.Group == "":
				w.note("%s is prepared for LVM and in no volume group", p.Device)
				continue
			case below[p.Device] == nil:
				return fault.New(fault.RestoreRefused, "the volume group %s wants a disk that is not in the set (%s)", p.Group, p.Device)
			}
			if groups[p.ID] == nil {
				groups[p.ID] = &member{name: p.Group}
			}
			groups[p.ID].devices = append(groups[p.ID].devices, p.Device)
		}
	}
	for n, id := range slices.Sorted(maps.Keys(groups)) {
		if err := w.group(ctx, n, groups[id].name, groups[id].devices, below); err != nil {
			return err
		}
	}
	return nil
}

func (w *work) group(ctx context.Context, n int, old string, devices []string, below map[string]*copied) error {
	slices.Sort(devices)
	if _, err := w.tool.must(ctx, "vgimportclone", append([]string{"--basevgname", w.name(n)}, devices...)...); err != nil {
		return fault.Wrap(fault.RestoreRefused, err, "importing the volume group %s", old)
	}
	// It may have added a digit, where the name was there already.
	now, err := w.pvs(ctx, devices)
	if err != nil {
		return err
	}
	if len(now.Report) == 0 || len(now.Report[0].PV) == 0 {
		return fault.New(fault.RestoreRefused, "the volume group %s is not found once it was imported", old)
	}
	name := now.Report[0].PV[0].Group
	if err := w.record(step{Kind: group, Path: name}); err != nil {
		return err
	}
	if _, err := w.tool.must(ctx, "vgchange", "--config", only(devices), "--activate", "y", name); err != nil {
		return fault.Wrap(fault.RestoreRefused, err, "activating %s, which was %s", name, old)
	}
	volumes, err := w.lvm(ctx, "lvs", devices, "-o", "lv_name,lv_path", name)
	if err != nil {
		return err
	}
	for _, r := range volumes.Report {
		for _, v := range r.LV {
			if v.Path == "" { // a pool, which holds others
				continue
			}
			made := &copied{part: mapped(old, v.Name)}
			for _, d := range devices {
				made.takes(below[d], "the volume group "+name+", which was "+old)
			}
			if err := w.made(ctx, made, v.Path, fmt.Sprintf("the volume group %s was imported as %s", old, name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// mapped is the device mapper's name of a logical volume.
func mapped(group, volume string) string {
	double := strings.NewReplacer("-", "--").Replace
	return double(group) + "-" + double(volume)
}

// deactivate takes a volume group's devices away; one that is not there any
// more is no error.
func (r *Recovery) deactivate(ctx context.Context, name string) error {
	if s, err := r.tool(ctx, "vgs", name); err != nil || s.Exit != 0 {
		return fault.Wrap(fault.Internal, err, "looking for the volume group %s", name)
	}
	_, err := r.tool.must(ctx, "vgchange", "--activate", "n", name)
	return fault.Wrap(fault.VolumeBusy, err, "deactivating %s", name)
}

// disassemble stops an array; one that is not there any more is no error.
func (r *Recovery) disassemble(ctx context.Context, device string) error {
	if s, err := r.tool(ctx, "mdadm", "--detail", device); err != nil || s.Exit != 0 {
		return fault.Wrap(fault.Internal, err, "looking for the array %s", device)
	}
	_, err := r.tool.must(ctx, "mdadm", "--stop", device)
	return fault.Wrap(fault.VolumeBusy, err, "stopping %s", device)
}

// node finds the device behind a name under /dev.
func node(name string) (device, number string, err error) {
	if device, err = filepath.EvalSymlinks(name); err != nil {
		return "", "", err
	}
	number, err = deviceNumber(device)
	return device, number, err
}
