package ecs

import (
	"cmp"
	"context"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/quiesce/quiesce/local/aliyun/rpc"
	"github.com/quiesce/quiesce/local/aws/wire"
)

// image is what machines are started from: what it says of them, and the
// snapshots that their disks are made of.
type image struct {
	id, name, description string
	owner                 string // self, system
	platform, arch, boot  string
	imds                  string
	disks                 []imageDisk
	tags                  map[string]string
	created, ready        time.Time // creating until then
	fails                 bool
	made                  bool   // by a call
	token, request        string // of that call, and what it asked for
}

type imageDisk struct {
	device, snapshot string
	gib              int64
	system           bool
}

// States of an image.
const (
	imageCreating  = "Creating"
	imageAvailable = "Available"
	imageFailed    = "CreateFailed"
)

// Whose an image is.
const (
	self    = "self"
	theirs  = "system"
	aliyun3 = "Aliyun"
)

func (i *image) state(now time.Time) string {
	switch {
	case now.Before(i.ready):
		return imageCreating
	case i.fails:
		return imageFailed
	}
	return imageAvailable
}

func (i *image) progress(now time.Time) string {
	whole := i.ready.Sub(i.created)
	if now.Before(i.ready) && whole > 0 {
		return strconv.Itoa(max(0, min(99, int(100*now.Sub(i.created)/whole)))) + "%"
	}
	return "100%"
}

func (i *image) snapshots() (ids []string) {
	for _, d := range i.disks {
		if d.snapshot != "" {
			ids = append(ids, d.snapshot)
		}
	}
	return ids
}

func (e *ECS) imagesOf(snapshot string) (ids []string) {
	for _, i := range e.images {
		if slices.Contains(i.snapshots(), snapshot) {
			ids = append(ids, i.id)
		}
	}
	return ids
}

func (e *ECS) image(id string) (*image, error) {
	i := e.images[id]
	if i == nil {
		return nil, missing("InvalidImageId.NotFound", "ImageId", id)
	}
	return i, nil
}

// AddImage registers an image that was made of snapshots.
func (e *ECS) AddImage(id string, snapshots ...string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	i := &image{id: id, name: id, owner: self, arch: "x86_64", boot: "BIOS", tags: map[string]string{}, created: time.Now(), ready: time.Now()}
	for n, s := range snapshots {
		i.disks = append(i.disks, imageDisk{device: "/dev/xvd" + string(rune('a'+n)), snapshot: s, gib: 1, system: n == 0})
	}
	e.images[id] = i
	e.order = append(e.order, id)
}

// RemoveImage takes an image away without a call, as the provider does with one
// of its own that is out of date.
func (e *ECS) RemoveImage(id string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.forgetImage(id)
}

func (e *ECS) forgetImage(id string) {
	delete(e.images, id)
	e.order = slices.DeleteFunc(e.order, func(o string) bool { return o == id })
}

// FailImages lets images that are being made, or are made from now on, fail when
// their time is up; false lets them come about again.
func (e *ECS) FailImages(fail bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.imagesFail = fail
	for _, i := range e.images {
		if i.state(time.Now()) == imageCreating {
			i.fails = fail
		}
	}
}

// Images returns the tags of every image of the account's own, by its id,
// whatever lists show.
func (e *ECS) Images() map[string]map[string]string {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := map[string]map[string]string{}
	for id, i := range e.images {
		if i.owner == self {
			all[id] = maps.Clone(i.tags)
		}
	}
	return all
}

