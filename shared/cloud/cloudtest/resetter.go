package cloudtest

import (
	"slices"
	"testing"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/run"
)

// resets is a test of a provider that sets disks back; not all of them do.
func resets(do func(t *testing.T, h Harness, r cloud.Resetter)) func(t *testing.T, h Harness) {
	return restores(func(t *testing.T, h Harness) {
		r, err := cloud.ResetterOf(h.Restorer)
		if err != nil {
			wantCode(t, err, fault.InvalidInput)
			t.Skip("the provider has no cloud.Resetter")
		}
		do(t, h, r)
	})
}

func keepSpec(h Harness) cloud.KeepSpec {
	return cloud.KeepSpec{
		Instance: h.Running.ID, Disks: h.Running.Data, Token: "token of " + restoreID, Tags: map[string]string{cloud.TagRestore: restoreID},
	}
}

// keptIs waits until as many snapshots of the restore are there, all complete.
func keptIs(t *testing.T, r cloud.Resetter, n int) (set []cloud.Source) {
	t.Helper()
	within(t, complete, "what is kept is whole", func() bool {
		var err error
		set, err = r.Kept(t.Context(), restoreID)
		ok(t, err)
		return len(set) == n && !slices.ContainsFunc(set, func(s cloud.Source) bool { return s.State != run.Completed })
	})
	return set
}

