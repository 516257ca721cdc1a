package prune_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/quiesce/quiesce/functions/prune"
	local "github.com/quiesce/quiesce/local/fault"
	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/run"
)

// A thousand sets go within one call of the function, a dry run before it, and
// no request is refused for its rate, though others have just used up half of
// what can be called at once.
func TestAThousandSetsWithinTheBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		const sets = 1000
		for i := range sets {
			w.take(fmt.Sprintf("run-%04d", i), alive)
		}
		for range 50 {
			_ = w.keeper.DeleteSnapshot(t.Context(), "snap-00000000000000000")
			_, _ = w.owner.CreateTags(t.Context(), &awsec2.CreateTagsInput{Resources: w.sets["run-0999"], Tags: []types.Tag{{Key: sdk.String("a")}}})
		}
		w.guardKept("run-0998", "run-0999")
		started := time.Now()
		if dry, err := w.prune(true); err != nil || dry.Removed != sets-2 {
			t.Errorf("got %s, %v", dry, err)
		}
		t.Logf("a dry run took %s of virtual time and %d requests", time.Since(started).Round(time.Second), w.requests)
		begun, asked := time.Now(), w.requests
		r, err := w.prune(false)
		w.must(err)
		w.sound()
		if r.Deleted != sets-2 || r.Snapshots != 2*(sets-2) || r.Left != 0 {
			t.Errorf("got %s, and %d left", r, r.Left)
		}
		for _, c := range w.Calls() {
			if c.Code == "RequestLimitExceeded" {
				t.Fatalf("%s was throttled %s after the start", c.Action, c.At.Sub(started))
			}
		}
		t.Logf("%d sets took %s of virtual time and %d requests", r.Deleted, time.Since(begun).Round(time.Second), w.requests-asked)
	})
}

func TestWhatIsOverTheBudgetIsLeftToTheNextRun(t *testing.T) {
	old := prune.Budget
	defer func() { prune.Budget = old }()
	prune.Budget.Snapshots = 5 // two sets and a half
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		w.history()
		w.guardKept(kept...)
		for i, want := range []struct{ deleted, left int }{{2, 3}, {2, 1}, {1, 0}} {
			r, err := w.prune(false)
			w.must(err)
			w.sound()
			if r.Deleted != want.deleted || r.Left != want.left {
				t.Errorf("run %d: got %s, want %+v", i+1, r, want)
			}
			time.Sleep(day)
		}
		w.ended()
	})
	prune.Budget.Snapshots = 1 // no set fits
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		w.history()
		if r, err := w.prune(false); err != nil || r.Deleted != 1 || r.Left != 5 {
			t.Errorf("got %s, %v: a set that is larger than the budget would never go", r, err)
		}
	})
}

// The oldest go first, so that what is left is what a person would rather have.
func TestNoSetIsBegunThatThereIsNoTimeFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		w.history()
		w.guardKept(kept...)
		ctx, cancel := context.WithTimeout(t.Context(), prune.Budget.Reserve+time.Second)
		defer cancel()
		plan, err := prune.Look(ctx, w.keeper, keeping(rule))
		w.must(err)
		w.must(plan.Delete(ctx, w.keeper, time.Now))
		r := plan.Report()
		w.sound()
		if r.Deleted == 0 || r.Left == 0 || r.Deleted+r.Left != len(deleted) {
			t.Errorf("got %s", r)
		}
		if len(w.there("alive-4")) != 2 || len(w.there("failed")) != 0 {
			t.Error("a newer one went before an older one")
		}
	})
}

