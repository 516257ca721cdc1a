package prune_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quiesce/quiesce/events"
	"github.com/quiesce/quiesce/functions/prune"
	local "github.com/quiesce/quiesce/local/fault"
	"github.com/quiesce/quiesce/shared/fault"
)

func TestPruneDeletesWhatIsNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		w.history()
		w.guardKept(kept...)
		dry, err := w.prune(true)
		w.must(err)
		if n := w.Count("DeleteSnapshot") + w.Count("CreateTags"); n > 0 {
			t.Errorf("a dry run changed %d things", n)
		}
		want := []string{
			"alive-6 kept: last 1 of 2; the newest good one",
			"alive-5 kept: last 2 of 2",
			"alive-4 removed: 2 newer ones are there",
			"alive-3 removed: 3 newer ones are there",
			"alive-2 removed: 4 newer ones are there",
			"alive-1 removed: 5 newer ones are there",
			"locked kept: " + w.sets["locked"][1] + " is locked until 2000-12-31",
			"orphan orphan: an orphan: no run has judged it, look at orphan",
			"failed removed: it failed and cannot be restored",
			"gone-2 kept: last 1 of 2; the newest good one",
			"gone-1 kept: last 2 of 2",
		}
		var got []string
		for _, l := range dry.Lines {
			got = append(got, l.RunID+" "+l.String())
		}
		if !slices.Equal(got, want) {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		r, err := w.prune(false)
		w.must(err)
		w.sound()
		if r.Deleted != len(deleted) || r.Snapshots != 2*len(deleted) || r.GiB != 20*int64(len(deleted)) || r.Orphaned != 1 || r.Kept != 5 || r.Sets != 11 || r.Left+r.Failed+r.Removed != 0 {
			t.Errorf("got %+v", r)
		}
		w.ended()
		var detail events.Retention
		for _, e := range w.Bus.Events() {
			if e.DetailType == events.TypeRetention {
				w.must(json.Unmarshal(e.Detail, &detail))
			}
		}
		if detail.Policy != "nightly" || detail.Outcome != prune.Completed || detail.Deleted != 5 || len(detail.Lines) != 6 ||
			detail.Reason != "6 of 11 sets kept, 5 deleted (10 snapshots), 1 kept ones are to be looked at" {
			t.Errorf("published %+v", detail)
		}
	})
}

// ended fails unless just what is kept is there, wholly.
func (w *world) ended() {
	w.t.Helper()
	for _, runID := range kept {
		if got := w.there(runID); len(got) != 2 {
			w.t.Errorf("of %s, which is kept, %v is left", runID, got)
		}
	}
	for _, runID := range deleted {
		if got := w.there(runID); len(got) != 0 {
			w.t.Errorf("of %s, %v is left", runID, got)
		}
	}
}

// Every single fault at every call: nothing that is kept goes, no set is left
// that looks good and is not, every run ends, and the next one finishes.
func TestPruneUnderEverySingleFault(t *testing.T) {
	var calls []string
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		w.history()
		_, err := w.prune(false)
		w.must(err)
		for _, c := range w.Calls() {
			if c.Role == "prune" {
				calls = append(calls, c.Action)
			}
		}
	})
	if len(calls) < 30 {
		t.Fatalf("got only %v", calls)
	}
	seen := map[string]int{}
	for i, action := range calls {
		seen[action]++
		if testing.Short() && i%12 != 0 {
			continue // a search for races takes ten times as long
		}
		for _, kind := range []local.Kind{local.Throttle, local.Slow, local.LostReply, local.Deny, "crash before", "crash after"} {
			one := local.Fault{Target: "prune/" + action, Kind: kind, N: seen[action]}
			t.Run(fmt.Sprintf("%d %s", i+1, one), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) { underFault(t, one, i+1) })
			})
		}
	}
}

func underFault(t *testing.T, one local.Fault, request int) {
	w := open(t)
	w.history()
	w.guardKept(kept...)
	crash := one.Kind == "crash before" || one.Kind == "crash after"
	if crash {
		w.cutAt, w.lost = request, one.Kind == "crash after"
	} else {
		w.plan.Add(one)
	}
	r, err := w.prune(false)
	w.sound()
	if never := w.plan.Unreached(); len(never) > 0 {
		t.Errorf("never happened: %v", never)
	}
	switch one.Kind {
	case local.Deny:
		again := one.Target == "prune/PutEvents" || one.Target == "prune/DeleteSnapshot"
		if !again && fault.CodeOf(err) != fault.AccessDenied {
			t.Errorf("got %v", err)
		}
		if r != nil && err != nil && r.Failed != 1 {
			t.Errorf("one call was denied, and %d sets failed", r.Failed)
		}
	case local.Throttle, local.Slow, local.LostReply:
		if err != nil {
			t.Errorf("one attempt more would have done: %v", err)
		}
	}
	if err == nil {
		w.ended()
	}
	w.cutAt = nobody
	time.Sleep(day)
	r, err = w.prune(false)
	w.must(err)
	w.sound()
	w.ended()
	if r.Orphaned != 1 || r.Failed+r.Left > 0 {
		t.Errorf("the next run: %+v", r)
	}
}
