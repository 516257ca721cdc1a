package curate_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quiesce/quiesce/functions/prune"
	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/cloud/awscloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/run"
)

// prunes goes through the copies in the west, or through the sets themselves.
func (w *world) prunes(d policy.Document, copies bool) *prune.Report {
	w.t.Helper()
	k := awscloud.New(w.Client("prune"), awscloud.Options{})
	in := prune.Input{Run: run.Run{ID: "retention-1"}, Request: prune.Request{Policy: d}}
	keeper := k
	if copies {
		in.Request.Copies = &prune.Copies{Region: west, From: home}
		keeper = k.In(west)
	}
	w.must(in.Check())
	r, err := prune.Do(w.t.Context(), keeper, k, nil, in)
	w.must(err)
	return r
}

// Copies go by their own rule in their own Region, what is there twice goes, and
// the sets that they are of stay as they are, and the other way round.
func TestCopiesHaveARetentionOfTheirOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		d := document(func(d *policy.Document) {
			d.Copies, d.Retention = []policy.Copy{{Region: west}}, policy.Retention{Last: 4}
		})
		for i := range 5 {
			w.take(fmt.Sprint("run-", i+1))
			w.looks(2, d)
			time.Sleep(day)
		}
		twice := w.there(west)[4]
		tags := w.In(west).Tags(twice.IDs[0])
		spare, err := w.keeper.In(west).Copy(t.Context(), cloud.CopySpec{From: home, ID: strings.TrimPrefix(tags[cloud.TagCopyOf], home+"/"), Tags: tags})
		w.must(err)
		time.Sleep(10 * time.Minute)
		w.wrong = nil // that was us
		d.Copies[0].Retention = policy.Retention{Last: 2}
		if r := w.prunes(d, true); r.Deleted != 3 || r.Kept != 3 || r.Snapshots != 6 {
			t.Errorf("in the west: got %s", r)
		}
		equal(t, "in the west", w.good(west), []string{"run-4", "run-5"})
		if got := w.begun(west); len(got) != 3 || w.In(west).Tags(spare) == nil {
			t.Errorf("what is there twice went before its day was over: %v", got)
		}
		for runID, ids := range w.sets {
			for _, id := range ids {
				if w.EC2.Tags(id) == nil {
					t.Errorf("%s of %s went with its copy", id, runID)
				}
			}
		}
		if r := w.prunes(d, false); r.Deleted != 1 || r.Kept != 4 {
			t.Errorf("at home: got %s", r)
		}
		time.Sleep(day)
		if r := w.prunes(d, true); r.Deleted != 1 || r.Snapshots != 1 || w.In(west).Tags(spare) != nil {
			t.Errorf("a day later: got %s", r)
		}
		w.looks(3, d)
		w.sound()
		equal(t, "in the end", w.good(west), []string{"run-4", "run-5"})
	})
}

// A copy that is being made, or that failed, takes no good one's place.
func TestAHalfCopyPushesNothingOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		d := document(func(d *policy.Document) {
			d.Copies = []policy.Copy{{Region: west, Retention: policy.Retention{Last: 1}}}
		})
		w.take("run-1")
		w.looks(2, d)
		time.Sleep(day)
		w.take("run-2")
		_, err := w.within(time.Minute, d)
		w.must(err)
		w.In(west).FailCopies()
		if r := w.prunes(d, true); r.Deleted != 0 {
			t.Errorf("got %s", r)
		}
		time.Sleep(time.Hour)
		if r := w.prunes(d, true); r.Deleted != 0 {
			t.Errorf("once it has failed: got %s", r)
		}
		equal(t, "in the west", w.good(west), []string{"run-1"})
		w.looks(4, d)
		equal(t, "made again", w.good(west), []string{"run-1", "run-2"})
		if r := w.prunes(d, true); r.Deleted != 1 {
			t.Errorf("got %s", r)
		}
		equal(t, "in the end", w.good(west), []string{"run-2"})
	})
}

func TestCopiesThatNobodyCouldDecideBy(t *testing.T) {
	d := document(func(d *policy.Document) {
		d.Copies = []policy.Copy{{Region: west, Retention: policy.Retention{Last: 1}}, {Region: south}}
	})
	for _, c := range []struct {
		copies prune.Copies
		field  string
	}{
		{prune.Copies{Region: west, From: home}, ""},
		{prune.Copies{Region: west}, "request.copies.from"},
		{prune.Copies{Region: south, From: home}, "request.copies.region"},
		{prune.Copies{Region: "us-east-1", From: home}, "request.copies.region"},
	} {
		err := prune.Input{Run: run.Run{ID: "r"}, Request: prune.Request{Policy: d, Copies: &c.copies}}.Check()
		switch {
		case c.field == "" && err != nil:
			t.Errorf("%+v: %v", c.copies, err)
		case c.field != "" && (fault.CodeOf(err) != fault.InvalidInput || !strings.Contains(err.Error(), c.field)):
			t.Errorf("%+v: got %v, want %s refused", c.copies, err, c.field)
		}
	}
}
