package awscloud

import (
	"context"
	"errors"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/run"
)

// EC2's code for an image's name that is taken.
const nameTaken = "InvalidAMIName.Duplicate"

// Bare is what every instance of a current type has.
func (p *Provider) Bare() (cloud.Host, cloud.Model) {
	h := cloud.Host{Target: run.Target{Provider: run.AWS, Region: p.region}, Names: attachments(), Usual: string(usualKind)}
	return h, cloud.Model{Virtualization: "hvm", ENA: true}
}

// Model takes from the instance what it runs by, and from its image, if that is
// there still, what an instance does not say.
func (p *Provider) Model(ctx context.Context, instance string) (cloud.Model, error) {
	i, err := p.instance(ctx, instance)
	if err != nil {
		return cloud.Model{}, err
	}
	m := cloud.Model{
		Architecture: string(i.Architecture), BootMode: string(i.BootMode), Virtualization: string(i.VirtualizationType), Kernel: aws.ToString(i.KernelId),
		Ramdisk: aws.ToString(i.RamdiskId), Sriov: aws.ToString(i.SriovNetSupport), TPM: aws.ToString(i.TpmSupport), ENA: aws.ToBool(i.EnaSupport),
		Root: aws.ToString(i.RootDeviceName), Platform: aws.ToString(i.PlatformDetails),
	}
	images, err := p.ec2.DescribeImages(ctx, &ec2.DescribeImagesInput{Filters: []types.Filter{filter("image-id", aws.ToString(i.ImageId))}})
	if err != nil {
		return cloud.Model{}, translate(err, "describe the image of %s", instance)
	}
	for _, image := range images.Images {
		m.IMDS = string(image.ImdsSupport)
	}
	return m, nil
}

func registration(spec cloud.ImageSpec) *ec2.RegisterImageInput {
	in := &ec2.RegisterImageInput{
		Name: aws.String(spec.Name), Description: aws.String(clip(spec.Description, maxDescription)), Architecture: types.ArchitectureValues(spec.Model.Architecture),
		BootMode: types.BootModeValues(spec.Model.BootMode), EnaSupport: aws.Bool(spec.Model.ENA), ImdsSupport: types.ImdsSupportValues(spec.Model.IMDS),
		TpmSupport: types.TpmSupportValues(spec.Model.TPM), RootDeviceName: aws.String(spec.Model.Root),
		VirtualizationType: given(spec.Model.Virtualization), KernelId: given(spec.Model.Kernel), RamdiskId: given(spec.Model.Ramdisk), SriovNetSupport: given(spec.Model.Sriov),
		TagSpecifications: []types.TagSpecification{{ResourceType: types.ResourceTypeImage, Tags: tagList(spec.Tags)}},
	}
	for _, d := range spec.Disks {
		ebs := &types.EbsBlockDevice{SnapshotId: aws.String(d.Snapshot), VolumeType: types.VolumeType(d.Kind), VolumeSize: aws.Int32(d.SizeGiB), DeleteOnTermination: aws.Bool(d.Ends)}
		if d.IOPS > 0 {
			ebs.Iops = aws.Int32(d.IOPS)
		}
		if d.Throughput > 0 {
			ebs.Throughput = aws.Int32(d.Throughput)
		}
		in.BlockDeviceMappings = append(in.BlockDeviceMappings, types.BlockDeviceMapping{DeviceName: aws.String(d.Device), Ebs: ebs})
	}
	return in
}

// given is text that may be left out.
func given(text string) *string {
	if text == "" {
		return nil
	}
	return aws.String(text)
}

// MayRegister asks EC2 for the right alone: a dry run looks at no snapshot and
// at no name.
func (p *Provider) MayRegister(ctx context.Context, spec cloud.ImageSpec) error {
	in := registration(spec)
	in.DryRun = aws.Bool(true)
	_, err := p.ec2.RegisterImage(ctx, in)
	if hasCode(err, "DryRunOperation") {
		return nil
	}
	return aboutDisk(err, "try to register the image %s", spec.Name)
}

