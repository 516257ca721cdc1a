package aliyun_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aliyun/alibaba-cloud-sdk-go/sdk"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/auth/credentials"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/requests"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/responses"
	api "github.com/aliyun/alibaba-cloud-sdk-go/services/ecs"

	"github.com/quiesce/quiesce/local/aliyun"
	"github.com/quiesce/quiesce/local/aliyun/ecs"
)

// public is the image that the world's instance was started from.
const public = "aliyun_3_x64_20G_alibase_20240528.vhd"

// does makes a call by the SDK as every user has it.
func (w *world) does(request requests.AcsRequest, response responses.AcsResponse) {
	w.Helper()
	cfg := sdk.NewConfig().WithAutoRetry(false)
	cfg.Transport = w.Transport()
	client, err := sdk.NewClientWithOptions(w.Region(), cfg, credentials.NewStsTokenCredential(w.keys.ID, w.keys.Secret, w.keys.Token))
	if err != nil {
		w.Fatal(err)
	}
	request.SetScheme("http")
	request.SetDomain("emulated.aliyuncs.com")
	if err := client.DoAction(request, response); err != nil {
		w.Fatal(err)
	}
}

// taken are complete snapshots of the world's disks, by their disk.
func (w *world) taken() map[string]string {
	w.Helper()
	w.refuses("a set", w.call("CreateSnapshotGroup", "InstanceId", target), "")
	time.Sleep(20 * time.Second)
	request, response := api.CreateDescribeSnapshotsRequest(), api.CreateDescribeSnapshotsResponse()
	w.does(request, response)
	of := map[string]string{}
	for _, s := range response.Snapshots.Snapshot {
		of[s.SourceDiskId] = s.SnapshotId
	}
	if len(of) != 3 {
		w.Fatalf("got the snapshots %v", of)
	}
	return of
}

// mapped asks for an image of these snapshots, names and values in turn.
func mapped(of map[string]string, with ...string) []string {
	return append([]string{
		"DiskDeviceMapping.1.SnapshotId", of[system], "DiskDeviceMapping.1.DiskType", "system", "DiskDeviceMapping.1.Device", "/dev/xvda",
		"DiskDeviceMapping.2.SnapshotId", of[first], "DiskDeviceMapping.2.DiskType", "data", "DiskDeviceMapping.2.Device", "/dev/xvdb",
		"DiskDeviceMapping.3.SnapshotId", of[second], "DiskDeviceMapping.3.Device", "/dev/xvdc",
	}, with...)
}

// images are those that a list shows, with a status or any.
func (w *world) images(change func(*api.DescribeImagesRequest)) []api.Image {
	w.Helper()
	request, response := api.CreateDescribeImagesRequest(), api.CreateDescribeImagesResponse()
	request.ImageOwnerAlias = "self"
	change(request)
	w.does(request, response)
	if response.TotalCount < len(response.Images.Image) {
		w.Errorf("%d images of %d", len(response.Images.Image), response.TotalCount)
	}
	return response.Images.Image
}

