package ec2

import (
	"context"
	"encoding/xml"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/quiesce/quiesce/local/aws/wire"
)

// image is a machine image: what it says of the machine, and the snapshots that
// its disks are made of.
type image struct {
	id, name, description string
	arch, boot, kernel    string
	ramdisk, sriov        string
	tpm, imds, virtual    string
	ena                   bool
	root                  string
	devices               []imageDevice
	platform              string // of its root's snapshot, as EC2 knows it
	tags                  map[string]string
	made                  time.Time
	ready                 time.Time // pending until then
}

type imageDevice struct {
	device, snapshot, kind string
	size, iops, throughput int
	dies                   bool
}

func (i *image) state(now time.Time) string {
	if now.Before(i.ready) {
		return "pending"
	}
	return "available"
}

// AddImage registers an image that is made of snapshots.
func (e *EC2) AddImage(id string, snapshots ...string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	i := &image{id: id, name: id, arch: "x86_64", virtual: "hvm", root: "/dev/xvda", platform: linux, tags: map[string]string{}, made: time.Now()}
	for n, s := range snapshots {
		i.devices = append(i.devices, imageDevice{device: "/dev/xvd" + string(rune('a'+n)), snapshot: s})
	}
	e.images = append(e.images, i)
}

const linux = "Linux/UNIX"

var imageName = regexp.MustCompile(`^[a-zA-Z0-9()\[\] ./'@_-]{3,128}$`)

// registerImage makes an image of snapshots that are complete. What it would
// cost to run is taken from what EC2 knows of the root's snapshot.
func (e *EC2) registerImage(_ context.Context, _ *wire.Call, q query) (any, error) {
	tags, err := q.specified("image")
	if err != nil {
		return nil, err
	}
	now := time.Now()
	i := &image{
		name: q.text("Name"), description: q.text("Description"), arch: q.text("Architecture"), boot: q.text("BootMode"), kernel: q.text("KernelId"),
		ramdisk: q.text("RamdiskId"), sriov: q.text("SriovNetSupport"), tpm: q.text("TpmSupport"), imds: q.text("ImdsSupport"), virtual: q.text("VirtualizationType"),
		ena: q.flag("EnaSupport"), root: q.text("RootDeviceName"), tags: tags, made: now, ready: now.Add(e.cfg.Registering),
	}
	if i.arch == "" {
		i.arch = "i386"
	}
	if i.virtual == "" {
		i.virtual = "paravirtual"
	}
	if i.devices, err = q.devices(); err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case !imageName.MatchString(i.name):
		return nil, wire.Bad("InvalidAMIName.Malformed", "AMI names must be between 3 and 128 characters long, and may contain letters, numbers, '(', ')', '.', '-', '/' and '_'")
	case slices.ContainsFunc(e.images, func(o *image) bool { return o.name == i.name }):
		return nil, wire.Bad("InvalidAMIName.Duplicate", "AMI name %s is already in use by another AMI", i.name)
	case i.boot != "" && i.boot != "legacy-bios" && i.boot != "uefi" && i.boot != "uefi-preferred":
		return nil, wire.Bad("InvalidParameterValue", "Value (%s) for parameter bootMode is invalid.", i.boot)
	case i.arch == "arm64" && i.boot == "legacy-bios":
		return nil, wire.Bad("InvalidParameterCombination", "The boot mode legacy-bios is not supported by the architecture arm64")
	case i.virtual != "hvm" && i.virtual != "paravirtual", i.virtual == "paravirtual" && (i.ena || i.arch == "arm64"):
		return nil, wire.Bad("InvalidParameterCombination", "The parameters do not fit the virtualization type %s", i.virtual)
	}
	for _, d := range i.devices {
		s, err := e.snapshot(d.snapshot)
		if err != nil {
			return nil, err
		}
		if s.state(now) != completed {
			return nil, wire.Bad("IncorrectState", "Snapshot is in invalid state - %s", s.state(now))
		}
		if d.size != 0 && int64(d.size) < s.gib {
			return nil, wire.Bad("InvalidBlockDeviceMapping", "Volume of size %dGB is smaller than snapshot '%s', expect size >= %dGB", d.size, s.id, s.gib)
		}
		if d.device == i.root {
			i.platform = s.platform
		}
	}
	if i.platform == "" && !slices.ContainsFunc(i.devices, func(d imageDevice) bool { return d.device == i.root }) {
		return nil, wire.Bad("InvalidBlockDeviceMapping", "No block device mapping names the root device %s", i.root)
	}
	i.id = e.id("ami-")
	e.images = append(e.images, i)
	return struct {
		XMLName xml.Name `xml:"imageId"`
		ID      string   `xml:",chardata"`
	}{ID: i.id}, nil
}

