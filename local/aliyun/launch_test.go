package aliyun_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/requests"
	api "github.com/aliyun/alibaba-cloud-sdk-go/services/ecs"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/vpc"

	"github.com/quiesce/quiesce/local/aliyun"
	"github.com/quiesce/quiesce/local/aliyun/ecs"
)

// kept tells which snapshot's content each disk has.
type kept struct {
	storage
	mu sync.Mutex
	of map[string]string
}

func (k *kept) Create(_ context.Context, disk string, bytes int64, snapshot string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.of[disk] = fmt.Sprint(snapshot, " ", bytes/gib)
	return nil
}

func (k *kept) Delete(_ context.Context, disk string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.of, disk)
	return nil
}

func (k *kept) content(disk string) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.of[disk]
}

// network puts into the account what an instance is started in.
func (w *world) network() {
	w.ECS.AddVSwitch(ecs.VSwitch{ID: "vsw-bp1one", VPC: "vpc-bp1one"})
	w.ECS.AddVSwitch(ecs.VSwitch{ID: "vsw-bp1two", VPC: "vpc-bp1two", Zone: w.Region() + "-i"})
	w.ECS.AddGroup(ecs.Group{ID: "sg-bp1one", VPC: "vpc-bp1one"})
	w.ECS.AddGroup(ecs.Group{ID: "sg-bp1two", VPC: "vpc-bp1two"})
	w.ECS.AddRole("restored")
	w.ECS.AddKeyPair("keys")
}

// launching asks for an instance of an image, names and values in turn.
func (w *world) launching(image string, with ...string) []string {
	w.network()
	return append([]string{"ImageId", image, "InstanceType", "ecs.g7.large", "VSwitchId", "vsw-bp1one", "SecurityGroupId", "sg-bp1one"}, with...)
}

// imaged is an image of the world's disks that is there.
func (w *world) imaged(with ...string) (id string, of map[string]string) {
	w.Helper()
	of = w.taken()
	id = w.call("CreateImage", mapped(of, with...)...).text("ImageId")
	time.Sleep(time.Minute)
	return id, of
}

// disksOf are an instance's by their devices.
func (w *world) disksOf(instance string) map[string]api.Disk {
	w.Helper()
	request, response := api.CreateDescribeDisksRequest(), api.CreateDescribeDisksResponse()
	request.InstanceId, request.MaxResults = instance, requests.NewInteger(50)
	w.does(request, response)
	by := map[string]api.Disk{}
	for _, d := range response.Disks.Disk {
		by[d.Device] = d
	}
	return by
}

