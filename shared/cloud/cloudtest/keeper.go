package cloudtest

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/run"
)

// stored makes a set and returns its snapshots once they are listed.
func stored(t *testing.T, h Harness) (ids []string) {
	t.Helper()
	set, err := h.Provider.CreateSet(t.Context(), dataSpec(h))
	ok(t, err)
	made(t, h, dataSpec(h))
	return idsOf(set)
}

// listed are the ids that Stored tells of a policy.
func listed(t *testing.T, h Harness, policy string) (ids []string, stock cloud.Stock) {
	t.Helper()
	stock, err := h.Keeper.Stored(t.Context(), policy)
	ok(t, err)
	for _, s := range stock.Snapshots {
		ids = append(ids, s.ID)
	}
	slices.Sort(ids)
	return ids, stock
}

// kept is a test of a provider that keeps sets; not all of them do.
func kept(do func(t *testing.T, h Harness)) func(t *testing.T, h Harness) {
	return func(t *testing.T, h Harness) {
		if h.Keeper == nil {
			t.Skip("the provider has no cloud.Keeper")
		}
		do(t, h)
	}
}

var keeper = []test{
	{"keeper/tells which are under test", kept(func(t *testing.T, h Harness) {
		ids := stored(t, h)
		for _, c := range []struct{ test, by, want string }{{"", "", ""}, {"VALIDATING", "t-1", "t-1"}, {"SUCCESSFUL", "t-1", ""}} {
			if c.test != "" {
				ok(t, h.Keeper.TagSnapshots(t.Context(), ids[:1], map[string]string{cloud.TagRun: runID, cloud.TagTest: c.test, cloud.TagTestRun: c.by}))
			}
			by, err := h.Keeper.UnderTest(t.Context(), ids)
			ok(t, err)
			if by != c.want {
				t.Errorf("%q: got %q, want %q", c.test, by, c.want)
			}
		}
	})},
	{"keeper/lists a policy's snapshots", kept(func(t *testing.T, h Harness) {
		ids := stored(t, h)
		before := time.Now()
		got, stock := listed(t, h, "nightly")
		if !slices.Equal(got, ids) {
			t.Errorf("got %v, want %v", got, ids)
		}
		if d := stock.At.Sub(before); d < -2*time.Second || d > time.Minute {
			t.Errorf("the answer is dated %s, %s after the question", stock.At, d)
		}
		for _, s := range stock.Snapshots {
			if s.Tags[cloud.TagRun] != runID || s.StartedAt.IsZero() || s.SizeGiB < 1 || s.VolumeID == "" || s.State != run.Pending && s.State != run.Completed {
				t.Errorf("got %+v", s)
			}
		}
		if got, _ := listed(t, h, ""); !slices.Equal(got, ids) {
			t.Errorf("of all policies: got %v, want %v", got, ids)
		}
		for _, other := range []string{"night", "nightly2", "night*"} {
			if got, _ := listed(t, h, other); len(got) > 0 {
				t.Errorf("of the policy %s: got %v", other, got)
			}
		}
	})},
	{"keeper/does not list what is no run's", kept(func(t *testing.T, h Harness) {
		spec := dataSpec(h)
		delete(spec.Tags, cloud.TagRun)
		_, err := h.Provider.CreateSet(t.Context(), spec)
		ok(t, err)
		time.Sleep(visible)
		if got, _ := listed(t, h, "nightly"); len(got) > 0 {
			t.Errorf("got %v", got)
		}
	})},
	{"keeper/lists again when throttled", kept(func(t *testing.T, h Harness) {
		ids := stored(t, h)
		h.Trouble(FindSet, Throttle)
		if got, _ := listed(t, h, "nightly"); !slices.Equal(got, ids) {
			t.Errorf("got %v, want %v", got, ids)
		}
	})},
	{"keeper/may not list", kept(func(t *testing.T, h Harness) {
		h.Trouble(FindSet, Deny)
		_, err := h.Keeper.Stored(t.Context(), "nightly")
		wantCode(t, err, fault.AccessDenied)
	})},
	{"keeper/tells what holds a snapshot", kept(func(t *testing.T, h Harness) {
		ids := stored(t, h)
		held, err := h.Keeper.Holds(t.Context(), ids)
		ok(t, err)
		if len(held) > 0 {
			t.Errorf("got %v of what nothing holds", held)
		}
		for _, hold := range []Hold{Locked, Shared, Imaged} {
			h.Hold(hold, ids[1])
		}
		held, err = h.Keeper.Holds(t.Context(), ids)
		ok(t, err)
		for _, word := range []string{"locked", "shared", "image"} {
			if !slices.ContainsFunc(held, func(s string) bool { return strings.Contains(s, word) }) {
				t.Errorf("got %v, want one that is %s", held, word)
			}
		}
		if len(held) != 3 {
			t.Errorf("got %v, want 3", held)
		}
		if held, err = h.Keeper.Holds(t.Context(), ids[:1]); err != nil || len(held) > 0 {
			t.Errorf("of the other one: got %v, %v", held, err)
		}
	})},
	{"keeper/nothing holds what is gone", kept(func(t *testing.T, h Harness) {
		ids := stored(t, h)
		h.Hold(Locked, ids[1])
		ok(t, h.Keeper.DeleteSnapshot(t.Context(), ids[0]))
		held, err := h.Keeper.Holds(t.Context(), ids)
		ok(t, err)
		if len(held) != 1 || !strings.Contains(held[0], "locked") {
			t.Errorf("got %v", held)
		}
	})},
	{"keeper/deletes", kept(func(t *testing.T, h Harness) {
		ids := stored(t, h)
		for range 2 { // the second time there is none
			ok(t, h.Keeper.DeleteSnapshot(t.Context(), ids[0]))
		}
		time.Sleep(visible)
		if got, _ := listed(t, h, "nightly"); !slices.Equal(got, ids[1:]) {
			t.Errorf("got %v, want %v", got, ids[1:])
		}
	})},
	{"keeper/deletes with the reply lost", kept(func(t *testing.T, h Harness) {
		ids := stored(t, h)
		h.Trouble(Delete, LostReply)
		ok(t, h.Keeper.DeleteSnapshot(t.Context(), ids[0]))
		time.Sleep(visible)
		if got, _ := listed(t, h, "nightly"); !slices.Equal(got, ids[1:]) {
			t.Errorf("got %v, want %v", got, ids[1:])
		}
	})},
	{"keeper/may not delete", kept(func(t *testing.T, h Harness) {
		ids := stored(t, h)
		h.Trouble(Delete, Deny)
		wantCode(t, h.Keeper.DeleteSnapshot(t.Context(), ids[0]), fault.AccessDenied)
		if got, _ := listed(t, h, "nightly"); !slices.Equal(got, ids) {
			t.Errorf("got %v, want %v", got, ids)
		}
	})},
	{"keeper/does not delete what is held", kept(func(t *testing.T, h Harness) {
		ids := stored(t, h)
		h.Hold(Locked, ids[0])
		h.Hold(Imaged, ids[1])
		for _, id := range ids[:2] {
			wantCode(t, h.Keeper.DeleteSnapshot(t.Context(), id), fault.SnapshotRefused)
		}
		if got, _ := listed(t, h, "nightly"); !slices.Equal(got, ids) {
			t.Errorf("got %v, want %v", got, ids)
		}
	})},
}
