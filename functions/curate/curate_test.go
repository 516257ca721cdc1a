package curate_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/quiesce/quiesce/events"
	"github.com/quiesce/quiesce/functions/curate"
	"github.com/quiesce/quiesce/local/aws/ec2"
	"github.com/quiesce/quiesce/local/aws/kms"
	local "github.com/quiesce/quiesce/local/fault"
	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/run"
)

// What becomes of one set: locked, shared and copied, wholly, and once.
func TestWhatBecomesOfASet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, d := open(t), document(nil)
		w.take("run-1")
		r, err := w.within(time.Minute, d)
		w.must(err)
		w.sound()
		if r.Locked != 1 || r.Shared != 1 || r.Waiting != 2 || r.Copied+r.Failed != 0 {
			t.Errorf("first: got %+v", r)
		}
		if held := w.held("run-1"); strings.Count(held, "is locked until") != 2 || strings.Count(held, "is shared with "+theirs) != 2 {
			t.Errorf("got %s", held)
		}
		time.Sleep(15 * time.Minute)
		r, err = w.curate(d)
		w.must(err)
		w.sound()
		if r.Copied != 2 || r.Waiting+r.Failed+r.Locked+r.Shared != 0 {
			t.Errorf("second: got %+v", r)
		}
		equal(t, "in the west", w.good(west), []string{"run-1"})
		equal(t, "in the south", w.good(south), []string{"run-1"})
		source := w.sets["run-1"]
		for _, s := range w.there(west) {
			for _, id := range s.IDs {
				tags := w.In(west).Tags(id)
				for key, want := range map[string]string{
					cloud.TagRun: "run-1", cloud.TagHold: "hold-run-1", cloud.TagMembers: "2", cloud.TagInstance: alive, cloud.TagPolicy: "nightly",
					cloud.TagConsistency: "application", cloud.TagReason: "proved", cloud.TagApp: "True", "team": "db",
				} {
					if tags[key] != want {
						t.Errorf("%s: %s is %q, want %q", id, key, tags[key], want)
					}
				}
				of, found := strings.CutPrefix(tags[cloud.TagCopyOf], home+"/")
				if !found || !slices.Contains(source, of) || !strings.HasPrefix(tags[cloud.TagOrigin], "vol-0123456789abcdef") || tags[cloud.TagLocked] != "" {
					t.Errorf("%s: got %v", id, tags)
				}
			}
			if s.From != home || s.TakenAt.After(time.Now().Add(-15*time.Minute)) {
				t.Errorf("got %+v", s)
			}
		}
		out, err := w.far.DescribeSnapshots(t.Context(), &awsec2.DescribeSnapshotsInput{})
		w.must(err)
		for _, s := range out.Snapshots {
			if *s.KmsKeyId != key {
				t.Errorf("%s is encrypted with %s", *s.SnapshotId, *s.KmsKeyId)
			}
		}
		// From here on a look asks what there is, and nothing else.
		before := len(w.Calls())
		r, err = w.curate(d)
		w.must(err)
		if len(r.Lines) > 0 {
			t.Errorf("third: got %+v", r.Lines)
		}
		for _, c := range w.Calls()[before:] {
			if c.Role == "curate" && !strings.HasPrefix(c.Action, "Describe") {
				t.Errorf("it asks for %s", c.Action)
			}
		}
		// In time it is nobody else's any more.
		time.Sleep(3 * day)
		r, err = w.curate(d)
		w.must(err)
		if r.Unshared != 1 || strings.Contains(w.held("run-1"), "shared") {
			t.Errorf("after three days: got %+v, %s", r, w.held("run-1"))
		}
		w.looks(2, d)
		if strings.Contains(w.held("run-1"), "shared") || w.Count("ModifySnapshotAttribute") != 4 {
			t.Errorf("it was shared again")
		}
		var told []events.Curation
		for _, e := range w.Bus.Events() {
			if e.DetailType == events.TypeCuration {
				var detail events.Curation
				w.must(json.Unmarshal(e.Detail, &detail))
				told = append(told, detail)
			}
		}
		if len(told) != 3 || told[1].Copied != 2 || told[0].Reason != "of 1 sets, 1 locked, 1 shared, 2 being copied" || told[2].Lines[0].What != "unshared" {
			t.Errorf("published %+v", told)
		}
	})
}

