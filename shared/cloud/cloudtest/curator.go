package cloudtest

import (
	"slices"
	"testing"
	"time"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/run"
)

// curated is a test of a provider that curates sets; not all of them do.
func curated(do func(t *testing.T, h Harness, ids []string)) func(t *testing.T, h Harness) {
	return func(t *testing.T, h Harness) {
		if h.Curator == nil {
			t.Skip("the provider has no cloud.Curator")
		}
		ids := stored(t, h)
		patiently(t, time.Hour, "the set is complete", func() bool {
			set, err := h.Provider.Snapshots(t.Context(), ids)
			ok(t, err)
			return set[0].State == run.Completed && set[1].State == run.Completed
		})
		do(t, h, ids)
	}
}

// patiently is within for what takes minutes or hours.
func patiently(t *testing.T, limit time.Duration, what string, done func() bool) {
	t.Helper()
	for started := time.Now(); !done(); time.Sleep(limit / 60) {
		if time.Since(started) > limit {
			t.Fatalf("%s: not within %s", what, limit)
		}
	}
}

const stranger = "210987654321"

func copySpec(h Harness, id string) cloud.CopySpec {
	return cloud.CopySpec{From: h.Curator.Region(), ID: id, Description: "a copy", Tags: map[string]string{
		cloud.TagRun: runID, cloud.TagPolicy: "nightly", cloud.TagCopyOf: h.Curator.Region() + "/" + id,
	}}
}

// copies are what is in the other Region, once it is listed.
func copies(t *testing.T, h Harness) []cloud.Stored {
	t.Helper()
	time.Sleep(visible)
	stock, err := h.Abroad.Stored(t.Context(), "nightly")
	ok(t, err)
	return stock.Snapshots
}

