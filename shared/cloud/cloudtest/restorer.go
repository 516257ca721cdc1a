package cloudtest

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/run"
)

const (
	// moved is how long a disk or an instance may be between two states here.
	moved = 2 * time.Minute

	restoreID = "restore-1"
)

// restores is a test of a provider that restores; not all of them do.
func restores(do func(t *testing.T, h Harness)) func(t *testing.T, h Harness) {
	return func(t *testing.T, h Harness) {
		if h.Restorer == nil {
			t.Skip("the provider has no cloud.Restorer")
		}
		do(t, h)
	}
}

// sources makes a set of the data volumes that disks can be made of.
func sources(t *testing.T, h Harness) (set []cloud.Source) {
	t.Helper()
	_, err := h.Provider.CreateSet(t.Context(), dataSpec(h))
	ok(t, err)
	within(t, complete, "the set is complete", func() bool {
		set, err = h.Restorer.Sources(t.Context(), runID)
		ok(t, err)
		return len(set) == len(h.Running.Data) && !slices.ContainsFunc(set, func(s cloud.Source) bool { return s.State != run.Completed })
	})
	return set
}

// diskSpec asks for a disk of a snapshot where the running instance is.
func diskSpec(h Harness, s cloud.Source) cloud.DiskSpec {
	return cloud.DiskSpec{
		Snapshot: s.ID, Zone: h.Zone, SizeGiB: s.SizeGiB, Token: "token of " + s.ID,
		Tags: map[string]string{cloud.TagRestore: restoreID, cloud.TagOrigin: s.VolumeID},
	}
}

// oneDisk is a disk as it is now; the zero one does not exist.
func oneDisk(t *testing.T, h Harness, id string) cloud.Disk {
	t.Helper()
	found, err := h.Restorer.Disks(t.Context(), []string{id})
	ok(t, err)
	if len(found) == 0 {
		return cloud.Disk{}
	}
	return found[0]
}

// is waits until a disk is in a state.
func is(t *testing.T, h Harness, id string, state cloud.DiskState) cloud.Disk {
	t.Helper()
	within(t, moved, id+" is "+string(state), func() bool { return oneDisk(t, h, id).State == state })
	return oneDisk(t, h, id)
}

// hostIs waits until the running instance is in a state.
func hostIs(t *testing.T, h Harness, state cloud.HostState) {
	t.Helper()
	within(t, moved, "the instance is "+string(state), func() bool {
		host, err := h.Restorer.Host(t.Context(), h.Running.ID)
		ok(t, err)
		return host.State == state
	})
}

// makesDisk makes a disk and waits for it.
func makesDisk(t *testing.T, h Harness, spec cloud.DiskSpec) string {
	t.Helper()
	id, err := h.Restorer.MakeDisk(t.Context(), spec)
	ok(t, err)
	is(t, h, id, cloud.DiskFree)
	return id
}

// free is a device's name that no disk of the running instance has.
func free(t *testing.T, h Harness) string {
	t.Helper()
	host, err := h.Restorer.Host(t.Context(), h.Running.ID)
	ok(t, err)
	for _, name := range host.Names {
		if !slices.ContainsFunc(host.Disks, func(d cloud.Disk) bool { return d.Device == name }) {
			return name
		}
	}
	t.Fatal("no name is free")
	return ""
}

// markedDisks are the ids of the disks that carry the restore's mark by now.
func markedDisks(t *testing.T, h Harness) (ids []string) {
	t.Helper()
	found, err := h.Restorer.Marked(t.Context(), cloud.TagRestore, restoreID)
	ok(t, err)
	for _, d := range found {
		ids = append(ids, d.ID)
	}
	return ids
}