// An instance has the disks of its image, as the call says; it starts, is marked,
// and ends with what ends with it.
func TestAnInstanceOfAnImage(t *testing.T) {
	disks := &kept{of: map[string]string{}}
	in(t, aliyun.Config{Disks: disks, ECS: ecs.Config{Turn: 10 * time.Second, Visible: time.Second}}, func(w *world) {
		image, of := w.imaged("Platform", "CentOS", "Features.ImdsSupport", "v2")
		w.network()
		request, response := api.CreateRunInstancesRequest(), api.CreateRunInstancesResponse()
		request.ImageId, request.InstanceType, request.VSwitchId, request.InstanceName = image, "ecs.g7.large", "vsw-bp1one", "restored"
		request.SecurityGroupIds, request.KeyPairName, request.RamRoleName, request.ClientToken = &[]string{"sg-bp1one"}, "keys", "restored", "token"
		request.Amount, request.SystemDiskCategory, request.SystemDiskSize = requests.NewInteger(1), "cloud_auto", "40"
		request.Tag = &[]api.RunInstancesTag{{Key: "quiesce:restore", Value: "r"}}
		request.DataDisk = &[]api.RunInstancesDataDisk{
			{Device: "/dev/vdc", Category: "cloud_essd", DeleteWithInstance: "false", Size: "60"}, {Device: "/dev/xvdd", Size: "20", Category: "cloud_ssd"},
		}
		w.does(request, response)
		if len(response.InstanceIdSets.InstanceIdSet) != 1 {
			t.Fatalf("got %+v", response.InstanceIdSets)
		}
		id := response.InstanceIdSets.InstanceIdSet[0]
		i := w.instance(id)
		if i.Status != "Pending" || i.ImageId != image || i.InstanceType != "ecs.g7.large" || i.InstanceName != "restored" || i.ZoneId != w.Region()+"-h" || i.KeyPairName != "keys" ||
			i.VpcAttributes.VSwitchId != "vsw-bp1one" || i.VpcAttributes.VpcId != "vpc-bp1one" || !slices.Equal(i.SecurityGroupIds.SecurityGroupId, []string{"sg-bp1one"}) ||
			i.OSType != "linux" || i.OSName != "CentOS 64 bit" || i.MetadataOptions.HttpTokens != "required" || len(i.Tags.Tag) != 1 || i.Tags.Tag[0].TagValue != "r" {
			t.Errorf("got %+v", i)
		}
		if role := w.call("DescribeInstanceRamRole", "InstanceIds", `["`+id+`"]`).text("InstanceRamRoleSets", "InstanceRamRoleSet", 0, "RamRoleName"); role != "restored" {
			t.Errorf("its role is %q", role)
		}
		has := w.disksOf(id)
		for device, want := range map[string]string{
			"/dev/xvda": "system cloud_auto 40 true ", "/dev/xvdb": "data cloud_essd 1 true " + of[first], "/dev/xvdc": "data cloud_essd 60 false " + of[second],
			"/dev/xvdd": "data cloud_ssd 20 true ",
		} {
			d := has[device]
			source := d.SourceSnapshotId
			if device == "/dev/xvda" {
				source = ""
			}
			if got := fmt.Sprint(d.Type, " ", d.Category, " ", d.Size, " ", d.DeleteWithInstance, " ", source); got != want {
				t.Errorf("%s: got %s, want %s", device, got, want)
			}
			if d.Status != "In_use" || d.ZoneId != w.Region()+"-h" || len(d.Tags.Tag) != 1 {
				t.Errorf("%s: got %+v", device, d)
			}
		}
		if got, want := disks.content(has["/dev/xvdc"].DiskId), of[second]+" 60"; got != want || len(has) != 4 || has["/dev/xvda"].SourceSnapshotId != of[system] {
			t.Errorf("/dev/xvdc holds %q, want %q; all are %v", got, want, has)
		}
		marked := func() int {
			list, _ := w.call("DescribeInstances", "Tag.1.Key", "quiesce:restore", "Tag.1.Value", "r").at("Instances", "Instance").([]any)
			return len(list)
		}
		if n := marked(); n != 0 {
			t.Errorf("%d are listed at once", n)
		}
		w.refuses("while it is made", w.call("DeleteInstance", "InstanceId", id, "Force", "true"), "IncorrectInstanceStatus.Initializing")
		time.Sleep(6 * time.Second)
		if state := w.ECS.State(id); state != "Starting" || marked() != 1 {
			t.Errorf("it is %s, and %d are listed", state, marked())
		}
		w.refuses("while it starts", w.call("DeleteInstance", "InstanceId", id, "Force", "true"), "IncorrectInstanceStatus.Initializing")
		time.Sleep(6 * time.Second)
		if state := w.ECS.State(id); state != "Running" {
			t.Errorf("it is %s", state)
		}
		again := api.CreateRunInstancesResponse()
		w.does(request, again)
		if again.InstanceIdSets.InstanceIdSet[0] != id || marked() != 1 {
			t.Errorf("the token made a second one, %v", again.InstanceIdSets)
		}
		w.refuses("the token of another", w.call("RunInstances", w.launching(image, "ClientToken", "token")...), "IdempotentParameterMismatch")

		w.refuses("an image of which one runs", w.call("DeleteImage", "ImageId", image), "ImageUsingByInstance")
		w.refuses("the same by force", w.call("DeleteImage", "ImageId", image, "Force", "true"), "")
		w.refuses("as it runs", w.call("DeleteInstance", "InstanceId", id), "IncorrectInstanceStatus")
		for range 2 { // it may be asked again
			w.refuses("by force", w.call("DeleteInstance", "InstanceId", id, "Force", "true"), "")
		}
		time.Sleep(time.Minute)
		left := has["/dev/xvdc"].DiskId
		if d := w.ECS.Disks(); len(d) != 4 || d[left].Instance != "" || disks.content(left) == "" || disks.content(has["/dev/xvdb"].DiskId) != "" {
			t.Errorf("left: %+v", d)
		}
		w.refuses("one that is gone", w.call("DeleteInstance", "InstanceId", id), "InvalidInstanceId.NotFound")
		if i := w.instance(id); i.InstanceId != "" || marked() != 0 {
			t.Errorf("got %+v", i)
		}
		w.refuses("what outlives it", w.call("DeleteDisk", "DiskId", left), "")
	})
}

