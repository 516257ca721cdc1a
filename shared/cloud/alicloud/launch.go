package alicloud

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/requests"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/ecs"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/vpc"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
)

// Fits asks for the type, the vSwitch and the groups: a dry run would want an
// image, and there is none yet.
func (p *Provider) Fits(ctx context.Context, spec cloud.LaunchSpec, of cloud.Model) (string, error) {
	if len(spec.Groups) == 0 {
		return "", fault.Input("request.launch.groups", "wants a security group: ECS starts no instance without")
	}
	if len(spec.Tags) > maxTags {
		return "", fault.Input("request.launch.tags", "with those of a restore an instance would get %d tags, and takes %d", len(spec.Tags), maxTags)
	}
	if err := p.bootable(ctx, spec.Type, of); err != nil {
		return "", err
	}
	request, response := vpc.CreateDescribeVSwitchesRequest(), vpc.CreateDescribeVSwitchesResponse()
	request.VSwitchId = spec.Subnet
	if err := p.call(ctx, "vpc", request, response); err != nil || len(response.VSwitches.VSwitch) == 0 {
		return "", aboutLaunch(err, "request.launch.subnet", "names no vSwitch of this account and Region: %s", spec.Subnet)
	}
	at := response.VSwitches.VSwitch[0]
	asked, groups := ecs.CreateDescribeSecurityGroupsRequest(), ecs.CreateDescribeSecurityGroupsResponse()
	asked.SecurityGroupIds = list(spec.Groups)
	if err := p.call(ctx, "ecs", asked, groups); err != nil {
		return "", aboutLaunch(err, "request.launch.groups", "could not be looked at")
	}
	in := map[string]string{}
	for _, g := range groups.SecurityGroups.SecurityGroup {
		in[g.SecurityGroupId] = g.VpcId
	}
	for _, id := range spec.Groups {
		switch of, known := in[id]; {
		case !known:
			return "", fault.Input("request.launch.groups", "%s is no security group of this account and Region", id)
		case of != at.VpcId:
			return "", fault.Input("request.launch.groups", "%s is of %s, and the vSwitch of %s", id, of, at.VpcId)
		}
	}
	return at.ZoneId, nil
}

// bootable refuses a type that the image's system does not boot on. A type that
// says no way of booting has any.
func (p *Provider) bootable(ctx context.Context, name string, of cloud.Model) error {
	k, err := p.kind(ctx, name)
	if err != nil || k.arch == "" {
		return aboutLaunch(err, "request.launch.type", "names no instance type of this Region: %s", name)
	}
	if word := cmp.Or(architectures[k.arch], k.arch); word != of.Architecture {
		return fault.Input("request.launch.type", "%s is of the architecture %s, and the set's system of %s", name, word, of.Architecture)
	}
	mode := bootModes[of.BootMode]
	if mode != "" && mode != bootModes["uefi-preferred"] && len(k.boots) > 0 && !slices.Contains(k.boots, mode) {
		return fault.Input("request.launch.type", "%s boots by %v, and the set's system by %s", name, k.boots, mode)
	}
	return nil
}

// aboutLaunch blames the field, unless it is the service or a right.
func aboutLaunch(err error, field, format string, args ...any) error {
	return cloud.Blame(err, codeOf(err), field, format, args...)
}

// Launch may be repeated: the client token makes it one. An image says nothing
// of its disks' categories, nor which of them end with the instance; the tags
// are the disks' too, so that what does not end with it is found.
func (p *Provider) Launch(ctx context.Context, spec cloud.LaunchSpec) (string, error) {
	request, response := ecs.CreateRunInstancesRequest(), ecs.CreateRunInstancesResponse()
	request.ImageId, request.InstanceType, request.VSwitchId, request.SecurityGroupIds = spec.Image, spec.Type, spec.Subnet, &spec.Groups
	request.RamRoleName, request.KeyPairName, request.InstanceName = spec.Profile, spec.Key, spec.Tags["Name"]
	request.Amount, request.ClientToken = requests.NewInteger(1), spec.Token
	var data []ecs.RunInstancesDataDisk
	for _, d := range spec.Disks {
		level := ""
		if d.Kind == usualCategory && d.SizeGiB < smallestPL1 {
			level = "PL0"
		}
		if d.Device == spec.Root {
			request.SystemDiskCategory, request.SystemDiskSize, request.SystemDiskPerformanceLevel = d.Kind, strconv.Itoa(int(d.SizeGiB)), level
			continue
		}
		disk := ecs.RunInstancesDataDisk{
			Device: d.Device, Category: d.Kind, Size: strconv.Itoa(int(d.SizeGiB)), DeleteWithInstance: strconv.FormatBool(d.Ends), PerformanceLevel: level,
		}
		if d.IOPS > 0 {
			disk.ProvisionedIops = strconv.Itoa(int(d.IOPS))
		}
		data = append(data, disk)
	}
	var tags []ecs.RunInstancesTag
	for _, key := range slices.Sorted(maps.Keys(spec.Tags)) {
		tags = append(tags, ecs.RunInstancesTag{Key: key, Value: clip(spec.Tags[key], maxTagValue)})
	}
	request.DataDisk, request.Tag = &data, &tags
	if err := p.call(ctx, "ecs", request, response); err != nil {
		return "", aboutDisk(err, "launch an instance of %s", spec.Image)
	}
	if len(response.InstanceIdSets.InstanceIdSet) == 0 {
		return "", fault.Wrap(fault.Unavailable, errors.New("the answer names none"), "launch an instance of %s", spec.Image)
	}
	return response.InstanceIdSets.InstanceIdSet[0], nil
}

// Launched asks by the tag: what is released is not listed.
func (p *Provider) Launched(ctx context.Context, key, value string) (all []cloud.Host, err error) {
	for token := ""; ; {
		request, response := ecs.CreateDescribeInstancesRequest(), ecs.CreateDescribeInstancesResponse()
		request.MaxResults, request.NextToken, request.Tag = requests.NewInteger(perPage), token, &[]ecs.DescribeInstancesTag{{Key: key, Value: value}}
		if err := p.call(ctx, "ecs", request, response); err != nil {
			return nil, translate(err, "find the instances with %s=%s", key, value)
		}
		for _, i := range response.Instances.Instance {
			all = append(all, cloud.Host{ID: i.InstanceId, State: hostStates[i.Status], Zone: i.ZoneId, Tags: tagMap(i.Tags.Tag), Root: systemDevice})
		}
		if token = response.NextToken; token == "" {
			return all, nil
		}
	}
}

// Terminate ends a running instance too, and takes one that does not exist for
// ended.
func (p *Provider) Terminate(ctx context.Context, id string) error {
	request, response := ecs.CreateDeleteInstanceRequest(), ecs.CreateDeleteInstanceResponse()
	request.InstanceId, request.Force = id, requests.NewBoolean(true)
	err := p.call(ctx, "ecs", request, response)
	if hasCode(err, "InvalidInstanceId.NotFound") {
		return nil
	}
	return aboutDisk(err, "release %s", id)
}

// Unmark takes the tags off whatever they say. ECS wants to be told what each
// of the resources is, and their ids say it.
func (p *Provider) Unmark(ctx context.Context, ids []string, keys []string) error {
	kinds := map[string][]string{}
	for _, id := range ids {
		kind := "disk"
		for prefix, of := range map[string]string{"m-": "image", "i-": "instance"} {
			if strings.HasPrefix(id, prefix) {
				kind = of
			}
		}
		kinds[kind] = append(kinds[kind], id)
	}
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		if err := p.untag(ctx, kind, kinds[kind], keys); err != nil {
			return err
		}
	}
	return nil
}
