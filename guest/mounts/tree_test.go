package mounts

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// tree builds /proc and /sys as a kernel shows them, links and all.
type tree struct {
	t    *testing.T
	root string
	dirs map[string]string // device name to its folder under /sys
	mnt  []string
}

func newTree(t *testing.T) *tree {
	t.Helper()
	return &tree{t: t, root: t.TempDir(), dirs: map[string]string{}}
}

func (r *tree) write(path, content string) {
	r.t.Helper()
	p := filepath.Join(r.root, path)
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(p, []byte(content), 0o644); err != nil {
		r.t.Fatal(err)
	}
}

// link makes a relative link, as sysfs does.
func (r *tree) link(at, to string) {
	r.t.Helper()
	if err := os.MkdirAll(filepath.Join(r.root, filepath.Dir(at)), 0o755); err != nil {
		r.t.Fatal(err)
	}
	rel, err := filepath.Rel(filepath.Dir(at), to)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := os.Symlink(rel, filepath.Join(r.root, at)); err != nil {
		r.t.Fatal(err)
	}
}

func (r *tree) device(name, number, dir string) {
	r.t.Helper()
	r.dirs[name] = dir
	r.write(dir+"/dev", number+"\n")
	r.link("/sys/dev/block/"+number, dir)
	r.link("/sys/class/block/"+name, dir)
}

// nvme is a disk with a controller that knows its serial.
func (r *tree) nvme(name, number, serial string) {
	ctrl := "/sys/devices/pci0000:00/0000:00:1f.0/nvme/" + strings.TrimSuffix(name, "n1")
	r.write(ctrl+"/serial", serial+"   \n")
	dir := ctrl + "/" + name
	r.device(name, number, dir)
	r.link(dir+"/device", ctrl)
}

// xen is a disk that reports no serial.
func (r *tree) xen(name, number string) {
	dir := "/sys/devices/vbd-51792/block/" + name
	r.device(name, number, dir)
	r.link(dir+"/device", "/sys/devices/vbd-51792")
}

// virtio is a disk whose own folder has the serial.
func (r *tree) virtio(name, number, serial string) {
	dir := "/sys/devices/pci0000:00/0000:00:05.0/virtio2/block/" + name
	r.device(name, number, dir)
	r.write(dir+"/serial", serial)
	r.link(dir+"/device", "/sys/devices/pci0000:00/0000:00:05.0/virtio2")
}

func (r *tree) partition(name, number, of string) {
	dir := r.dirs[of] + "/" + name
	r.device(name, number, dir)
	r.write(dir+"/partition", "1\n")
}

// stacked is a device mapper or md device.
func (r *tree) stacked(name, number, mapper string, on ...string) {
	dir := "/sys/devices/virtual/block/" + name
	r.device(name, number, dir)
	if mapper != "" {
		r.write(dir+"/dm/name", mapper+"\n")
	}
	for _, below := range on {
		r.link(dir+"/slaves/"+below, r.dirs[below])
	}
}

func (r *tree) loop(name, number, file string) {
	dir := "/sys/devices/virtual/block/" + name
	r.device(name, number, dir)
	if file != "" {
		r.write(dir+"/loop/backing_file", file+"\n")
	}
}

func (r *tree) btrfs(id string, on ...string) {
	for _, d := range on {
		r.link("/sys/fs/btrfs/"+id+"/devices/"+d, r.dirs[d])
	}
}

// mount adds a line of mountinfo as it stands.
func (r *tree) mount(lines ...string) { r.mnt = append(r.mnt, lines...) }

func (r *tree) read() *Table {
	r.t.Helper()
	r.write("/proc/self/mountinfo", strings.Join(r.mnt, "\n")+"\n")
	tab, err := Read(r.root)
	if err != nil {
		r.t.Fatal(err)
	}
	return tab
}
