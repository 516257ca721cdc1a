package local

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quiesce/quiesce/local/aliyun/ecs"
	port "github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/restore"
	"github.com/quiesce/quiesce/shared/run"
)

// inImagesAbroad runs a test in the other cloud's world with a set that has the
// system disk too, and with a network.
func inImagesAbroad(t *testing.T, faults []string, test func(w *away)) {
	t.Helper()
	inRestoreAbroad(t, faults, func(w *away) {
		e := w.there.cloud.ECS
		e.AddVSwitch(ecs.VSwitch{ID: "vsw-bp1234567890abcdef00", VPC: "vpc-1"})
		e.AddGroup(ecs.Group{ID: "sg-bp1234567890abcdef00", VPC: "vpc-1"})
		e.AddGroup(ecs.Group{ID: "sg-bp1234567890abcdef01", VPC: "vpc-2"})
		e.AddRole("restored")
		w.takesWhole(bootable)
		test(w)
	})
}

func (w *away) takesWhole(id string) {
	w.Helper()
	spec := port.SetSpec{InstanceID: aliyunInstance, Include: []string{systemDisk}, Tags: map[string]string{
		port.TagRun: id, port.TagHold: "h-" + id, port.TagInstance: aliyunInstance, port.TagMembers: "3", port.TagConsistency: string(run.Filesystem),
		port.TagReason: "every filesystem was held", port.TagPolicy: "nightly",
	}}
	for _, v := range w.volumes {
		spec.Include = append(spec.Include, v.id)
	}
	_, err := w.there.operator.CreateSet(w.Context(), spec)
	w.must(err)
	time.Sleep(20 * time.Second)
}

func (w *away) launching() restore.Request {
	return restore.Request{RunID: bootable, Mode: restore.AsImage, Launch: &restore.Launch{
		Type: "ecs.g7.large", Subnet: "vsw-bp1234567890abcdef00", Groups: []string{"sg-bp1234567890abcdef00"}, Profile: "restored", Tags: map[string]string{"stage": "test"},
	}}
}

// imaged are the images and the instances that say that they are of the world's.
func (w *away) imaged() ([]port.Image, []port.Host) {
	w.Helper()
	images, err := w.there.operator.Images(w.Context(), port.TagInstance, aliyunInstance)
	w.must(err)
	instances, err := w.there.operator.Launched(w.Context(), port.TagInstance, aliyunInstance)
	w.must(err)
	return images, instances
}

func (w *away) counted() (images, instances, disks int) {
	i, n := w.imaged()
	return len(i), len(n), len(w.standing()) - len(w.original())
}

func (w *away) cleansImage(of string) {
	w.Helper()
	time.Sleep(time.Minute)
	r := w.asks(of+"-cleanup", restore.Request{Action: restore.Cleanup, RunID: of})
	if images, instances, disks := w.counted(); images+instances+disks > 0 {
		w.Errorf("%s: left after the cleanup: %d images, %d instances and %d disks of %v", r.Status, images, instances, disks, w.standing())
	}
	w.keeps("cleanup")
}

// The image says of the machine what its own image says, and each disk of the
// instance is of the kind that it was and ends as it did.
func TestRestoreAbroadAsImage(t *testing.T) {
	inImagesAbroad(t, nil, func(w *away) {
		r := w.asks("r", w.launching())
		if got, want := strings.Join(slices.Compact(slices.DeleteFunc(slices.Clone(r.States), func(s string) bool { return s == "WaitRegistered" })), " "), "Open Plan Planned Register Registered"; !strings.HasPrefix(got, want) || !strings.HasSuffix(got, "Report Outcome Restored") {
			t.Fatalf("got %s: %s %v", got, r.Cause, r.verdict)
		}
		images, instances := w.imaged()
		if len(images) != 1 || len(instances) != 1 {
			t.Fatalf("there are %d images and %d instances", len(images), len(instances))
		}
		if i, n := images[0], instances[0]; i.State != port.ImageThere || i.Platform != "Aliyun" || n.State != port.HostRunning || n.Zone != "cn-hangzhou-h" || r.plan.Zone != n.Zone {
			t.Errorf("got %+v, %+v", i, n)
		}
		tags := instances[0].Tags
		if tags[port.TagOptIn] != "" || tags["stage"] != "test" || tags[port.TagRestore] != "r" || images[0].Tags[port.TagPolicy] != "nightly" {
			t.Errorf("the instance has the tags %v, the image %v", tags, images[0].Tags)
		}
		ends := map[string]bool{systemDevice: true, w.volumes[0].device: false, w.volumes[1].device: true}
		h, err := w.there.operator.Host(w.Context(), instances[0].ID)
		w.must(err)
		for _, d := range h.Disks {
			if d.Kind != "cloud_essd" || d.Ends != ends[d.Device] || d.Tags[port.TagRestore] != "r" {
				t.Errorf("got %+v", d)
			}
		}
		if len(h.Disks) != 3 || len(r.verdict.Created) != 5 {
			t.Errorf("it has %d disks, and %+v", len(h.Disks), r.verdict.Created)
		}
		held, err := w.there.operator.Holds(w.Context(), []string{r.plan.Disks[0].Snapshot})
		if w.must(err); len(held) == 0 || !strings.HasPrefix(held[0], "used by the image "+images[0].ID) {
			t.Errorf("held by %v", held)
		}
		w.cleansImage("r")
	})
}