var restorer = []test{
	{"restore/an instance with its disks", restores(func(t *testing.T, h Harness) {
		host, err := h.Restorer.Host(t.Context(), h.Running.ID)
		ok(t, err)
		if host.ID != h.Running.ID || host.State != cloud.HostRunning || host.Zone != h.Zone || host.Root == "" || len(host.Names) < 10 ||
			host.Usual == "" || host.Ephemeral || host.Managed != "" || host.Target.InstanceID != h.Running.ID || host.Target.Region == "" {
			t.Errorf("got %+v", host)
		}
		for key, want := range h.Running.Tags {
			if host.Tags[key] != want {
				t.Errorf("tag %s: got %q, want %q", key, host.Tags[key], want)
			}
		}
		var ids []string
		for _, d := range host.Disks {
			ids = append(ids, d.ID)
			if d.State != cloud.DiskAttached || d.Instance != h.Running.ID || d.Device == "" || d.Zone != h.Zone || d.SizeGiB < 1 || d.Kind == "" {
				t.Errorf("got %+v", d)
			}
			if boot := d.ID == h.Running.Boot; boot != (d.Device == host.Root) {
				t.Errorf("%s is %s, and the boot disk is %s", d.ID, d.Device, host.Root)
			}
		}
		if want := append([]string{h.Running.Boot}, h.Running.Data...); !slices.Equal(slices.Sorted(slices.Values(ids)), slices.Sorted(slices.Values(want))) {
			t.Errorf("got the disks %v, want %v", ids, want)
		}
		if host, err = h.Restorer.Host(t.Context(), h.Stopped); err != nil || host.State != cloud.HostStopped {
			t.Errorf("got %+v, %v", host, err)
		}
		for _, id := range []string{h.Absent, "nonsense"} {
			_, err := h.Restorer.Host(t.Context(), id)
			wantCode(t, err, fault.InstanceNotFound)
		}
	})},
	{"restore/the members of a set", restores(func(t *testing.T, h Harness) {
		set := sources(t, h)
		for _, s := range set {
			if s.ID == "" || s.SizeGiB < 1 || !slices.Contains(h.Running.Data, s.VolumeID) || s.Tags[cloud.TagRun] != runID || s.Key != "" ||
				s.StartedAt.IsZero() || !s.StartedAt.Equal(set[0].StartedAt) {
				t.Errorf("got %+v", s)
			}
		}
		if none, err := h.Restorer.Sources(t.Context(), "nobody"); err != nil || len(none) > 0 {
			t.Errorf("of another run: got %v, %v", none, err)
		}
	})},
	{"restore/a disk that does not exist is left out", restores(func(t *testing.T, h Harness) {
		found, err := h.Restorer.Disks(t.Context(), []string{h.Running.Data[0], h.AbsentDisk})
		ok(t, err)
		if len(found) != 1 || found[0].ID != h.Running.Data[0] {
			t.Errorf("got %+v", found)
		}
		if found, err = h.Restorer.Disks(t.Context(), nil); err != nil || len(found) > 0 {
			t.Errorf("of none: got %+v, %v", found, err)
		}
	})},
	{"restore/makes a disk once", restores(func(t *testing.T, h Harness) {
		s := sources(t, h)[0]
		spec := diskSpec(h, s)
		ok(t, h.Restorer.MayMake(t.Context(), spec))
		if h.Attempts(MakeDisk) > 0 {
			time.Sleep(visible)
			if made := markedDisks(t, h); len(made) > 0 {
				t.Errorf("a question has made %v", made)
			}
		}
		h.Trouble(MakeDisk, LostReply)
		first, err := h.Restorer.MakeDisk(t.Context(), spec)
		ok(t, err)
		again, err := h.Restorer.MakeDisk(t.Context(), spec)
		ok(t, err)
		if first != again {
			t.Errorf("two calls of one token made %s and %s", first, again)
		}
		d := is(t, h, first, cloud.DiskFree)
		if d.Source != s.ID || d.Zone != h.Zone || d.SizeGiB < s.SizeGiB || d.Kind == "" || d.Instance != "" || d.Device != "" || d.Ends || d.Tags[cloud.TagOrigin] != s.VolumeID {
			t.Errorf("got %+v", d)
		}
		within(t, visible, "the mark is seen", func() bool { return slices.Equal(markedDisks(t, h), []string{first}) })
	})},
	{"restore/refuses to make a disk", restores(func(t *testing.T, h Harness) {
		set := sources(t, h)
		for what, c := range map[string]struct {
			change func(*cloud.DiskSpec)
			code   fault.Code
		}{
			"the snapshot is gone": {func(s *cloud.DiskSpec) { s.Snapshot = h.AbsentSnapshot }, fault.SetNotRestorable},
			"no such zone":         {func(s *cloud.DiskSpec) { s.Zone = "nowhere" }, fault.RestoreRefused},
		} {
			spec := diskSpec(h, set[0])
			spec.Token = what
			c.change(&spec)
			if err := h.Restorer.MayMake(t.Context(), spec); err != nil { // as far as it can be told
				wantCode(t, err, c.code)
			}
			_, err := h.Restorer.MakeDisk(t.Context(), spec)
			wantCode(t, err, c.code)
		}
		spec := diskSpec(h, set[0])
		h.Trouble(MakeDisk, Deny)
		_, err := h.Restorer.MakeDisk(t.Context(), spec)
		wantCode(t, err, fault.AccessDenied)
		time.Sleep(visible)
		if made := markedDisks(t, h); len(made) > 0 {
			t.Errorf("made %v", made)
		}
		other := diskSpec(h, set[1])
		makesDisk(t, h, spec)
		other.Token = spec.Token
		_, err = h.Restorer.MakeDisk(t.Context(), other)
		wantCode(t, err, fault.RestoreRefused)
	})},
	{"restore/attaches and detaches", restores(func(t *testing.T, h Harness) {
		spec := diskSpec(h, sources(t, h)[0])
		id, err := h.Restorer.MakeDisk(t.Context(), spec)
		ok(t, err)
		device := free(t, h)
		if d := oneDisk(t, h, id); d.State == cloud.DiskMaking {
			wantCode(t, h.Restorer.Attach(t.Context(), h.Running.ID, id, device), fault.VolumeBusy)
		}
		is(t, h, id, cloud.DiskFree)
		ok(t, h.Restorer.Attach(t.Context(), h.Running.ID, id, device))
		if d := oneDisk(t, h, id); d.State != cloud.DiskAttaching && d.State != cloud.DiskAttached {
			t.Errorf("once it is asked for: got %+v", d)
		}
		d := is(t, h, id, cloud.DiskAttached)
		if d.Instance != h.Running.ID || d.Device != device || d.Ends {
			t.Errorf("got %+v", d)
		}
		wantCode(t, h.Restorer.Attach(t.Context(), h.Running.ID, id, device), fault.VolumeBusy)
		wantCode(t, h.Restorer.DeleteDisk(t.Context(), id), fault.VolumeBusy)

		ok(t, h.Restorer.Detach(t.Context(), h.Running.ID, id))
		if d := oneDisk(t, h, id); d.State != cloud.DiskDetaching && d.State != cloud.DiskFree {
			t.Errorf("once it is asked for: got %+v", d)
		}
		d = is(t, h, id, cloud.DiskFree)
		if d.Instance != "" || d.Device != "" {
			t.Errorf("got %+v", d)
		}
		wantCode(t, h.Restorer.Detach(t.Context(), h.Running.ID, id), fault.VolumeBusy)
	})},
	{"restore/refuses to attach", restores(func(t *testing.T, h Harness) {
		set := sources(t, h)
		id := makesDisk(t, h, diskSpec(h, set[0]))
		taken := oneDisk(t, h, h.Running.Data[0]).Device
		far := diskSpec(h, set[1])
		far.Zone = h.OtherZone
		elsewhere := makesDisk(t, h, far)
		for what, c := range map[string]struct {
			instance, disk, device string
			code                   fault.Code
		}{
			"the name is taken":         {h.Running.ID, id, taken, fault.RestoreRefused},
			"the disk is elsewhere":     {h.Running.ID, elsewhere, free(t, h), fault.RestoreRefused},
			"the disk does not exist":   {h.Running.ID, h.AbsentDisk, free(t, h), fault.RestoreRefused},
			"the instance does not":     {h.Absent, id, free(t, h), fault.InstanceNotFound},
			"the disk is another one's": {h.Stopped, h.Running.Data[0], free(t, h), fault.VolumeBusy},
		} {
			if got := fault.CodeOf(h.Restorer.Attach(t.Context(), c.instance, c.disk, c.device)); got != c.code {
				t.Errorf("%s: got %q, want %q", what, got, c.code)
			}
		}
		for _, d := range []string{id, elsewhere} {
			if got := oneDisk(t, h, d); got.State != cloud.DiskFree {
				t.Errorf("got %+v", got)
			}
		}
	})},
	{"restore/does not take the boot disk from what runs", restores(func(t *testing.T, h Harness) {
		if got := fault.CodeOf(h.Restorer.Detach(t.Context(), h.Running.ID, h.Running.Boot)); got != fault.RestoreRefused && got != fault.VolumeBusy {
			t.Errorf("got %q", got)
		}
		if d := oneDisk(t, h, h.Running.Boot); d.State != cloud.DiskAttached {
			t.Errorf("got %+v", d)
		}
	})},
	{"restore/says which disks end with the instance", restores(func(t *testing.T, h Harness) {
		one, two := oneDisk(t, h, h.Running.Data[0]), oneDisk(t, h, h.Running.Data[1])
		for _, want := range []bool{true, false} {
			for range 2 {
				ok(t, h.Restorer.Bind(t.Context(), h.Running.ID, map[string]bool{one.Device: want, two.Device: !want}))
				if a, b := oneDisk(t, h, one.ID), oneDisk(t, h, two.ID); a.Ends != want || b.Ends == want {
					t.Errorf("got %t and %t, want %t and %t", a.Ends, b.Ends, want, !want)
				}
			}
		}
		ok(t, h.Restorer.Bind(t.Context(), h.Running.ID, nil))
		wantCode(t, h.Restorer.Bind(t.Context(), h.Running.ID, map[string]bool{free(t, h): true}), fault.RestoreRefused)
	})},
	{"restore/stops and starts", restores(func(t *testing.T, h Harness) {
		ok(t, h.Restorer.Start(t.Context(), h.Running.ID)) // it runs
		ok(t, h.Restorer.Stop(t.Context(), h.Running.ID))
		ok(t, h.Restorer.Stop(t.Context(), h.Running.ID)) // it is on its way
		hostIs(t, h, cloud.HostStopped)
		ok(t, h.Restorer.Stop(t.Context(), h.Running.ID))
		ok(t, h.Restorer.Start(t.Context(), h.Running.ID))
		ok(t, h.Restorer.Start(t.Context(), h.Running.ID))
		hostIs(t, h, cloud.HostRunning)
		for _, do := range []func(context.Context, string) error{h.Restorer.Stop, h.Restorer.Start} {
			wantCode(t, do(t.Context(), h.Absent), fault.InstanceNotFound)
		}
	})},
	{"restore/marks disks", restores(func(t *testing.T, h Harness) {
		tags := map[string]string{cloud.TagRestore: restoreID, cloud.TagDevice: "/dev/sdf"}
		keys := []string{cloud.TagRestore, cloud.TagDevice}
		for range 2 {
			ok(t, h.Restorer.MarkDisks(t.Context(), h.Running.Data, tags))
		}
		within(t, visible, "the marks are seen", func() bool { return len(markedDisks(t, h)) == len(h.Running.Data) })
		if d := oneDisk(t, h, h.Running.Data[1]); d.Tags[cloud.TagDevice] != "/dev/sdf" {
			t.Errorf("got %+v", d)
		}
		for range 2 {
			ok(t, h.Restorer.UnmarkDisks(t.Context(), h.Running.Data[:1], keys))
		}
		within(t, visible, "a mark is off", func() bool { return slices.Equal(markedDisks(t, h), h.Running.Data[1:]) })
		ok(t, h.Restorer.MarkDisks(t.Context(), nil, tags))
		ok(t, h.Restorer.UnmarkDisks(t.Context(), nil, keys))
		wantCode(t, h.Restorer.MarkDisks(t.Context(), []string{h.AbsentDisk}, tags), fault.RestoreRefused)
	})},
	{"restore/deletes a disk", restores(func(t *testing.T, h Harness) {
		id := makesDisk(t, h, diskSpec(h, sources(t, h)[0]))
		h.Trouble(DeleteDisk, LostReply)
		for range 2 { // the second time there is none
			ok(t, h.Restorer.DeleteDisk(t.Context(), id))
		}
		within(t, moved, "it is gone", func() bool { return oneDisk(t, h, id).ID == "" && len(markedDisks(t, h)) == 0 })
		ok(t, h.Restorer.DeleteDisk(t.Context(), h.AbsentDisk))
	})},
	{"restore/may not", restores(denied(changes))},
	{"restore/asks again when throttled", restores(throttled(changes))},
}