// Register knows its own by the name, which an account has once: RegisterImage
// takes no client token. The image of another that has the name is refused.
func (p *Provider) Register(ctx context.Context, spec cloud.ImageSpec) (string, error) {
	out, err := p.ec2.RegisterImage(ctx, registration(spec))
	switch {
	case err == nil:
		return aws.ToString(out.ImageId), nil
	case !hasCode(err, nameTaken):
		return "", aboutDisk(err, "register the image %s", spec.Name)
	}
	found, failed := p.ec2.DescribeImages(ctx, &ec2.DescribeImagesInput{Owners: []string{"self"}, Filters: []types.Filter{filter("name", literal(spec.Name))}})
	if failed != nil {
		return "", translate(failed, "look for the image %s", spec.Name)
	}
	if len(found.Images) == 0 {
		return "", fault.New(fault.Unavailable, "register the image %s: the name is taken, and no image is listed under it yet", spec.Name)
	}
	i := found.Images[0]
	if tagMap(i.Tags)[cloud.TagRestore] != spec.Tags[cloud.TagRestore] {
		return "", fault.New(fault.RestoreRefused, "register the image %s: %s has the name already, and is not of this restore", spec.Name, aws.ToString(i.ImageId))
	}
	return aws.ToString(i.ImageId), nil
}

// Images asks by the tag among the account's own.
func (p *Provider) Images(ctx context.Context, key, value string) (all []cloud.Image, err error) {
	pages := ec2.NewDescribeImagesPaginator(p.ec2, &ec2.DescribeImagesInput{
		Owners: []string{"self"}, Filters: []types.Filter{filter("tag:"+key, literal(value))}, IncludeDisabled: aws.Bool(true), MaxResults: aws.Int32(1000),
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, translate(err, "find the images with %s=%s", key, value)
		}
		for _, i := range page.Images {
			image := cloud.Image{ID: aws.ToString(i.ImageId), State: cloud.ImageBroken, Platform: aws.ToString(i.PlatformDetails), Tags: tagMap(i.Tags)}
			switch i.State {
			case types.ImageStatePending, types.ImageStateTransient:
				image.State = cloud.ImageMaking
			case types.ImageStateAvailable:
				image.State = cloud.ImageThere
			}
			if i.StateReason != nil {
				image.Reason = aws.ToString(i.StateReason.Message)
			}
			all = append(all, image)
		}
	}
	return all, nil
}

// Deregister takes an image that does not exist for deregistered.
func (p *Provider) Deregister(ctx context.Context, id string) error {
	_, err := p.ec2.DeregisterImage(ctx, &ec2.DeregisterImageInput{ImageId: aws.String(id)})
	if hasCode(err, "InvalidAMIID.NotFound") || hasCode(err, "InvalidAMIID.Unavailable") {
		return nil
	}
	return aboutDisk(err, "deregister %s", id)
}

// Unmark takes the tags off whatever they say.
func (p *Provider) Unmark(ctx context.Context, ids []string, keys []string) error {
	return p.UnmarkDisks(ctx, ids, keys)
}

// Fits asks for the type, the subnet and the groups: a dry run would want an
// image, and there is none yet.
func (p *Provider) Fits(ctx context.Context, spec cloud.LaunchSpec, of cloud.Model) (string, error) {
	if err := p.bootable(ctx, spec.Type, of); err != nil {
		return "", err
	}
	subnets, err := p.ec2.DescribeSubnets(ctx, &ec2.DescribeSubnetsInput{SubnetIds: []string{spec.Subnet}})
	if err != nil || len(subnets.Subnets) == 0 {
		return "", aboutLaunch(err, "request.launch.subnet", "names no subnet of this account and Region: %s", spec.Subnet)
	}
	subnet := subnets.Subnets[0]
	if len(spec.Groups) > 0 {
		groups, err := p.ec2.DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{GroupIds: spec.Groups})
		if err != nil {
			return "", aboutLaunch(err, "request.launch.groups", "names a security group that is none of this account and Region")
		}
		for _, g := range groups.SecurityGroups {
			if aws.ToString(g.VpcId) != aws.ToString(subnet.VpcId) {
				return "", fault.Input("request.launch.groups", "%s is of %s, and the subnet of %s", aws.ToString(g.GroupId), aws.ToString(g.VpcId), aws.ToString(subnet.VpcId))
			}
		}
	}
	return aws.ToString(subnet.AvailabilityZone), nil
}

