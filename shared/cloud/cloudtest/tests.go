package cloudtest

import (
	"slices"
	"testing"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
)

// looks is a test of a provider on whose cloud somebody has to look for restore
// tests that broke off; not all of them want that.
func looks(do func(t *testing.T, h Harness, tests cloud.Tests)) func(t *testing.T, h Harness) {
	return restores(func(t *testing.T, h Harness) {
		tests, looks := h.Provider.(cloud.Tests)
		if !looks {
			t.Skip("the provider is no cloud.Tests")
		}
		do(t, h, tests)
	})
}

// abandoned waits until those are found that are wanted, and no others.
func abandoned(t *testing.T, tests cloud.Tests, want ...string) (found []cloud.Abandoned) {
	t.Helper()
	within(t, visible, "what is left of tests is seen", func() bool {
		var err error
		found, err = tests.Abandoned(t.Context())
		ok(t, err)
		var ids []string
		for _, a := range found {
			ids = append(ids, a.ID)
		}
		return slices.Equal(ids, want)
	})
	return found
}

var broken = []test{
	{"tests/finds what has ended and left something", looks(func(t *testing.T, h Harness, tests cloud.Tests) {
		abandoned(t, tests)
		stop := h.Test("t-1", `{"runId":"r"}`)
		h.Test("t-2", `{}`)
		set := sources(t, h)
		scratch := map[string]string{}
		for i, of := range []string{"t-1", "t-2", "somebody-else's"} {
			spec := diskSpec(h, set[0])
			spec.Token, spec.Tags[cloud.TagScratch] = of, of
			scratch[of] = makesDisk(t, h, spec)
			if i == 0 {
				within(t, visible, "the mark is seen", func() bool {
					found, err := h.Restorer.Marked(t.Context(), cloud.TagScratch, of)
					ok(t, err)
					return len(found) == 1
				})
			}
		}
		abandoned(t, tests) // all that is known goes on
		stop()
		one := abandoned(t, tests, "t-1")[0]
		if one.Status == "" || string(one.Input) != `{"runId":"r"}` {
			t.Errorf("got %+v", one)
		}
		ok(t, h.Restorer.DeleteDisk(t.Context(), scratch["t-1"]))
		abandoned(t, tests)

		ids := []string{set[0].ID, set[1].ID}
		ok(t, h.Provider.TagSnapshots(t.Context(), ids, map[string]string{cloud.TagTest: "VALIDATING", cloud.TagTestRun: "t-1"}))
		abandoned(t, tests, "t-1")
		ok(t, h.Provider.TagSnapshots(t.Context(), ids, map[string]string{cloud.TagTest: "SUCCESSFUL"}))
		abandoned(t, tests)
	})},
	{"tests/may not look", looks(func(t *testing.T, h Harness, tests cloud.Tests) {
		h.Trouble(FindDisks, Deny)
		_, err := tests.Abandoned(t.Context())
		wantCode(t, err, fault.AccessDenied)
		h.Trouble(FindDisks, Throttle)
		abandoned(t, tests)
	})},
}