func TestRestoreAbroadAsImageIsKept(t *testing.T) {
	inImagesAbroad(t, nil, func(w *away) { keepsAnImage(w) })
}

func TestRestoreAbroadAsImageSurvivesEverySingleFault(t *testing.T) {
	var all []string
	inImagesAbroad(t, nil, func(w *away) {
		since := len(w.there.cloud.Calls())
		r := w.asks("r", w.launching())
		all = troubles(r, w.there.cloud.Calls()[since:])
	})
	if len(all) < 30 || !slices.ContainsFunc(all, func(f string) bool { return strings.Contains(f, "RunInstances") }) {
		t.Fatalf("found only %v", all)
	}
	for _, f := range thinned(all) {
		t.Run(f, func(t *testing.T) {
			t.Parallel()
			inImagesAbroad(t, []string{f}, func(w *away) { survivesAsImage(w, f) })
		})
	}
}

// What can be seen beforehand is refused before anything is made.
func TestRestoreAbroadAsImageRefuses(t *testing.T) {
	for _, c := range []struct {
		name  string
		asks  func(w *away, r *restore.Request)
		field string
		says  string
	}{
		{"a set without its system disk", func(_ *away, r *restore.Request) { r.RunID = theSet }, "request.mode", "excludeBoot"},
		{"no group", func(_ *away, r *restore.Request) { r.Launch.Groups = nil }, "request.launch.groups", "without"},
		{"a group that is none", func(_ *away, r *restore.Request) { r.Launch.Groups = []string{"sg-bp1234567890abcdef99"} }, "request.launch.groups", "no security group"},
		{"a group of another network", func(_ *away, r *restore.Request) { r.Launch.Groups = []string{"sg-bp1234567890abcdef01"} }, "request.launch.groups", "vpc-2"},
		{"a vSwitch that is none", func(_ *away, r *restore.Request) { r.Launch.Subnet = "vsw-bp1234567890abcdef99" }, "request.launch.subnet", "no vSwitch"},
		{"more tags than an instance takes", func(_ *away, r *restore.Request) {
			for i := range 18 {
				r.Launch.Tags[fmt.Sprintf("t%d", i)] = "x"
			}
		}, "request.launch.tags", "takes 20"},
		{"a name that ECS does not take", func(_ *away, r *restore.Request) { r.Image = &restore.Image{Name: "night (1)"} }, "request.image.name", "a letter first"},
		{"a type that is none", func(_ *away, r *restore.Request) { r.Launch.Type = "ecs.x0.large" }, "request.launch.type", "names no instance type"},
		{"a type of another architecture", func(_ *away, r *restore.Request) { r.Launch.Type = "ecs.g8y.large" }, "request.launch.type", "arm64"},
		{"what the instance says itself", func(_ *away, r *restore.Request) { r.Image = &restore.Image{Architecture: "arm64"} }, "request.image", "says itself"},
		{"a name that is taken", func(w *away, r *restore.Request) {
			w.there.cloud.ECS.AddImage("m-golden")
			r.Image = &restore.Image{Name: "m-golden"}
		}, "request.image.name", "already"},
	} {
		t.Run(c.name, func(t *testing.T) {
			inImagesAbroad(t, nil, func(w *away) {
				asked := w.launching()
				c.asks(w, &asked)
				since := len(w.there.cloud.Calls())
				r := w.asks("r", asked)
				if v := r.verdict; v == nil || v.Code != "InvalidInput" || v.Outcome != restore.FailedClean || !strings.Contains(v.Reason, c.field) || !strings.Contains(v.Reason, c.says) {
					t.Errorf("got %+v, want %s because of %q", v, c.field, c.says)
				}
				for _, call := range w.there.cloud.Calls()[since:] {
					if strings.HasPrefix(call.Step, "restore-") && call.Code == "" && !strings.HasPrefix(call.Action, "Describe") && call.Action != "PutEvents" && call.Action != "PutCustomMetric" {
						t.Errorf("%s called %s", call.Step, call.Action)
					}
				}
			})
		})
	}
}

// What only the launch tells ends clean, and is taken away; and so does an image
// that is not made.
func TestRestoreAbroadAsImageFails(t *testing.T) {
	for _, c := range []struct {
		name   string
		before func(w *away)
		asks   func(r *restore.Request)
		says   string
	}{
		{"a role that is none", nil, func(r *restore.Request) { r.Launch.Profile = "nobody" }, "RamRole"},
		{"no stock", func(w *away) { w.there.cloud.ECS.SellOut("cn-hangzhou-h") }, func(*restore.Request) {}, "NoStock"},
	} {
		t.Run(c.name, func(t *testing.T) {
			inImagesAbroad(t, nil, func(w *away) {
				if c.before != nil {
					c.before(w)
				}
				asked := w.launching()
				c.asks(&asked)
				r := w.asks("r", asked)
				if v := r.verdict; v.Code != "RestoreRefused" || v.Outcome != restore.FailedClean || !strings.Contains(v.Reason, c.says) || len(v.Created) != 1 {
					t.Errorf("got %+v by %v", v, r.States)
				}
				w.cleansImage("r")
			})
		})
	}
}
