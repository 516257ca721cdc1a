package alicloud

import (
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
)

// form are the parameters of a call, wherever it carries them.
func form(r *http.Request) url.Values {
	q := r.URL.Query()
	if r.Body != nil {
		body, _ := io.ReadAll(r.Body)
		more, _ := url.ParseQuery(string(body))
		for k, v := range more {
			q[k] = v
		}
	}
	return q
}

// byAction answers each action by the pages that are there, the last for ever,
// and notes the parameters.
func byAction(pages map[string][]response, seen *[]url.Values) func(*http.Request) response {
	return func(r *http.Request) response {
		q := form(r)
		*seen = append(*seen, q)
		list := pages[q.Get("Action")]
		if len(list) == 0 {
			return response{body: `{}`}
		}
		if len(list) > 1 {
			pages[q.Get("Action")] = list[1:]
		}
		return list[0]
	}
}

func TestHoldsAreReadFromWhatIsDocumented(t *testing.T) {
	var seen []url.Values
	p, w := against(byAction(map[string][]response{
		"DescribeLockedSnapshots": {
			{body: `{"NextToken":"more","LockedSnapshotsInfo":[{"SnapshotId":"s-1","LockStatus":"compliance-cooloff","LockMode":"compliance"}]}`},
			{body: `{"LockedSnapshotsInfo":[{"SnapshotId":"s-1","LockStatus":"expired"},{"SnapshotId":"s-1","LockStatus":"compliance","LockExpiredTime":"2027-01-01T00:00:00Z"}]}`},
		},
		"DescribeImages":    {{body: `{"Images":{"Image":[{"ImageId":"m-1"}]},"TotalCount":1}`}},
		"ListSharedTargets": {{body: `{"NextToken":"n","SharedTargets":[{"TargetId":"111"}]}`}, {body: `{"SharedTargets":[{"TargetId":"222"}]}`}},
	}, &seen))
	got, err := p.Holds(t.Context(), []string{"s-1"})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"s-1 is locked", "s-1 is locked until 2027-01-01", "used by the image m-1", "s-1 is shared with 111", "s-1 is shared with 222"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for i, q := range seen {
		for key, want := range map[string]map[string]string{
			"DescribeLockedSnapshots": {"SnapshotIds.1": "s-1", "Version": "2014-05-26"},
			"DescribeImages":          {"SnapshotId": "s-1", "ImageOwnerAlias": "self", "Status": imageStates},
			"ListSharedTargets":       {"ResourceId": "s-1", "ResourceType": "Snapshot", "ResourceOwner": "Self", "Version": "2020-01-10"},
		}[q.Get("Action")] {
			if got := q.Get(key); got != want {
				t.Errorf("%s, %s: got %q, want %q", q.Get("Action"), key, got, want)
			}
		}
		if q.Get("Action") == "ListSharedTargets" && w.seen[i].URL.Host != "resourcesharing.cn-hangzhou.aliyuncs.com" {
			t.Errorf("asked %s", w.seen[i].URL.Host)
		}
	}
	if seen[1].Get("NextToken") != "more" {
		t.Errorf("the second page was not asked for: %v", seen[1])
	}
}

// Without the service's own time nothing can be told to be old.
func TestAListWithoutADateIsNoList(t *testing.T) {
	p, _ := against(inTurn(response{body: `{}`}))
	_, err := p.Stored(t.Context(), "nightly")
	wantCode(t, err, fault.Unavailable)
}