func TestWhatAnInstanceMayBe(t *testing.T) {
	for _, c := range []struct {
		name string
		with []string
		want string
	}{
		{"as little as there may be", nil, ""},
		{"a dry run", []string{"DryRun", "true"}, "DryRunOperation"},
		{"two", []string{"Amount", "2"}, "UnsupportedOperation"},
		{"no image", []string{"ImageId", ""}, "MissingParameter"},
		{"no type", []string{"InstanceType", ""}, "MissingParameter"},
		{"no vSwitch", []string{"VSwitchId", ""}, "MissingParameter"},
		{"no group", []string{"SecurityGroupId", ""}, "MissingParameter"},
		{"groups twice", []string{"SecurityGroupIds.1", "sg-bp1one"}, "InvalidParameter.Conflict"},
		{"an image that does not exist", []string{"ImageId", "m-bp1nobody"}, "InvalidImageId.NotFound"},
		{"a type that is none", []string{"InstanceType", "ecs.none.large"}, "InvalidInstanceType.ValueNotSupported"},
		{"a type of another architecture", []string{"InstanceType", "ecs.g8y.large"}, "ImageNotSupportInstanceType"},
		{"a vSwitch that does not exist", []string{"VSwitchId", "vsw-bp1nobody"}, "InvalidVSwitchId.NotFound"},
		{"a group that does not exist", []string{"SecurityGroupId", "sg-bp1nobody"}, "InvalidSecurityGroupId.NotFound"},
		{"a group of another network", []string{"SecurityGroupId", "sg-bp1two"}, "OperationDenied.InconsistentNetwork"},
		{"a role that does not exist", []string{"RamRoleName", "nobody"}, "InvalidRamRole.NotFound"},
		{"keys that do not exist", []string{"KeyPairName", "nobody"}, "InvalidKeyPairName.NotFound"},
		{"a zone without stock", []string{"VSwitchId", "vsw-bp1two", "SecurityGroupId", "sg-bp1two"}, "OperationDenied.NoStock"},
		{"a system disk that is too small", []string{"SystemDisk.Size", "19"}, "InvalidSystemDiskSize.LessThanMinSize"},
		{"one that is smaller than the image's", []string{"SystemDisk.Size", "25", "ImageId", "large"}, "InvalidSystemDiskSize.LessThanImageSize"},
		{"a category that is none", []string{"SystemDisk.Category", "cloud_tape"}, "InvalidSystemDiskCategory.ValueNotSupported"},
		{"a data disk of no device", []string{"DataDisk.1.Size", "20"}, "InvalidDevice.Malformed"},
		{"a data disk twice", []string{"DataDisk.1.Device", "/dev/xvdb", "DataDisk.1.Size", "20", "DataDisk.2.Device", "/dev/vdb", "DataDisk.2.Size", "20"}, "InvalidDevice.InUse"},
		{"a data disk of no size", []string{"DataDisk.1.Device", "/dev/xvdd"}, "InvalidDataDiskSize.ValueNotSupported"},
		{"one that its level does not have", []string{"DataDisk.1.Device", "/dev/xvdb", "DataDisk.1.Size", "10"}, "InvalidDataDiskSize.ValueNotSupported"},
		{"one that its level has", []string{"DataDisk.1.Device", "/dev/xvdb", "DataDisk.1.Size", "10", "DataDisk.1.PerformanceLevel", "PL0"}, ""},
		{"one of a category that is none", []string{"DataDisk.1.Device", "/dev/xvdb", "DataDisk.1.Category", "cloud_tape"}, "InvalidDataDiskCategory.ValueNotSupported"},
		{"one of a snapshot that does not exist", []string{"DataDisk.1.Device", "/dev/xvdd", "DataDisk.1.SnapshotId", "s-bp1nobody"}, "InvalidSnapshotId.NotFound"},
		{"a public image", []string{"ImageId", public}, ""},
		{"a tag of the provider's", []string{"Tag.1.Key", "acs:k"}, "InvalidTagKey.Malformed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			in(t, aliyun.Config{}, func(w *world) {
				image, of := w.imaged()
				w.ECS.SellOut(w.Region() + "-i")
				if i := slices.Index(c.with, "large"); i >= 0 {
					c.with[i] = w.call("CreateImage", mapped(of, "DiskDeviceMapping.1.Size", "30")...).text("ImageId")
					time.Sleep(time.Minute)
				}
				had := len(w.ECS.Disks())
				a := w.call("RunInstances", w.launching(image, c.with...)...)
				w.refuses(c.name, a, c.want)
				id := a.text("InstanceIdSets", "InstanceIdSet", 0)
				if (id != "") != (c.want == "") || len(w.ECS.Disks()) > had && c.want != "" {
					t.Errorf("made %q and %d disks", id, len(w.ECS.Disks())-had)
				}
			})
		})
	}
	in(t, aliyun.Config{}, func(w *world) {
		of := w.taken()
		early := w.call("CreateImage", mapped(of)...).text("ImageId")
		w.refuses("an image that is being made", w.call("RunInstances", w.launching(early)...), "IncorrectImageStatus")
		for mode, want := range map[string]string{"BIOS": "", "UEFI": "ImageNotSupportInstanceType", "UEFI-Preferred": ""} {
			id := w.call("CreateImage", mapped(of, "BootMode", mode)...).text("ImageId")
			time.Sleep(time.Minute)
			w.refuses(mode, w.call("RunInstances", w.launching(id, "InstanceType", "ecs.t5-lc1m1.small")...), want)
		}
	})
}

