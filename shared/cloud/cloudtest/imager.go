package cloudtest

import (
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/run"
)

// registered is how long an image may be made here.
const registered = 2 * time.Minute

// Place is where an instance of the running one's kind can be launched, and what
// stands beside that.
type Place struct {
	Type, Unfit          string // one of the running instance's architecture, and one of another
	Subnet, AbsentSubnet string
	Group, AbsentGroup   string
	ForeignGroup         string // of another network
	Profile              string
}

func (p Place) spec() cloud.LaunchSpec {
	return cloud.LaunchSpec{Type: p.Type, Subnet: p.Subnet, Groups: []string{p.Group}, Profile: p.Profile}
}

// whole makes a set with the boot volume.
func whole(t *testing.T, h Harness) (set []cloud.Source) {
	t.Helper()
	spec := dataSpec(h)
	spec.ExcludeBoot, spec.Include = false, append([]string{h.Running.Boot}, h.Running.Data...)
	_, err := h.Provider.CreateSet(t.Context(), spec)
	ok(t, err)
	within(t, complete, "the set is complete", func() bool {
		set, err = h.Restorer.Sources(t.Context(), runID)
		ok(t, err)
		return len(set) == len(spec.Include) && !slices.ContainsFunc(set, func(s cloud.Source) bool { return s.State != run.Completed })
	})
	return set
}

// imageSpec asks for an image of the set as the running instance is. The first
// of its data volumes does not end with an instance.
func imageSpec(t *testing.T, h Harness, set []cloud.Source) cloud.ImageSpec {
	t.Helper()
	model, err := h.Restorer.Model(t.Context(), h.Running.ID)
	ok(t, err)
	host, err := h.Restorer.Host(t.Context(), h.Running.ID)
	ok(t, err)
	spec := cloud.ImageSpec{Name: "quiesce-" + restoreID, Description: "conformance", Model: model, Tags: map[string]string{cloud.TagRestore: restoreID, "owner": "somebody"}}
	for _, s := range set {
		for _, d := range host.Disks {
			if d.ID == s.VolumeID {
				spec.Disks = append(spec.Disks, cloud.ImageDisk{Device: d.Device, Snapshot: s.ID, Kind: d.Kind, SizeGiB: s.SizeGiB, Ends: d.ID != h.Running.Data[0]})
			}
		}
	}
	if len(spec.Disks) != len(set) {
		t.Fatalf("%d of %d disks are mapped", len(spec.Disks), len(set))
	}
	return spec
}

// imaged are the images that carry the restore's mark by now.
func imaged(t *testing.T, h Harness) []cloud.Image {
	t.Helper()
	found, err := h.Restorer.Images(t.Context(), cloud.TagRestore, restoreID)
	ok(t, err)
	return found
}

// registers makes an image and waits for it.
func registers(t *testing.T, h Harness, spec cloud.ImageSpec) string {
	t.Helper()
	id, err := h.Restorer.Register(t.Context(), spec)
	ok(t, err)
	within(t, registered, id+" is there", func() bool {
		found := imaged(t, h)
		return len(found) == 1 && found[0].ID == id && found[0].State == cloud.ImageThere
	})
	return id
}

// launch asks for an instance of an image as the plan of a restore does.
func launch(h Harness, image string, of cloud.ImageSpec) cloud.LaunchSpec {
	spec := h.Place.spec()
	spec.Image, spec.Token, spec.Root, spec.Disks = image, "token of "+restoreID, of.Model.Root, of.Disks
	spec.Tags = map[string]string{cloud.TagRestore: restoreID, "Name": "copy"}
	return spec
}

// launched are the instances that carry the restore's mark by now.
func launched(t *testing.T, h Harness) []cloud.Host {
	t.Helper()
	found, err := h.Restorer.Launched(t.Context(), cloud.TagRestore, restoreID)
	ok(t, err)
	return found
}

// launches starts an instance and waits until it runs.
func launches(t *testing.T, h Harness, spec cloud.LaunchSpec) string {
	t.Helper()
	id, err := h.Restorer.Launch(t.Context(), spec)
	ok(t, err)
	within(t, moved, id+" runs", func() bool {
		found := launched(t, h)
		return len(found) == 1 && found[0].ID == id && found[0].State == cloud.HostRunning
	})
	return id
}

// terminates asks until an instance is gone, as a cleanup does: while it is
// between two states it may be refused.
func terminates(t *testing.T, h Harness, id string) {
	t.Helper()
	within(t, moved, id+" is gone", func() bool {
		if err := h.Restorer.Terminate(t.Context(), id); err != nil {
			wantCode(t, err, fault.VolumeBusy)
		}
		host, err := h.Restorer.Host(t.Context(), id)
		if err != nil {
			wantCode(t, err, fault.InstanceNotFound)
		}
		return host.State == "" && len(launched(t, h)) == 0 // of none, or of one that is ended for good
	})
}

// images is a test of a provider that makes images and instances of them.
func images(do func(t *testing.T, h Harness)) func(t *testing.T, h Harness) {
	return restores(func(t *testing.T, h Harness) {
		if h.Place == (Place{}) {
			t.Skip("the harness has no place to launch in")
		}
		do(t, h)
	})
}