// A set of a run that died before it could label its snapshots is told by its
// group, whose moment it is of; one that the plug-in took by the snapshots.
func TestSetsAreToldByTheirGroups(t *testing.T) {
	const (
		tags   = `"Tags":{"Tag":[{"Key":"quiesce:run","Value":"r1"},{"Key":"quiesce:policy","Value":"nightly"}]}`
		own    = `"Tags":{"Tag":[{"TagKey":"quiesce:run","TagValue":"r2"},{"TagKey":"quiesce:policy","TagValue":"nightly"}]}`
		others = `"Tags":{"Tag":[{"TagKey":"quiesce:policy","TagValue":"nightly"}]}`
	)
	var seen []url.Values
	answer := byAction(map[string][]response{
		"DescribeSnapshotGroups": {{body: `{"SnapshotGroups":{"SnapshotGroup":[{"SnapshotGroupId":"ssg-1","CreationTime":"2026-03-01T04:00:00Z",` + tags + `,"Snapshots":{"Snapshot":[{"SnapshotId":"s-1"}]}}]}}`}},
	}, &seen)
	p, w := against(func(r *http.Request) response {
		if q := r.URL.Query(); q.Get("Action") == "DescribeSnapshots" {
			switch {
			case q.Get("SnapshotIds") != "":
				return response{body: `{"Snapshots":{"Snapshot":[{"SnapshotId":"s-1","SourceDiskId":"d-1","SourceDiskSize":"40","Status":"accomplished","CreationTime":"2026-03-01T04:00:07Z","Tags":{"Tag":[]}}]}}`}
			case q.Get("Tag.1.Key") != "":
				return response{body: `{"Snapshots":{"Snapshot":[{"SnapshotId":"s-2","SourceDiskId":"d-2","SourceDiskSize":"20","Status":"progressing","CreationTime":"2026-03-01T05:00Z",` + own + `},{"SnapshotId":"s-3",` + others + `}]}}`}
			}
		}
		return answer(r)
	})
	w.header = http.Header{"Date": {"Sun, 01 Mar 2026 06:00:00 GMT"}}
	stock, err := p.Stored(t.Context(), "nightly")
	if err != nil || len(stock.Snapshots) != 2 || stock.At.Format("15:04:05") != "06:00:01" {
		t.Fatalf("got %+v, %v", stock, err)
	}
	first, second := stock.Snapshots[0], stock.Snapshots[1]
	if first.ID != "s-1" || first.Tags[cloud.TagRun] != "r1" || first.StartedAt.Format("04:05") != "00:00" || first.SizeGiB != 40 || first.State != "completed" {
		t.Errorf("got %+v", first)
	}
	if second.ID != "s-2" || second.Tags[cloud.TagRun] != "r2" || second.SizeGiB != 20 || second.State != "pending" {
		t.Errorf("got %+v", second)
	}
}

// What is not known to mean something else is for what holds the snapshot.
func TestDeletingWhatCannotBe(t *testing.T) {
	for code, want := range map[string]struct {
		status int
		fault  fault.Code
	}{
		"InvalidSnapshotId.NotFound": {404, ""}, "SnapshotCreatedImage": {403, fault.SnapshotRefused}, "SnapshotLocked.Whatever": {403, fault.SnapshotRefused},
		"Shared.Whatever": {400, fault.SnapshotRefused}, "Forbidden.RAM": {403, fault.AccessDenied}, "NoPermission": {403, fault.AccessDenied},
		"IncorrectDiskStatus.CreatingSnapshot": {400, fault.SnapshotTooSoon},
	} {
		var seen []url.Values
		p, _ := against(byAction(map[string][]response{"DeleteSnapshot": {refused(want.status, code)}}, &seen))
		wantCode(t, p.DeleteSnapshot(t.Context(), "s-1"), want.fault)
		forced := slices.ContainsFunc(seen, func(q url.Values) bool { return q.Get("Action") == "DeleteSnapshot" && q.Get("Force") == "true" })
		if !forced {
			t.Errorf("%s: sent %v", code, seen)
		}
	}
}

// A group goes with the last of its members, which may still be listed in it,
// and not before.
func TestAGroupGoesWithItsLastMember(t *testing.T) {
	for members, goes := range map[string]bool{`[]`: true, `[{"SnapshotId":"s-1"}]`: true, `[{"SnapshotId":"s-1"},{"SnapshotId":"s-2"}]`: false} {
		var seen []url.Values
		p, _ := against(byAction(map[string][]response{
			"DescribeSnapshots":      {{body: `{"Snapshots":{"Snapshot":[{"SnapshotId":"s-1","Tags":{"Tag":[{"TagKey":"quiesce:run","TagValue":"r1"}]}}]}}`}},
			"DescribeSnapshotGroups": {{body: `{"SnapshotGroups":{"SnapshotGroup":[{"SnapshotGroupId":"ssg-1","Snapshots":{"Snapshot":` + members + `}}]}}`}},
		}, &seen))
		if err := p.DeleteSnapshot(t.Context(), "s-1"); err != nil {
			t.Fatal(err)
		}
		gone := slices.ContainsFunc(seen, func(q url.Values) bool {
			return q.Get("Action") == "DeleteSnapshotGroup" && q.Get("SnapshotGroupId") == "ssg-1"
		})
		if gone != goes {
			t.Errorf("of %s: the group was deleted: %t", strings.TrimSpace(members), gone)
		}
	}
}
