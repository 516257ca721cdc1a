package awscloud

import (
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
)

// A copy is asked of the Region that it goes to, with an address that its source
// is asked by.
func TestCopyIsAskedOfItsDestination(t *testing.T) {
	p, w := against(func(r request) response { return ec2Answer(r.action, `<snapshotId>snap-0b</snapshotId>`) })
	there := p.In("eu-west-1")
	if there.Region() != "eu-west-1" || p.In("") != p || p.In("eu-central-1") != p {
		t.Errorf("got %s", there.Region())
	}
	id, err := there.Copy(t.Context(), cloud.CopySpec{
		From: "eu-central-1", ID: "snap-0a", Key: "arn:aws:kms:eu-west-1:123456789012:key/1", Description: "a copy", Tags: map[string]string{cloud.TagRun: "run-1"},
	})
	if err != nil || id != "snap-0b" {
		t.Fatalf("got %s, %v", id, err)
	}
	form := w.seen[0].form
	for key, want := range map[string]string{
		"Action": "CopySnapshot", "SourceRegion": "eu-central-1", "SourceSnapshotId": "snap-0a", "Encrypted": "true",
		"KmsKeyId": "arn:aws:kms:eu-west-1:123456789012:key/1", "Description": "a copy",
		"TagSpecification.1.ResourceType": "snapshot", "TagSpecification.1.Tag.1.Key": cloud.TagRun, "TagSpecification.1.Tag.1.Value": "run-1",
	} {
		if got := form.Get(key); got != want {
			t.Errorf("%s: got %q, want %q", key, got, want)
		}
	}
	address, err := url.Parse(form.Get("PresignedUrl"))
	if err != nil || address.Host != "ec2.eu-central-1.amazonaws.com" || address.Query().Get("DestinationRegion") != "eu-west-1" ||
		!strings.Contains(address.Query().Get("X-Amz-Credential"), "/eu-central-1/ec2/") {
		t.Errorf("signed %s, %v", form.Get("PresignedUrl"), err)
	}
}

// What is not encrypted is asked to stay so by silence: false is no value.
func TestCopyDoesNotSpeakOfEncryption(t *testing.T) {
	p, w := against(func(r request) response { return ec2Answer(r.action, `<snapshotId>snap-0b</snapshotId>`) })
	if _, err := p.In("eu-west-1").Copy(t.Context(), cloud.CopySpec{From: "eu-central-1", ID: "snap-0a"}); err != nil {
		t.Fatal(err)
	}
	if form := w.seen[0].form; form.Has("Encrypted") || form.Has("KmsKeyId") {
		t.Errorf("got %v", form)
	}
}

// One attempt, whatever comes back: what is not a plain no may have made a copy.
func TestCopyIsTriedOnce(t *testing.T) {
	for _, c := range []struct {
		answer response
		want   fault.Code
	}{
		{refusal(400, "ResourceLimitExceeded"), fault.CopyLimitReached},
		{refusal(503, "RequestLimitExceeded"), fault.SnapshotThrottled},
		{refusal(403, "UnauthorizedOperation"), fault.AccessDenied},
		{refusal(400, "InvalidSnapshot.NotFound"), fault.SnapshotRefused},
		{refusal(400, "IncorrectState"), fault.SnapshotRefused},
		{refusal(500, "InternalError"), fault.SnapshotOutcomeUnknown},
		{response{err: errReset}, fault.SnapshotOutcomeUnknown},
	} {
		p, w := against(func(request) response { return c.answer })
		_, err := p.In("eu-west-1").Copy(t.Context(), cloud.CopySpec{From: "eu-central-1", ID: "snap-0a"})
		wantCode(t, err, c.want)
		if n := w.count("CopySnapshot"); n != 1 {
			t.Errorf("%s: got %d attempts, want 1", c.want, n)
		}
	}
}