var imager = []test{
	{"image/what an instance is", images(func(t *testing.T, h Harness) {
		m, err := h.Restorer.Model(t.Context(), h.Running.ID)
		ok(t, err)
		host, err := h.Restorer.Host(t.Context(), h.Running.ID)
		ok(t, err)
		if want := map[string]string{"amd64": "x86_64", "arm64": "arm64"}[h.Running.Arch]; m.Architecture != want || m.Root != host.Root {
			t.Errorf("got %+v, want %s with %s", m, want, host.Root)
		}
		bare, least := h.Restorer.Bare()
		if bare.ID != "" || bare.Usual != host.Usual || !slices.Equal(bare.Names, host.Names) || bare.Target.Region != host.Target.Region || bare.Target.Provider != host.Target.Provider {
			t.Errorf("of every instance: got %+v", bare)
		}
		if least.Architecture != "" || least.Root != "" && least.Root != m.Root || least.Virtualization != m.Virtualization {
			t.Errorf("of every instance: got %+v, and of this %+v", least, m)
		}
		_, err = h.Restorer.Model(t.Context(), h.Absent)
		wantCode(t, err, fault.InstanceNotFound)
	})},
	{"image/of a set, once", images(func(t *testing.T, h Harness) {
		set := whole(t, h)
		spec := imageSpec(t, h, set)
		ok(t, h.Restorer.MayRegister(t.Context(), spec))
		if found := imaged(t, h); len(found) > 0 {
			t.Errorf("a question has made %+v", found)
		}
		h.Trouble(MakeImage, LostReply)
		id, err := h.Restorer.Register(t.Context(), spec)
		if err != nil { // who makes it again is told which it was
			id, err = h.Restorer.Register(t.Context(), spec)
		}
		ok(t, err)
		if again := registers(t, h, spec); again != id {
			t.Errorf("got %s, and then %s", id, again)
		}
		if i := imaged(t, h)[0]; !maps.Equal(i.Tags, spec.Tags) || spec.Model.Platform != "" && i.Platform != spec.Model.Platform {
			t.Errorf("got %+v", i)
		}
		if others, err := h.Restorer.Images(t.Context(), cloud.TagRestore, "another"); err != nil || len(others) > 0 {
			t.Errorf("of another restore: got %+v, %v", others, err)
		}
		if h.Keeper != nil {
			held, err := h.Keeper.Holds(t.Context(), []string{set[0].ID})
			ok(t, err)
			if len(held) != 1 {
				t.Errorf("its snapshot is held by %v", held)
			}
		}
		for range 2 {
			ok(t, h.Restorer.Deregister(t.Context(), id))
		}
		within(t, visible, "it is gone", func() bool { return len(imaged(t, h)) == 0 })
		if left, err := h.Restorer.Sources(t.Context(), runID); err != nil || len(left) != len(set) {
			t.Errorf("%d of %d snapshots are left, %v", len(left), len(set), err)
		}
	})},
	{"image/by a name that another has", images(func(t *testing.T, h Harness) {
		spec := imageSpec(t, h, whole(t, h))
		registers(t, h, spec)
		spec.Tags = map[string]string{cloud.TagRestore: "another"}
		if err := h.Restorer.MayRegister(t.Context(), spec); err != nil {
			wantCode(t, err, fault.InvalidInput)
		}
		_, err := h.Restorer.Register(t.Context(), spec)
		wantCode(t, err, fault.RestoreRefused)
	})},
	{"image/of what is gone", images(func(t *testing.T, h Harness) {
		spec := imageSpec(t, h, whole(t, h))
		spec.Disks[1].Snapshot = h.AbsentSnapshot
		_, err := h.Restorer.Register(t.Context(), spec)
		wantCode(t, err, fault.SetNotRestorable)
		if found := imaged(t, h); len(found) > 0 {
			t.Errorf("made %+v", found)
		}
	})},
	{"image/where an instance fits", images(func(t *testing.T, h Harness) {
		of, err := h.Restorer.Model(t.Context(), h.Running.ID)
		ok(t, err)
		if zone, err := h.Restorer.Fits(t.Context(), h.Place.spec(), of); err != nil || zone != h.Zone {
			t.Errorf("got %q, %v", zone, err)
		}
		for field, changes := range map[string][]func(*cloud.LaunchSpec){
			"request.launch.type":   {func(s *cloud.LaunchSpec) { s.Type = h.Place.Unfit }, func(s *cloud.LaunchSpec) { s.Type = "none.large" }},
			"request.launch.subnet": {func(s *cloud.LaunchSpec) { s.Subnet = h.Place.AbsentSubnet }},
			"request.launch.groups": {func(s *cloud.LaunchSpec) { s.Groups = []string{h.Place.Group, h.Place.AbsentGroup} }, func(s *cloud.LaunchSpec) { s.Groups = []string{h.Place.ForeignGroup} }},
		} {
			for n, change := range changes {
				spec := h.Place.spec()
				change(&spec)
				_, err := h.Restorer.Fits(t.Context(), spec, of)
				var f *fault.Error
				if !errors.As(err, &f) || f.Code != fault.InvalidInput || f.Field != field {
					t.Errorf("%s %d: got %v", field, n, err)
				}
			}
		}
	})},
	{"image/an instance of it, once", images(func(t *testing.T, h Harness) {
		spec := imageSpec(t, h, whole(t, h))
		asked := launch(h, registers(t, h, spec), spec)
		h.Trouble(Launch, LostReply)
		id, err := h.Restorer.Launch(t.Context(), asked)
		if err != nil {
			id, err = h.Restorer.Launch(t.Context(), asked)
		}
		ok(t, err)
		if again := launches(t, h, asked); again != id {
			t.Errorf("got %s, and then %s", id, again)
		}
		if i := launched(t, h)[0]; !maps.Equal(i.Tags, asked.Tags) {
			t.Errorf("got %+v", i)
		}
		host, err := h.Restorer.Host(t.Context(), id)
		ok(t, err)
		if host.Zone != h.Zone || host.Root != spec.Model.Root || len(host.Disks) != len(spec.Disks) {
			t.Errorf("got %+v", host)
		}
		stays := ""
		for _, d := range host.Disks {
			n := slices.IndexFunc(spec.Disks, func(s cloud.ImageDisk) bool { return s.Device == d.Device })
			if n < 0 || d.Source != spec.Disks[n].Snapshot || d.Ends != spec.Disks[n].Ends || d.Kind != spec.Disks[n].Kind || d.Tags[cloud.TagRestore] != restoreID {
				t.Errorf("got %+v", d)
			}
			if !d.Ends {
				stays = d.ID
			}
		}
		terminates(t, h, id)
		ok(t, h.Restorer.Terminate(t.Context(), id))
		ok(t, h.Restorer.Terminate(t.Context(), h.Absent))
		within(t, moved, "the disk that stays is free", func() bool {
			return slices.Equal(markedDisks(t, h), []string{stays}) && oneDisk(t, h, stays).State == cloud.DiskFree
		})
	})},
	{"image/an instance that has not run yet is ended", images(func(t *testing.T, h Harness) {
		spec := imageSpec(t, h, whole(t, h))
		id, err := h.Restorer.Launch(t.Context(), launch(h, registers(t, h, spec), spec))
		ok(t, err)
		terminates(t, h, id)
	})},
	{"image/an instance of none", images(func(t *testing.T, h Harness) {
		spec := imageSpec(t, h, whole(t, h))
		id := registers(t, h, spec)
		ok(t, h.Restorer.Deregister(t.Context(), id))
		_, err := h.Restorer.Launch(t.Context(), launch(h, id, spec))
		wantCode(t, err, fault.RestoreRefused)
		if found := launched(t, h); len(found) > 0 {
			t.Errorf("made %+v", found)
		}
	})},
	{"image/takes marks off", images(func(t *testing.T, h Harness) {
		spec := imageSpec(t, h, whole(t, h))
		image := registers(t, h, spec)
		host := launches(t, h, launch(h, image, spec))
		disks := markedDisks(t, h)
		for range 2 {
			ok(t, h.Restorer.Unmark(t.Context(), append(disks, image, host), []string{cloud.TagRestore, "none"}))
		}
		within(t, visible, "the marks are off", func() bool { return len(imaged(t, h))+len(launched(t, h))+len(markedDisks(t, h)) == 0 })
		if i, err := h.Restorer.Images(t.Context(), "owner", "somebody"); err != nil || len(i) != 1 || i[0].ID != image {
			t.Errorf("got %+v, %v", i, err)
		}
		ok(t, h.Restorer.Unmark(t.Context(), nil, []string{cloud.TagRestore}))
	})},
	{"image/may not", images(denied(imaging))},
	{"image/asks again when throttled", images(throttled(imaging))},
}

// imaging are calls that all succeed, one after the other.
func imaging(t *testing.T, h Harness) []change {
	ctx, spec := t.Context(), imageSpec(t, h, whole(t, h))
	image := registers(t, h, spec)
	host := launches(t, h, launch(h, image, spec))
	second := spec
	second.Name, second.Tags = spec.Name+"-2", map[string]string{cloud.TagRestore: "another"}
	return []change{
		{MakeImage, func() error { _, err := h.Restorer.Register(ctx, second); return err }},
		{FindImages, func() error { _, err := h.Restorer.Images(ctx, cloud.TagRestore, restoreID); return err }},
		{FindHosts, func() error { _, err := h.Restorer.Launched(ctx, cloud.TagRestore, restoreID); return err }},
		{Launch, func() error {
			asked := launch(h, image, spec)
			asked.Token = "another"
			_, err := h.Restorer.Launch(ctx, asked)
			return err
		}},
		{UnmarkDisk, func() error { return h.Restorer.Unmark(ctx, []string{image}, []string{"owner"}) }},
		{DropImage, func() error { return h.Restorer.Deregister(ctx, image) }},
		{EndHost, func() error { return h.Restorer.Terminate(ctx, host) }},
	}
}
