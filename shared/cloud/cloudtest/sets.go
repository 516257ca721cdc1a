package cloudtest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/run"
)

const (
	// visible is how long a new set may be missing from FindSet.
	visible = 10 * time.Second
	// complete is how long a provider's set may be pending here.
	complete = 10 * time.Minute
	runID    = "nightly-1"
)

// dataSpec asks for the data volumes, but for those left out.
func dataSpec(h Harness, exclude ...string) cloud.SetSpec {
	spec := cloud.SetSpec{
		InstanceID: h.Running.ID, ExcludeBoot: true, Boot: h.Running.Boot, Exclude: exclude, Description: "conformance",
		Tags: map[string]string{cloud.TagRun: runID, cloud.TagHold: "h1", cloud.TagPolicy: "nightly", "owner": "somebody"},
	}
	for _, id := range h.Running.Data {
		if !slices.Contains(exclude, id) {
			spec.Include = append(spec.Include, id)
		}
	}
	return spec
}

func volumesOf(set []run.Snapshot) (ids []string) {
	for _, s := range set {
		ids = append(ids, s.VolumeID)
	}
	slices.Sort(ids)
	return ids
}

func idsOf(set []run.Snapshot) (ids []string) {
	for _, s := range set {
		ids = append(ids, s.ID)
	}
	slices.Sort(ids)
	return ids
}

func find(t *testing.T, h Harness) (found []cloud.TaggedSnapshot, set []run.Snapshot) {
	t.Helper()
	found, err := h.Provider.FindSet(t.Context(), runID)
	ok(t, err)
	for _, s := range found {
		set = append(set, s.Snapshot)
	}
	return found, set
}

// made waits until FindSet shows the whole set of the spec.
func made(t *testing.T, h Harness, spec cloud.SetSpec) (found []cloud.TaggedSnapshot) {
	t.Helper()
	within(t, visible, "the set is found", func() bool {
		var set []run.Snapshot
		found, set = find(t, h)
		return slices.Equal(volumesOf(set), slices.Sorted(slices.Values(spec.Include)))
	})
	return found
}

// none waits out the time in which a set may still turn up.
func none(t *testing.T, h Harness) {
	t.Helper()
	time.Sleep(visible)
	if found, _ := find(t, h); len(found) > 0 {
		t.Errorf("got a set of %d, want none", len(found))
	}
}

func once(t *testing.T, h Harness) {
	t.Helper()
	if got := h.Attempts(CreateSet); got != 1 {
		t.Errorf("got %d attempts on the wire, want 1", got)
	}
}

// fails makes a set under a trouble that proves that nothing was made.
func fails(kind Kind, want fault.Code) func(*testing.T, Harness) {
	return func(t *testing.T, h Harness) {
		h.Trouble(CreateSet, kind)
		_, err := h.Provider.CreateSet(t.Context(), dataSpec(h))
		wantCode(t, err, want)
		once(t, h)
		none(t, h)
	}
}

