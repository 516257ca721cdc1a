package mounts

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/quiesce/quiesce/shared/protocol"
)

// freezable are the filesystems known to implement the freeze.
var freezable = []string{"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "jfs", "nilfs2", "reiserfs", "bcachefs"}

// ignored hold nothing that a disk's snapshot could contain.
var ignored = []string{"squashfs", "iso9660", "udf", "erofs", "cramfs", "romfs"}

// Mount is one superblock with what lies under it.
type Mount struct {
	protocol.Mount
	Devices []string // major:minor of the block devices it is made on
	loops   []string // files that its loop devices lie in
	files   bool     // only single files of it are mounted
}

// Table is what is mounted, by superblock.
type Table struct {
	Mounts  []Mount
	entries []entry
	seen    []entry // the visible ones
}

// Rules say what must not be frozen besides what cannot be.
type Rules struct {
	AllowRoot bool
	Keep      []string          // paths that must stay writable: whoever freezes or thaws needs them
	Why       map[string]string // what a kept path is, for the refusal
}

// Read resolves everything that is mounted under a root ("/" for this machine).
func Read(root string) (*Table, error) {
	all, err := entries(root, "self")
	if err != nil {
		return nil, err
	}
	t := &Table{entries: all, seen: visible(all)}
	s := sys{root}
	byDevice := map[string]*Mount{}
	for _, e := range t.seen {
		if !backed(e, s) || slices.Contains(ignored, e.kind) {
			continue
		}
		m := byDevice[e.device]
		if m == nil {
			m = &Mount{files: true}
			m.Device, m.Type, m.ReadOnly = e.device, e.kind, e.superRO
			byDevice[e.device] = m
		}
		m.add(e, isDir(root, e))
	}
	for _, m := range byDevice {
		if m.files {
			continue
		}
		m.resolve(s, t.sourceOf(m.Device))
		t.Mounts = append(t.Mounts, *m)
	}
	slices.SortFunc(t.Mounts, func(a, b Mount) int { return strings.Compare(a.Mount.Mount, b.Mount.Mount) })
	for i := range t.Mounts {
		t.Mounts[i].Depth = t.depth(i, 0)
	}
	return t, nil
}

// backed tells filesystems on block devices from the rest: network and pseudo
// filesystems have anonymous device numbers, and so has btrfs.
func backed(e entry, s sys) bool {
	if !strings.HasPrefix(e.device, "0:") {
		return s.dir(e.device) != "" || slices.Contains(freezable, e.kind)
	}
	return slices.Contains(freezable, e.kind) && strings.HasPrefix(e.source, "/")
}

// isDir tells a mounted directory from a mounted single file. Under a recorded
// root nothing is mounted: what is not there counts as a directory.
func isDir(root string, e entry) bool {
	fi, err := os.Lstat(filepath.Join(root, e.point))
	return err != nil || fi.IsDir()
}

// add folds one more mount of the superblock in. The shortest point that can
// be written through speaks for it; a tripwire needs one.
func (m *Mount) add(e entry, dir bool) {
	if !dir {
		return
	}
	better := m.files || m.lockedOut() && !e.readOnly ||
		m.lockedOut() == e.readOnly && (len(e.point) < len(m.Mount.Mount) || len(e.point) == len(m.Mount.Mount) && e.point < m.Mount.Mount)
	if !m.files && m.lockedOut() != e.readOnly && e.readOnly {
		better = false
	}
	switch {
	case better && !m.files:
		m.Binds = append(m.Binds, m.Mount.Mount)
		m.Mount.Mount = e.point
	case better:
		m.Mount.Mount = e.point
	default:
		m.Binds = append(m.Binds, e.point)
	}
	if better {
		m.Refused = ""
		if e.readOnly && !e.superRO {
			m.Refused = roMount
		}
	}
	m.files = false
	slices.Sort(m.Binds)
}

const roMount = "it can be written, but no mount of it can"

func (m *Mount) lockedOut() bool { return m.Refused == roMount || m.ReadOnly }

func (m *Mount) resolve(s sys, source string) {
	m.Devices = []string{m.Device}
	if strings.HasPrefix(m.Device, "0:") {
		m.Devices = s.members(source)
	}
	if len(m.Devices) > 0 {
		m.Part = s.part(s.dir(m.Devices[0]))
	}
	m.Disks = []protocol.Disk{}
	for _, d := range m.Devices {
		for _, l := range s.leaves(d) {
			if !slices.Contains(m.Disks, l.Disk) {
				m.Disks = append(m.Disks, l.Disk)
			}
			if l.backing != "" {
				m.loops = append(m.loops, l.backing)
			}
		}
	}
	switch {
	case m.Refused != "":
	case !slices.Contains(freezable, m.Type):
		m.Refused = m.Type + " cannot be frozen"
	case len(m.Disks) == 0:
		m.Refused = "the disk under it is not known"
	}
}

func (t *Table) sourceOf(device string) string {
	for _, e := range t.entries {
		if e.device == device && strings.HasPrefix(e.source, "/") {
			return e.source
		}
	}
	return ""
}

// depth counts the filesystems that a mount stands on through loop files.
func (t *Table) depth(i, guard int) int {
	deepest := 0
	if guard > 16 {
		return 0
	}
	for _, file := range t.Mounts[i].loops {
		for j := range t.Mounts {
			if j != i && t.Holding(file) == &t.Mounts[j] {
				deepest = max(deepest, 1+t.depth(j, guard+1))
			}
		}
	}
	return deepest
}

// Holding is the superblock that a path lies on; nil when it is none of those
// listed.
func (t *Table) Holding(path string) *Mount {
	best := entry{}
	for _, e := range t.seen {
		if covers(e.point, path) && len(e.point) >= len(best.point) {
			best = e
		}
	}
	return t.ByDevice(best.device)
}

// ByDevice finds a superblock by its number.
func (t *Table) ByDevice(device string) *Mount {
	for i := range t.Mounts {
		if t.Mounts[i].Device == device {
			return &t.Mounts[i]
		}
	}
	return nil
}

// DeviceOf is the superblock's number of the mount with this id, "" for none.
func (t *Table) DeviceOf(id int) string {
	for _, e := range t.entries {
		if e.id == id {
			return e.device
		}
	}
	return ""
}

// Refuse marks what must not be frozen.
func (t *Table) Refuse(r Rules) {
	root := t.Holding("/")
	for i := range t.Mounts {
		m := &t.Mounts[i]
		if m.Refused != "" || m.ReadOnly {
			continue
		}
		if m == root && !r.AllowRoot {
			m.Refused = "it is the root filesystem"
			continue
		}
		for _, p := range r.Keep {
			if t.Holding(p) == m {
				m.Refused = fmt.Sprintf("%s is on it: %s", p, r.Why[p])
				break
			}
		}
	}
}
