package alicloud

import (
	"net/url"
	"testing"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
)

func imageSpec() cloud.ImageSpec {
	return cloud.ImageSpec{
		Name: "quiesce-r", Model: cloud.Model{Architecture: "arm64", BootMode: "uefi-preferred", IMDS: "v2", Platform: "Ubuntu", Root: systemDevice},
		Disks: []cloud.ImageDisk{
			{Device: systemDevice, Snapshot: "s-0a", Kind: "cloud_essd", SizeGiB: 40, Ends: true}, {Device: "/dev/xvdb", Snapshot: "s-0b", Kind: "cloud_auto", SizeGiB: 10, IOPS: 3000},
		},
		Tags: map[string]string{cloud.TagRestore: "r"},
	}
}

func wants(t *testing.T, got url.Values, want map[string]string) {
	t.Helper()
	for key, value := range want {
		if got.Get(key) != value {
			t.Errorf("%s: got %q, want %q", key, got.Get(key), value)
		}
	}
}

func TestRegistrationSaysWhatTheMachineWas(t *testing.T) {
	var seen []url.Values
	p, _ := against(byAction(map[string][]response{"CreateImage": {{body: `{"ImageId":"m-1"}`}}}, &seen))
	if id, err := p.Register(t.Context(), imageSpec()); id != "m-1" || err != nil {
		t.Fatalf("got %q, %v", id, err)
	}
	wants(t, seen[0], map[string]string{
		"ImageName": "quiesce-r", "Architecture": "arm64", "BootMode": "UEFI-Preferred", "Platform": "Ubuntu", "Features.ImdsSupport": "v2",
		"DiskDeviceMapping.1.SnapshotId": "s-0a", "DiskDeviceMapping.1.DiskType": "system", "DiskDeviceMapping.1.Device": systemDevice, "DiskDeviceMapping.1.Size": "40",
		"DiskDeviceMapping.2.SnapshotId": "s-0b", "DiskDeviceMapping.2.DiskType": "data", "DiskDeviceMapping.2.Device": "/dev/xvdb",
		"Tag.1.Key": cloud.TagRestore, "Tag.1.Value": "r", "InstanceId": "", "SnapshotId": "",
	})
	if token := seen[0].Get("ClientToken"); len(token) != 64 || token != imageToken(imageSpec()) {
		t.Errorf("got the token %q", token)
	}
}

// A name is an account's once: of a request whose answer was lost it tells that
// it was done.
func TestRegisterKnowsItsOwn(t *testing.T) {
	for name, c := range map[string]struct {
		found string
		id    string
		want  fault.Code
	}{
		"made before":        {`{"ImageId":"m-1","ImageName":"quiesce-r","Tags":{"Tag":[{"TagKey":"quiesce:restore","TagValue":"r"}]}}`, "m-1", ""},
		"another's":          {`{"ImageId":"m-2","ImageName":"quiesce-r"}`, "", fault.RestoreRefused},
		"of another restore": {`{"ImageId":"m-3","ImageName":"quiesce-r","Tags":{"Tag":[{"TagKey":"quiesce:restore","TagValue":"q"}]}}`, "", fault.RestoreRefused},
		"not listed yet":     {``, "", fault.Unavailable},
		"of a longer name":   {`{"ImageId":"m-4","ImageName":"quiesce-r2","Tags":{"Tag":[{"TagKey":"quiesce:restore","TagValue":"r"}]}}`, "", fault.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			var seen []url.Values
			p, _ := against(byAction(map[string][]response{
				"CreateImage": {refused(400, nameTaken)}, "DescribeImages": {{body: `{"Images":{"Image":[` + c.found + `]}}`}},
			}, &seen))
			id, err := p.Register(t.Context(), imageSpec())
			wantCode(t, err, c.want)
			if id != c.id || len(seen) != 2 {
				t.Errorf("got %q after %d calls", id, len(seen))
			}
		})
	}
	for code, want := range map[string]fault.Code{
		"InvalidSnapshotId.NotFound": fault.SetNotRestorable, "InvalidImageName.Malformed": fault.RestoreRefused, "Forbidden.RAM": fault.AccessDenied,
		"InvalidSnapshotId.NotReady": fault.VolumeBusy,
	} {
		var seen []url.Values
		p, _ := against(byAction(map[string][]response{"CreateImage": {refused(403, code)}}, &seen))
		_, err := p.Register(t.Context(), imageSpec())
		wantCode(t, err, want)
	}
}