// createImage takes InstanceId before DiskDeviceMapping before SnapshotId, as
// documented; from an instance only through its snapshots here.
func (e *ECS) createImage(_ context.Context, _ *wire.Call, p rpc.Params) (map[string]any, error) {
	if p.Text("InstanceId") != "" {
		return nil, wire.Errorf(501, "UnsupportedOperation", "An image of an instance is not emulated.")
	}
	now := time.Now()
	i := &image{
		name: p.Text("ImageName"), description: p.Text("Description"), owner: self, platform: p.Text("Platform"), arch: p.Text("Architecture"),
		boot: p.Text("BootMode"), imds: cmp.Or(p.Text("Features.ImdsSupport"), "v1"), created: now, ready: now.Add(max(0, e.cfg.Provision)),
		token: p.Text("ClientToken"), request: request(p), made: true,
	}
	err := i.says()
	if err == nil {
		i.tags, err = p.Tags()
	}
	mapped := []mapping{{snapshot: p.Text("SnapshotId")}}
	if all := mappings(p); len(all) > 0 {
		mapped = all
	}
	if err == nil && mapped[0] == (mapping{}) {
		err = wire.Bad("MissingParameter", "The input parameter SnapshotId or InstanceId or DiskDeviceMapping that is mandatory for processing this request is not supplied.")
	}
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, o := range e.images {
		switch {
		case i.token == "" || o.token != i.token:
		case o.request != i.request:
			return nil, wire.Bad("IdempotenceParamNotMatch", "Request uses a client token in a previous request but is not identical to that request.")
		default:
			return map[string]any{"ImageId": o.id}, nil
		}
	}
	for _, o := range e.images {
		if i.name != "" && o.name == i.name && o.owner == self {
			return nil, wire.Bad("InvalidImageName.Duplicated", "The specified Image name has already been used.")
		}
	}
	if err := e.maps(i, mapped); err != nil {
		return nil, err
	}
	if i.arch == "arm64" && i.boot == "BIOS" {
		return nil, wire.Bad("InvalidBootMode.NotSupport", "The specified parameter BootMode is not supported for current image architecture.")
	}
	i.id, i.fails = e.id("m-"), e.imagesFail
	e.images[i.id] = i
	e.order = append(e.order, i.id)
	return map[string]any{"ImageId": i.id}, nil
}

var imageNames = regexp.MustCompile(`^\p{L}[\p{L}\p{Nd}.:_-]{1,127}$`)

// says refuses what an image may not say of itself, whatever it is made of.
func (i *image) says() error {
	address := func(s string) bool { return strings.HasPrefix(s, "http://") || strings.HasPrefix(s, "https://") }
	length := len([]rune(i.description))
	switch {
	case i.name != "" && (!imageNames.MatchString(i.name) || address(i.name) || strings.HasPrefix(i.name, "acs:") || strings.HasPrefix(i.name, "aliyun")):
		return wire.Bad("InvalidImageName.Malformed", "The specified Image name is wrongly formed.")
	case i.description != "" && (length < 2 || length > 256 || address(i.description)):
		return wire.Bad("InvalidDescription.Malformed", "The specified description is wrongly formed.")
	case !slices.Contains([]string{"", "i386", "x86_64", "arm64"}, i.arch):
		return wire.Bad("InvalidArchitecture.Malformed", "The specified Architecture is wrongly formed.")
	case i.platform != "" && !slices.Contains(platforms, i.platform):
		return wire.Bad("InvalidPlatform.Malformed", "The specified Platform is wrongly formed.")
	case !slices.Contains([]string{"", "BIOS", "UEFI", "UEFI-Preferred"}, i.boot):
		return wire.Bad("InvalidParameter.BootMode", "The specified parameter BootMode is not valid.")
	case i.imds != "v1" && i.imds != "v2":
		return wire.Bad("InvalidParameter.FeaturesImdsSupport", "The specified parameter Features.ImdsSupport is not supported.")
	case len(i.token) > 64:
		return wire.Bad("InvalidClientToken.ValueNotSupported", "The ClientToken provided is invalid.")
	}
	return nil
}

// platforms are what an image may say that it holds.
var platforms = []string{
	aliyun3, "Anolis", "CentOS", "Ubuntu", "CoreOS", "SUSE", "Debian", "OpenSUSE", "FreeBSD", "RedHat", "Kylin", "UOS", "Fedora", "Fedora CoreOS",
	"CentOS Stream", "AlmaLinux", "Rocky Linux", "Gentoo", "Customized Linux", "Others Linux", "Windows Server 2022", "Windows Server 2019",
	"Windows Server 2016", "Windows Server 2012", "Windows Server 2008", "Windows Server 2003",
}

func system(platform string) string {
	if strings.HasPrefix(platform, "Windows") {
		return "windows"
	}
	return "linux"
}

// deleteImage takes no notice of an image that does not exist, as documented,
// and leaves the snapshots.
func (e *ECS) deleteImage(_ context.Context, _ *wire.Call, p rpc.Params) (map[string]any, error) {
	if err := p.Required("ImageId"); err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	i := e.images[p.Text("ImageId")]
	switch {
	case i == nil:
		return nil, nil
	case i.owner != self:
		return nil, missing("InvalidImageId.NotFound", "ImageId", i.id) // in this account
	}
	for _, m := range e.instances {
		if m.Image == i.id && !p.Flag("Force") {
			return nil, forbidden("ImageUsingByInstance", "The specified image has been used to create instances.")
		}
	}
	e.forgetImage(i.id)
	return nil, nil
}