// One member that may not be deleted stops its own set alone, which is no set
// any more, and goes once the right is there.
func TestOneMemberIsDenied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		w.history()
		w.guardKept(kept...)
		for _, n := range []int{4, 5} { // the second one is when the mark must have been seen
			w.plan.Add(local.Fault{Target: "prune/DeleteSnapshot", Kind: local.Deny, N: n})
		}
		r, err := w.prune(false)
		if fault.CodeOf(err) != fault.AccessDenied || r.Failed != 1 || r.Deleted != 4 || r.Outcome() != prune.WithErrors || r.Code != fault.AccessDenied {
			t.Errorf("got %s, %v", r, err)
		}
		w.sound()
		i := slices.IndexFunc(r.Lines, func(l prune.Line) bool { return l.Fate == prune.Failed })
		if i < 0 || !strings.Contains(r.Lines[i].Why, "after 1 of 2 snapshots") || len(w.there(r.Lines[i].RunID)) != 1 {
			t.Errorf("got %+v", r.Lines)
		}
		time.Sleep(day)
		_, err = w.prune(false)
		w.must(err)
		w.ended()
	})
}

// What is locked, shared or made an image of after the look is not begun; what
// holds half of a deletion is told.
func TestWhatIsHeldMeanwhileStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		w.history()
		plan, err := prune.Look(t.Context(), w.keeper, keeping(rule))
		w.must(err)
		w.EC2.AddImage("ami-0123456789abcdef0", w.sets["alive-1"][0])
		_, err = w.owner.ModifySnapshotAttribute(t.Context(), &awsec2.ModifySnapshotAttributeInput{
			SnapshotId: &w.sets["alive-2"][1], Attribute: types.SnapshotAttributeNameCreateVolumePermission, OperationType: types.OperationTypeAdd, UserIds: []string{"210987654321"},
		})
		w.must(err)
		w.guardKept(append(kept, "alive-1", "alive-2")...)
		w.must(w.keeper.TagSnapshots(t.Context(), w.sets["alive-3"], map[string]string{cloud.TagDeleting: "2000-01-01T00:00:00Z"}))
		w.must(plan.Delete(t.Context(), w.keeper, time.Now))
		w.sound()
		fates := map[string]prune.Set{}
		for _, s := range plan.Sets {
			fates[s.RunID] = s
		}
		if s := fates["alive-1"]; s.Fate != prune.Kept || !strings.Contains(s.Line().Why, "used by the image ami-0123456789abcdef0") {
			t.Errorf("got %s", s.Line())
		}
		if s := fates["alive-2"]; s.Fate != prune.Kept || !strings.Contains(s.Line().Why, "is shared with 210987654321") {
			t.Errorf("got %s", s.Line())
		}
		// Half of alive-4 is gone when the other half is locked.
		w.take("alive-7", alive)
		w.must(w.keeper.TagSnapshots(t.Context(), w.sets["alive-5"], map[string]string{cloud.TagDeleting: "2000-01-01T00:00:00Z"}))
		w.must(w.keeper.DeleteSnapshot(t.Context(), w.sets["alive-5"][0]))
		_, err = w.owner.LockSnapshot(t.Context(), &awsec2.LockSnapshotInput{SnapshotId: &w.sets["alive-5"][1], LockMode: types.LockModeGovernance, LockDuration: sdk.Int32(1)})
		w.must(err)
		time.Sleep(time.Minute)
		r, err := w.prune(false)
		w.must(err)
		if r.Orphaned != 2 || len(w.there("alive-5")) != 1 {
			t.Errorf("got %s", r)
		}
		time.Sleep(2 * day)
		if _, err = w.prune(false); err != nil || len(w.there("alive-5")) != 0 {
			t.Errorf("its lock has expired, and %v is left (%v)", w.there("alive-5"), err)
		}
	})
}

// A schedule may deliver twice: two runs at once delete nothing more than one,
// and what they took from each other's hands is told as failed at most.
func TestTwoRunsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		w.history()
		w.guardKept(kept...)
		var both sync.WaitGroup
		for range 2 {
			both.Go(func() {
				if _, err := w.prune(false); err != nil && fault.CodeOf(err) != fault.SnapshotFailed {
					t.Error(err)
				}
			})
		}
		both.Wait()
		w.sound()
		w.ended()
	})
}