// bootable refuses a type that the image's system does not boot on.
func (p *Provider) bootable(ctx context.Context, name string, of cloud.Model) error {
	out, err := p.ec2.DescribeInstanceTypes(ctx, &ec2.DescribeInstanceTypesInput{InstanceTypes: []types.InstanceType{types.InstanceType(name)}})
	if err != nil || len(out.InstanceTypes) == 0 {
		return aboutLaunch(err, "request.launch.type", "names no instance type of this Region: %s", name)
	}
	t := out.InstanceTypes[0]
	if p := t.ProcessorInfo; p != nil && !slices.Contains(p.SupportedArchitectures, types.ArchitectureType(of.Architecture)) {
		return fault.Input("request.launch.type", "%s is of the architecture %v, and the set's system of %s", name, p.SupportedArchitectures, of.Architecture)
	}
	if of.BootMode != "" && of.BootMode != string(types.BootModeValuesUefiPreferred) && !slices.Contains(t.SupportedBootModes, types.BootModeType(of.BootMode)) {
		return fault.Input("request.launch.type", "%s boots by %v, and the set's system by %s", name, t.SupportedBootModes, of.BootMode)
	}
	return nil
}

// aboutLaunch blames the field, unless it is the service or a right.
func aboutLaunch(err error, field, format string, args ...any) error {
	return cloud.Blame(err, codeOf(err), field, format, args...)
}

// Launch may be repeated by the SDK as well: the client token makes it one. The
// volumes carry the instance's tags, so that what does not end with it is found.
func (p *Provider) Launch(ctx context.Context, spec cloud.LaunchSpec) (string, error) {
	tags := tagList(spec.Tags)
	in := &ec2.RunInstancesInput{
		ImageId: aws.String(spec.Image), InstanceType: types.InstanceType(spec.Type), MinCount: aws.Int32(1), MaxCount: aws.Int32(1), ClientToken: aws.String(spec.Token),
		SubnetId: aws.String(spec.Subnet), SecurityGroupIds: spec.Groups, KeyName: given(spec.Key),
		TagSpecifications: []types.TagSpecification{{ResourceType: types.ResourceTypeInstance, Tags: tags}, {ResourceType: types.ResourceTypeVolume, Tags: tags}},
	}
	if spec.Profile != "" {
		in.IamInstanceProfile = &types.IamInstanceProfileSpecification{Name: aws.String(spec.Profile)}
	}
	out, err := p.ec2.RunInstances(ctx, in)
	if err != nil {
		return "", aboutDisk(err, "launch an instance of %s", spec.Image)
	}
	if len(out.Instances) == 0 {
		return "", fault.Wrap(fault.Unavailable, errors.New("the answer names none"), "launch an instance of %s", spec.Image)
	}
	return aws.ToString(out.Instances[0].InstanceId), nil
}

// Launched asks by the tag among those that are not terminated.
func (p *Provider) Launched(ctx context.Context, key, value string) (all []cloud.Host, err error) {
	pages := ec2.NewDescribeInstancesPaginator(p.ec2, &ec2.DescribeInstancesInput{
		Filters:    []types.Filter{filter("tag:"+key, literal(value)), filter("instance-state-name", "pending", "running", "shutting-down", "stopping", "stopped")},
		MaxResults: aws.Int32(1000),
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, translate(err, "find the instances with %s=%s", key, value)
		}
		for _, r := range page.Reservations {
			for _, i := range r.Instances {
				h := cloud.Host{ID: aws.ToString(i.InstanceId), Tags: tagMap(i.Tags), Root: aws.ToString(i.RootDeviceName)}
				if i.State != nil {
					h.State = hostStates[i.State.Name]
				}
				all = append(all, h)
			}
		}
	}
	return all, nil
}

// Terminate takes an instance that does not exist for terminated.
func (p *Provider) Terminate(ctx context.Context, id string) error {
	_, err := p.ec2.TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: []string{id}})
	if hasCode(err, "InvalidInstanceID.NotFound") {
		return nil
	}
	return aboutDisk(err, "terminate %s", id)
}
