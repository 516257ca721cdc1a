package local

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/quiesce/quiesce/local/aws/ec2"
	"github.com/quiesce/quiesce/local/aws/kms"
	port "github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/restore"
	"github.com/quiesce/quiesce/shared/retention"
)

// bootable is a run whose set has the boot disk too.
const bootable = "run-boot"

// inImages runs a test in a world with such a set, and with a network.
func inImages(t *testing.T, faults []string, test func(w *world)) {
	t.Helper()
	inRestore(t, faults, func(w *world) {
		w.cloud.EC2.AddInstance(ec2.Instance{ID: instanceID, RootDevice: rootDevice, BootMode: "uefi", ENA: true, Tags: w.cloud.EC2.Tags(instanceID)})
		w.cloud.EC2.AddSubnet(ec2.Subnet{ID: "subnet-0123456789abcdef0", VPC: "vpc-1"})
		w.cloud.EC2.AddGroup(ec2.Group{ID: "sg-0123456789abcdef0", VPC: "vpc-1"})
		w.cloud.EC2.AddGroup(ec2.Group{ID: "sg-0123456789abcdef1", VPC: "vpc-2"})
		w.cloud.EC2.AddProfile("restored")
		w.takesWhole(bootable)
		test(w)
	})
}

// takesWhole makes a set with the boot disk.
func (w *world) takesWhole(id string) {
	w.Helper()
	spec := types.TagSpecification{ResourceType: types.ResourceTypeSnapshot}
	for k, v := range map[string]string{
		port.TagRun: id, port.TagHold: "h-" + id, port.TagInstance: instanceID, port.TagMembers: "3", port.TagConsistency: "filesystem",
		port.TagReason: "every filesystem was held", port.TagPolicy: "nightly",
	} {
		spec.Tags = append(spec.Tags, types.Tag{Key: aws.String(k), Value: aws.String(v)})
	}
	_, err := w.ec2.CreateSnapshots(w.Context(), &awsec2.CreateSnapshotsInput{
		InstanceSpecification: &types.InstanceSpecification{InstanceId: aws.String(instanceID)}, TagSpecifications: []types.TagSpecification{spec},
	})
	w.must(err)
	time.Sleep(20 * time.Second)
}

func launching() restore.Request {
	return restore.Request{RunID: bootable, Mode: restore.AsImage, Launch: &restore.Launch{
		Type: "m7i.large", Subnet: "subnet-0123456789abcdef0", Groups: []string{"sg-0123456789abcdef0"}, Profile: "restored", Tags: map[string]string{"stage": "test"},
	}}
}

// imaged are the images and the instances, but for the world's, that there are.
func (w *world) imaged() (images []types.Image, instances []types.Instance) {
	w.Helper()
	found, err := w.ec2.DescribeImages(w.Context(), &awsec2.DescribeImagesInput{Owners: []string{"self"}})
	w.must(err)
	out, err := w.ec2.DescribeInstances(w.Context(), &awsec2.DescribeInstancesInput{})
	w.must(err)
	for _, r := range out.Reservations {
		for _, i := range r.Instances {
			if *i.InstanceId != instanceID && i.State.Name != types.InstanceStateNameTerminated {
				instances = append(instances, i)
			}
		}
	}
	return found.Images, instances
}

func tagsOf(list []types.Tag) map[string]string {
	m := map[string]string{}
	for _, t := range list {
		m[*t.Key] = *t.Value
	}
	return m
}