// No instance says how it boots: its image does, while that is there.
func TestModelIsTheInstancesImages(t *testing.T) {
	pages := map[string][]response{
		"DescribeInstances":     {{body: `{"Instances":{"Instance":[{"InstanceId":"i-1","InstanceType":"ecs.g8y.large","ImageId":"ubuntu_22"}]}}`}},
		"DescribeInstanceTypes": {{body: `{"InstanceTypes":{"InstanceType":[{"InstanceTypeId":"ecs.g8y.large","CpuArchitecture":"ARM"}]}}`}},
		"DescribeImages":        {{body: `{"Images":{"Image":[{"ImageId":"ubuntu_22","Platform":"Ubuntu","BootMode":"UEFI","Features":{"ImdsSupport":"v2"}}]}}`}},
	}
	model := func(want cloud.Model) {
		var seen []url.Values
		p, _ := against(byAction(pages, &seen))
		if got, err := p.Model(t.Context(), "i-1"); got != want || err != nil {
			t.Errorf("got %+v, %v, want %+v", got, err, want)
		}
		if q := seen[len(seen)-1]; q.Get("ImageId") != "ubuntu_22" || q.Get("Status") != imageStates {
			t.Errorf("asked %v", q)
		}
	}
	model(cloud.Model{Architecture: "arm64", BootMode: "uefi", IMDS: "v2", Platform: "Ubuntu", Root: systemDevice})
	pages["DescribeImages"] = []response{{body: `{}`}} // it is gone
	model(cloud.Model{Architecture: "arm64", Root: systemDevice})
}

// Whatever is not on its way and not there is broken, and says how.
func TestStatesOfImages(t *testing.T) {
	for status, want := range map[string]cloud.ImageState{
		"Creating": cloud.ImageMaking, "Waiting": cloud.ImageMaking, "Available": cloud.ImageThere, "CreateFailed": cloud.ImageBroken, "UnAvailable": cloud.ImageBroken, "Deprecated": cloud.ImageBroken,
	} {
		var seen []url.Values
		p, _ := against(byAction(map[string][]response{"DescribeImages": {{body: `{"Images":{"Image":[{"ImageId":"m-1","Status":"` + status + `"}]}}`}}}, &seen))
		all, err := p.Images(t.Context(), cloud.TagRestore, "r")
		if err != nil || len(all) != 1 || all[0].State != want || (want == cloud.ImageBroken) != (all[0].Reason != "") {
			t.Errorf("%s: got %+v, %v", status, all, err)
		}
		wants(t, seen[0], map[string]string{"Tag.1.Key": cloud.TagRestore, "Tag.1.Value": "r", "ImageOwnerAlias": "self"})
	}
}

// An image says nothing of categories: the launch does.
func TestLaunchSaysWhatTheDisksWere(t *testing.T) {
	var seen []url.Values
	p, _ := against(byAction(map[string][]response{"RunInstances": {{body: `{"InstanceIdSets":{"InstanceIdSet":["i-1"]}}`}}}, &seen))
	id, err := p.Launch(t.Context(), cloud.LaunchSpec{
		Image: "m-1", Type: "ecs.g8y.large", Subnet: "vsw-1", Groups: []string{"sg-1", "sg-2"}, Profile: "restored", Key: "people", Token: "t",
		Root: systemDevice, Disks: imageSpec().Disks, Tags: map[string]string{"Name": "restored from r"},
	})
	if id != "i-1" || err != nil {
		t.Fatalf("got %q, %v", id, err)
	}
	wants(t, seen[0], map[string]string{
		"ImageId": "m-1", "InstanceType": "ecs.g8y.large", "VSwitchId": "vsw-1", "SecurityGroupIds.1": "sg-1", "SecurityGroupIds.2": "sg-2", "RamRoleName": "restored",
		"KeyPairName": "people", "ClientToken": "t", "Amount": "1", "InstanceName": "restored from r", "Tag.1.Key": "Name",
		"SystemDisk.Category": "cloud_essd", "SystemDisk.Size": "40", "SystemDisk.PerformanceLevel": "",
		"DataDisk.1.Device": "/dev/xvdb", "DataDisk.1.Category": "cloud_auto", "DataDisk.1.Size": "10", "DataDisk.1.DeleteWithInstance": "false", "DataDisk.1.ProvisionedIops": "3000",
		"DataDisk.1.PerformanceLevel": "", "DataDisk.2.Device": "",
	})
}

