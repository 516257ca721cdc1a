package awscloud

import (
	"context"
	"fmt"
	"net"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/run"
)

const created = `<CreateSnapshotsResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>1</requestId><snapshotSet>
<item><snapshotId>snap-0a</snapshotId><volumeId>vol-0a</volumeId><state>pending</state><progress></progress><volumeSize>8</volumeSize><startTime>2026-03-01T04:00:01.000Z</startTime></item>
<item><snapshotId>snap-0b</snapshotId><volumeId>vol-0b</volumeId><state>pending</state><progress></progress><volumeSize>8</volumeSize><startTime>2026-03-01T04:00:01.000Z</startTime></item>
</snapshotSet></CreateSnapshotsResponse>`

var spec = cloud.SetSpec{
	InstanceID: "i-0123456789abcdef0", ExcludeBoot: true, Boot: "vol-00", Exclude: []string{"vol-0c"},
	Description: strings.Repeat("d", 300), Tags: map[string]string{cloud.TagRun: "r1", cloud.TagPolicy: "nightly"},
}

func TestCreateSet(t *testing.T) {
	p, w := against(inTurn(response{body: created}))
	got, err := p.CreateSet(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	want := []run.Snapshot{{ID: "snap-0a", VolumeID: "vol-0a", State: run.Pending}, {ID: "snap-0b", VolumeID: "vol-0b", State: run.Pending}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for key, want := range map[string]string{
		"InstanceSpecification.InstanceId":            spec.InstanceID,
		"InstanceSpecification.ExcludeBootVolume":     "true",
		"InstanceSpecification.ExcludeDataVolumeId.1": "vol-0c",
		"InstanceSpecification.ExcludeDataVolumeId.2": "",
		"TagSpecification.1.ResourceType":             "snapshot",
		"TagSpecification.1.Tag.1.Key":                cloud.TagPolicy,
		"TagSpecification.1.Tag.2.Key":                cloud.TagRun,
		"TagSpecification.1.Tag.2.Value":              "r1",
		"Description":                                 strings.Repeat("d", 255),
	} {
		if got := w.seen[0].form.Get(key); got != want {
			t.Errorf("%s: got %q, want %q", key, got, want)
		}
	}
}

// Whatever happens, one attempt; and only a plain no proves that no set is.
func TestCreateSetFails(t *testing.T) {
	for name, c := range map[string]struct {
		answer response
		want   fault.Code
	}{
		"throttled":           {refusal(503, "RequestLimitExceeded"), fault.SnapshotThrottled},
		"rate of a volume":    {refusal(400, "SnapshotCreationPerVolumeRateExceeded"), fault.SnapshotTooSoon},
		"pending of a volume": {refusal(400, "ConcurrentSnapshotLimitExceeded"), fault.SnapshotTooSoon},
		"pending of all":      {refusal(400, "PendingSnapshotLimitExceeded"), fault.SnapshotTooSoon},
		"quota":               {refusal(400, "SnapshotLimitExceeded"), fault.SnapshotRefused},
		"state":               {refusal(400, "IncorrectInstanceState"), fault.SnapshotRefused},
		"no instance":         {refusal(400, "InvalidInstanceID.NotFound"), fault.SnapshotRefused},
		"a new code":          {refusal(400, "NeverHeardOfIt"), fault.SnapshotRefused},
		"denied":              {refusal(403, "UnauthorizedOperation"), fault.AccessDenied},
		"expired":             {refusal(400, "RequestExpired"), fault.AccessDenied},
		"a proxy says no":     {response{status: 407, body: "<html>"}, fault.SnapshotRefused},
		"internal":            {refusal(500, "InternalError"), fault.SnapshotOutcomeUnknown},
		"unavailable":         {refusal(503, "Unavailable"), fault.SnapshotOutcomeUnknown},
		"a gateway gives up":  {response{status: 504, body: "<html>"}, fault.SnapshotOutcomeUnknown},
		"timed out there":     {refusal(408, "RequestTimeout"), fault.SnapshotOutcomeUnknown},
		"half an answer":      {response{body: created[:200]}, fault.SnapshotOutcomeUnknown},
		"no answer":           {response{err: errReset}, fault.SnapshotOutcomeUnknown},
		"read timed out":      {response{err: &net.OpError{Op: "read", Err: context.DeadlineExceeded}}, fault.SnapshotOutcomeUnknown},
		"no connection":       {response{err: &net.OpError{Op: "dial", Err: context.DeadlineExceeded}}, fault.Unavailable},
		"no name":             {response{err: &net.DNSError{Err: "no such host", Name: "ec2"}}, fault.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			p, w := against(inTurn(c.answer))
			_, err := p.CreateSet(t.Context(), spec)
			wantCode(t, err, c.want)
			if got := w.count("CreateSnapshots"); got != 1 {
				t.Errorf("got %d attempts, want 1", got)
			}
		})
	}
}

func TestCreateSetOutlastsItsCaller(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	p, _ := against(func(request) response { cancel(); return response{err: ctx.Err()} })
	_, err := p.CreateSet(ctx, spec)
	wantCode(t, err, fault.SnapshotOutcomeUnknown)
}

func TestCreateSetNeverSent(t *testing.T) {
	p, w := against(inTurn(response{body: created}))
	broken := New(aws.Config{
		Region: "eu-central-1",
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{}, fmt.Errorf("no role")
		}),
	}, testOptions)
	many := spec
	many.Exclude = make([]string, 41)
	tagged := spec
	tagged.Tags = map[string]string{}
	for i := range 51 {
		tagged.Tags[fmt.Sprint(i)] = ""
	}
	for name, c := range map[string]struct {
		p    *Provider
		spec cloud.SetSpec
		want fault.Code
	}{
		"no credentials":    {broken, spec, fault.Unavailable},
		"too many excluded": {p, many, fault.SnapshotRefused},
		"too many tags":     {p, tagged, fault.SnapshotRefused},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.p.CreateSet(t.Context(), c.spec)
			wantCode(t, err, c.want)
		})
	}
	if len(w.seen) > 0 {
		t.Errorf("got %d requests, want none", len(w.seen))
	}
}

