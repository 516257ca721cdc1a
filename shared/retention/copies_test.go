package retention

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/run"
)

var taken = time.Date(2026, 11, 20, 2, 0, 0, 500e6, time.UTC)

// copied is a copy of a source of run-1, begun some minutes after it was taken.
func copied(id, source, state string, after time.Duration, with ...string) cloud.Stored {
	m := member(id, append([]string{cloud.TagCopyOf + "=eu-central-1/" + source, cloud.TagTakenAt + "=" + taken.Format(time.RFC3339Nano)}, with...)...)
	m.State, m.StartedAt = state, taken.Add(after)
	return m
}

func TestCopiesAreReadAsTheSetThatTheyAreOf(t *testing.T) {
	const none = cloud.TagConsistency + "="
	for _, c := range []struct {
		name   string
		copies []cloud.Stored
		good   bool
		spare  string
	}{
		{"whole", []cloud.Stored{copied("c-1", "a", run.Completed, time.Hour), copied("c-2", "b", run.Completed, 2*time.Hour)}, true, ""},
		{"half", []cloud.Stored{copied("c-1", "a", run.Completed, time.Hour)}, false, ""},
		{"on its way", []cloud.Stored{copied("c-1", "a", run.Completed, time.Hour, none), copied("c-2", "b", run.Pending, time.Hour, none)}, false, ""},
		{"without a verdict", []cloud.Stored{copied("c-1", "a", run.Completed, time.Hour, none), copied("c-2", "b", run.Completed, time.Hour, none)}, false, ""},
		{"a verdict on one", []cloud.Stored{copied("c-1", "a", run.Completed, time.Hour), copied("c-2", "b", run.Completed, time.Hour, none)}, false, ""},
		{"one failed", []cloud.Stored{copied("c-1", "a", run.Completed, time.Hour), copied("c-2", "b", run.Failed, time.Hour)}, false, ""},
		{"one failed and was made again", []cloud.Stored{copied("c-1", "a", run.Completed, time.Hour), copied("c-2", "b", run.Failed, time.Hour, none), copied("c-3", "b", run.Completed, 3*time.Hour)}, true, "c-2"},
		{"one is there twice", []cloud.Stored{copied("c-3", "a", run.Completed, 2*time.Hour, none), copied("c-1", "a", run.Completed, time.Hour), copied("c-2", "b", run.Completed, time.Hour)}, true, "c-3"},
		{"twice one, and the other is not there", []cloud.Stored{copied("c-1", "a", run.Completed, time.Hour), copied("c-2", "a", run.Completed, 2*time.Hour)}, false, "c-2"},
		{"the spare one is being deleted", []cloud.Stored{copied("c-1", "a", run.Completed, time.Hour, cloud.TagDeleting+"=x"), copied("c-2", "b", run.Completed, time.Hour), copied("c-3", "a", run.Completed, 2*time.Hour)}, true, "c-1"},
		{"all of it is being deleted", []cloud.Stored{copied("c-1", "a", run.Completed, time.Hour, cloud.TagDeleting+"=x"), copied("c-2", "b", run.Completed, time.Hour, cloud.TagDeleting+"=x")}, false, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			// The set itself is there too, and is another.
			sets := Sets(append(slices.Clone(c.copies), member("a"), member("b")))
			if sets[0].From != "" || !sets[0].Good() || len(sets[0].IDs) != 2 {
				t.Errorf("the set: got %+v", sets[0])
			}
			s := sets[1]
			if s.From != "eu-central-1" || s.Good() != c.good || !s.TakenAt.Equal(taken) || !s.Since.After(taken) {
				t.Errorf("got %+v", s)
			}
			switch {
			case c.spare == "" && len(sets) > 2:
				t.Errorf("got %+v besides", sets[2])
			case c.spare != "" && (len(sets) != 3 || !sets[2].Spare || sets[2].Good() || strings.Join(sets[2].IDs, " ") != c.spare):
				t.Errorf("got %+v, want %s spare", sets, c.spare)
			}
		})
	}
}

// Whatever copies there are, in whatever state: what is called good has one
// complete copy of each source, with the verdict on it, none of it marked.
func TestNoHalfCopyIsASet(t *testing.T) {
	for seed := range uint64(5000) {
		r := rand.New(rand.NewPCG(seed, 7))
		var copies []cloud.Stored
		whole := map[string]bool{} // sources of which a complete, judged, unmarked copy is there
		for i := range r.IntN(6) {
			source := []string{"a", "b"}[r.IntN(2)]
			state := []string{run.Completed, run.Completed, run.Completed, run.Pending, run.Failed}[r.IntN(5)]
			var with []string
			judged, marked := r.IntN(4) > 0, r.IntN(8) == 0
			if !judged {
				with = append(with, cloud.TagConsistency+"=")
			}
			if marked {
				with = append(with, cloud.TagDeleting+"=2026-11-21T00:00:00Z")
			}
			copies = append(copies, copied(fmt.Sprint("c-", i), source, state, time.Duration(r.IntN(100))*time.Minute, with...))
			if state == run.Completed && judged && !marked {
				whole[source] = true
			}
		}
		good, ids := 0, map[string]bool{}
		for _, s := range Sets(copies) {
			if s.Good() {
				good++
				if len(s.IDs) != 2 {
					t.Fatalf("seed %d: %+v is called a set", seed, s)
				}
			}
			for _, id := range s.IDs {
				if ids[id] {
					t.Fatalf("seed %d: %s is in two sets", seed, id)
				}
				ids[id] = true
			}
		}
		if good > 1 || good == 1 && len(whole) < 2 || len(ids) != len(copies) {
			t.Fatalf("seed %d: %d good sets of %d copies, whole are %v", seed, good, len(copies), whole)
		}
	}
}

// What was in the archive for long enough is the rules' to decide again.
func TestArchivedSetsAreReleased(t *testing.T) {
	now := taken.AddDate(1, 0, 0)
	for _, c := range []struct {
		name     string
		archived string
		keep     policy.Age
		held     bool
	}{
		{"long ago", now.AddDate(0, 0, -91).Format(time.RFC3339), policy.Age{Days: 90}, false},
		{"not long enough", now.AddDate(0, 0, -89).Format(time.RFC3339), policy.Age{Days: 90}, true},
		{"for good", now.AddDate(0, 0, -91).Format(time.RFC3339), policy.Age{}, true},
		{"by somebody else", "", policy.Age{Days: 90}, true},
	} {
		a, b := member("snap-1", cloud.TagTiered+"="+c.archived), member("snap-2", cloud.TagTiered+"="+c.archived)
		a.Archived, b.Archived = true, true
		s := Sets([]cloud.Stored{a, b})[0]
		s.Release(c.keep, now)
		if got := len(s.Held) > 0; got != c.held {
			t.Errorf("%s: held %v", c.name, s.Held)
		}
	}
}