// The image says of the machine what the instance says, and maps every disk as
// it was; the instance of it is the request's, without the opt-in.
func TestRestoreAsImage(t *testing.T) {
	inImages(t, nil, func(w *world) {
		r := w.asks("r", launching())
		if got, want := strings.Join(r.States, " "), "Open Plan Planned Register Registered Report Outcome Restored"; got != want {
			t.Fatalf("got %s: %s %v, want %s", got, r.Cause, r.verdict, want)
		}
		images, instances := w.imaged()
		if len(images) != 1 || len(instances) != 1 {
			t.Fatalf("there are %d images and %d instances", len(images), len(instances))
		}
		i, n := images[0], instances[0]
		if *i.Name != "quiesce-r" || i.Architecture != "x86_64" || i.BootMode != "uefi" || !*i.EnaSupport || i.VirtualizationType != "hvm" || *i.RootDeviceName != rootDevice || *i.PlatformDetails != "Linux/UNIX" {
			t.Errorf("got %+v", i)
		}
		want := map[string]string{rootDevice: "false", w.volumes[0].device: "false", w.volumes[1].device: "true"}
		for _, d := range i.BlockDeviceMappings {
			if want[*d.DeviceName] != fmt.Sprint(*d.Ebs.DeleteOnTermination) {
				t.Errorf("%s ends with its instance: %t", *d.DeviceName, *d.Ebs.DeleteOnTermination)
			}
		}
		if len(i.BlockDeviceMappings) != 3 {
			t.Errorf("%d disks are mapped", len(i.BlockDeviceMappings))
		}
		tags := tagsOf(n.Tags)
		if n.InstanceType != "m7i.large" || *n.SubnetId != "subnet-0123456789abcdef0" || *n.ImageId != *i.ImageId || len(n.BlockDeviceMappings) != 3 || n.State.Name != types.InstanceStateNameRunning {
			t.Errorf("got %+v", n)
		}
		if tags[port.TagOptIn] != "" || tags["stage"] != "test" || tags[port.TagRestore] != "r" || tags["Name"] == "" || tagsOf(i.Tags)[port.TagRestore] != "r" {
			t.Errorf("the instance has the tags %v, the image %v", tags, tagsOf(i.Tags))
		}
		if !strings.Contains(r.verdict.Reason, *i.ImageId) || !strings.Contains(r.verdict.Reason, *n.InstanceId) || len(r.verdict.Created) != 5 {
			t.Errorf("got %+v", r.verdict)
		}
		if told := w.published("r", "Restore Completed"); len(told) != 1 || told[0]["mode"] != "image" || told[0]["policy"] != "nightly" {
			t.Errorf("told %v", told)
		}
		w.keepsImage()
		w.cleansImage("r")
	})
}

// keepsImage wants a set of which there is an image to be kept by retention.
func (w *world) keepsImage() {
	w.Helper()
	keeper := w.keeper("prune")
	stock, err := keeper.Stored(w.Context(), "nightly")
	w.must(err)
	sets := retention.Sets(stock.Snapshots)
	if len(sets) != 1 {
		w.Fatalf("got %+v", sets)
	}
	held, err := keeper.Holds(w.Context(), sets[0].IDs)
	w.must(err)
	if len(held) == 0 || !strings.HasPrefix(held[0], "used by the image ami-") {
		w.Errorf("held by %v", held)
	}
	if err := keeper.DeleteSnapshot(w.Context(), sets[0].IDs[0]); err == nil {
		w.Error("a snapshot of an image was deleted")
	}
}

func (w *world) cleansImage(of string) {
	w.Helper()
	time.Sleep(time.Minute)
	r := w.asks(of+"-cleanup", restore.Request{Action: restore.Cleanup, RunID: of})
	images, instances := w.imaged()
	if now := w.standing(); len(now) != len(w.original()) || len(images)+len(instances) > 0 {
		w.Errorf("%s: left after the cleanup: %v, %d images, %d instances", r.Status, now, len(images), len(instances))
	}
	w.keeps("cleanup")
}

// imagingWorld is one in which an image of a set is made, of either cloud.
type imagingWorld interface {
	restoringWorld
	launching() restore.Request
	counted() (images, instances, disks int) // that there are, but for the original
	cleansImage(of string)
}

func (w *world) launching() restore.Request { return launching() }

func (w *world) counted() (images, instances, disks int) {
	i, n := w.imaged()
	return len(i), len(n), len(w.standing()) - len(w.original())
}

// What is confirmed no cleanup finds.
func TestRestoreAsImageIsKept(t *testing.T) {
	inImages(t, nil, func(w *world) { keepsAnImage(w) })
}

func keepsAnImage(w imagingWorld) {
	w.Helper()
	w.asks("r", w.launching())
	if r := w.asks("keep", restore.Request{Action: restore.Confirm, RunID: "r"}); r.verdict.Outcome != restore.Settled {
		w.Fatalf("got %+v", r.verdict)
	}
	if r := w.asks("late", restore.Request{Action: restore.Cleanup, RunID: "r"}); r.verdict.Code != "InvalidInput" {
		w.Errorf("got %+v", r.verdict)
	}
	if images, instances, disks := w.counted(); images != 1 || instances != 1 || disks != 3 {
		w.Errorf("%d images, %d instances and %d disks are left", images, instances, disks)
	}
}

// Whatever goes wrong once: there is at most one image and one instance, what is
// there is listed, and can be taken away.
func TestRestoreAsImageSurvivesEverySingleFault(t *testing.T) {
	var all []string
	inImages(t, nil, func(w *world) {
		since := len(w.cloud.Calls())
		r := w.asks("r", launching())
		all = troubles(r, w.cloud.Calls()[since:])
	})
	if len(all) < 30 || !slices.ContainsFunc(all, func(f string) bool { return strings.Contains(f, "RunInstances") }) {
		t.Fatalf("found only %v", all)
	}
	for _, f := range thinned(all) {
		t.Run(f, func(t *testing.T) {
			t.Parallel()
			inImages(t, []string{f}, func(w *world) { survivesAsImage(w, f) })
		})
	}
}

