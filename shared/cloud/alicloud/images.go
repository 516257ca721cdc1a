package alicloud

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"regexp"
	"slices"
	"strconv"

	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/requests"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/ecs"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/run"
)

// nameTaken is ECS's code for an image's name that the account has already.
const nameTaken = "InvalidImageName.Duplicated"

// systemDevice is the name of every system disk.
const systemDevice = "/dev/xvda"

// imageName is narrower than what a request may ask for elsewhere, and than what
// ECS would take in other alphabets.
var imageName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9._:-]{1,127}$`)

// bootModes are ECS's words for the ways of booting that a request names, and
// wordOf the way back.
var (
	bootModes = map[string]string{"legacy-bios": "BIOS", "uefi": "UEFI", "uefi-preferred": "UEFI-Preferred"}
	wordOf    = map[string]string{"BIOS": "legacy-bios", "UEFI": "uefi", "UEFI-Preferred": "uefi-preferred"}
)

// architectures are an image's words for those of instance types.
var architectures = map[string]string{"amd64": "x86_64", "arm64": "arm64"}

// Bare is what every instance has here.
func (p *Provider) Bare() (cloud.Host, cloud.Model) {
	h := cloud.Host{Target: run.Target{Provider: run.Aliyun, Region: p.cfg.Region}, Names: attachments(), Usual: usualCategory, Root: systemDevice}
	return h, cloud.Model{Root: systemDevice}
}

// Model takes from the instance's image, if that is there still, what no instance
// tells: the system's name, the way of booting, and who may ask for metadata.
func (p *Provider) Model(ctx context.Context, instance string) (cloud.Model, error) {
	i, err := p.describe(ctx, instance)
	if err != nil {
		return cloud.Model{}, err
	}
	arch, err := p.arch(ctx, i.InstanceType)
	if err != nil {
		return cloud.Model{}, translate(err, "ask for the architecture of %s", i.InstanceType)
	}
	_, m := p.Bare()
	m.Architecture = cmp.Or(architectures[arch], arch)
	images, err := p.imagesBy(ctx, func(r *ecs.DescribeImagesRequest) { r.ImageId = i.ImageId })
	if err != nil {
		return cloud.Model{}, translate(err, "describe the image of %s", instance)
	}
	for _, image := range images {
		m.Platform, m.BootMode, m.IMDS = image.Platform, wordOf[image.BootMode], image.Features.ImdsSupport
	}
	return m, nil
}

// imagesBy reads every page of a list, whatever state its images are in.
func (p *Provider) imagesBy(ctx context.Context, which func(*ecs.DescribeImagesRequest)) (all []ecs.Image, err error) {
	for page := 1; ; page++ {
		request, response := ecs.CreateDescribeImagesRequest(), ecs.CreateDescribeImagesResponse()
		request.Status = imageStates
		request.PageNumber, request.PageSize = requests.NewInteger(page), requests.NewInteger(perPage)
		which(request)
		if err := p.call(ctx, "ecs", request, response); err != nil {
			return nil, err
		}
		all = append(all, response.Images.Image...)
		if len(response.Images.Image) < perPage {
			return all, nil
		}
	}
}

// MayRegister looks whether the name is free: this call of ECS has no dry run,
// so that a right that is missing is told by Register alone, before which
// nothing is made.
func (p *Provider) MayRegister(ctx context.Context, spec cloud.ImageSpec) error {
	if !imageName.MatchString(spec.Name) {
		return fault.Input("request.image.name", "wants 2-128 letters, digits or . _ : -, a letter first, got %q", spec.Name)
	}
	found, err := p.named(ctx, spec.Name)
	switch {
	case err != nil:
		return translate(err, "look for the image %s", spec.Name)
	case found != nil && tagMap(found.Tags.Tag)[cloud.TagRestore] != spec.Tags[cloud.TagRestore]:
		return fault.Input("request.image.name", "%s has the name %s already", found.ImageId, spec.Name)
	}
	return nil
}

// named is the account's own image of a name, nil if there is none: a name may
// be asked for with wild cards, and is compared for that.
func (p *Provider) named(ctx context.Context, name string) (*ecs.Image, error) {
	found, err := p.imagesBy(ctx, func(r *ecs.DescribeImagesRequest) { r.ImageName, r.ImageOwnerAlias = name, "self" })
	for i := range found {
		if found[i].ImageName == name {
			return &found[i], err
		}
	}
	return nil, err
}

func registration(spec cloud.ImageSpec) *ecs.CreateImageRequest {
	request := ecs.CreateCreateImageRequest()
	request.ImageName, request.Description, request.ClientToken = spec.Name, clip(spec.Description, maxTagValue), imageToken(spec)
	request.Architecture, request.Platform, request.BootMode = spec.Model.Architecture, spec.Model.Platform, bootModes[spec.Model.BootMode]
	request.Features.ImdsSupport = spec.Model.IMDS
	var disks []ecs.CreateImageDiskDeviceMapping
	for _, d := range spec.Disks {
		kind := "data"
		if d.Device == spec.Model.Root {
			kind = "system"
		}
		disks = append(disks, ecs.CreateImageDiskDeviceMapping{SnapshotId: d.Snapshot, Device: d.Device, DiskType: kind, Size: strconv.Itoa(int(d.SizeGiB))})
	}
	var tags []ecs.CreateImageTag
	for _, key := range slices.Sorted(maps.Keys(spec.Tags)) {
		tags = append(tags, ecs.CreateImageTag{Key: key, Value: clip(spec.Tags[key], maxTagValue)})
	}
	request.DiskDeviceMapping, request.Tag = &disks, &tags
	return request
}

// imageToken names the request of an image, the same whenever it is made.
func imageToken(spec cloud.ImageSpec) string {
	sum := sha256.Sum256([]byte(spec.Name + " " + spec.Tags[cloud.TagRestore]))
	return hex.EncodeToString(sum[:])
}

// Register may be repeated: the client token makes it one, and once that is
// forgotten the name does. The image of another that has the name is refused.
func (p *Provider) Register(ctx context.Context, spec cloud.ImageSpec) (string, error) {
	response := ecs.CreateCreateImageResponse()
	err := p.call(ctx, "ecs", registration(spec), response)
	switch {
	case err == nil:
		return response.ImageId, nil
	case !hasCode(err, nameTaken):
		return "", aboutDisk(err, "create the image %s", spec.Name)
	}
	found, failed := p.named(ctx, spec.Name)
	switch {
	case failed != nil:
		return "", translate(failed, "look for the image %s", spec.Name)
	case found == nil:
		return "", fault.New(fault.Unavailable, "create the image %s: the name is taken, and no image is listed under it yet", spec.Name)
	case tagMap(found.Tags.Tag)[cloud.TagRestore] != spec.Tags[cloud.TagRestore]:
		return "", fault.New(fault.RestoreRefused, "create the image %s: %s has the name already, and is not of this restore", spec.Name, found.ImageId)
	}
	return found.ImageId, nil
}

// Images asks by the tag among the account's own.
func (p *Provider) Images(ctx context.Context, key, value string) ([]cloud.Image, error) {
	found, err := p.imagesBy(ctx, func(r *ecs.DescribeImagesRequest) {
		r.ImageOwnerAlias, r.Tag = "self", &[]ecs.DescribeImagesTag{{Key: key, Value: value}}
	})
	if err != nil {
		return nil, translate(err, "find the images with %s=%s", key, value)
	}
	all := make([]cloud.Image, len(found))
	for n, i := range found {
		all[n] = cloud.Image{ID: i.ImageId, State: cloud.ImageBroken, Platform: i.Platform, Tags: tagMap(i.Tags.Tag)}
		switch i.Status {
		case "Creating", "Waiting":
			all[n].State = cloud.ImageMaking
		case "Available":
			all[n].State = cloud.ImageThere
		default:
			all[n].Reason = "its status is " + i.Status
		}
	}
	return all, nil
}

// Deregister takes an image that does not exist for deleted. Instances of it
// keep running: what they want of it is on their disks.
func (p *Provider) Deregister(ctx context.Context, id string) error {
	request, response := ecs.CreateDeleteImageRequest(), ecs.CreateDeleteImageResponse()
	request.ImageId, request.Force = id, requests.NewBoolean(true)
	err := p.call(ctx, "ecs", request, response)
	if hasCode(err, "InvalidImageId.NotFound") {
		return nil
	}
	return aboutDisk(err, "delete the image %s", id)
}