// What is gone already was taken away by an attempt whose answer was lost; each
// kind is asked to lose its mark by its own name.
func TestTakingAwayWhatIsGone(t *testing.T) {
	var seen []url.Values
	p, _ := against(byAction(map[string][]response{
		"DeleteImage": {refused(404, "InvalidImageId.NotFound")}, "DeleteInstance": {refused(404, "InvalidInstanceId.NotFound")},
	}, &seen))
	if err := p.Deregister(t.Context(), "m-1"); err != nil {
		t.Error(err)
	}
	if err := p.Terminate(t.Context(), "i-1"); err != nil {
		t.Error(err)
	}
	if err := p.Unmark(t.Context(), []string{"i-1", "m-1", "d-1"}, []string{cloud.TagRestore}); err != nil {
		t.Error(err)
	}
	if len(seen) != 5 {
		t.Fatalf("%d calls", len(seen))
	}
	for i, want := range []string{"disk d-1", "image m-1", "instance i-1"} {
		if got := seen[2+i].Get("ResourceType") + " " + seen[2+i].Get("ResourceId.1"); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// What is still being made is taken away when it is there, and not given up.
func TestTakingAwayWhatIsBeingMade(t *testing.T) {
	var seen []url.Values
	p, _ := against(byAction(map[string][]response{
		"DeleteImage": {refused(403, "ImageIsCreating")}, "DeleteInstance": {refused(403, "IncorrectInstanceStatus.Initializing")},
	}, &seen))
	wantCode(t, p.Deregister(t.Context(), "m-1"), fault.VolumeBusy)
	wantCode(t, p.Terminate(t.Context(), "i-1"), fault.VolumeBusy)
}

// A service that does not answer is not the field's fault.
func TestFitsBlamesTheField(t *testing.T) {
	launch := cloud.LaunchSpec{Type: "ecs.g8i.large", Subnet: "vsw-1", Groups: []string{"sg-1"}}
	of := cloud.Model{Architecture: "x86_64"}
	answers := func() map[string][]response {
		return map[string][]response{
			"DescribeInstanceTypes":  {{body: `{"InstanceTypes":{"InstanceType":[{"InstanceTypeId":"ecs.g8i.large","CpuArchitecture":"X86"}]}}`}},
			"DescribeVSwitches":      {{body: `{"VSwitches":{"VSwitch":[{"VSwitchId":"vsw-1","VpcId":"vpc-1","ZoneId":"cn-hangzhou-i"}]}}`}},
			"DescribeSecurityGroups": {{body: `{"SecurityGroups":{"SecurityGroup":[{"SecurityGroupId":"sg-1","VpcId":"vpc-1"}]}}`}},
		}
	}
	fits := func(spec cloud.LaunchSpec, of cloud.Model, pages map[string][]response) (string, error) {
		var seen []url.Values
		p, _ := against(byAction(pages, &seen))
		return p.Fits(t.Context(), spec, of)
	}
	if zone, err := fits(launch, of, answers()); zone != "cn-hangzhou-i" || err != nil {
		t.Errorf("got %q, %v", zone, err)
	}
	for action := range answers() {
		for code, want := range map[string]fault.Code{"InvalidParameter": fault.InvalidInput, "Forbidden.RAM": fault.AccessDenied} {
			pages := answers()
			pages[action] = []response{refused(403, code)}
			_, err := fits(launch, of, pages)
			wantCode(t, err, want)
		}
		pages := answers()
		pages[action] = []response{{body: `{}`}}
		_, err := fits(launch, of, pages)
		wantCode(t, err, fault.InvalidInput)
	}
	elsewhere := answers()
	elsewhere["DescribeSecurityGroups"] = []response{{body: `{"SecurityGroups":{"SecurityGroup":[{"SecurityGroupId":"sg-1","VpcId":"vpc-2"}]}}`}}
	_, err := fits(launch, of, elsewhere)
	wantCode(t, err, fault.InvalidInput)
	_, err = fits(launch, cloud.Model{Architecture: "arm64"}, answers())
	wantCode(t, err, fault.InvalidInput)
	for mode, want := range map[string]fault.Code{"legacy-bios": fault.InvalidInput, "uefi": "", "uefi-preferred": "", "": ""} {
		uefi := answers()
		uefi["DescribeInstanceTypes"] = []response{{body: `{"InstanceTypes":{"InstanceType":[{"InstanceTypeId":"ecs.g8i.large","CpuArchitecture":"X86","SupportedBootModes":{"SupportedBootMode":["UEFI"]}}]}}`}}
		_, err = fits(launch, cloud.Model{Architecture: "x86_64", BootMode: mode}, uefi)
		wantCode(t, err, want)
	}
	launch.Groups = nil
	_, err = fits(launch, of, answers())
	wantCode(t, err, fault.InvalidInput)
}