func survivesAsImage(w imagingWorld, f string) {
	w.Helper()
	r := w.asks("r", w.launching())
	for _, never := range w.unreached() {
		w.Errorf("the fault %s never happened", never)
	}
	images, instances, _ := w.counted()
	if images > 1 || instances > 1 {
		w.Errorf("there are %d images and %d instances", images, instances)
	}
	v, stopped := r.verdict, r.Status == "ABORTED" || r.Status == "Stopped"
	switch {
	case v == nil && !stopped && !strings.HasPrefix(f, "restore-report"):
		w.Errorf("nobody has seen how it ended: %s %s", r.Error, r.Cause)
	case v != nil && v.Outcome == restore.Restored && (images != 1 || instances != 1):
		w.Errorf("it is restored, and there are %d images and %d instances", images, instances)
	case v != nil && v.Outcome == restore.FailedDirty:
		w.Errorf("got %s: %s", v.Outcome, v.Reason)
	}
	time.Sleep(3 * time.Minute)
	saysHow(w, f, r)
	w.cleansImage("r")
}

func TestRestoreAsImageRefuses(t *testing.T) {
	with := func(change func(*restore.Request)) restore.Request {
		r := launching()
		change(&r)
		return r
	}
	gone := func(w *world) {
		_, err := w.ec2.TerminateInstances(w.Context(), &awsec2.TerminateInstancesInput{InstanceIds: []string{instanceID}})
		w.must(err)
		time.Sleep(time.Minute)
	}
	for _, c := range []unbegun{
		{"a set without its root", nil, nil, with(func(r *restore.Request) { r.RunID = theSet }), "InvalidInput", "request.mode", "excludeBoot"},
		{"another instance", nil, nil, with(func(r *restore.Request) { r.InstanceID = instanceID }), "InvalidInput", "request.instanceId", "image is of"},
		{"an image beside", nil, nil, restore.Request{RunID: bootable, Mode: restore.Volumes, Image: &restore.Image{}}, "InvalidInput", "request.image", ""},
		{"a launch in place", nil, nil, restore.Request{RunID: bootable, Mode: restore.InPlace, Launch: launching().Launch}, "InvalidInput", "request.launch", ""},
		{"a name of two letters", nil, nil, with(func(r *restore.Request) { r.Image = &restore.Image{Name: "ab"} }), "InvalidInput", "request.image.name", ""},
		{"what the instance says itself", nil, nil, with(func(r *restore.Request) { r.Image = &restore.Image{Architecture: "arm64"} }), "InvalidInput", "request.image", "says itself"},
		{"no type", nil, nil, with(func(r *restore.Request) { r.Launch.Type = "" }), "InvalidInput", "request.launch.type", ""},
		{"a type that is none", nil, nil, with(func(r *restore.Request) { r.Launch.Type = "m0.large" }), "InvalidInput", "request.launch.type", "names no instance type"},
		{"a type of another architecture", nil, nil, with(func(r *restore.Request) { r.Launch.Type = "m7g.large" }), "InvalidInput", "request.launch.type", "arm64"},
		{"a type that boots otherwise", nil, nil, with(func(r *restore.Request) { r.Launch.Type = "t2.micro" }), "InvalidInput", "request.launch.type", "uefi"},
		{"a subnet that is none", nil, nil, with(func(r *restore.Request) { r.Launch.Subnet = "subnet-00000000000000000" }), "InvalidInput", "request.launch.subnet", "names no subnet"},
		{"a group that is none", nil, nil, with(func(r *restore.Request) { r.Launch.Groups = []string{"sg-00000000000000000"} }), "InvalidInput", "request.launch.groups", "names a security group"},
		{"a group of another network", nil, nil, with(func(r *restore.Request) { r.Launch.Groups = []string{"sg-0123456789abcdef1"} }), "InvalidInput", "request.launch.groups", "vpc-2"},
		{"the opt-in among the tags", nil, nil, with(func(r *restore.Request) { r.Launch.Tags = map[string]string{port.TagOptIn: "true"} }), "InvalidInput", "request.launch.tags", "opt-in"},
		{"a mark of ours among the tags", nil, nil, with(func(r *restore.Request) { r.Launch.Tags = map[string]string{"Quiesce:run": "x"} }), "InvalidInput", "request.launch.tags", "no tag"},
		{"a device of the root", nil, nil, with(func(r *restore.Request) { r.Devices = map[string]string{rootVolume: "/dev/sdz"} }), "InvalidInput", "request.devices." + rootVolume, "boot disk"},
		{"an instance that is gone", nil, gone, with(func(*restore.Request) {}), "InvalidInput", "request.image.root", "is gone"},
		{"no architecture of one", nil, gone, with(func(r *restore.Request) { r.Image = &restore.Image{Root: rootVolume, RootDevice: rootDevice} }), "InvalidInput", "request.image.architecture", "is gone"},
		{"a rollback of an image", nil, func(w *world) { w.asks("made", launching()) }, restore.Request{Action: restore.Rollback, RunID: "made"}, "InvalidInput", "request.runId", "nothing can go back"},
	} {
		t.Run(c.name, func(t *testing.T) {
			inImages(t, nil, func(w *world) {
				if c.before != nil {
					c.before(w)
				}
				since := len(w.cloud.Calls())
				r := w.asks("r", c.asked)
				if v := r.verdict; v == nil || v.Code != c.code || v.Outcome != restore.FailedClean || !strings.Contains(v.Reason, c.field) || !strings.Contains(v.Reason, c.says) {
					t.Errorf("got %+v, want %s of %s because of %q", v, c.code, c.field, c.says)
				}
				w.untouched(c.name, since)
			})
		})
	}
}

