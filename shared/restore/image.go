package restore

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strings"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
)

// Image is what a person says of an image. All of it may be left out; what the
// machine was is asked for only if the instance that the set is of is gone.
type Image struct {
	Name         string `json:"name,omitempty"` // by default quiesce- and the restore's id
	Root         string `json:"root,omitempty"` // the volume that the boot disk's snapshot was taken of
	RootDevice   string `json:"rootDevice,omitempty"`
	Architecture string `json:"architecture,omitempty"` // x86_64, arm64
	BootMode     string `json:"bootMode,omitempty"`     // legacy-bios, uefi, uefi-preferred; empty: the type's own
}

// Launch asks for an instance of the image. Of the instance that the set is of
// nothing is taken over: not its address, not its rights, not its tags, which
// automation may go by.
type Launch struct {
	Type    string            `json:"type"`
	Subnet  string            `json:"subnet"`
	Groups  []string          `json:"groups,omitempty"`
	Profile string            `json:"profile,omitempty"`
	Key     string            `json:"key,omitempty"`
	Tags    map[string]string `json:"tags,omitempty"`
}

// PlannedImage is an image that is to be registered, with everything written
// out.
type PlannedImage struct {
	Name  string      `json:"name"`
	Model cloud.Model `json:"model"`
}

var (
	imageName = regexp.MustCompile(`^[A-Za-z0-9()\[\] ./'@_-]{3,128}$`)
	typeName  = regexp.MustCompile(`^[a-z][a-z0-9-]*(\.[a-z0-9-]+){1,2}$`)
	subnetID  = regexp.MustCompile(`^(subnet-[0-9a-f]{8,17}|vsw-[0-9a-z]{8,30})$`)
	groupID   = regexp.MustCompile(`^sg-[0-9a-z]{8,30}$`)
)

// checkImage refuses what cannot be read as a request for an image.
func (r Request) checkImage() error {
	switch {
	case r.Mode != AsImage && r.Image != nil:
		return fault.Input("request.image", "is for the mode %s", AsImage)
	case r.Mode != AsImage && r.Launch != nil:
		return fault.Input("request.launch", "is for the mode %s", AsImage)
	case r.Mode == AsImage && r.InstanceID != "":
		return fault.Input("request.instanceId", "is for the other modes: an image is of the instance that the set is of")
	case r.Mode == AsImage && r.Zone != "":
		return fault.Input("request.zone", "is for the other modes: an image is in no zone")
	}
	if i := r.Image; i != nil {
		switch {
		case i.Name != "" && !imageName.MatchString(i.Name):
			return fault.Input("request.image.name", "wants 3-128 letters, digits or ()[] ./-'@_, got %q", i.Name)
		case i.RootDevice != "" && !DeviceName.MatchString(i.RootDevice):
			return fault.Input("request.image.rootDevice", "wants a device's name such as /dev/xvda, got %q", i.RootDevice)
		case i.Architecture != "" && i.Architecture != "x86_64" && i.Architecture != "arm64":
			return fault.Input("request.image.architecture", "wants x86_64 or arm64, got %q", i.Architecture)
		case i.BootMode != "" && i.BootMode != "legacy-bios" && i.BootMode != "uefi" && i.BootMode != "uefi-preferred":
			return fault.Input("request.image.bootMode", "wants legacy-bios, uefi or uefi-preferred, got %q", i.BootMode)
		}
	}
	if r.Launch != nil {
		return r.Launch.check(r.OptIn.Key)
	}
	return nil
}

func (l Launch) check(optIn string) error {
	switch {
	case !typeName.MatchString(l.Type):
		return fault.Input("request.launch.type", "wants an instance type such as m7i.large or ecs.g8i.large, got %q", l.Type)
	case !subnetID.MatchString(l.Subnet):
		return fault.Input("request.launch.subnet", "wants the id of a subnet or a vSwitch, got %q", l.Subnet)
	case len(l.Tags) > 40:
		return fault.Input("request.launch.tags", "wants at most 40, got %d", len(l.Tags))
	}
	for _, g := range l.Groups {
		if !groupID.MatchString(g) {
			return fault.Input("request.launch.groups", "wants security groups' ids, got %q", g)
		}
	}
	for key, value := range l.Tags {
		switch lower := strings.ToLower(key); {
		case key == optIn, key == cloud.TagOptIn:
			return fault.Input("request.launch.tags", "%s is the opt-in: put it on the instance once you have looked at it", key)
		case key == "" || len(key) > 127 || len(value) > 255, strings.HasPrefix(lower, "aws:"), strings.HasPrefix(lower, "quiesce:"):
			return fault.Input("request.launch.tags", "%q is no tag that can be given", key)
		}
	}
	return nil
}

// marks are the tags of what a restore makes of a set besides disks.
func (p Plan) marks() map[string]string {
	tags := map[string]string{cloud.TagRestore: p.RestoreID, cloud.TagInstance: p.Target.InstanceID}
	if p.Policy.Name != "" {
		tags[cloud.TagPolicy] = p.Policy.Name
	}
	return tags
}

// Registration is the request for the image. The same is asked again whoever
// asks.
func (p Plan) Registration() cloud.ImageSpec {
	spec := cloud.ImageSpec{
		Name: p.Image.Name, Description: "Set of " + p.SetID + ", " + p.Proved + "-consistent", Model: p.Image.Model, Tags: p.marks(),
	}
	spec.Disks = p.mapped()
	return spec
}

// mapped are the disks as the image and each instance of it have them.
func (p Plan) mapped() (all []cloud.ImageDisk) {
	for _, d := range p.Disks {
		all = append(all, cloud.ImageDisk{
			Device: d.Device, Snapshot: d.Snapshot, Kind: d.Kind, SizeGiB: d.SizeGiB, IOPS: d.IOPS, Throughput: d.Throughput, Ends: d.Ends,
		})
	}
	return all
}

// Launching is the request for the instance of an image.
func (p Plan) Launching(image string) cloud.LaunchSpec {
	l := p.Launch
	spec := cloud.LaunchSpec{
		Image: image, Type: l.Type, Subnet: l.Subnet, Groups: l.Groups, Profile: l.Profile, Key: l.Key,
		Token: Token(p.RestoreID, "launch"), Root: p.Image.Model.Root, Disks: p.mapped(), Tags: p.marks(),
	}
	spec.Tags["Name"] = "restored from " + p.SetID
	for k, v := range l.Tags {
		spec.Tags[k] = v
	}
	return spec
}

// Token names one request of a restore, the same whenever it is made.
func Token(restoreID, what string) string {
	sum := sha256.Sum256([]byte(restoreID + " " + what))
	return hex.EncodeToString(sum[:])
}
