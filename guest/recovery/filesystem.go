//go:build linux

package recovery

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/quiesce/quiesce/shared/fault"
)

// mostFindings of one check are told: the first ones, which later ones often
// follow from.
const mostFindings = 8

// checks are the commands that look at an unmounted filesystem and change
// nothing. Each wants a journal that has been replayed.
var checks = map[string][]string{
	extents: {"e2fsck", "-fn"},
	xfs:     {"xfs_repair", "-n"},
	btrfs:   {"btrfs", "check", "--readonly"},
}

// noise are the beginnings of what a check says of a filesystem that is whole.
var noise = []string{"e2fsck ", "Pass ", "Phase ", "- ", "No modify flag", "Opening filesystem", "Checking filesystem", "UUID:", "[", "found ", "total ", "btree space", "file data blocks", "referenced "}

// revive brings one filesystem to life: a first mount replays its journal, its
// check then sees it at rest, and the second mount is the one to work on. What
// is wrong with the filesystem is a problem of the set and no error.
func (w *work) revive(ctx context.Context, c *copied) error {
	options := ""
	twins, err := w.twins(ctx, c)
	if err != nil {
		return err
	}
	named := strings.Join(twins, ", ")
	switch {
	case c.kind == xfs:
		options = "nouuid"
		if named != "" {
			c.told.How = "mounted with nouuid: " + named + " has the same UUID"
		}
	case c.kind == btrfs && named != "":
		if why := w.rename(ctx, c); why != "" {
			w.problem("%s of %s is not mounted: %s has the same UUID, and %s", c.device, c.origin(), named, why)
			return nil
		}
		c.told.How = "given another fsid by btrfstune -m: " + named + " has the one it had"
	case named != "":
		c.told.How = "mounted by its device: " + named + " has the same UUID"
	}
	if named != "" && w.req.Keep && c.kind != btrfs {
		w.note("%s and %s have the same UUID: mount neither by it, and take one away before the machine starts anew", c.device, named)
	}
	replayed := w.mount(c, options)
	if replayed != nil {
		w.problem("%s of %s (%s) cannot be mounted: %v", c.device, c.origin(), c.kind, replayed)
	} else if err := w.unmount(ctx, c.mount); err != nil {
		return err
	}
	if err := w.check(ctx, c); err != nil {
		return err
	}
	if replayed == nil {
		if err := w.mount(c, options); err != nil {
			return fault.Wrap(fault.Internal, err, "mounting %s once more", c.device)
		}
		c.told.Mount = c.mount
	}
	return nil
}

// twins are the other devices of this machine with the same UUID.
func (w *work) twins(ctx context.Context, c *copied) (others []string, err error) {
	if c.uuid == "" {
		return nil, nil
	}
	s, err := w.tool(ctx, "blkid", "-c", "/dev/null", "-t", "UUID="+c.uuid, "-o", "device")
	if err != nil {
		return nil, fault.Wrap(fault.Internal, err, "looking for others with the UUID of %s", c.device)
	}
	for device := range strings.FieldsSeq(s.Out) {
		if !slices.ContainsFunc(w.copies, func(o *copied) bool { return o.device == device }) {
			others = append(others, device)
		}
	}
	return others, nil
}

// rename gives a btrfs another fsid, because the kernel would take the copy for
// a device of its original, and write to both. It returns why it must not.
func (w *work) rename(ctx context.Context, c *copied) (refused string) {
	s, err := readSuper(c.device)
	switch {
	case err != nil:
		return "its superblock cannot be read: " + err.Error()
	case s.devices != 1:
		return fmt.Sprintf("it spans %d devices, of which btrfstune could take those of the original: recover it on another machine", s.devices)
	case s.log:
		return "it holds a log that no mount has replayed, which a change of its fsid would lose: recover it on another machine"
	}
	// The kernel may have seen it when it was attached; that there is nothing
	// to forget is no fault.
	if _, err := w.tool(ctx, "btrfs", "device", "scan", "--forget", c.device); err != nil {
		return err.Error()
	}
	if _, err := w.tool.must(ctx, "btrfstune", "-f", "-m", c.device); err != nil {
		return err.Error()
	}
	return ""
}

// super is what a btrfs superblock tells without its trees.
type super struct {
	devices uint64
	log     bool
}

func readSuper(device string) (super, error) {
	const at, magic, logRoot, devices = 64 << 10, 0x40, 0x60, 0x88
	f, err := os.Open(device)
	if err != nil {
		return super{}, err
	}
	defer f.Close()
	head := make([]byte, 256)
	if _, err := io.ReadFull(io.NewSectionReader(f, at, int64(len(head))), head); err != nil {
		return super{}, err
	}
	if !bytes.Equal(head[magic:magic+8], []byte("_BHRfS_M")) {
		return super{}, fmt.Errorf("no superblock of btrfs is where it belongs")
	}
	return super{binary.LittleEndian.Uint64(head[devices:]), binary.LittleEndian.Uint64(head[logRoot:]) != 0}, nil
}

// check lets the filesystem's own tool look at it.
func (w *work) check(ctx context.Context, c *copied) error {
	kind := c.kind
	if c.ext() {
		kind = extents
	}
	command := checks[kind]
	title := strings.Join(command, " ")
	if look(command[0]) == "" {
		c.told.Checked = "not checked: " + command[0] + " is not installed here"
		w.note("%s of %s is not checked: %s is not installed here", c.device, c.origin(), command[0])
		return nil
	}
	s, err := w.tool(ctx, command[0], append(slices.Clone(command[1:]), c.device)...)
	if err != nil {
		return fault.Wrap(fault.Internal, err, "checking %s", c.device)
	}
	if s.Exit == 0 {
		c.told.Checked = title + ": whole"
		return nil
	}
	c.told.Checked = fmt.Sprintf("%s: ended with %d", title, s.Exit)
	c.told.Findings = findings(s.Out + "\n" + s.Err)
	w.problem("%s of %s (%s) is damaged: %s ended with %d", c.device, c.origin(), c.kind, title, s.Exit)
	return nil
}

func findings(text string) (list []string) {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || slices.ContainsFunc(noise, func(n string) bool { return strings.HasPrefix(line, n) }) {
			continue
		}
		if len(list) == mostFindings {
			return append(list, "and more")
		}
		list = append(list, shorten(line))
	}
	return list
}

// mount mounts a copy at its place, on record before it is. Nothing on it gets
// rights or devices of this machine.
func (w *work) mount(c *copied, options string) error {
	if err := w.folder(c.mount); err != nil {
		return err
	}
	if err := w.record(step{Kind: mounted, Path: c.mount, Device: c.device}); err != nil {
		return err
	}
	return unix.Mount(c.device, c.mount, c.kind, unix.MS_NODEV|unix.MS_NOSUID, options)
}

// folder makes a folder for copies.
func (w *work) folder(path string) error { return w.folders(folder, path) }

// folders makes a folder and those above it, each on record before it is.
func (w *work) folders(kind, path string) error {
	if fi, err := os.Stat(path); err == nil {
		if !fi.IsDir() {
			return fmt.Errorf("%s is no folder", path)
		}
		return nil
	}
	if err := w.folders(kind, filepath.Dir(path)); err != nil {
		return err
	}
	if err := w.record(step{Kind: kind, Path: path}); err != nil {
		return err
	}
	return os.Mkdir(path, 0o755)
}
