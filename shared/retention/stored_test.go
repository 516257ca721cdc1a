package retention

import (
	"maps"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/run"
)

// member makes a snapshot of the set run-1; with is tags, as key=value, besides.
func member(id string, with ...string) cloud.Stored {
	tags := map[string]string{
		cloud.TagRun: "run-1", cloud.TagPolicy: "nightly", cloud.TagInstance: "i-1", cloud.TagMembers: "2", cloud.TagConsistency: "application", cloud.TagFrozenMs: "812",
	}
	for _, tag := range with {
		key, value, _ := strings.Cut(tag, "=")
		tags[key] = value
	}
	maps.DeleteFunc(tags, func(_, value string) bool { return value == "" })
	return cloud.Stored{
		TaggedSnapshot: cloud.TaggedSnapshot{Snapshot: run.Snapshot{ID: id, State: run.Completed}, Tags: tags, StartedAt: time.Date(2026, 11, 20, 2, 0, 0, 0, time.UTC)},
		SizeGiB:        10,
	}
}

func TestSetsAreReadOutOfTags(t *testing.T) {
	in := func(state string, s cloud.Stored) cloud.Stored { s.State = state; return s }
	tests := []struct {
		name    string
		members []cloud.Stored
		with    func(*Set)
	}{
		{"as it should be", []cloud.Stored{member("snap-2"), member("snap-1")}, func(*Set) {}},
		{"one is missing", []cloud.Stored{member("snap-1")}, func(s *Set) { s.IDs, s.Members, s.SizeGiB = []string{"snap-1"}, 1, 10 }},
		{"how many there were is not known", []cloud.Stored{member("snap-1", cloud.TagMembers+"="), member("snap-2", cloud.TagMembers+"=few")}, func(s *Set) { s.Expected = 0 }},
		{"one is pending", []cloud.Stored{member("snap-1"), in(run.Pending, member("snap-2"))}, func(s *Set) { s.State = run.Pending }},
		{"one is pending, one has failed", []cloud.Stored{in(run.Failed, member("snap-1")), in(run.Pending, member("snap-2"))}, func(s *Set) { s.State = run.Failed }},
		{"one is not judged", []cloud.Stored{member("snap-1"), member("snap-2", cloud.TagConsistency+"=")}, func(s *Set) { s.Judged, s.Consistency = false, "" }},
		{"the lesser verdict counts", []cloud.Stored{member("snap-1"), member("snap-2", cloud.TagConsistency+"=crash")}, func(s *Set) { s.Consistency = run.Crash }},
		{"judged by nobody", []cloud.Stored{member("snap-1", cloud.TagConsistency+"=none"), member("snap-2", cloud.TagConsistency+"=none")}, func(s *Set) { s.Consistency = "none" }},
		{"tested", []cloud.Stored{member("snap-1", cloud.TagTest+"=SUCCESSFUL"), member("snap-2", cloud.TagTest+"=SUCCESSFUL")}, func(s *Set) { s.Test = Successful }},
		{"tested by half", []cloud.Stored{member("snap-1", cloud.TagTest+"=SUCCESSFUL"), member("snap-2")}, func(s *Set) { s.Test = Untested }},
		{"under test", []cloud.Stored{member("snap-1", cloud.TagTest+"=FAILED"), member("snap-2", cloud.TagTest+"=VALIDATING")}, func(s *Set) { s.Test = Running }},
		{"a deletion has begun", []cloud.Stored{member("snap-1"), member("snap-2", cloud.TagDeleting+"=2026-11-21T00:00:00Z")}, func(s *Set) { s.Marked = 1 }},
		{"archived", []cloud.Stored{member("snap-1"), func() cloud.Stored { m := member("snap-2"); m.Archived = true; return m }()}, func(s *Set) { s.Held = []string{"snap-2 is archived"} }},
		{"of two instances", []cloud.Stored{member("snap-1"), member("snap-2", cloud.TagInstance+"=i-2")}, func(s *Set) { s.Held = []string{"its members name more than one instance or policy"} }},
		{"of an instance that is not told", []cloud.Stored{member("snap-1", cloud.TagInstance+"="), member("snap-2", cloud.TagInstance+"=")}, func(s *Set) {
			s.InstanceID, s.Held = "", []string{"its tags do not say of which instance it is"}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want := Set{
				RunID: "run-1", Policy: "nightly", InstanceID: "i-1", TakenAt: time.Date(2026, 11, 20, 2, 0, 0, 0, time.UTC), State: run.Completed,
				Consistency: run.Application, Judged: true, Members: 2, Expected: 2, IDs: []string{"snap-1", "snap-2"}, SizeGiB: 20, FrozenMs: "812",
			}
			tt.with(&want)
			got := Sets(tt.members)
			if len(got) != 1 || !reflect.DeepEqual(got[0], want) {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
		})
	}
}

func TestSetsOfSeveralRunsDoNotMix(t *testing.T) {
	got := Sets([]cloud.Stored{member("snap-1"), member("snap-3", cloud.TagRun+"=run-2"), member("snap-2"), member("snap-4", cloud.TagRun+"=run-2")})
	if len(got) != 2 || strings.Join(got[0].IDs, " ") != "snap-1 snap-2" || strings.Join(got[1].IDs, " ") != "snap-3 snap-4" || got[1].RunID != "run-2" {
		t.Errorf("got %+v", got)
	}
	if got := Sets(nil); len(got) != 0 {
		t.Errorf("got %+v of nothing", got)
	}
}