// What only the cloud finds out later ends clean, and is taken away.
func TestRestoreAsImageFails(t *testing.T) {
	for _, c := range []struct {
		name   string
		before func(w *world)
		asks   func(r *restore.Request)
		code   string
		says   string
	}{
		{"a profile that is none", nil, func(r *restore.Request) { r.Launch.Profile = "nobody" }, "RestoreRefused", "Invalid IAM Instance Profile"},
		{"a name that is taken", func(w *world) { w.cloud.EC2.AddImage("golden") }, func(r *restore.Request) { r.Image = &restore.Image{Name: "golden"} }, "RestoreRefused", "not of this restore"},
		{"a system whose bill is unknown", func(w *world) {
			w.cloud.EC2.AddInstance(ec2.Instance{ID: instanceID, RootDevice: rootDevice, Platform: "Red Hat Enterprise Linux", Tags: w.cloud.EC2.Tags(instanceID)})
		}, func(*restore.Request) {}, "RestoreRefused", "what is billed"},
		{"a key that the launch may not use", func(w *world) {
			w.cloud.EC2.Encrypt(w.volumes[0].id, w.cloud.KMS.AddKey(kms.Key{ID: "own", Denied: []string{"restore-image"}}))
			w.takesWhole("locked")
		}, func(r *restore.Request) { r.RunID = "locked" }, "RestoreRefused", "ended before it ran"},
	} {
		t.Run(c.name, func(t *testing.T) {
			inImages(t, nil, func(w *world) {
				if c.before != nil {
					c.before(w)
				}
				had, _ := w.imaged()
				asked := launching()
				c.asks(&asked)
				r := w.asks("r", asked)
				if v := r.verdict; v.Code != c.code || v.Outcome != restore.FailedClean || !strings.Contains(v.Reason, c.says) {
					t.Errorf("got %+v by %v", v, r.States)
				}
				time.Sleep(time.Minute)
				w.asks("cleanup", restore.Request{Action: restore.Cleanup, RunID: "r"})
				if images, instances := w.imaged(); len(images) != len(had) || len(instances) > 0 || len(w.standing()) != 2 {
					t.Errorf("left: %v, %d images, %d instances", w.standing(), len(images), len(instances))
				}
			})
		})
	}
}

// Of an instance that is gone a person says what it was; and a dry run plans it
// all.
func TestRestoreAsImageOfWhatIsGone(t *testing.T) {
	inImages(t, nil, func(w *world) {
		dry := launching()
		dry.DryRun = true
		r := w.asks("dry", dry)
		if images, instances := w.imaged(); r.verdict.Outcome != restore.Planned || len(r.plan.Steps) != 5 || r.plan.Zone != "eu-central-1a" || len(images)+len(instances) > 0 {
			t.Errorf("got %+v and %d, %d", r.verdict, len(images), len(instances))
		}
		_, err := w.ec2.TerminateInstances(w.Context(), &awsec2.TerminateInstancesInput{InstanceIds: []string{instanceID}})
		w.must(err)
		time.Sleep(time.Minute)
		asked := launching()
		asked.Image = &restore.Image{Root: rootVolume, RootDevice: rootDevice, Architecture: "x86_64", BootMode: "uefi"}
		r = w.asks("r", asked)
		images, instances := w.imaged()
		if r.verdict.Outcome != restore.Restored || len(images) != 1 || len(instances) != 1 || len(images[0].BlockDeviceMappings) != 3 {
			t.Errorf("got %+v and %d, %d", r.verdict, len(images), len(instances))
		}
	})
}