// An image says what it was asked to say, is being made for a time, and holds its
// snapshots.
func TestAnImageOfSnapshots(t *testing.T) {
	in(t, aliyun.Config{ECS: ecs.Config{Provision: 10 * time.Second, Visible: time.Second}}, func(w *world) {
		of := w.taken()
		request, response := api.CreateCreateImageRequest(), api.CreateCreateImageResponse()
		request.ImageName, request.Description, request.Architecture, request.Platform, request.BootMode = "golden", "of a run", "x86_64", "CentOS", "UEFI"
		request.Features.ImdsSupport, request.ClientToken = "v2", "one"
		request.Tag = &[]api.CreateImageTag{{Key: "quiesce:restore", Value: "r"}}
		request.DiskDeviceMapping = &[]api.CreateImageDiskDeviceMapping{
			{SnapshotId: of[second], Device: "/dev/vdc", Size: "20"}, {SnapshotId: of[system], DiskType: "system"}, {SnapshotId: of[first], DiskType: "data"},
		}
		w.does(request, response)
		id := response.ImageId
		all := func(r *api.DescribeImagesRequest) { r.Status = "Creating,Available,CreateFailed" }
		if found := w.images(all); len(found) != 0 {
			t.Errorf("listed at once: %v", found)
		}
		time.Sleep(5 * time.Second)
		if found := w.images(func(*api.DescribeImagesRequest) {}); len(found) != 0 {
			t.Errorf("without a status a list shows %v", found)
		}
		if found := w.images(all); len(found) != 1 || found[0].Status != "Creating" || found[0].Progress != "50%" {
			t.Errorf("got %+v", found)
		}
		time.Sleep(10 * time.Second)
		for what, how := range map[string]func(*api.DescribeImagesRequest){
			"by its id":       func(r *api.DescribeImagesRequest) { r.ImageId = "m-0," + id },
			"by its name":     func(r *api.DescribeImagesRequest) { r.ImageName = "golden" },
			"by a pattern":    func(r *api.DescribeImagesRequest) { r.ImageName = "gold*" },
			"by its snapshot": func(r *api.DescribeImagesRequest) { r.SnapshotId = of[first] },
			"by its tag": func(r *api.DescribeImagesRequest) {
				r.Tag = &[]api.DescribeImagesTag{{Key: "quiesce:restore", Value: "r"}}
			},
		} {
			found := w.images(how)
			if len(found) != 1 {
				t.Errorf("%s: got %+v", what, found)
				continue
			}
			i := found[0]
			if i.ImageId != id || i.Status != "Available" || i.Progress != "100%" || i.ImageOwnerAlias != "self" || i.Architecture != "x86_64" || i.Platform != "CentOS" ||
				i.OSType != "linux" || i.BootMode != "UEFI" || i.Features.ImdsSupport != "v2" || i.Description != "of a run" || len(i.Tags.Tag) != 1 || i.Tags.Tag[0].TagValue != "r" {
				t.Errorf("%s: got %+v", what, i)
			}
			var disks []string
			for _, d := range i.DiskDeviceMappings.DiskDeviceMapping {
				disks = append(disks, fmt.Sprint(d.Device, d.SnapshotId == of[map[string]string{"/dev/xvda": system, "/dev/xvdb": first, "/dev/xvdc": second}[d.Device]], d.Size, d.Type))
			}
			if want := []string{"/dev/xvdatrue1system", "/dev/xvdbtrue1data", "/dev/xvdctrue20data"}; !slices.Equal(disks, want) {
				t.Errorf("%s: got the disks %v, want %v", what, disks, want)
			}
		}
		for what, how := range map[string]func(*api.DescribeImagesRequest){
			"another's": func(r *api.DescribeImagesRequest) { r.ImageOwnerAlias = "system"; r.ImageId = id },
			"another tag": func(r *api.DescribeImagesRequest) {
				r.Tag = &[]api.DescribeImagesTag{{Key: "quiesce:restore", Value: "q"}}
			},
			"another state": func(r *api.DescribeImagesRequest) { r.Status = "Creating" },
			"another name":  func(r *api.DescribeImagesRequest) { r.ImageName = "gold" },
			"the next page": func(r *api.DescribeImagesRequest) { r.PageNumber = requests.NewInteger(2) },
		} {
			if found := w.images(how); len(found) != 0 {
				t.Errorf("%s: got %+v", what, found)
			}
		}
		again := api.CreateCreateImageResponse()
		w.does(request, again)
		if again.ImageId != id || len(w.ECS.Images()) != 1 {
			t.Errorf("the token made a second one, %s", again.ImageId)
		}
		w.refuses("the token of another", w.call("CreateImage", mapped(of, "ClientToken", "one", "ImageName", "other")...), "IdempotenceParamNotMatch")
		w.refuses("a name that is taken", w.call("CreateImage", mapped(of, "ImageName", "golden")...), "InvalidImageName.Duplicated")

		held := w.call("DeleteSnapshot", "SnapshotId", of[first], "Force", "true")
		w.refuses("a snapshot of it", held, "SnapshotCreatedImage")
		for _, what := range []string{"the image", "the image once more"} {
			w.refuses(what, w.call("DeleteImage", "ImageId", id), "")
		}
		w.refuses("a snapshot that is free", w.call("DeleteSnapshot", "SnapshotId", of[first], "Force", "true"), "")
		if len(w.ECS.Images()) != 0 {
			t.Errorf("left: %v", w.ECS.Images())
		}
	})
}

