package verifychoose_test

import (
	"strings"
	"testing"
	"time"

	"github.com/quiesce/quiesce/functions/verifychoose"
	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/run"
)

var now = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// shelf is snapshots of sets of one member, as RUN INSTANCE HOURS-OLD [TAG=VALUE]
// [archived].
func shelf(t *testing.T, lines ...string) (s cloud.Stock) {
	t.Helper()
	s.At = now
	for _, line := range lines {
		f := strings.Fields(line)
		age, err := time.ParseDuration(f[2])
		if err != nil {
			t.Fatal(err)
		}
		one := cloud.Stored{SizeGiB: 1}
		one.ID, one.State, one.StartedAt = "snap-"+f[0], run.Completed, now.Add(-age)
		one.Tags = map[string]string{cloud.TagRun: f[0], cloud.TagInstance: f[1], cloud.TagPolicy: "p", cloud.TagMembers: "1", cloud.TagConsistency: "application"}
		for _, tag := range f[3:] {
			if tag == "archived" {
				one.Archived = true
				continue
			}
			key, value, _ := strings.Cut(tag, "=")
			one.Tags["quiesce:"+key] = value
		}
		s.Snapshots = append(s.Snapshots, one)
	}
	return s
}

func TestPick(t *testing.T) {
	for _, c := range []struct {
		name     string
		shelf    []string
		instance string
		want     string // the set, or what the refusal says
	}{
		{"the newest", []string{"a i-1 3h", "b i-1 1h", "c i-1 2h"}, "", "b"},
		{"the newest is no good one: its test failed", []string{"a i-1 3h", "b i-1 1h restore-test=FAILED"}, "", "a"},
		{"it is being deleted", []string{"a i-1 3h", "b i-1 1h deleting=now"}, "", "a"},
		{"it is incomplete", []string{"a i-1 3h", "b i-1 1h members=2"}, "", "a"},
		{"nobody has judged it", []string{"a i-1 3h", "b i-1 1h consistency="}, "", "a"},
		{"its run failed", []string{"a i-1 3h", "b i-1 1h consistency=none"}, "", "a"},
		{"it is from the future", []string{"a i-1 3h", "b i-1 -1h"}, "", "a"},
		{"its last test timed out, which says nothing", []string{"a i-1 3h", "b i-1 1h restore-test=TIMED_OUT"}, "", "b"},
		{"it was tested before", []string{"a i-1 3h", "b i-1 1h restore-test=SUCCESSFUL"}, "", "b"},
		{"it is archived", []string{"a i-1 3h", "b i-1 1h archived"}, "", "a"},
		{"whatever is good is archived", []string{"a i-1 3h restore-test=FAILED", "b i-1 1h archived", "c i-1 2h archived"}, "", "there is no good set that is not archived, and 2 that are"},
		{"of the instance that is asked for all is archived", []string{"a i-2 1h", "b i-1 1h archived"}, "i-1", "there is no good set of i-1 that is not archived, and 1 that are"},
		{"the only instance that never had a test", []string{"a i-1 1h restore-test-at=2026-11-01T00:00:00Z", "b i-2 9h"}, "", "b"},
		{"an older set's test counts for its instance", []string{"a i-1 1h", "b i-1 9h restore-test-at=2026-11-19T00:00:00Z", "c i-2 2h restore-test-at=2026-11-01T00:00:00Z"}, "", "c"},
		{"of two that were never tested the newer", []string{"a i-1 2h", "b i-2 1h"}, "", "b"},
		{"the instance that is asked for", []string{"a i-1 1h restore-test-at=2026-11-01T00:00:00Z", "b i-2 9h"}, "i-1", "a"},
		{"a date that is none", []string{"a i-1 1h restore-test-at=yesterday", "b i-2 2h"}, "", "a"},
		{"nothing at all", nil, "", "there is no good set"},
		{"nothing of the instance", []string{"a i-1 1h"}, "i-2", "there is no good set of i-2"},
	} {
		got, why, err := verifychoose.Pick(shelf(t, c.shelf...), c.instance)
		switch {
		case err != nil && err.Error() != c.want, err == nil && got.RunID != c.want:
			t.Errorf("%s: got %s, %v, want %s", c.name, got.RunID, err, c.want)
		case err == nil && !strings.Contains(why, got.InstanceID):
			t.Errorf("%s: it says %q", c.name, why)
		}
	}
}
