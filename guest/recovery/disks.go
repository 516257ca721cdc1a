//go:build linux

package recovery

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/quiesce/quiesce/guest/mounts"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/protocol"
)

// look again this often for a disk that was attached a moment ago.
const lookAgain = 200 * time.Millisecond

// copied is one filesystem of the set, or what else lies on a disk of it.
type copied struct {
	device  string // /dev/nvme2n1p1
	number  string // major:minor
	part    string // as protocol.Place names it
	kind    string // as blkid calls it
	uuid    string
	usage   string   // blkid's: filesystem, raid, crypto, other
	origins []string // of the disks under it
	places  []protocol.Place
	alone   bool // nothing else lies on its disk

	was   string // its old mount point, if known
	mount string // where it is to be mounted; empty: it is not
	told  protocol.Recovered
}

// find waits for the disks to be seen, and takes in what is on them. Code:
// VolumeUnresolved.
func (w *work) find(ctx context.Context) error {
	limit, cancel := context.WithTimeout(ctx, w.Patience)
	defer cancel()
	for {
		found, missing, err := match(mounts.Devices(w.Root), w.req.Disks)
		if err != nil {
			return err
		}
		if missing == "" {
			if err := w.release(ctx, found); err != nil {
				return err
			}
			return w.probe(ctx, found)
		}
		select {
		case <-time.After(lookAgain):
		case <-limit.Done():
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return fault.New(fault.VolumeUnresolved, "%s is not seen on this machine, %v after it was attached", missing, w.Patience)
		}
	}
}

// match finds each disk: by its serial number, or where disks report none by
// the name under which it is attached.
func match(seen []mounts.Device, want []protocol.RestoredDisk) (found []mounts.Device, missing string, err error) {
	taken := map[string]string{}
	for i, d := range want {
		at := slices.IndexFunc(seen, func(s mounts.Device) bool {
			return slices.ContainsFunc(d.Serials, func(n string) bool { return protocol.SameSerial(n, s.Serial) })
		})
		if at < 0 && d.Device != "" {
			at = slices.IndexFunc(seen, func(s mounts.Device) bool {
				return s.Serial == "" && s.Part == "" && protocol.KernelName(s.Name) == protocol.KernelName(d.Device)
			})
		}
		if at < 0 {
			return nil, fmt.Sprintf("%s (serial %s, attached as %s)", d.ID, strings.Join(d.Serials, " or "), d.Device), nil
		}
		if other, twice := taken[seen[at].Name]; twice {
			return nil, "", fault.Input(fmt.Sprintf("recover.disks[%d]", i), "%s and %s are both %s here", other, d.ID, seen[at].Name)
		}
		taken[seen[at].Name] = d.ID
		found = append(found, seen[at])
	}
	return found, "", nil
}

// probe takes in what lies on the disks, and refuses one that somebody uses.
func (w *work) probe(ctx context.Context, disks []mounts.Device) error {
	list, err := mounts.ReadList(w.Root, "thread-self")
	if err != nil {
		return fault.Wrap(fault.Internal, err, "reading what is mounted")
	}
	for i, disk := range disks {
		d := w.req.Disks[i]
		nodes := disk.Parts
		if len(nodes) == 0 {
			nodes = []mounts.Device{disk}
		}
		for _, n := range nodes {
			device := filepath.Join("/dev", n.Name)
			if uses := list.Uses(n.Number, device); len(uses) > 0 {
				return fault.New(fault.RestoreRefused, "%s of %s is mounted already, at %s", device, d.ID, strings.Join(uses, ", "))
			}
			c := &copied{device: device, number: n.Number, part: n.Part, origins: []string{d.Origin}, places: d.Places, alone: len(nodes) == 1}
			if err := w.identify(ctx, c); err != nil {
				return err
			}
			w.copies = append(w.copies, c)
		}
	}
	return nil
}

// identify asks blkid, past its cache, what is on a device.
func (w *work) identify(ctx context.Context, c *copied) error {
	s, err := w.tool(ctx, "blkid", "-p", "-o", "export", c.device)
	if err != nil {
		return fault.Wrap(fault.Internal, err, "looking at %s", c.device)
	}
	switch s.Exit {
	case 0, 2: // 2: nothing that it knows
	case 8:
		c.kind = "ambivalent"
	default:
		return fault.New(fault.Internal, "blkid %s ended with %d: %s", c.device, s.Exit, last(s.Err))
	}
	for line := range strings.Lines(s.Out) {
		switch name, value, _ := strings.Cut(strings.TrimSpace(line), "="); name {
		case "TYPE":
			c.kind = value
		case "UUID":
			c.uuid = value
		case "USAGE":
			c.usage = value
		}
	}
	return nil
}

// Kinds that are more than a filesystem.
const (
	swap    = "swap"
	luks    = "crypto_LUKS"
	pv      = "LVM2_member"
	raid    = "linux_raid_member"
	btrfs   = "btrfs"
	xfs     = "xfs"
	extents = "ext" // and a digit
)

// mountable are the filesystems that the helper knows how to check and mount.
func (c *copied) mountable() bool { return c.kind == xfs || c.kind == btrfs || c.ext() }

func (c *copied) ext() bool { return len(c.kind) == 4 && strings.HasPrefix(c.kind, extents) }

// left tells why what was found is not touched; empty if it is.
func (c *copied) left() string {
	switch {
	case c.mountable() || c.kind == pv || c.kind == raid:
		return ""
	case c.kind == "":
		return "nothing that blkid knows is on it"
	case c.kind == luks:
		return "it is encrypted, and its key is not Quiesce's to have"
	case c.kind == swap:
		return "swap holds nothing that a restore wants"
	}
	return c.kind + " is not mounted by Quiesce"
}