// Sets of which nothing becomes.
func TestWhatIsNoSetIsLeftAlone(t *testing.T) {
	for _, c := range []struct {
		name string
		with []string
		skip bool
		want bool
	}{
		{"a good one", nil, true, true},
		{"degraded", []string{cloud.TagConsistency, "crash"}, false, true},
		{"degraded, and the policy says no", []string{cloud.TagConsistency, "crash"}, true, false},
		{"not judged", []string{cloud.TagConsistency, ""}, false, false},
		{"judged by nobody", []string{cloud.TagConsistency, "none"}, false, false},
		{"a member is missing", []string{cloud.TagMembers, "3"}, false, false},
		{"nobody knows how many there are", []string{cloud.TagMembers, ""}, false, false},
		{"under test", []string{cloud.TagTest, "VALIDATING"}, false, false},
		{"its test failed", []string{cloud.TagTest, "FAILED"}, false, false},
		{"being deleted", []string{cloud.TagDeleting, "2026-11-20T05:15:00Z"}, false, false},
		{"of another policy", []string{cloud.TagPolicy, "weekly"}, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, d := open(t), document(nil)
				d.SkipDegraded = c.skip
				w.take("run-1", c.with...)
				w.looks(2, d)
				w.sound()
				did := w.Count("LockSnapshot") + w.Count("ModifySnapshotAttribute") + w.Count("CopySnapshot") + w.Count("EnableFastSnapshotRestores")
				if c.want != (did > 0) || c.want != (len(w.good(west)) == 1) {
					t.Errorf("%d things were done, and in the west is %v", did, w.there(west))
				}
			})
		})
	}
}

// What AWS's own key encrypts is not shared, not even the part that could be.
func TestHalfASetIsNotShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		own := "arn:aws:kms:" + home + ":123456789012:key/1"
		w := open(t, ec2.Volume{Bytes: 1 << 30, Key: own}, ec2.Volume{Bytes: 1 << 30, Key: "arn:aws:kms:" + home + ":123456789012:key/00000000-0000-4000-8000-00000000ebec"})
		w.KMS.AddKey(kms.Key{ID: "1"})
		d := document(func(d *policy.Document) { d.Share = policy.Share{Accounts: []string{theirs}} })
		w.take("run-1")
		r, err := w.curate(d)
		w.must(err)
		if r.Failed != 1 || r.Code != fault.ShareRefused || w.Count("ModifySnapshotAttribute") > 0 {
			t.Errorf("got %+v", r)
		}
		if r = w.looks(3, d); len(r.Lines) > 0 { // it is told once
			t.Errorf("got %+v", r.Lines)
		}
		if w.Count("ModifySnapshotAttribute") > 0 || w.tag("run-1", cloud.TagShared) != "refused" {
			t.Errorf("noted %q", w.tag("run-1", cloud.TagShared))
		}
	})
}

// A lock is put on once, by as many days as are left; who takes it off has his way.
func TestLocksAreNotPutOnAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		d := document(func(d *policy.Document) {
			d.Lock = policy.Lock{Mode: policy.Compliance, Days: 10, CoolOffHours: 24}
		})
		w.take("old")
		time.Sleep(8 * day)
		w.take("new")
		w.looks(1, d)
		for runID, days := range map[string]int{"old": 2, "new": 10} {
			at, err := time.Parse(time.RFC3339, w.tag(runID, cloud.TagLocked))
			if want := time.Now().AddDate(0, 0, days); err != nil || at.Sub(want).Abs() > time.Hour {
				t.Errorf("%s is locked until %s, want %s", runID, at, want)
			}
		}
		for _, id := range w.sets["new"] {
			_, err := w.owner.UnlockSnapshot(t.Context(), &awsec2.UnlockSnapshotInput{SnapshotId: &id})
			w.must(err)
		}
		n := w.Count("LockSnapshot")
		w.looks(2, d)
		time.Sleep(20 * day)
		w.looks(1, d)
		if w.Count("LockSnapshot") != n || n != 4 {
			t.Errorf("%d locks were put on, then %d", n, w.Count("LockSnapshot"))
		}
	})
}

// The newest is ready at full speed, and no other is paid for.
func TestFastRestoresFollowTheNewest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		d := document(func(d *policy.Document) {
			d.FastRestore = policy.FastRestore{Zones: []string{home + "a", home + "b"}, Count: 1}
		})
		for _, runID := range []string{"run-1", "run-2", "run-3"} {
			w.take(runID)
			r := w.looks(2, d)
			on, err := w.keeper.Fast(t.Context())
			w.must(err)
			if len(on) != 4 || r.Failed > 0 {
				t.Errorf("%s: got %v, %+v", runID, on, r)
			}
			for _, f := range on {
				if !slices.Contains(w.sets[runID], f.ID) {
					t.Errorf("%s is still restored fast after %s", f.ID, runID)
				}
			}
			time.Sleep(day)
		}
		d.FastRestore.Zones = []string{"eu-west-1a"}
		if _, err := w.curate(d); fault.CodeOf(err) != fault.InvalidInput {
			t.Errorf("in a zone of another Region: got %v", err)
		}
	})
}