var resetter = []test{
	{"reset/keeps what is on the disks, once", resets(func(t *testing.T, h Harness, r cloud.Resetter) {
		if none, err := r.Kept(t.Context(), restoreID); err != nil || len(none) > 0 {
			t.Errorf("before: got %v, %v", none, err)
		}
		h.Trouble(CreateSet, LostReply)
		for range 2 {
			ok(t, r.Keep(t.Context(), keepSpec(h)))
		}
		set := keptIs(t, r, len(h.Running.Data))
		for _, s := range set {
			if !slices.Contains(h.Running.Data, s.VolumeID) || s.SizeGiB < 1 || s.Tags[cloud.TagRestore] != restoreID || s.Tags[cloud.TagRun] != "" {
				t.Errorf("got %+v", s)
			}
		}
		if h.Keeper != nil {
			if all, _ := listed(t, h, ""); len(all) > 0 {
				t.Errorf("retention sees %v", all)
			}
		}
		for range 2 {
			ok(t, r.Drop(t.Context(), restoreID))
		}
		keptIs(t, r, 0)
	})},
	{"reset/keeps nothing while a snapshot begins", resets(func(t *testing.T, h Harness, r cloud.Resetter) {
		_, err := h.Provider.CreateSet(t.Context(), dataSpec(h))
		ok(t, err)
		if err := r.Keep(t.Context(), keepSpec(h)); err != nil {
			wantCode(t, err, fault.VolumeBusy)
		}
		within(t, complete, "it keeps", func() bool { return r.Keep(t.Context(), keepSpec(h)) == nil })
		keptIs(t, r, len(h.Running.Data))
	})},
	{"reset/drops no set of a run", resets(func(t *testing.T, h Harness, r cloud.Resetter) {
		spec := dataSpec(h)
		spec.Tags[cloud.TagRestore] = restoreID
		_, err := h.Provider.CreateSet(t.Context(), spec)
		ok(t, err)
		made(t, h, spec)
		wantCode(t, r.Drop(t.Context(), restoreID), fault.RestoreRefused)
		made(t, h, spec)
	})},
	{"reset/may be asked", resets(func(t *testing.T, h Harness, r cloud.Resetter) {
		set := sources(t, h)
		for what, c := range map[string]struct {
			instance, disk, snapshot string
			code                     fault.Code
		}{
			"as it runs":              {h.Running.ID, set[0].VolumeID, set[0].ID, ""},
			"of another disk":         {h.Running.ID, set[0].VolumeID, set[1].ID, fault.SetNotRestorable},
			"the snapshot is gone":    {h.Running.ID, set[0].VolumeID, h.AbsentSnapshot, fault.SetNotRestorable},
			"the disk does not exist": {h.Running.ID, h.AbsentDisk, set[0].ID, fault.RestoreRefused},
			"the instance does not":   {h.Absent, set[0].VolumeID, set[0].ID, fault.InstanceNotFound},
		} {
			if got := fault.CodeOf(r.MayReset(t.Context(), c.instance, c.disk, c.snapshot)); got != c.code {
				t.Errorf("%s: got %q, want %q", what, got, c.code)
			}
		}
		wantCode(t, r.TryReset(t.Context(), set[0].VolumeID, set[0].ID), fault.VolumeBusy) // its instance runs
		ok(t, h.Restorer.Stop(t.Context(), h.Running.ID))
		hostIs(t, h, cloud.HostStopped)
		ok(t, r.TryReset(t.Context(), set[0].VolumeID, set[0].ID))
		wantCode(t, r.TryReset(t.Context(), set[0].VolumeID, set[1].ID), fault.SetNotRestorable)
		h.Trouble(ResetDisk, Deny)
		wantCode(t, r.TryReset(t.Context(), set[0].VolumeID, set[0].ID), fault.AccessDenied)
		for _, s := range set {
			if d := oneDisk(t, h, s.VolumeID); d.State != cloud.DiskAttached {
				t.Errorf("a question has changed %+v", d)
			}
		}
	})},
	{"reset/sets a disk back", resets(func(t *testing.T, h Harness, r cloud.Resetter) {
		set := sources(t, h)
		id, snapshot := set[0].VolumeID, set[0].ID
		before := oneDisk(t, h, id)
		wantCode(t, r.Reset(t.Context(), id, snapshot), fault.VolumeBusy) // its instance runs
		ok(t, h.Restorer.Stop(t.Context(), h.Running.ID))
		hostIs(t, h, cloud.HostStopped)
		wantCode(t, r.Reset(t.Context(), id, set[1].ID), fault.SetNotRestorable)
		wantCode(t, r.Reset(t.Context(), id, h.AbsentSnapshot), fault.SetNotRestorable)
		ok(t, r.Keep(t.Context(), keepSpec(h)))
		wantCode(t, r.Reset(t.Context(), id, snapshot), fault.VolumeBusy) // of which a snapshot is being taken
		keptIs(t, r, len(h.Running.Data))

		ok(t, r.Reset(t.Context(), id, snapshot))
		if d := oneDisk(t, h, id); d.State == cloud.DiskResetting {
			wantCode(t, r.Reset(t.Context(), id, snapshot), fault.VolumeBusy)
			wantCode(t, h.Restorer.Start(t.Context(), h.Running.ID), fault.VolumeBusy)
		}
		after := is(t, h, id, cloud.DiskAttached)
		if after.Instance != before.Instance || after.Device != before.Device || after.Ends != before.Ends {
			t.Errorf("got %+v, was %+v", after, before)
		}
		ok(t, r.Reset(t.Context(), id, snapshot)) // once more
		is(t, h, id, cloud.DiskAttached)
		ok(t, h.Restorer.Start(t.Context(), h.Running.ID))
	})},
	{"reset/may not", resets(func(t *testing.T, h Harness, r cloud.Resetter) {
		set := sources(t, h)
		h.Trouble(CreateSet, Deny)
		wantCode(t, r.Keep(t.Context(), keepSpec(h)), fault.AccessDenied)
		h.Trouble(ResetDisk, Deny)
		wantCode(t, r.Reset(t.Context(), set[0].VolumeID, set[0].ID), fault.AccessDenied)
		ok(t, r.Keep(t.Context(), keepSpec(h)))
		keptIs(t, r, len(h.Running.Data))
		h.Trouble(DropSet, Deny)
		wantCode(t, r.Drop(t.Context(), restoreID), fault.AccessDenied)
		keptIs(t, r, len(h.Running.Data))
	})},
}