// A stopped instance is released without force; its disks stay that do not end
// with it, and what runs on a machine ends first.
func TestReleasingAnInstance(t *testing.T) {
	var stopped []string
	in(t, aliyun.Config{ECS: ecs.Config{Stopped: func(id string) { stopped = append(stopped, id) }}}, func(w *world) {
		w.rent(ecs.Instance{ID: "i-bp1off", State: "Stopped"}, ecs.Disk{ID: "d-bp1stays"}, ecs.Disk{ID: "d-bp1ends", Ends: true})
		w.refuses("a dry run", w.call("DeleteInstance", "InstanceId", "i-bp1off", "DryRun", "true"), "DRYRUN.SUCCESS")
		w.refuses("one that is stopped", w.call("DeleteInstance", "InstanceId", "i-bp1off"), "")
		w.refuses("one that runs", w.call("DeleteInstance", "InstanceId", target, "Force", "true"), "")
		time.Sleep(time.Minute)
		left := w.ECS.Disks()
		if _, there := left["d-bp1ends"]; there || left["d-bp1stays"].Instance != "" || len(left) != 4 {
			t.Errorf("left: %+v", left)
		}
		if !slices.Equal(stopped, []string{target}) {
			t.Errorf("told of %v", stopped)
		}
		w.refuses("a disk that stays", w.call("DeleteDisk", "DiskId", "d-bp1stays"), "")
		w.refuses("no id", w.call("DeleteInstance"), "MissingParameter")
	})
}

