package curate_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"

	local "github.com/quiesce/quiesce/local/fault"
	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/policy"
)

// Only what a Region's retention would keep is copied there, and what it has
// deleted is not copied again.
func TestACopyIsKeptOrNotMade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		d := document(func(d *policy.Document) {
			d.Copies = []policy.Copy{{Region: west, Retention: policy.Retention{Last: 2}}}
		})
		for i := range 5 {
			w.take(fmt.Sprint("run-", i+1))
			time.Sleep(day)
		}
		w.looks(3, d)
		w.sound()
		equal(t, "in the west", w.good(west), []string{"run-4", "run-5"})
		w.take("run-6")
		w.looks(3, d)
		equal(t, "with a newer one", w.good(west), []string{"run-4", "run-5", "run-6"})
		for _, s := range w.there(west) {
			if s.RunID == "run-4" {
				for _, id := range s.IDs {
					w.must(w.keeper.In(west).DeleteSnapshot(t.Context(), id))
				}
			}
		}
		w.wrong = nil // that was us
		n := w.Count("CopySnapshot")
		w.looks(3, d)
		equal(t, "without what was deleted", w.good(west), []string{"run-5", "run-6"})
		if w.Count("CopySnapshot") != n {
			t.Error("it was copied again")
		}
	})
}

// No more copies are on their way into a Region than it takes, and all arrive.
func TestCopiesWaitForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		d := document(func(d *policy.Document) { d.Copies = []policy.Copy{{Region: west}} })
		for i := range 30 {
			w.take(fmt.Sprintf("run-%02d", i))
		}
		// Somebody else's copies leave room for a few.
		for range 10 {
			from, id := home, w.sets["run-00"][0]
			_, err := w.far.CopySnapshot(t.Context(), &awsec2.CopySnapshotInput{SourceRegion: &from, SourceSnapshotId: &id})
			w.must(err)
		}
		r, err := w.within(time.Minute, d)
		w.must(err)
		if r.Waiting != 30 || r.Failed > 0 {
			t.Errorf("got %+v", r)
		}
		w.sound()
		time.Sleep(time.Minute)
		equal(t, "the newest go first", w.begun(west), []string{"run-25", "run-26", "run-27", "run-28", "run-29"})
		for i := 0; len(w.good(west)) < 30; i++ {
			w.looks(1, d)
			w.sound()
			if i > 10 {
				t.Fatalf("after %d looks %d are there", i, len(w.good(west)))
			}
		}
		for _, c := range w.Calls() {
			if c.Code == "RequestLimitExceeded" {
				t.Fatalf("%s was throttled", c.Action)
			}
		}
	})
}

// begun are the runs of which anything is in a Region.
func (w *world) begun(region string) (runs []string) {
	for _, s := range w.there(region) {
		runs = append(runs, s.RunID)
	}
	return runs
}

// A set that retention deletes while it is being copied is good where it was
// copied to: its verdict has travelled with it.
func TestACopyOutlivesItsSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		d := document(func(d *policy.Document) { d.Copies = []policy.Copy{{Region: west}} })
		w.take("run-1", cloud.TagConsistency, "filesystem", cloud.TagApp, "False", cloud.TagFs, "True")
		_, err := w.within(time.Minute, d)
		w.must(err)
		for _, id := range w.sets["run-1"] {
			_, err := w.owner.DeleteSnapshot(t.Context(), &awsec2.DeleteSnapshotInput{SnapshotId: &id})
			w.must(err)
		}
		w.looks(2, d)
		equal(t, "in the west", w.good(west), []string{"run-1"})
		for _, id := range w.there(west)[0].IDs {
			if tags := w.In(west).Tags(id); tags[cloud.TagConsistency] != "filesystem" || tags[cloud.TagApp] != "False" || tags[cloud.TagFs] != "True" {
				t.Errorf("got %v", tags)
			}
		}
	})
}

// Half a copy that nothing can finish any more, because its set is gone, is told.
func TestHalfACopyIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		d := document(func(d *policy.Document) { d.Copies = []policy.Copy{{Region: west}} })
		w.take("run-1")
		w.plan.Add(local.Fault{Target: "curate/CopySnapshot", Kind: local.Deny, N: 2})
		_, err := w.within(time.Minute, d)
		w.must(err)
		for _, id := range w.sets["run-1"] {
			_, err := w.owner.DeleteSnapshot(t.Context(), &awsec2.DeleteSnapshotInput{SnapshotId: &id})
			w.must(err)
		}
		if r := w.looks(2, d); r.Failed > 0 {
			t.Errorf("it may still be at work: got %+v", r)
		}
		time.Sleep(day)
		r, err := w.curate(d)
		w.must(err)
		if r.Failed != 1 || r.Code != fault.CopyFailed || !strings.Contains(r.Lines[0].Reason, "1 of 2 members are copied") || r.Lines[0].Region != west {
			t.Errorf("got %+v", r)
		}
		w.sound()
	})
}

// A key that does not work shows in the copies; it is tried thrice, and told.
func TestAKeyThatIsNotThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		d := document(func(d *policy.Document) {
			d.Copies = []policy.Copy{{Region: west, Encrypted: true, KeyARN: "arn:aws:kms:" + west + ":123456789012:key/9"}}
		})
		w.take("run-1")
		r := w.looks(20, d)
		w.sound()
		if r.Failed != 1 || r.Code != fault.CopyFailed || w.Count("CopySnapshot") != 6 || len(w.good(west)) > 0 {
			t.Errorf("got %+v after %d copies", r, w.Count("CopySnapshot"))
		}
		d.Copies[0].KeyARN = key
		for _, s := range w.there(west) { // whoever mends it removes what failed
			for _, id := range s.IDs {
				w.must(w.keeper.In(west).DeleteSnapshot(t.Context(), id))
			}
		}
		w.wrong = nil
		w.looks(3, d)
		equal(t, "mended", w.good(west), []string{"run-1"})
	})
}

// A copy whose answer was lost, and that is not seen in time, is there twice:
// one of the two counts, the other is spare.
func TestACopyThatIsThereTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		d := document(func(d *policy.Document) {
			d.Copies = []policy.Copy{{Region: west, Retention: policy.Retention{Last: 3}}}
		})
		w.take("run-1")
		w.looks(2, d)
		s := w.there(west)[0]
		tags := w.In(west).Tags(s.IDs[0])
		_, err := w.keeper.In(west).Copy(t.Context(), cloud.CopySpec{From: home, ID: strings.TrimPrefix(tags[cloud.TagCopyOf], home+"/"), Tags: tags})
		w.must(err)
		time.Sleep(10 * time.Minute)
		w.wrong = nil
		sets := w.there(west)
		if len(sets) != 2 || !sets[0].Good() || !sets[1].Spare || sets[1].Good() || len(sets[0].IDs) != 2 {
			t.Fatalf("got %+v", sets)
		}
		w.looks(2, d)
		equal(t, "in the west", w.good(west), []string{"run-1"})
	})
}
