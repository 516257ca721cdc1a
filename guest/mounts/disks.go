package mounts

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/quiesce/quiesce/shared/protocol"
)

// Device is a block device as the kernel shows it: a whole disk, or one made of
// others, with its partitions.
type Device struct {
	protocol.Disk
	Number  string // major:minor
	Part    string // as protocol.Place has it
	LVM     bool   // one of the logical volume manager's
	Array   bool   // one of md
	Holders []string
	Below   []string // the devices that it is made of
	Parts   []Device
}

// Devices lists the block devices that hold anything, under a root ("/" for
// this machine).
func Devices(root string) []Device {
	s := sys{root}
	var all []Device
	for _, name := range s.list("sys/class/block") {
		dir, err := filepath.EvalSymlinks(filepath.Join(root, "sys/class/block", name))
		if err != nil || s.read(dir, "size") == "0" || s.read(dir, "partition") != "" {
			continue
		}
		d := s.device(dir)
		d.Serial = s.serial(dir)
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			if _, err := os.Stat(filepath.Join(dir, e.Name(), "partition")); err == nil {
				d.Parts = append(d.Parts, s.device(filepath.Join(dir, e.Name())))
			}
		}
		all = append(all, d)
	}
	slices.SortFunc(all, func(a, b Device) int { return strings.Compare(a.Name, b.Name) })
	return all
}

func (s sys) device(dir string) Device {
	d := Device{Number: s.number(dir), Part: s.part(dir)}
	d.Name = strings.ReplaceAll(filepath.Base(dir), "!", "/")
	d.LVM = strings.HasPrefix(s.read(dir, "dm/uuid"), "LVM-")
	_, err := os.Stat(filepath.Join(dir, "md"))
	d.Array = err == nil
	for folder, list := range map[string]*[]string{"holders": &d.Holders, "slaves": &d.Below} {
		entries, _ := os.ReadDir(filepath.Join(dir, folder))
		for _, e := range entries {
			*list = append(*list, e.Name())
		}
	}
	return d
}

// part is what tells a device from others on the same disk: a partition's
// number, the name of what is mapped, or of an array; empty for a disk.
func (s sys) part(dir string) string {
	if n := s.read(dir, "partition"); n != "" {
		return n
	}
	if n := s.read(dir, "dm/name"); n != "" {
		return n
	}
	if _, err := os.Stat(filepath.Join(dir, "md")); err == nil {
		return filepath.Base(dir)
	}
	return ""
}

// List is every mount that a thread sees, in the order in which it was made.
type List []Point

// Point is one mount: Device is its superblock's number, Options are those of
// the mount alone.
type Point struct{ Path, Device, Source, Type, Options string }

// ReadList reads what a process or thread sees, "thread-self" for this one.
func ReadList(root, pid string) (List, error) {
	all, err := entries(root, pid)
	if err != nil {
		return nil, err
	}
	list := make(List, len(all))
	for i, e := range all {
		list[i] = Point{e.point, e.device, e.source, e.kind, e.options}
	}
	return list, nil
}

// At is the topmost mount on a path.
func (l List) At(path string) (top Point, found bool) {
	for _, p := range l {
		if p.Path == path {
			top, found = p, true
		}
	}
	return top, found
}

// Uses are the mounts of a block device, which btrfs alone knows by its source.
func (l List) Uses(number, device string) (paths []string) {
	for _, p := range l {
		if p.Device == number || p.Type == "btrfs" && p.Source == device {
			paths = append(paths, p.Path)
		}
	}
	return paths
}