// Images and instances are tagged as everything else is.
func TestTaggingImagesAndInstances(t *testing.T) {
	in(t, aliyun.Config{}, func(w *world) {
		image, _ := w.imaged("Tag.1.Key", "a", "Tag.1.Value", "1")
		for kind, id := range map[string]string{"image": image, "instance": target, "disk": first} {
			tags := func(of ...string) (got []string) {
				request, response := api.CreateListTagResourcesRequest(), api.CreateListTagResourcesResponse()
				request.ResourceType, request.ResourceId = kind, &of
				w.does(request, response)
				for _, r := range response.TagResources.TagResource {
					got = append(got, r.ResourceId+" "+r.ResourceType+" "+r.TagKey+"="+r.TagValue)
				}
				return got
			}
			w.refuses(kind, w.call("TagResources", "ResourceType", kind, "ResourceId.1", id, "Tag.1.Key", "a", "Tag.1.Value", "2", "Tag.2.Key", "b", "Tag.2.Value", "3"), "")
			if got, want := tags(id), []string{id + " " + kind + " a=2", id + " " + kind + " b=3"}; !slices.Equal(got, want) {
				t.Errorf("got %v, want %v", got, want)
			}
			if got := w.call("ListTagResources", "ResourceType", kind, "Tag.1.Key", "b").text("TagResources", "TagResource", 0, "ResourceId"); got != id {
				t.Errorf("%s by its tag: got %q", kind, got)
			}
			w.refuses(kind, w.call("UntagResources", "ResourceType", kind, "ResourceId.1", id, "TagKey.1", "a", "TagKey.2", "none"), "")
			if got := tags(id, "m-bp1nobody"); len(got) != 1 || !strings.HasSuffix(got[0], "b=3") {
				t.Errorf("got %v", got)
			}
			w.refuses("what does not exist", w.call("TagResources", "ResourceType", kind, "ResourceId.1", "m-bp1nobody", "Tag.1.Key", "a"), "InvalidResourceId.NotFound")
		}
		w.refuses("a public image", w.call("TagResources", "ResourceType", "image", "ResourceId.1", public, "Tag.1.Key", "a"), "InvalidResourceId.NotFound")
		w.refuses("nothing", w.call("ListTagResources", "ResourceType", "image"), "MissingParameter.ResourceIds")
		w.refuses("a kind that is none", w.call("ListTagResources", "ResourceType", "ddh", "ResourceId.1", "x"), "InvalidResourceType.NotFound")
	})
}

// What an instance is started in is described; what does not exist is left out.
func TestNetworks(t *testing.T) {
	in(t, aliyun.Config{}, func(w *world) {
		w.network()
		for id, want := range map[string]string{"vsw-bp1two": "vpc-bp1two " + w.Region() + "-i Available", "vsw-bp1nobody": ""} {
			request, response := vpc.CreateDescribeVSwitchesRequest(), vpc.CreateDescribeVSwitchesResponse()
			request.VSwitchId = id
			w.does(request, response)
			got := ""
			for _, v := range response.VSwitches.VSwitch {
				got += v.VpcId + " " + v.ZoneId + " " + v.Status
			}
			if got != want {
				t.Errorf("%s: got %q, want %q", id, got, want)
			}
		}
		request, response := api.CreateDescribeSecurityGroupsRequest(), api.CreateDescribeSecurityGroupsResponse()
		request.SecurityGroupIds = `["sg-bp1one","sg-bp1nobody"]`
		w.does(request, response)
		if found := response.SecurityGroups.SecurityGroup; len(found) != 1 || found[0].SecurityGroupId != "sg-bp1one" || found[0].VpcId != "vpc-bp1one" {
			t.Errorf("got %+v", found)
		}
		w.refuses("a page that is too large", w.call("DescribeVSwitches", "PageSize", "51"), "InvalidParameter.PageSize")
		w.refuses("what is not emulated", w.call("CreateNetworkAcl"), "InvalidAction.NotFound")
		types, kinds := api.CreateDescribeInstanceTypesRequest(), api.CreateDescribeInstanceTypesResponse()
		types.InstanceTypes = &[]string{"ecs.g8y.large", "ecs.none.large"}
		w.does(types, kinds)
		if found := kinds.InstanceTypes.InstanceType; len(found) != 1 || found[0].CpuArchitecture != "ARM" || !slices.Equal(found[0].SupportedBootModes.SupportedBootMode, []string{"UEFI"}) {
			t.Errorf("got %+v", found)
		}
	})
}