func TestWhatAnImageMayBe(t *testing.T) {
	for _, c := range []struct {
		name string
		with func(of map[string]string) []string
		want string
	}{
		{"as little as there may be", func(of map[string]string) []string { return []string{"SnapshotId", of[system]} }, ""},
		{"three disks", func(of map[string]string) []string { return mapped(of) }, ""},
		{"a data disk as the system", func(of map[string]string) []string {
			return []string{"DiskDeviceMapping.1.SnapshotId", of[first], "DiskDeviceMapping.1.DiskType", "system"}
		}, ""},
		{"an empty disk besides", func(of map[string]string) []string { return mapped(of, "DiskDeviceMapping.4.Size", "20") }, ""},
		{"one that is too small", func(of map[string]string) []string { return mapped(of, "DiskDeviceMapping.4.Size", "19") }, "InvalidSize.ValueNotSupported"},
		{"one of no size", func(of map[string]string) []string { return mapped(of, "DiskDeviceMapping.2.Size", "0") }, "InvalidSize.ValueNotSupported"},
		{"nothing", func(map[string]string) []string { return nil }, "MissingParameter"},
		{"an instance", func(map[string]string) []string { return []string{"InstanceId", target} }, "UnsupportedOperation"},
		{"a data disk alone", func(of map[string]string) []string { return []string{"SnapshotId", of[first]} }, "OperationDenied"},
		{"two systems", func(of map[string]string) []string {
			return mapped(of, "DiskDeviceMapping.3.DiskType", "system", "DiskDeviceMapping.3.Device", "")
		}, "OperationDenied"},
		{"a kind that is none", func(of map[string]string) []string { return mapped(of, "DiskDeviceMapping.2.DiskType", "root") }, "InvalidDiskType.ValueNotSupported"},
		{"a device that the disk has", func(of map[string]string) []string { return mapped(of, "DiskDeviceMapping.2.Device", "/dev/xvdb") }, ""},
		{"a device that is none", func(of map[string]string) []string { return mapped(of, "DiskDeviceMapping.2.Device", "/dev/sdb") }, "InvalidDevice.Malformed"},
		{"the system's device", func(of map[string]string) []string { return mapped(of, "DiskDeviceMapping.2.Device", "/dev/xvda") }, "InvalidDevice.Malformed"},
		{"a device twice", func(of map[string]string) []string { return mapped(of, "DiskDeviceMapping.2.Device", "/dev/vdc") }, "InvalidDevice.InUse"},
		{"a snapshot that does not exist", func(of map[string]string) []string {
			return mapped(of, "DiskDeviceMapping.2.SnapshotId", "s-bp1nobody")
		}, "InvalidSnapshotId.NotFound"},
		{"a name of one letter", func(of map[string]string) []string { return mapped(of, "ImageName", "q") }, "InvalidImageName.Malformed"},
		{"a name of 128", func(of map[string]string) []string { return mapped(of, "ImageName", strings.Repeat("q", 128)) }, ""},
		{"a longer name", func(of map[string]string) []string { return mapped(of, "ImageName", strings.Repeat("q", 129)) }, "InvalidImageName.Malformed"},
		{"a name in Chinese", func(of map[string]string) []string { return mapped(of, "ImageName", "镜像-1") }, ""},
		{"a name that begins with a digit", func(of map[string]string) []string { return mapped(of, "ImageName", "1st") }, "InvalidImageName.Malformed"},
		{"a name with a blank", func(of map[string]string) []string { return mapped(of, "ImageName", "my image") }, "InvalidImageName.Malformed"},
		{"a name of the provider's", func(of map[string]string) []string { return mapped(of, "ImageName", "acs:image") }, "InvalidImageName.Malformed"},
		{"a description of one letter", func(of map[string]string) []string { return mapped(of, "Description", "q") }, "InvalidDescription.Malformed"},
		{"a description of 257", func(of map[string]string) []string { return mapped(of, "Description", strings.Repeat("q", 257)) }, "InvalidDescription.Malformed"},
		{"a description with an address", func(of map[string]string) []string { return mapped(of, "Description", "http://example.com") }, "InvalidDescription.Malformed"},
		{"an architecture that is none", func(of map[string]string) []string { return mapped(of, "Architecture", "amd64") }, "InvalidArchitecture.Malformed"},
		{"a platform that is none", func(of map[string]string) []string { return mapped(of, "Platform", "Minix") }, "InvalidPlatform.Malformed"},
		{"a boot mode that is none", func(of map[string]string) []string { return mapped(of, "BootMode", "legacy-bios") }, "InvalidParameter.BootMode"},
		{"arm64 without UEFI", func(of map[string]string) []string { return mapped(of, "Architecture", "arm64", "BootMode", "BIOS") }, "InvalidBootMode.NotSupport"},
		{"arm64", func(of map[string]string) []string { return mapped(of, "Architecture", "arm64") }, ""},
		{"metadata of no version", func(of map[string]string) []string { return mapped(of, "Features.ImdsSupport", "v3") }, "InvalidParameter.FeaturesImdsSupport"},
		{"a tag of the provider's", func(of map[string]string) []string { return mapped(of, "Tag.1.Key", "acs:k") }, "InvalidTagKey.Malformed"},
		{"twenty-one tags", func(of map[string]string) []string {
			with := mapped(of)
			for n := range 21 {
				with = append(with, fmt.Sprintf("Tag.%d.Key", n+1), fmt.Sprint("k", n))
			}
			return with
		}, "NumberExceed.Tags"},
		{"a token of 65", func(of map[string]string) []string { return mapped(of, "ClientToken", strings.Repeat("t", 65)) }, "InvalidClientToken.ValueNotSupported"},
	} {
		t.Run(c.name, func(t *testing.T) {
			in(t, aliyun.Config{}, func(w *world) {
				w.refuses(c.name, w.call("CreateImage", c.with(w.taken())...), c.want)
				if made := len(w.ECS.Images()); (made == 1) != (c.want == "") {
					t.Errorf("%d images were made", made)
				}
			})
		})
	}
	in(t, aliyun.Config{ECS: ecs.Config{Completion: time.Hour, Usable: time.Hour}}, func(w *world) {
		w.refuses("a set", w.call("CreateSnapshotGroup", "InstanceId", target), "")
		for _, id := range w.ECS.Groups() {
			w.refuses("a snapshot in progress", w.call("CreateImage", "SnapshotId", id[0]), "InvalidSnapshotId.NotReady")
		}
	})
}

