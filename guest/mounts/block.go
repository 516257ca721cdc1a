package mounts

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/quiesce/quiesce/shared/protocol"
)

// sys is the part of /sys that is read, under a root.
type sys struct{ root string }

func (s sys) read(elem ...string) string {
	raw, err := os.ReadFile(filepath.Join(elem...))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(raw))
}

// dir is the device's own directory, resolved; "" when the kernel knows none.
func (s sys) dir(device string) string {
	d, err := filepath.EvalSymlinks(filepath.Join(s.root, "sys/dev/block", device))
	if err != nil {
		return ""
	}
	return d
}

// leaf is a device at the bottom: a whole disk, or a loop device over a file.
type leaf struct {
	protocol.Disk
	backing string // a loop device's file
}

// leaves walks down from a device to the disks under it.
func (s sys) leaves(device string) []leaf {
	var out []leaf
	s.walk(s.dir(device), 0, &out)
	slices.SortFunc(out, func(a, b leaf) int { return strings.Compare(a.Name, b.Name) })
	return slices.CompactFunc(out, func(a, b leaf) bool { return a.Name == b.Name })
}

func (s sys) walk(dir string, depth int, out *[]leaf) {
	if dir == "" || depth > 16 {
		return
	}
	if _, err := os.Stat(filepath.Join(dir, "partition")); err == nil {
		s.walk(filepath.Dir(dir), depth+1, out)
		return
	}
	slaves, _ := os.ReadDir(filepath.Join(dir, "slaves"))
	if len(slaves) > 0 {
		for _, e := range slaves {
			below, err := filepath.EvalSymlinks(filepath.Join(dir, "slaves", e.Name()))
			if err == nil {
				s.walk(below, depth+1, out)
			}
		}
		return
	}
	l := leaf{Disk: protocol.Disk{Name: strings.ReplaceAll(filepath.Base(dir), "!", "/"), Serial: s.serial(dir)}}
	l.backing = s.read(dir, "loop/backing_file")
	*out = append(*out, l)
}

// serial is where NVMe, virtio and SCSI disks report it.
func (s sys) serial(dir string) string {
	for _, at := range []string{"device/serial", "serial", "device/../serial"} {
		if v := s.read(filepath.Join(dir, filepath.FromSlash(at))); v != "" {
			return v
		}
	}
	// SCSI keeps it in a page of vital product data: a header of four bytes.
	if raw, err := os.ReadFile(filepath.Join(dir, "device/vpd_pg80")); err == nil && len(raw) > 4 {
		return strings.TrimSpace(strings.TrimRight(string(raw[4:]), "\x00"))
	}
	return ""
}

// members are the devices of a btrfs, whose own device number is anonymous.
func (s sys) members(source string) []string {
	name := filepath.Base(source)
	own := s.number(filepath.Join(s.root, "sys/class/block", name))
	fsids, _ := os.ReadDir(filepath.Join(s.root, "sys/fs/btrfs"))
	for _, id := range fsids {
		var all []string
		mine := false
		devices, _ := os.ReadDir(filepath.Join(s.root, "sys/fs/btrfs", id.Name(), "devices"))
		for _, d := range devices {
			n := s.number(filepath.Join(s.root, "sys/fs/btrfs", id.Name(), "devices", d.Name()))
			mine = mine || d.Name() == name || n != "" && n == own
			if n != "" {
				all = append(all, n)
			}
		}
		if mine && len(all) > 0 {
			return all
		}
	}
	if own != "" {
		return []string{own}
	}
	// /dev/mapper names are the device mapper's own.
	for _, e := range s.list("sys/class/block") {
		if s.read(s.root, "sys/class/block", e, "dm/name") == name {
			return []string{s.read(s.root, "sys/class/block", e, "dev")}
		}
	}
	return nil
}

func (s sys) list(dir string) []string {
	entries, _ := os.ReadDir(filepath.Join(s.root, dir))
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names
}

func (s sys) number(dir string) string { return s.read(dir, "dev") }
