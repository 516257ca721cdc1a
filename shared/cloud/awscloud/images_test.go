package awscloud

import (
	"testing"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
)

func imageSpec() cloud.ImageSpec {
	return cloud.ImageSpec{
		Name: "quiesce-r", Model: cloud.Model{Architecture: "arm64", BootMode: "uefi", Virtualization: "hvm", TPM: "v2.0", IMDS: "v2.0", ENA: true, Root: "/dev/xvda"},
		Disks: []cloud.ImageDisk{{Device: "/dev/xvda", Snapshot: "snap-0a", Kind: "gp3", SizeGiB: 8, IOPS: 4000, Throughput: 250, Ends: true}, {Device: "/dev/sdf", Snapshot: "snap-0b", Kind: "st1", SizeGiB: 500}},
		Tags:  map[string]string{cloud.TagRestore: "r"},
	}
}

func TestRegistrationSaysWhatTheMachineWas(t *testing.T) {
	p, w := against(func(request) response { return ec2Answer("RegisterImage", "<imageId>ami-1</imageId>") })
	if id, err := p.Register(t.Context(), imageSpec()); id != "ami-1" || err != nil {
		t.Fatalf("got %q, %v", id, err)
	}
	for key, want := range map[string]string{
		"Name": "quiesce-r", "Architecture": "arm64", "BootMode": "uefi", "VirtualizationType": "hvm", "TpmSupport": "v2.0", "ImdsSupport": "v2.0", "EnaSupport": "true",
		"RootDeviceName": "/dev/xvda", "KernelId": "", "SriovNetSupport": "", "TagSpecification.1.ResourceType": "image", "TagSpecification.1.Tag.1.Value": "r",
		"BlockDeviceMapping.1.Ebs.SnapshotId": "snap-0a", "BlockDeviceMapping.1.Ebs.Iops": "4000", "BlockDeviceMapping.1.Ebs.Throughput": "250",
		"BlockDeviceMapping.1.Ebs.DeleteOnTermination": "true", "BlockDeviceMapping.2.Ebs.VolumeType": "st1", "BlockDeviceMapping.2.Ebs.Iops": "",
		"BlockDeviceMapping.2.Ebs.DeleteOnTermination": "false", "BlockDeviceMapping.2.Ebs.Encrypted": "",
	} {
		if got := w.seen[0].form.Get(key); got != want {
			t.Errorf("%s: got %q, want %q", key, got, want)
		}
	}
}

// RegisterImage takes no token: the name tells whether it was done before.
func TestRegisterKnowsItsOwn(t *testing.T) {
	for name, c := range map[string]struct {
		found string
		id    string
		want  fault.Code
	}{
		"made before":        {`<item><imageId>ami-1</imageId><tagSet><item><key>quiesce:restore</key><value>r</value></item></tagSet></item>`, "ami-1", ""},
		"another's":          {`<item><imageId>ami-2</imageId></item>`, "", fault.RestoreRefused},
		"of another restore": {`<item><imageId>ami-3</imageId><tagSet><item><key>quiesce:restore</key><value>q</value></item></tagSet></item>`, "", fault.RestoreRefused},
		"not listed yet":     {``, "", fault.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			p, w := against(func(r request) response {
				if r.action == "RegisterImage" {
					return refusal(400, "InvalidAMIName.Duplicate")
				}
				return ec2Answer(r.action, "<imagesSet>"+c.found+"</imagesSet>")
			})
			id, err := p.Register(t.Context(), imageSpec())
			wantCode(t, err, c.want)
			if id != c.id || w.count("RegisterImage") != 1 {
				t.Errorf("got %q after %d attempts", id, w.count("RegisterImage"))
			}
		})
	}
	for code, want := range map[string]fault.Code{
		"InvalidSnapshot.NotFound": fault.SetNotRestorable, "InvalidAMIName.Malformed": fault.RestoreRefused, "UnauthorizedOperation": fault.AccessDenied,
	} {
		p, _ := against(func(request) response { return refusal(400, code) })
		_, err := p.Register(t.Context(), imageSpec())
		wantCode(t, err, want)
	}
}

// What is gone already was taken away by an attempt whose answer was lost.
func TestTakingAwayWhatIsGone(t *testing.T) {
	p, _ := against(func(r request) response {
		return refusal(400, map[string]string{"DeregisterImage": "InvalidAMIID.NotFound", "TerminateInstances": "InvalidInstanceID.NotFound"}[r.action])
	})
	if err := p.Deregister(t.Context(), "ami-1"); err != nil {
		t.Error(err)
	}
	if err := p.Terminate(t.Context(), "i-1"); err != nil {
		t.Error(err)
	}
}

// A service that does not answer is not the field's fault.
func TestFitsBlamesTheField(t *testing.T) {
	launch := cloud.LaunchSpec{Type: "m7i.large", Subnet: "subnet-1", Groups: []string{"sg-1"}}
	types := `<instanceTypeSet><item><instanceType>m7i.large</instanceType><processorInfo><supportedArchitectures><item>x86_64</item></supportedArchitectures></processorInfo>` +
		`<supportedBootModes><item>uefi</item></supportedBootModes></item></instanceTypeSet>`
	subnets := `<subnetSet><item><subnetId>subnet-1</subnetId><vpcId>vpc-1</vpcId><availabilityZone>eu-central-1b</availabilityZone></item></subnetSet>`
	answer := map[string]response{
		"DescribeInstanceTypes": ec2Answer("DescribeInstanceTypes", types), "DescribeSubnets": ec2Answer("DescribeSubnets", subnets),
		"DescribeSecurityGroups": ec2Answer("DescribeSecurityGroups", `<securityGroupInfo><item><groupId>sg-1</groupId><vpcId>vpc-1</vpcId></item></securityGroupInfo>`),
	}
	of := cloud.Model{Architecture: "x86_64", BootMode: "uefi"}
	p, _ := against(func(r request) response { return answer[r.action] })
	if zone, err := p.Fits(t.Context(), launch, of); zone != "eu-central-1b" || err != nil {
		t.Errorf("got %q, %v", zone, err)
	}
	for action := range answer {
		for code, want := range map[string]fault.Code{"InvalidParameterValue": fault.InvalidInput, "UnauthorizedOperation": fault.AccessDenied, "InternalError": fault.Unavailable} {
			status := map[string]int{"UnauthorizedOperation": 403, "InternalError": 400}[code]
			if status == 0 {
				status = 400
			}
			p, _ := against(func(r request) response {
				if r.action == action {
					return refusal(status, code)
				}
				return answer[r.action]
			})
			_, err := p.Fits(t.Context(), launch, of)
			wantCode(t, err, want)
		}
	}
	for name, of := range map[string]cloud.Model{"architecture": {Architecture: "arm64"}, "boot mode": {Architecture: "x86_64", BootMode: "legacy-bios"}} {
		if _, err := p.Fits(t.Context(), launch, of); fault.CodeOf(err) != fault.InvalidInput {
			t.Errorf("another %s: got %v", name, err)
		}
	}
}
