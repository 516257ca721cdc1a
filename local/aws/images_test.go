package aws_test

import (
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/quiesce/quiesce/local/aws"
	"github.com/quiesce/quiesce/local/aws/ec2"
)

// Images and instances of them, with the states, the delays and the refusals
// that are documented.
func TestImagesAndInstances(t *testing.T) {
	run(t, aws.Config{}, func(t *testing.T, w *world) {
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		set, err := w.ec2.CreateSnapshots(t.Context(), &awsec2.CreateSnapshotsInput{InstanceSpecification: &types.InstanceSpecification{InstanceId: sdk.String(target)}})
		must(err)
		register := func(change func(*awsec2.RegisterImageInput)) (string, error) {
			in := &awsec2.RegisterImageInput{Name: sdk.String("golden"), Architecture: types.ArchitectureValuesArm64, VirtualizationType: sdk.String("hvm"), RootDeviceName: sdk.String("/dev/xvda")}
			for _, s := range set.Snapshots {
				device := map[string]string{"vol-00000000000000000": "/dev/xvda", "vol-00000000000000001": "/dev/sdf", "vol-00000000000000002": "/dev/sdg"}[*s.VolumeId]
				in.BlockDeviceMappings = append(in.BlockDeviceMappings, types.BlockDeviceMapping{DeviceName: &device, Ebs: &types.EbsBlockDevice{SnapshotId: s.SnapshotId, DeleteOnTermination: sdk.Bool(device != "/dev/sdg")}})
			}
			change(in)
			out, err := w.ec2.RegisterImage(t.Context(), in)
			if err != nil {
				return "", err
			}
			return *out.ImageId, nil
		}
		as := func(*awsec2.RegisterImageInput) {}
		_, err = register(as)
		wantCode(t, err, "IncorrectState") // the snapshots are pending
		time.Sleep(time.Minute)
		for code, change := range map[string]func(*awsec2.RegisterImageInput){
			"InvalidAMIName.Malformed": func(in *awsec2.RegisterImageInput) { in.Name = sdk.String("a") },
			"InvalidSnapshot.NotFound": func(in *awsec2.RegisterImageInput) {
				in.BlockDeviceMappings[0].Ebs.SnapshotId = sdk.String("snap-00000000000000000")
			},
			"InvalidBlockDeviceMapping": func(in *awsec2.RegisterImageInput) {
				in.BlockDeviceMappings[1].DeviceName = in.BlockDeviceMappings[0].DeviceName
			},
			"InvalidParameterCombination": func(in *awsec2.RegisterImageInput) { in.VirtualizationType = nil }, // the default is paravirtual
			"InvalidParameterValue":       func(in *awsec2.RegisterImageInput) { in.BootMode = "bios" },
		} {
			_, err := register(change)
			wantCode(t, err, code)
		}
		id, err := register(as)
		must(err)
		_, err = register(as)
		wantCode(t, err, "InvalidAMIName.Duplicate")

		w.EC2.AddSubnet(ec2.Subnet{ID: "subnet-1", VPC: "vpc-1"})
		launch := func(change func(*awsec2.RunInstancesInput)) (types.Instance, error) {
			in := &awsec2.RunInstancesInput{ImageId: &id, InstanceType: "m7g.large", SubnetId: sdk.String("subnet-1"), MinCount: sdk.Int32(1), MaxCount: sdk.Int32(1), ClientToken: sdk.String("token")}
			change(in)
			out, err := w.ec2.RunInstances(t.Context(), in)
			if err != nil {
				return types.Instance{}, err
			}
			return out.Instances[0], nil
		}
		_, err = launch(func(*awsec2.RunInstancesInput) {})
		wantCode(t, err, "InvalidAMIID.Unavailable") // it is pending
		time.Sleep(time.Minute)
		for code, change := range map[string]func(*awsec2.RunInstancesInput){
			"InvalidAMIID.NotFound":    func(in *awsec2.RunInstancesInput) { in.ImageId = sdk.String("ami-0") },
			"InvalidParameterValue":    func(in *awsec2.RunInstancesInput) { in.InstanceType = "m7i.large" },
			"InvalidSubnetID.NotFound": func(in *awsec2.RunInstancesInput) { in.SubnetId = sdk.String("subnet-2") },
			"InvalidGroup.NotFound":    func(in *awsec2.RunInstancesInput) { in.SecurityGroupIds = []string{"sg-2"} },
		} {
			_, err := launch(change)
			wantCode(t, err, code)
		}
		i, err := launch(func(*awsec2.RunInstancesInput) {})
		must(err)
		if i.State.Name != types.InstanceStateNamePending || len(i.BlockDeviceMappings) != 3 {
			t.Errorf("got %+v", i)
		}
		again, err := launch(func(*awsec2.RunInstancesInput) {})
		must(err)
		if *again.InstanceId != *i.InstanceId {
			t.Errorf("the token made a second one, %s", *again.InstanceId)
		}
		_, err = launch(func(in *awsec2.RunInstancesInput) {
			in.IamInstanceProfile = &types.IamInstanceProfileSpecification{Name: sdk.String("p")}
		})
		wantCode(t, err, "IdempotentParameterMismatch")
		time.Sleep(time.Minute)
		if state := w.EC2.State(*i.InstanceId); state != "running" {
			t.Errorf("it is %s", state)
		}

		_, err = w.ec2.DeregisterImage(t.Context(), &awsec2.DeregisterImageInput{ImageId: &id})
		must(err)
		_, err = w.ec2.DeregisterImage(t.Context(), &awsec2.DeregisterImageInput{ImageId: &id})
		wantCode(t, err, "InvalidAMIID.NotFound")
		for range 2 { // it may be asked again
			_, err = w.ec2.TerminateInstances(t.Context(), &awsec2.TerminateInstancesInput{InstanceIds: []string{*i.InstanceId}})
			must(err)
			time.Sleep(time.Minute)
		}
		volumes, err := w.ec2.DescribeVolumes(t.Context(), &awsec2.DescribeVolumesInput{Filters: []types.Filter{{Name: sdk.String("status"), Values: []string{"available"}}}})
		must(err)
		if len(volumes.Volumes) != 1 || w.EC2.State(*i.InstanceId) != "terminated" {
			t.Errorf("it is %s, and %d volumes outlive it, want the one that does not end with it", w.EC2.State(*i.InstanceId), len(volumes.Volumes))
		}
	})
}