func described(token string, items ...string) response {
	return response{body: `<DescribeSnapshotsResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>1</requestId><snapshotSet>` +
		strings.Join(items, "") + `</snapshotSet><nextToken>` + token + `</nextToken></DescribeSnapshotsResponse>`}
}

func item(id, volume, state string) string {
	return `<item><snapshotId>` + id + `</snapshotId><volumeId>` + volume + `</volumeId><status>` + state + `</status><startTime>2026-03-01T04:00:01.000Z</startTime>` +
		`<progress>99%</progress><tagSet><item><key>quiesce:run</key><value>r1</value></item></tagSet></item>`
}

func TestFindSetReadsAllPages(t *testing.T) {
	p, w := against(inTurn(described("next"), described("", item("snap-0a", "vol-0a", "pending"))))
	got, err := p.FindSet(t.Context(), "r1")
	if err != nil {
		t.Fatal(err)
	}
	want := []cloud.TaggedSnapshot{{
		Snapshot:  run.Snapshot{ID: "snap-0a", VolumeID: "vol-0a", State: run.Pending, Progress: "99%"},
		Tags:      map[string]string{cloud.TagRun: "r1"},
		StartedAt: time.Date(2026, 3, 1, 4, 0, 1, 0, time.UTC),
	}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	form := w.seen[0].form
	if form.Get("Filter.1.Name") != "tag:quiesce:run" || form.Get("Filter.1.Value.1") != "r1" || form.Get("Owner.1") != "self" {
		t.Errorf("asked %v", form)
	}
}

func TestSnapshots(t *testing.T) {
	p, _ := against(inTurn(described("", item("snap-0c", "vol-0c", "recoverable"), item("snap-0b", "vol-0b", "completed"), item("snap-0a", "vol-0a", "error"))))
	got, err := p.Snapshots(t.Context(), []string{"snap-0a", "snap-0b", "snap-0c"})
	want := []run.Snapshot{
		{ID: "snap-0a", VolumeID: "vol-0a", State: run.Failed, Progress: "99%"},
		{ID: "snap-0b", VolumeID: "vol-0b", State: run.Completed, Progress: "99%"},
		{ID: "snap-0c", VolumeID: "vol-0c", State: run.Failed, Progress: "99%"},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	_, err = p.Snapshots(t.Context(), []string{"snap-0d"})
	wantCode(t, err, fault.SnapshotFailed)
	p, _ = against(inTurn(refusal(400, "InvalidSnapshot.NotFound")))
	_, err = p.Snapshots(t.Context(), []string{"snap-0d"})
	wantCode(t, err, fault.SnapshotFailed)
}

func TestPendingCounts(t *testing.T) {
	p, w := against(inTurn(described("", item("snap-0a", "vol-0", "pending"), item("snap-0b", "vol-0", "pending")), described("")))
	ids := make([]string, 201)
	for i := range ids {
		ids[i] = fmt.Sprintf("vol-%d", i)
	}
	got, err := p.Pending(t.Context(), ids)
	if want := map[string]int{"vol-0": 2}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	if len(w.seen) != 2 || w.seen[1].form.Get("Filter.1.Value.1") != "vol-200" || w.seen[0].form.Get("Filter.2.Value.1") != "pending" {
		t.Errorf("asked %v", w.seen)
	}
}

func TestTagSnapshots(t *testing.T) {
	p, w := against(inTurn(response{body: `<CreateTagsResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><return>true</return></CreateTagsResponse>`}))
	if err := p.TagSnapshots(t.Context(), []string{"snap-0a", "snap-0b"}, map[string]string{"b": "2", "a": "1"}); err != nil {
		t.Fatal(err)
	}
	form := w.seen[0].form
	if form.Get("ResourceId.2") != "snap-0b" || form.Get("Tag.1.Key") != "a" || form.Get("Tag.2.Value") != "2" {
		t.Errorf("asked %v", form)
	}
	if err := p.TagSnapshots(t.Context(), nil, nil); err != nil || len(w.seen) != 1 {
		t.Errorf("tagging nothing: got %v after %d calls", err, len(w.seen))
	}
}

// Reads wait and repeat, for some seconds of virtual time and no longer.
func TestReadsAreRepeated(t *testing.T) {
	for name, c := range map[string]struct {
		answers []response
		calls   int
		want    fault.Code
	}{
		"throttled once":  {[]response{refusal(503, "RequestLimitExceeded"), described("")}, 2, ""},
		"reset once":      {[]response{{err: errReset}, described("")}, 2, ""},
		"throttled":       {[]response{refusal(503, "RequestLimitExceeded")}, attempts, fault.Throttled},
		"internal error":  {[]response{refusal(500, "InternalError")}, attempts, fault.Unavailable},
		"no answer":       {[]response{{err: errReset}}, attempts, fault.Unavailable},
		"denied":          {[]response{refusal(403, "UnauthorizedOperation")}, 1, fault.AccessDenied},
		"our own mistake": {[]response{refusal(400, "InvalidParameterValue")}, 1, fault.Internal},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				started := time.Now()
				p, w := against(inTurn(c.answers...))
				_, err := p.FindSet(t.Context(), "r1")
				wantCode(t, err, c.want)
				if got := len(w.seen); got != c.calls {
					t.Errorf("got %d calls, want %d", got, c.calls)
				}
				if took := time.Since(started); took > attempts*maxBackoff {
					t.Errorf("took %s", took)
				}
			})
		})
	}
}

func TestReadOutlastsItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		p, _ := against(inTurn(refusal(503, "RequestLimitExceeded")))
		_, err := p.FindSet(ctx, "r1")
		if code := fault.CodeOf(err); !code.Retryable() {
			t.Errorf("got %q (%v), want one that may be retried", code, err)
		}
	})
}