// A refusal of a fast restore comes in an answer that is well.
func TestFastRestoresAreReadFromWhatIsDocumented(t *testing.T) {
	const refused = `<successful/><unsuccessful><item><snapshotId>snap-0a</snapshotId><fastSnapshotRestoreStateErrorSet><item>
		<availabilityZone>eu-central-1a</availabilityZone><error><code>because</code><message>the quota is used up</message></error></item></fastSnapshotRestoreStateErrorSet></item></unsuccessful>`
	const states = `<fastSnapshotRestoreSet><item><snapshotId>snap-0a</snapshotId><availabilityZone>eu-central-1a</availabilityZone><state>optimizing</state></item></fastSnapshotRestoreSet>`
	p, w := against(func(r request) response {
		if r.action == "DescribeFastSnapshotRestores" {
			return ec2Answer(r.action, states)
		}
		return ec2Answer(r.action, refused)
	})
	for _, on := range []bool{true, false} {
		err := p.SetFast(t.Context(), "snap-0a", []string{"eu-central-1a"}, on)
		wantCode(t, err, fault.SnapshotRefused)
		if !strings.Contains(err.Error(), "eu-central-1a: the quota is used up") && on {
			t.Errorf("got %v", err)
		}
	}
	got, err := p.Fast(t.Context())
	if want := []cloud.FastRestore{{ID: "snap-0a", Zone: "eu-central-1a"}}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
	form := w.seen[len(w.seen)-1].form
	if form.Get("Filter.1.Name") != "state" || form.Get("Filter.1.Value.1") != "enabling" || form.Has("Filter.1.Value.4") {
		t.Errorf("asked %v", form)
	}
}

func TestLocksAreReadFromWhatIsDocumented(t *testing.T) {
	p, w := against(func(r request) response {
		return ec2Answer(r.action, `<snapshotSet><item><snapshotId>snap-0a</snapshotId><lockState>expired</lockState><lockExpiresOn>2026-01-01T00:00:00.000Z</lockExpiresOn></item></snapshotSet>`)
	})
	got, err := p.Locks(t.Context(), []string{"snap-0a", "snap-0b"})
	if err != nil || len(got) != 1 || !got["snap-0a"].Equal(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("got %v, %v", got, err)
	}
	if err := p.Lock(t.Context(), "snap-0a", cloud.Lock{Days: 7}); err != nil {
		t.Fatal(err)
	}
	if form := w.seen[1].form; form.Get("LockMode") != "governance" || form.Get("LockDuration") != "7" || form.Has("CoolOffPeriod") {
		t.Errorf("asked %v", form)
	}
	if err := p.Lock(t.Context(), "snap-0a", cloud.Lock{Days: 7, Compliance: true, CoolOffHours: 3}); err != nil {
		t.Fatal(err)
	}
	if form := w.seen[2].form; form.Get("LockMode") != "compliance" || form.Get("CoolOffPeriod") != "3" {
		t.Errorf("asked %v", form)
	}
}

// What is archived already is told apart from what cannot be.
func TestArchivingWhatIsArchived(t *testing.T) {
	for state, want := range map[string]fault.Code{
		`<storageTier>archive</storageTier><lastTieringOperationStatus>archival-completed</lastTieringOperationStatus>`:    "",
		`<storageTier>standard</storageTier><lastTieringOperationStatus>archival-in-progress</lastTieringOperationStatus>`: "",
		`<storageTier>standard</storageTier><lastTieringOperationStatus>archival-failed</lastTieringOperationStatus>`:      fault.SnapshotRefused,
	} {
		p, _ := against(func(r request) response {
			if r.action == "ModifySnapshotTier" {
				return refusal(400, "IncorrectState")
			}
			return ec2Answer(r.action, `<snapshotTierStatusSet><item><snapshotId>snap-0a</snapshotId>`+state+`</item></snapshotTierStatusSet>`)
		})
		wantCode(t, p.Archive(t.Context(), "snap-0a"), want)
	}
}