// The last good set stays, however old it is, and whatever came after it.
func TestTheLastGoodSetStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		w.take("good", alive)
		for i := range 5 {
			time.Sleep(day)
			w.take(fmt.Sprint("bad-", i), alive, failing, "")
		}
		w.guardKept("good")
		for range 5 {
			time.Sleep(100 * day)
			plan, err := prune.Look(t.Context(), w.keeper, keeping(policy.Retention{Within: policy.Age{Days: 1}}))
			w.must(err)
			w.must(plan.Delete(t.Context(), w.keeper, time.Now))
			w.sound()
		}
		if len(w.there("good")) != 2 || len(w.there("bad-0")) != 0 {
			t.Errorf("good: %v, bad: %v", w.there("good"), w.there("bad-0"))
		}
	})
}

// stock is a keeper that knows what there is and nothing else.
type stock struct {
	cloud.Keeper
	is cloud.Stock
}

func (s stock) Stored(context.Context, string) (cloud.Stock, error) { return s.is, nil }

// The age of a set is told by the clock that dated it: a machine whose own is
// wrong by years decides the same.
func TestOwnClockDecidesNothing(t *testing.T) {
	at := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	set := func(id string, taken time.Time) cloud.Stored {
		return cloud.Stored{TaggedSnapshot: cloud.TaggedSnapshot{
			Snapshot: run.Snapshot{ID: "snap-" + id, State: run.Completed}, StartedAt: taken,
			Tags: map[string]string{cloud.TagRun: id, cloud.TagPolicy: "nightly", cloud.TagInstance: alive, cloud.TagMembers: "1", cloud.TagConsistency: "application"},
		}}
	}
	k := stock{is: cloud.Stock{At: at, Snapshots: []cloud.Stored{
		set("young", at.Add(-time.Hour)), set("week", at.Add(-6*day)), set("old", at.Add(-8*day)), set("ahead", at.Add(2*time.Hour)),
	}}}
	synctest.Test(t, func(t *testing.T) { // in which it is the year 2000
		for range 2 {
			plan, err := prune.Look(t.Context(), k, keeping(policy.Retention{Within: policy.Age{Days: 7}}))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, s := range plan.Sets {
				got = append(got, s.RunID+" "+string(s.Fate))
			}
			if want := []string{"ahead kept", "young kept", "week kept", "old removed"}; !slices.Equal(got, want) {
				t.Errorf("in %d: got %v, want %v", time.Now().Year(), got, want)
			}
			time.Sleep(50 * 365 * day)
		}
	})
}

func TestWhatNobodyCouldDecideByIsRefused(t *testing.T) {
	with := func(change func(*prune.Input)) prune.Input {
		in := prune.Input{Run: run.Run{ID: "r"}, Request: prune.Request{Policy: document()}}
		change(&in)
		return in
	}
	for _, c := range []struct {
		name, field string
		in          prune.Input
	}{
		{"as it should be", "", with(func(*prune.Input) {})},
		{"no run", "run.id", with(func(in *prune.Input) { in.Run.ID = "" })},
		{"no retention", "request.policy.retention", with(func(in *prune.Input) { in.Request.Policy.Retention = policy.Retention{} })},
		{"a zone alone", "request.policy.retention", with(func(in *prune.Input) { in.Request.Policy.Retention = policy.Retention{Timezone: "Europe/Berlin"} })},
		{"a zone that does not exist", "retention.timezone", with(func(in *prune.Input) { in.Request.Policy.Retention.Timezone = "Mars/Olympus" })},
		{"a number below zero", "retention.daily", with(func(in *prune.Input) { in.Request.Policy.Retention.Daily = -1 })},
	} {
		switch err := c.in.Check(); {
		case c.field == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.field != "" && (fault.CodeOf(err) != fault.InvalidInput || !strings.Contains(err.Error(), c.field)):
			t.Errorf("%s: got %v, want %s refused", c.name, err, c.field)
		}
	}
}