// denied wants each of the calls to say that it may not.
func denied(calls func(*testing.T, Harness) []change) func(*testing.T, Harness) {
	return func(t *testing.T, h Harness) {
		for _, c := range calls(t, h) {
			h.Trouble(c.op, Deny)
			if got := fault.CodeOf(c.do()); got != fault.AccessDenied {
				t.Errorf("%s: got %q", c.op, got)
			}
		}
	}
}

// throttled wants each of them to be made again.
func throttled(calls func(*testing.T, Harness) []change) func(*testing.T, Harness) {
	return func(t *testing.T, h Harness) {
		for _, c := range calls(t, h) {
			h.Trouble(c.op, Throttle)
			if err := c.do(); err != nil {
				t.Errorf("%s: got %v", c.op, err)
			}
		}
	}
}

type change struct {
	op Op
	do func() error
}

// changes are calls that all succeed, one after the other.
func changes(t *testing.T, h Harness) []change {
	ctx, set := t.Context(), sources(t, h)
	attached, loose := makesDisk(t, h, diskSpec(h, set[0])), makesDisk(t, h, diskSpec(h, set[1]))
	ok(t, h.Restorer.Attach(ctx, h.Running.ID, attached, free(t, h)))
	d := is(t, h, attached, cloud.DiskAttached)
	third, fourth := diskSpec(h, set[0]), diskSpec(h, set[0])
	third.Token, fourth.Token = "a third", "a fourth"
	gone := makesDisk(t, h, third)
	return []change{
		{MakeDisk, func() error { _, err := h.Restorer.MakeDisk(ctx, fourth); return err }},
		{FindDisks, func() error { _, err := h.Restorer.Marked(ctx, cloud.TagRestore, restoreID); return err }},
		{AttachDisk, func() error { return h.Restorer.Attach(ctx, h.Running.ID, loose, free(t, h)) }},
		{DetachDisk, func() error { return h.Restorer.Detach(ctx, h.Running.ID, h.Running.Data[1]) }},
		{BindDisk, func() error { return h.Restorer.Bind(ctx, h.Running.ID, map[string]bool{d.Device: true}) }},
		{MarkDisk, func() error { return h.Restorer.MarkDisks(ctx, []string{attached}, map[string]string{"a": "b"}) }},
		{UnmarkDisk, func() error { return h.Restorer.UnmarkDisks(ctx, []string{attached}, []string{"a"}) }},
		{DeleteDisk, func() error { return h.Restorer.DeleteDisk(ctx, gone) }},
		{StopHost, func() error { return h.Restorer.Stop(ctx, h.Running.ID) }},
		{StartHost, func() error { return h.Restorer.Start(ctx, h.Stopped) }},
	}
}