var curator = []test{
	{"curator/copies to another Region", curated(func(t *testing.T, h Harness, ids []string) {
		if h.Abroad.Region() == h.Curator.Region() {
			t.Fatalf("both are %s", h.Abroad.Region())
		}
		id, err := h.Abroad.Copy(t.Context(), copySpec(h, ids[0]))
		ok(t, err)
		got := copies(t, h)
		if len(got) != 1 || got[0].ID != id || got[0].State != run.Pending || got[0].Tags[cloud.TagCopyOf] != h.Curator.Region()+"/"+ids[0] || got[0].Tags[cloud.TagRun] != runID {
			t.Fatalf("got %+v", got)
		}
		patiently(t, time.Hour, "the copy is complete", func() bool { return copies(t, h)[0].State == run.Completed })
		if here, _ := listed(t, h, "nightly"); !slices.Equal(here, ids) {
			t.Errorf("here: got %v, want %v", here, ids)
		}
	})},
	{"curator/copies what was lost once", curated(func(t *testing.T, h Harness, ids []string) {
		before := h.Attempts(Copy)
		h.Trouble(Copy, LostReply)
		_, err := h.Abroad.Copy(t.Context(), copySpec(h, ids[0]))
		wantCode(t, err, fault.SnapshotOutcomeUnknown)
		if n := h.Attempts(Copy) - before; n != 1 {
			t.Errorf("got %d attempts, want 1", n)
		}
		if got := copies(t, h); len(got) != 1 {
			t.Errorf("got %+v", got)
		}
	})},
	{"curator/does not copy when throttled or denied", curated(func(t *testing.T, h Harness, ids []string) {
		for kind, want := range map[Kind]fault.Code{Throttle: fault.SnapshotThrottled, Deny: fault.AccessDenied} {
			h.Trouble(Copy, kind)
			_, err := h.Abroad.Copy(t.Context(), copySpec(h, ids[0]))
			wantCode(t, err, want)
		}
		if got := copies(t, h); len(got) > 0 {
			t.Errorf("got %+v", got)
		}
	})},
	{"curator/says when too many copies are on their way", curated(func(t *testing.T, h Harness, ids []string) {
		for i := range 1000 {
			_, err := h.Abroad.Copy(t.Context(), copySpec(h, ids[0]))
			if fault.CodeOf(err) == fault.CopyLimitReached {
				if i == 0 {
					t.Error("the first was refused")
				}
				return
			}
			ok(t, err)
		}
		t.Error("there is no limit")
	})},
	{"curator/copies nothing that is not there", curated(func(t *testing.T, h Harness, ids []string) {
		ok(t, h.Keeper.DeleteSnapshot(t.Context(), ids[0]))
		_, err := h.Abroad.Copy(t.Context(), copySpec(h, ids[0]))
		wantCode(t, err, fault.SnapshotRefused)
	})},
	{"curator/a key shows in the copy", curated(func(t *testing.T, h Harness, ids []string) {
		spec := copySpec(h, ids[0])
		spec.Key = h.Key
		_, err := h.Abroad.Copy(t.Context(), spec)
		ok(t, err)
		if got := copies(t, h); len(got) != 1 || got[0].Key != h.Key {
			t.Errorf("got %+v", got)
		}
		for key, want := range map[string]bool{"": true, h.Key: true, h.ManagedKey: false} {
			if got, err := h.Abroad.Giveable(t.Context(), key); err != nil || got != want {
				t.Errorf("%q: got %t, %v", key, got, err)
			}
		}
	})},
	{"curator/shares and takes it back", curated(func(t *testing.T, h Harness, ids []string) {
		for range 2 { // the second time it is so already
			ok(t, h.Curator.Share(t.Context(), ids[0], []string{stranger}))
		}
		held, err := h.Keeper.Holds(t.Context(), ids)
		ok(t, err)
		if len(held) != 1 {
			t.Errorf("got %v", held)
		}
		for range 2 {
			ok(t, h.Curator.Unshare(t.Context(), ids[0], []string{stranger}))
		}
		if held, err = h.Keeper.Holds(t.Context(), ids); err != nil || len(held) > 0 {
			t.Errorf("got %v, %v", held, err)
		}
	})},
	{"curator/locks", curated(func(t *testing.T, h Harness, ids []string) {
		if locks, err := h.Curator.Locks(t.Context(), ids); err != nil || len(locks) > 0 {
			t.Fatalf("got %v, %v", locks, err)
		}
		now := time.Now()
		ok(t, h.Curator.Lock(t.Context(), ids[0], cloud.Lock{Days: 3}))
		ok(t, h.Curator.Lock(t.Context(), ids[1], cloud.Lock{Days: 5, Compliance: true, CoolOffHours: 2}))
		locks, err := h.Curator.Locks(t.Context(), ids)
		ok(t, err)
		for i, days := range []int{3, 5} {
			if d := locks[ids[i]].Sub(now.AddDate(0, 0, days)); d < -time.Minute || d > time.Minute {
				t.Errorf("%s: got %s", ids[i], locks[ids[i]])
			}
			wantCode(t, h.Keeper.DeleteSnapshot(t.Context(), ids[i]), fault.SnapshotRefused)
		}
		time.Sleep(4 * 24 * time.Hour)
		ok(t, h.Keeper.DeleteSnapshot(t.Context(), ids[0]))
		if locks, err = h.Curator.Locks(t.Context(), ids); err != nil || len(locks) != 1 {
			t.Errorf("of one that is gone: got %v, %v", locks, err)
		}
	})},
	{"curator/archives", curated(func(t *testing.T, h Harness, ids []string) {
		for range 2 { // the second time it is on its way
			ok(t, h.Curator.Archive(t.Context(), ids[0]))
		}
		archived := func() bool {
			_, stock := listed(t, h, "nightly")
			return slices.ContainsFunc(stock.Snapshots, func(s cloud.Stored) bool { return s.ID == ids[0] && s.Archived })
		}
		patiently(t, 100*time.Hour, "it is archived", archived)
		ok(t, h.Curator.Archive(t.Context(), ids[0]))
		h.Hold(Imaged, ids[1])
		wantCode(t, h.Curator.Archive(t.Context(), ids[1]), fault.SnapshotRefused)
	})},
	{"curator/restores fast", curated(func(t *testing.T, h Harness, ids []string) {
		zone := h.Zone
		ok(t, h.Curator.SetFast(t.Context(), ids[0], []string{zone}, true))
		got, err := h.Curator.Fast(t.Context())
		ok(t, err)
		if want := []cloud.FastRestore{{ID: ids[0], Zone: zone}}; !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		wantCode(t, h.Curator.SetFast(t.Context(), ids[0], []string{"moon-1a"}, true), fault.SnapshotRefused)
		ok(t, h.Curator.SetFast(t.Context(), ids[0], []string{zone}, false))
		if got, err = h.Curator.Fast(t.Context()); err != nil || len(got) > 0 {
			t.Errorf("got %v, %v", got, err)
		}
		wantCode(t, h.Curator.SetFast(t.Context(), ids[0], []string{zone}, false), fault.SnapshotRefused)
	})},
}
