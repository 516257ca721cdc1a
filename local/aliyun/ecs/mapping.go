package ecs

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/quiesce/quiesce/local/aliyun/rpc"
	"github.com/quiesce/quiesce/local/aws/wire"
)

// mapping is a disk of an image as the call that makes it asks for it.
type mapping struct{ snapshot, kind, device, size string }

func mappings(p rpc.Params) (all []mapping) {
	for n := 1; ; n++ {
		at := "DiskDeviceMapping." + strconv.Itoa(n) + "."
		m := mapping{p.Text(at + "SnapshotId"), p.Text(at + "DiskType"), p.Text(at + "Device"), p.Text(at + "Size")}
		if m == (mapping{}) {
			return all
		}
		all = append(all, m)
	}
}

// Limits of an image: its data disks, and the sizes of those that are empty.
const (
	maxDataDisks = 16
	minEmpty     = 20 // GiB
	maxEmpty     = 32768
)

// mappedName is what a disk of an image may be called.
var mappedName = regexp.MustCompile(`^/dev/x?vd[a-z]$`)

// maps gives an image its disks: one of the system, the others in the order of
// their devices. What the image does not say, the system's snapshot knows.
func (e *ECS) maps(i *image, asked []mapping) error {
	for _, m := range asked {
		d, s, err := e.mapped(m)
		if err != nil {
			return err
		}
		if d.system {
			arch, platform := e.origin(s)
			i.arch, i.platform = cmp.Or(i.arch, arch, "x86_64"), cmp.Or(i.platform, platform, "Others Linux")
			i.boot = cmp.Or(i.boot, map[string]string{"arm64": "UEFI"}[i.arch], "BIOS")
		}
		i.disks = append(i.disks, d)
	}
	systems := 0
	for _, d := range i.disks {
		if d.system {
			systems++
		}
	}
	switch {
	case systems == 0:
		return wire.Bad("OperationDenied", "The specified parameter DiskDeviceMapping.n.SnapshotId does not contain system disk snapshot.")
	case systems > 1:
		return wire.Bad("OperationDenied", "The specified parameter DiskDeviceMapping.n.SnapshotId contains two or more system disk snapshots.")
	case len(i.disks) > 1+maxDataDisks:
		return wire.Bad("InstanceDiskNumber.LimitExceed", "The total number of specified disk in an instance exceeds.")
	}
	return i.names()
}

// mapped reads one disk: what it is made of, and whether it is large enough.
func (e *ECS) mapped(m mapping) (d imageDisk, s *snapshot, err error) {
	d = imageDisk{device: m.device, snapshot: m.snapshot, system: m.kind == "system"}
	least := int64(minEmpty)
	if m.snapshot != "" {
		if s, err = e.snapshot(m.snapshot); err != nil {
			return d, nil, err
		}
		if s.state(time.Now()) != accomplished {
			return d, nil, forbidden("InvalidSnapshotId.NotReady", "The current status of the DiskDeviceMapping.n.SnapshotId or SnapshotId does not support this operation.")
		}
		least = s.gib
		if m.kind == "" {
			d.system = s.system
		}
	}
	if d.gib = least; m.size != "" {
		if d.gib, err = strconv.ParseInt(m.size, 10, 64); err != nil || d.gib < least || d.gib > maxEmpty {
			return d, nil, wire.Bad("InvalidSize.ValueNotSupported", "The specified parameter DiskDeviceMapping.n.Size beyond the permitted range.")
		}
	}
	switch {
	case m.kind != "" && m.kind != "system" && m.kind != "data":
		err = wire.Bad("InvalidDiskType.ValueNotSupported", "The specified disk type is not supported.")
	case d.system && m.snapshot == "":
		err = wire.Bad("OperationDenied", "The specified parameter DiskDeviceMapping.n.SnapshotId does not contain system disk snapshot.")
	case m.device == "" || s != nil && e.disks[s.disk] != nil && m.device == e.disks[s.disk].Device:
		// a simulated machine calls its disks otherwise
	case !mappedName.MatchString(m.device) || d.system != (letter(m.device) == 'a'):
		err = wire.Bad("InvalidDevice.Malformed", "The specified parameter DiskDeviceMapping.n.Device is not valid.")
	}
	return d, s, err
}

// names gives the disks without a device one each, and refuses a device twice.
func (i *image) names() error {
	used := map[byte]bool{'a': true}
	for _, d := range i.disks {
		if d.device == "" || d.system {
			continue
		}
		if used[letter(d.device)] {
			return wire.Bad("InvalidDevice.InUse", "The specified parameter DiskDeviceMapping.n.Device has been occupied.")
		}
		used[letter(d.device)] = true
	}
	next := byte('b')
	for n := range i.disks {
		d := &i.disks[n]
		switch {
		case mappedName.MatchString(d.device):
			d.device = "/dev/xvd" + string(letter(d.device))
			continue
		case d.device != "":
			continue
		case d.system:
			d.device = "/dev/xvda"
			continue
		}
		for used[next] {
			next++
		}
		d.device, used[next] = "/dev/xvd"+string(next), true
	}
	slices.SortFunc(i.disks, func(a, b imageDisk) int { return cmp.Compare(a.device, b.device) })
	return nil
}

// letter is what tells one device of a machine from another: what stands before
// it depends on the kind of machine.
func letter(device string) byte { return device[len(device)-1] }

// origin is what is known of the system on a snapshot by the machine that it was
// taken of, while that is there.
func (e *ECS) origin(s *snapshot) (arch, platform string) {
	d := e.disks[s.disk]
	if d == nil || !d.System || e.instances[d.Instance] == nil {
		return "", ""
	}
	m := e.instances[d.Instance]
	return architectures[m.Arch], m.Platform
}

// architectures are an instance's in the words of images.
var architectures = map[string]string{"amd64": "x86_64", "arm64": "arm64"}