var sets = []test{
	{"set/whole and tagged at creation", func(t *testing.T, h Harness) {
		spec := dataSpec(h)
		set, err := h.Provider.CreateSet(t.Context(), spec)
		ok(t, err)
		if got, want := volumesOf(set), slices.Sorted(slices.Values(h.Running.Data)); !slices.Equal(got, want) {
			t.Errorf("got snapshots of %v, want %v", got, want)
		}
		for _, s := range set {
			if s.ID == "" || s.State != run.Pending && s.State != run.Completed {
				t.Errorf("got %+v", s)
			}
		}
		for _, s := range made(t, h, spec) {
			for key, want := range spec.Tags {
				if s.Tags[key] != want {
					t.Errorf("%s, tag %s: got %q, want %q", s.ID, key, s.Tags[key], want)
				}
			}
			if !slices.Contains(idsOf(set), s.ID) || s.StartedAt.IsZero() || time.Since(s.StartedAt) > time.Minute {
				t.Errorf("found %+v", s)
			}
		}
		once(t, h)
	}},
	{"set/without an excluded volume", func(t *testing.T, h Harness) {
		spec := dataSpec(h, h.Running.Data[0])
		set, err := h.Provider.CreateSet(t.Context(), spec)
		ok(t, err)
		if got, want := volumesOf(set), slices.Sorted(slices.Values(spec.Include)); !slices.Equal(got, want) {
			t.Errorf("got snapshots of %v, want %v", got, want)
		}
	}},
	{"set/with the boot volume", func(t *testing.T, h Harness) {
		spec := dataSpec(h)
		spec.ExcludeBoot = false
		spec.Include = append(spec.Include, h.Running.Boot)
		set, err := h.Provider.CreateSet(t.Context(), spec)
		ok(t, err)
		if got, want := volumesOf(set), slices.Sorted(slices.Values(spec.Include)); !slices.Equal(got, want) {
			t.Errorf("got snapshots of %v, want %v", got, want)
		}
	}},
	{"set/lost reply", func(t *testing.T, h Harness) {
		spec := dataSpec(h)
		h.Trouble(CreateSet, LostReply)
		_, err := h.Provider.CreateSet(t.Context(), spec)
		wantCode(t, err, fault.SnapshotOutcomeUnknown)
		for _, s := range made(t, h, spec) {
			if s.Tags[cloud.TagHold] != "h1" {
				t.Errorf("found %+v without its hold", s)
			}
		}
		once(t, h)
	}},
	{"set/throttled", fails(Throttle, fault.SnapshotThrottled)},
	{"set/denied", fails(Deny, fault.AccessDenied)},
	{"set/of nobody", func(t *testing.T, h Harness) {
		spec := dataSpec(h)
		spec.InstanceID = h.Absent
		_, err := h.Provider.CreateSet(t.Context(), spec)
		wantCode(t, err, fault.SnapshotRefused)
		none(t, h)
	}},
	{"set/too soon", func(t *testing.T, h Harness) {
		spec := dataSpec(h)
		_, err := h.Provider.CreateSet(t.Context(), spec)
		ok(t, err)
		_, err = h.Provider.CreateSet(t.Context(), spec)
		wantCode(t, err, fault.SnapshotTooSoon)
		made(t, h, spec)
	}},
	{"set/none is found", func(t *testing.T, h Harness) {
		if found, _ := find(t, h); len(found) > 0 {
			t.Errorf("found %v", found)
		}
	}},
	{"set/looked for again when throttled", func(t *testing.T, h Harness) {
		h.Trouble(FindSet, Throttle)
		if found, _ := find(t, h); len(found) > 0 {
			t.Errorf("found %v", found)
		}
		if got := h.Attempts(FindSet); got != 2 {
			t.Errorf("got %d attempts, want 2", got)
		}
	}},
	{"set/completes", func(t *testing.T, h Harness) {
		set, err := h.Provider.CreateSet(t.Context(), dataSpec(h))
		ok(t, err)
		made(t, h, dataSpec(h))
		pending, err := h.Provider.Pending(t.Context(), append([]string{h.Running.Boot}, h.Running.Data...))
		ok(t, err)
		want := map[string]int{}
		for _, id := range h.Running.Data {
			want[id] = 1
		}
		if fmt.Sprint(pending) != fmt.Sprint(want) {
			t.Errorf("pending: got %v, want %v", pending, want)
		}
		ids := idsOf(set)
		within(t, complete, "the set completes", func() bool {
			now, err := h.Provider.Snapshots(t.Context(), ids)
			ok(t, err)
			for i, s := range now {
				if s.ID != ids[i] || s.State == run.Failed {
					t.Fatalf("got %+v, want %s", s, ids[i])
				}
			}
			return !slices.ContainsFunc(now, func(s run.Snapshot) bool { return s.State != run.Completed })
		})
		pending, err = h.Provider.Pending(t.Context(), h.Running.Data)
		ok(t, err)
		if len(pending) > 0 {
			t.Errorf("pending after completion: got %v", pending)
		}
	}},
	{"set/a snapshot that does not exist", func(t *testing.T, h Harness) {
		set, err := h.Provider.CreateSet(t.Context(), dataSpec(h))
		ok(t, err)
		made(t, h, dataSpec(h))
		missing := set[0].ID[:len(set[0].ID)-8] + "00000000"
		_, err = h.Provider.Snapshots(t.Context(), []string{set[0].ID, missing})
		wantCode(t, err, fault.SnapshotFailed)
	}},
	{"set/tagged again", func(t *testing.T, h Harness) {
		set, err := h.Provider.CreateSet(t.Context(), dataSpec(h))
		ok(t, err)
		verdict := map[string]string{cloud.TagConsistency: "filesystem", cloud.TagFs: "True", "owner": "somebody else"}
		for range 2 {
			ok(t, h.Provider.TagSnapshots(t.Context(), idsOf(set), verdict))
		}
		for _, s := range made(t, h, dataSpec(h)) {
			for key, want := range verdict {
				if s.Tags[key] != want {
					t.Errorf("%s, tag %s: got %q, want %q", s.ID, key, s.Tags[key], want)
				}
			}
			if s.Tags[cloud.TagHold] != "h1" {
				t.Errorf("%s lost a tag of its creation: %v", s.ID, s.Tags)
			}
		}
	}},
}