// One that fails is listed as that, and is nothing to start from.
func TestAnImageFails(t *testing.T) {
	in(t, aliyun.Config{}, func(w *world) {
		of := w.taken()
		w.ECS.FailImages(true)
		id := w.call("CreateImage", mapped(of)...).text("ImageId")
		time.Sleep(time.Minute)
		if found := w.images(func(r *api.DescribeImagesRequest) { r.Status = "CreateFailed" }); len(found) != 1 || found[0].ImageId != id || found[0].Status != "CreateFailed" {
			t.Errorf("got %+v", found)
		}
		w.refuses("an instance of it", w.call("RunInstances", w.launching(id)...), "IncorrectImageStatus")
		w.refuses("a snapshot of it", w.call("DeleteSnapshot", "SnapshotId", of[first]), "SnapshotCreatedImage")
		w.refuses("it", w.call("DeleteImage", "ImageId", id), "")
		w.ECS.FailImages(false)
		w.refuses("the next", w.call("CreateImage", mapped(of)...), "")
		time.Sleep(time.Minute)
		if found := w.images(func(*api.DescribeImagesRequest) {}); len(found) != 1 {
			t.Errorf("got %+v", found)
		}
	})
}

// What machines are started from whose owner says nothing else is the provider's.
func TestPublicImages(t *testing.T) {
	in(t, aliyun.Config{}, func(w *world) {
		w.rent(ecs.Instance{ID: "i-bp1arm", Arch: "arm64"})
		w.rent(ecs.Instance{ID: "i-bp1own", Image: "centos_7_9_uefi_x64_20G_alibase.vhd", Platform: "CentOS", BootMode: "UEFI"})
		for instance, want := range map[string]string{
			target: public + " x86_64 Aliyun BIOS linux system", "i-bp1arm": "aliyun_3_arm64_20G_alibase_20240528.vhd arm64 Aliyun UEFI linux system",
			"i-bp1own": "centos_7_9_uefi_x64_20G_alibase.vhd x86_64 CentOS UEFI linux system",
		} {
			id := w.instance(instance).ImageId
			found := w.images(func(r *api.DescribeImagesRequest) { r.ImageId, r.ImageOwnerAlias = id, "" })
			if len(found) != 1 {
				t.Fatalf("%s: got %+v", instance, found)
			}
			i := found[0]
			if got := strings.Join([]string{i.ImageId, i.Architecture, i.Platform, i.BootMode, i.OSType, i.ImageOwnerAlias}, " "); got != want {
				t.Errorf("%s: got %s, want %s", instance, got, want)
			}
		}
		w.refuses("a public image", w.call("DeleteImage", "ImageId", public, "Force", "true"), "InvalidImageId.NotFound")
		w.ECS.RemoveImage(public)
		if found := w.images(func(r *api.DescribeImagesRequest) { r.ImageId, r.ImageOwnerAlias = public, "" }); len(found) != 0 || w.instance(target).ImageId != public {
			t.Errorf("got %+v", found)
		}
		w.refuses("an owner that is none", w.call("DescribeImages", "ImageOwnerAlias", "me"), "InvalidParameter.ImageOwnerAlias")
	})
}

// instance is one as a list by its id shows it.
func (w *world) instance(id string) api.Instance {
	w.Helper()
	request, response := api.CreateDescribeInstancesRequest(), api.CreateDescribeInstancesResponse()
	request.InstanceIds = `["` + id + `"]`
	w.does(request, response)
	if len(response.Instances.Instance) == 0 {
		return api.Instance{}
	}
	return response.Instances.Instance[0]
}