// Archived is what is kept for a month's or a year's sake alone, once its copies
// are made; the newest never is.
func TestOnlyTheRareAreArchived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		d := document(func(d *policy.Document) {
			d.Retention = policy.Retention{Daily: 7, Monthly: 3}
			d.Archive = policy.Archive{After: policy.Age{Days: 40}}
			d.Copies = []policy.Copy{{Region: west, Retention: policy.Retention{Monthly: 12}}}
		})
		for i := range 20 {
			w.take(fmt.Sprintf("run-%02d", i))
			w.looks(2, d)
			time.Sleep(10 * day)
		}
		w.looks(3, d)
		w.sound()
		var archived []string
		for runID := range w.sets {
			if w.tag(runID, cloud.TagTiered) != "" {
				archived = append(archived, runID)
				if !strings.Contains(w.tag(runID, cloud.TagCopied), west) {
					t.Errorf("%s was archived before it was copied", runID)
				}
			}
		}
		slices.Sort(archived)
		if len(archived) == 0 || slices.Contains(archived, "run-19") {
			t.Errorf("got %v", archived)
		}
		time.Sleep(2 * time.Hour)
		for _, runID := range archived {
			for _, id := range w.sets[runID] {
				out, err := w.owner.DescribeSnapshots(t.Context(), &awsec2.DescribeSnapshotsInput{SnapshotIds: []string{id}})
				w.must(err)
				if out.Snapshots[0].StorageTier != "archive" {
					t.Errorf("%s of %s is in %s", id, runID, out.Snapshots[0].StorageTier)
				}
			}
		}
		if n := len(archived); w.Count("ModifySnapshotTier") != 2*n {
			t.Errorf("%d of %d sets", w.Count("ModifySnapshotTier"), n)
		}
	})
}

// Every single fault at every call: no half copy is ever called a set, nothing
// is deleted, every look ends, and the next ones finish.
func TestCurateUnderEverySingleFault(t *testing.T) {
	var calls []string
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		w.take("run-1")
		w.looks(2, document(nil))
		for _, c := range w.Calls() {
			if c.Role == "curate" {
				calls = append(calls, c.Action)
			}
		}
	})
	if len(calls) < 20 {
		t.Fatalf("got only %v", calls)
	}
	seen := map[string]int{}
	for i, action := range calls {
		seen[action]++
		if testing.Short() && i%12 != 0 {
			continue // a search for races takes ten times as long
		}
		for _, kind := range []local.Kind{local.Throttle, local.Slow, local.LostReply, local.Deny, "crash before", "crash after"} {
			one := local.Fault{Target: "curate/" + action, Kind: kind, N: seen[action]}
			t.Run(fmt.Sprintf("%d %s", i+1, one), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) { underFault(t, one, i+1) })
			})
		}
	}
}

func underFault(t *testing.T, one local.Fault, request int) {
	w, d := open(t), document(nil)
	w.take("run-1")
	crash := one.Kind == "crash before" || one.Kind == "crash after"
	if crash {
		w.cutAt, w.lost = request, one.Kind == "crash after"
	} else {
		w.plan.Add(one)
	}
	for range 2 {
		_, err := w.curate(d)
		w.sound()
		if err != nil && fault.CodeOf(err) == fault.Internal {
			t.Errorf("got %v", err)
		}
		if w.requests >= w.cutAt {
			w.cutAt = nobody
		}
		time.Sleep(15 * time.Minute)
	}
	if never := w.plan.Unreached(); len(never) > 0 {
		t.Errorf("never happened: %v", never)
	}
	w.looks(2, d)
	w.sound()
	equal(t, "in the west", w.good(west), []string{"run-1"})
	equal(t, "in the south", w.good(south), []string{"run-1"})
	if held := w.held("run-1"); strings.Count(held, "is locked until") != 2 || strings.Count(held, "is shared with "+theirs) != 2 {
		t.Errorf("got %s", held)
	}
	if got := w.tag("run-1", cloud.TagCopied); got != south+" "+west {
		t.Errorf("noted %q", got)
	}
	on, err := w.keeper.Fast(t.Context())
	w.must(err)
	if len(on) != 2 {
		t.Errorf("restored fast: %v", on)
	}
	if r := w.looks(1, d); len(r.Lines) > 0 {
		t.Errorf("it never rests: %+v", r.Lines)
	}
	for _, region := range []string{west, south} {
		if n := len(w.there(region)); n != 1 {
			t.Errorf("%d copies of the set in %s", n, region)
		}
	}
}

func TestWhatNobodyCouldActByIsRefused(t *testing.T) {
	with := func(change func(*curate.Input)) curate.Input {
		in := curate.Input{Run: run.Run{ID: "r"}, Request: curate.Request{Policy: document(nil)}}
		change(&in)
		return in
	}
	for _, c := range []struct {
		name, field string
		in          curate.Input
	}{
		{"as it should be", "", with(func(*curate.Input) {})},
		{"no run", "run.id", with(func(in *curate.Input) { in.Run.ID = "" })},
		{"nothing to do", "request.policy", with(func(in *curate.Input) { in.Request.Policy = policy.DefaultDocument() })},
		{"a lock of no mode", "lock.mode", with(func(in *curate.Input) { in.Request.Policy.Lock.Mode = "" })},
	} {
		switch err := c.in.Check(); {
		case c.field == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.field != "" && (fault.CodeOf(err) != fault.InvalidInput || !strings.Contains(err.Error(), c.field)):
			t.Errorf("%s: got %v, want %s refused", c.name, err, c.field)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		d := document(func(d *policy.Document) { d.Copies = []policy.Copy{{Region: home}} })
		if _, err := w.curate(d); fault.CodeOf(err) != fault.InvalidInput || !strings.Contains(err.Error(), "copies") {
			t.Errorf("a copy to where the sets are: got %v", err)
		}
	})
}
