package alicloud

import (
	"cmp"
	"context"
	"encoding/json"
	"strings"

	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/requests"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/ecs"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/run"
)

const (
	// concurrent is how many snapshots of one disk are made at once.
	concurrent = 10
	// perPage is the largest page that every list of ECS gives.
	perPage = 100

	running = "Running"
	enabled = "Enabled"
)

// Instance asks for the instance, its disks, and the architecture of its type,
// which no instance tells itself. An unknown id is an empty list.
func (p *Provider) Instance(ctx context.Context, id string) (cloud.Instance, error) {
	i, err := p.describe(ctx, id)
	if err != nil {
		return cloud.Instance{}, err
	}
	disks, err := p.disks(ctx, func(r *ecs.DescribeDisksRequest) { r.InstanceId = id })
	if err != nil {
		return cloud.Instance{}, translate(err, "list the disks of %s", id)
	}
	arch, err := p.arch(ctx, i.InstanceType)
	if err != nil {
		return cloud.Instance{}, translate(err, "ask for the architecture of %s", i.InstanceType)
	}
	out := cloud.Instance{
		ID:      id,
		Running: i.Status == running,
		State:   i.Status,
		System:  cmp.Or(i.OSNameEn, i.OSName),
		Arch:    arch,
		Tags:    tagMap(i.Tags.Tag),
		Target:  run.Target{Provider: "aliyun", Region: p.cfg.Region, InstanceID: id},
	}
	zonal := false
	for _, d := range disks {
		zonal = zonal || d.Category != zoneRedundant
	}
	for _, d := range disks {
		out.Volumes = append(out.Volumes, volume(d, id, zonal))
	}
	return out, nil
}

func (p *Provider) describe(ctx context.Context, id string) (*ecs.Instance, error) {
	request, response := ecs.CreateDescribeInstancesRequest(), ecs.CreateDescribeInstancesResponse()
	request.InstanceIds = list([]string{id})
	if err := p.call(ctx, "ecs", request, response); err != nil {
		return nil, translate(err, "describe %s", id)
	}
	if len(response.Instances.Instance) == 0 {
		return nil, fault.New(fault.InstanceNotFound, "describe %s: there is no such instance in %s", id, p.cfg.Region)
	}
	return &response.Instances.Instance[0], nil
}

// disks reads every page of a list.
func (p *Provider) disks(ctx context.Context, which func(*ecs.DescribeDisksRequest)) ([]ecs.Disk, error) {
	var all []ecs.Disk
	for token := ""; ; {
		request, response := ecs.CreateDescribeDisksRequest(), ecs.CreateDescribeDisksResponse()
		request.MaxResults, request.NextToken = requests.NewInteger(perPage), token
		which(request)
		if err := p.call(ctx, "ecs", request, response); err != nil {
			return nil, err
		}
		all = append(all, response.Disks.Disk...)
		if token = response.NextToken; token == "" {
			return all, nil
		}
	}
}

// grouped are the categories that a snapshot group takes. Disks of the last,
// which lie in several zones, are grouped among themselves alone.
const zoneRedundant = "cloud_regional_disk_auto"

var grouped = map[string]bool{"cloud_essd": true, "cloud_auto": true, "cloud_essd_entry": true, zoneRedundant: true}

func volume(d ecs.Disk, instance string, zonal bool) cloud.Volume {
	return cloud.Volume{
		ID:          d.DiskId,
		Device:      d.Device,
		Serials:     serials(d),
		Boot:        d.Type == "system",
		SizeGiB:     int32(d.Size),
		Kind:        d.Category,
		Tags:        tagMap(d.Tags.Tag),
		Concurrent:  concurrent,
		Unsupported: unsupported(d, zonal),
	}
}

// serials are what the guest may see: the number that the API tells, or the id
// without its prefix, as the block device's controller says it.
func serials(d ecs.Disk) []string {
	own := strings.TrimPrefix(d.DiskId, "d-")
	if d.SerialNumber == "" || d.SerialNumber == own {
		return []string{own}
	}
	return []string{d.SerialNumber, own}
}

func unsupported(d ecs.Disk, zonal bool) string {
	switch {
	case d.MultiAttach == enabled:
		return "it may be attached to several instances, and holding one does not hold the others"
	case !grouped[d.Category]:
		return "its category is " + cmp.Or(d.Category, "unknown") + ", and a snapshot group takes disks of the ESSD family alone"
	case d.Category == zoneRedundant && zonal:
		return "it lies in several zones, and a snapshot group holds such disks alone or not at all"
	case d.Status != "In_use":
		return "it is " + d.Status
	}
	return ""
}

// kind is what is known of an instance type: its architecture as the helper
// has it, and the ways of booting in ECS's words.
type kind struct {
	arch  string
	boots []string
}

// kind is asked for once for each type; the zero one does not exist.
func (p *Provider) kind(ctx context.Context, name string) (kind, error) {
	p.mu.Lock()
	known := p.kinds[name]
	p.mu.Unlock()
	if known.arch != "" {
		return known, nil
	}
	request, response := ecs.CreateDescribeInstanceTypesRequest(), ecs.CreateDescribeInstanceTypesResponse()
	request.InstanceTypes = &[]string{name}
	if err := p.call(ctx, "ecs", request, response); err != nil {
		return kind{}, err
	}
	for _, t := range response.InstanceTypes.InstanceType {
		if t.InstanceTypeId == name {
			arch := map[string]string{"X86": "amd64", "ARM": "arm64"}[strings.ToUpper(t.CpuArchitecture)]
			known = kind{cmp.Or(arch, t.CpuArchitecture), t.SupportedBootModes.SupportedBootMode}
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.kinds[name] = known
	return known, nil
}

func (p *Provider) arch(ctx context.Context, name string) (string, error) {
	k, err := p.kind(ctx, name)
	return k.arch, err
}

// list is a list as several parameters want it: a JSON document.
func list(ids []string) string {
	text, err := json.Marshal(ids)
	if err != nil {
		panic(err) // strings alone
	}
	return string(text)
}

// unlist reads such a list; what is none is empty.
func unlist(text string) []string {
	var ids []string
	_ = json.Unmarshal([]byte(text), &ids) // of the service's own making
	return ids
}

// tagMap reads both spellings of a tag: groups answer with Key and Value,
// instances, disks and snapshots with TagKey and TagValue.
func tagMap(tags []ecs.Tag) map[string]string {
	all := make(map[string]string, len(tags))
	for _, t := range tags {
		all[cmp.Or(t.TagKey, t.Key)] = cmp.Or(t.TagValue, t.Value)
	}
	return all
}