// devices reads BlockDeviceMapping.N of snapshots.
func (q query) devices() (all []imageDevice, err error) {
	for n := 1; ; n++ {
		at := "BlockDeviceMapping." + strconv.Itoa(n)
		d := imageDevice{
			device: q.text(at + ".DeviceName"), snapshot: q.text(at + ".Ebs.SnapshotId"), kind: q.text(at + ".Ebs.VolumeType"),
			dies: !strings.EqualFold(q.text(at+".Ebs.DeleteOnTermination"), "false"),
		}
		if d.device == "" {
			return all, nil
		}
		if slices.ContainsFunc(all, func(o imageDevice) bool { return o.device == d.device }) {
			return nil, wire.Bad("InvalidBlockDeviceMapping", "The device '%s' is used in more than one block-device mapping", d.device)
		}
		for name, into := range map[string]*int{"VolumeSize": &d.size, "Iops": &d.iops, "Throughput": &d.throughput} {
			if *into, err = q.number(at + ".Ebs." + name); err != nil {
				return nil, err
			}
		}
		all = append(all, d)
	}
}

func (e *EC2) image(id string) (*image, error) {
	for _, i := range e.images {
		if i.id == id {
			return i, nil
		}
	}
	return nil, wire.Bad("InvalidAMIID.NotFound", "The image id '[%s]' does not exist", id)
}

// deregisterImage leaves the snapshots, and what was launched of it, alone.
func (e *EC2) deregisterImage(_ context.Context, _ *wire.Call, q query) (any, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	i, err := e.image(q.text("ImageId"))
	if err != nil {
		return nil, err
	}
	e.images = slices.DeleteFunc(e.images, func(o *image) bool { return o == i })
	return done{Return: true}, nil
}

type xmlImageDevice struct {
	Device     string `xml:"deviceName"`
	Snapshot   string `xml:"ebs>snapshotId"`
	Size       int    `xml:"ebs>volumeSize,omitempty"`
	Kind       string `xml:"ebs>volumeType,omitempty"`
	IOPS       int    `xml:"ebs>iops,omitempty"`
	Throughput int    `xml:"ebs>throughput,omitempty"`
	Dies       bool   `xml:"ebs>deleteOnTermination"`
}

type xmlImage struct {
	ID       string           `xml:"imageId"`
	Name     string           `xml:"name"`
	State    string           `xml:"imageState"`
	Owner    string           `xml:"imageOwnerId"`
	Arch     string           `xml:"architecture"`
	Boot     string           `xml:"bootMode,omitempty"`
	Kernel   string           `xml:"kernelId,omitempty"`
	Ramdisk  string           `xml:"ramdiskId,omitempty"`
	Sriov    string           `xml:"sriovNetSupport,omitempty"`
	TPM      string           `xml:"tpmSupport,omitempty"`
	IMDS     string           `xml:"imdsSupport,omitempty"`
	Virtual  string           `xml:"virtualizationType"`
	ENA      bool             `xml:"enaSupport"`
	Root     string           `xml:"rootDeviceName"`
	RootKind string           `xml:"rootDeviceType"`
	Platform string           `xml:"platformDetails"`
	Made     string           `xml:"creationDate"`
	Devices  []xmlImageDevice `xml:"blockDeviceMapping>item"`
	Tags     []xmlTag         `xml:"tagSet>item"`
}

func (e *EC2) describeImages(_ context.Context, _ *wire.Call, q query) (any, error) {
	out := struct {
		XMLName xml.Name   `xml:"imagesSet"`
		Items   []xmlImage `xml:"item"`
	}{}
	e.mu.Lock()
	defer e.mu.Unlock()
	asked, now := q.list("ImageId"), time.Now()
	for _, id := range asked {
		if _, err := e.image(id); err != nil {
			return nil, err
		}
	}
	for _, i := range e.images {
		if len(asked) > 0 && !slices.Contains(asked, i.id) {
			continue
		}
		var snapshots []string
		for _, d := range i.devices {
			snapshots = append(snapshots, d.snapshot)
		}
		ok, err := matches(q.filters(), map[string][]string{
			"image-id": {i.id}, "name": {i.name}, "state": {i.state(now)}, "block-device-mapping.snapshot-id": snapshots,
		}, i.tags)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		x := xmlImage{
			ID: i.id, Name: i.name, State: i.state(now), Owner: e.cfg.Account, Arch: i.arch, Boot: i.boot, Kernel: i.kernel, Ramdisk: i.ramdisk,
			Sriov: i.sriov, TPM: i.tpm, IMDS: i.imds, Virtual: i.virtual, ENA: i.ena, Root: i.root, RootKind: "ebs", Platform: i.platform,
			Made: wire.Time(i.made), Tags: xmlTags(i.tags),
		}
		for _, d := range i.devices {
			x.Devices = append(x.Devices, xmlImageDevice{d.device, d.snapshot, d.size, d.kind, d.iops, d.throughput, d.dies})
		}
		out.Items = append(out.Items, x)
	}
	return out, nil
}
