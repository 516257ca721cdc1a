package awscloud

import (
	"slices"
	"testing"

	"github.com/quiesce/quiesce/shared/fault"
)

// ec2Answer is an answer of EC2 with these elements.
func ec2Answer(action, elements string) response {
	return response{body: `<` + action + `Response xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>1</requestId>` + elements + `</` + action + `Response>`}
}

func TestHoldsAreReadFromWhatIsDocumented(t *testing.T) {
	answers := map[string]string{
		"DescribeLockedSnapshots": `<snapshotSet>
			<item><snapshotId>snap-0a</snapshotId><lockState>governance</lockState><lockExpiresOn>2027-01-01T00:00:00.000Z</lockExpiresOn></item>
			<item><snapshotId>snap-0b</snapshotId><lockState>expired</lockState></item></snapshotSet>`,
		"DescribeImages":            `<imagesSet><item><imageId>ami-1</imageId></item></imagesSet>`,
		"DescribeSnapshotAttribute": `<createVolumePermission><item><group>all</group></item><item><userId>210987654321</userId></item></createVolumePermission>`,
	}
	first := true
	p, w := against(func(r request) response {
		elements := answers[r.action]
		if r.action == "DescribeLockedSnapshots" && first {
			first = false
			elements = `<nextToken>more</nextToken>` + `<snapshotSet><item><snapshotId>snap-0c</snapshotId><lockState>compliance-cooloff</lockState></item></snapshotSet>`
		}
		return ec2Answer(r.action, elements)
	})
	got, err := p.Holds(t.Context(), []string{"snap-0a"})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"snap-0c is locked", "snap-0a is locked until 2027-01-01", "used by the image ami-1", "snap-0a is shared with everybody", "snap-0a is shared with 210987654321"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, r := range w.seen {
		for key, want := range map[string]map[string]string{
			"DescribeLockedSnapshots":   {"SnapshotId.1": "snap-0a"},
			"DescribeImages":            {"Owner.1": "self", "IncludeDisabled": "true", "Filter.1.Name": "block-device-mapping.snapshot-id", "Filter.1.Value.1": "snap-0a"},
			"DescribeSnapshotAttribute": {"Attribute": "createVolumePermission", "SnapshotId": "snap-0a"},
		}[r.action] {
			if got := r.form.Get(key); got != want {
				t.Errorf("%s, %s: got %q, want %q", r.action, key, got, want)
			}
		}
	}
}

// Without the service's own time nothing can be told to be old.
func TestAListWithoutADateIsNoList(t *testing.T) {
	p, _ := against(func(r request) response { return ec2Answer(r.action, `<snapshotSet/>`) })
	_, err := p.Stored(t.Context(), "nightly")
	wantCode(t, err, fault.Unavailable)
}

func TestDeletingWhatCannotBe(t *testing.T) {
	for code, want := range map[string]fault.Code{
		"InvalidSnapshot.NotFound": "", "InvalidSnapshot.InUse": fault.SnapshotRefused, "OperationNotPermitted": fault.SnapshotRefused,
		"UnauthorizedOperation": fault.AccessDenied,
	} {
		p, w := against(func(request) response { return refusal(400, code) })
		wantCode(t, p.DeleteSnapshot(t.Context(), "snap-0a"), want)
		if n := w.count("DeleteSnapshot"); n != 1 {
			t.Errorf("%s: got %d attempts, want 1", code, n)
		}
	}
}
