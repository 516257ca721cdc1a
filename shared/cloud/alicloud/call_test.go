package alicloud

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
)

// wire answers the provider in process, with what the services document, and
// notes every request that reaches it.
type wire struct {
	answer func(*http.Request) response
	seen   []*http.Request
	header http.Header // of every answer, besides its kind
}

type response struct {
	status int // 200 if 0
	body   string
	err    error // no answer
}

func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	w.seen = append(w.seen, r)
	out := w.answer(r)
	if out.err != nil {
		return nil, out.err
	}
	if out.status == 0 {
		out.status = http.StatusOK
	}
	header := http.Header{"Content-Type": {"application/json"}}
	maps.Copy(header, w.header)
	return &http.Response{
		StatusCode: out.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header: header, Body: io.NopCloser(strings.NewReader(out.body)),
	}, nil
}

var secretKeys = Keys{ID: "STS.keyid123", Secret: "verysecret", Token: "CAIStoken/+=="}

// against makes a provider whose every call is answered by f.
func against(f func(*http.Request) response) (*Provider, *wire) {
	w := &wire{answer: f}
	return New(Config{
		Region: "cn-hangzhou", Account: "123", Transport: w,
		Credentials: func(context.Context) (Keys, error) { return secretKeys, nil },
	}, Options{AssetBucket: "assets", Bus: "quiesce", Helpers: map[string]Helper{"amd64": {Key: "guest", SHA256: strings.Repeat("a", 64)}}}), w
}

// inTurn answers with each response once, and with the last for ever.
func inTurn(all ...response) func(*http.Request) response {
	return func(*http.Request) response {
		next := all[0]
		if len(all) > 1 {
			all = all[1:]
		}
		return next
	}
}

func refused(status int, code string) response {
	return response{status: status, body: `{"Code":"` + code + `","Message":"because","RequestId":"R1","HostId":"h","Recommend":"r"}`}
}

func wantCode(t *testing.T, err error, want fault.Code) {
	t.Helper()
	if got := fault.CodeOf(err); got != want {
		t.Errorf("got %q (%v), want %q", got, err, want)
	}
}

var (
	errReset = errors.New("read tcp 10.0.0.1:443: connection reset by peer")
	someSet  = cloud.SetSpec{InstanceID: "i-1", Include: []string{"d-1"}, Tags: map[string]string{cloud.TagRun: "r1"}}
)

// The service's word for what happened, and what it means for the one call
// that makes a set.
func TestCreateSetFails(t *testing.T) {
	for name, c := range map[string]struct {
		answer response
		want   fault.Code
	}{
		"throttled":            {refused(400, "Throttling.User"), fault.SnapshotThrottled},
		"throttled, by status": {refused(429, "Whatever"), fault.SnapshotThrottled},
		"throttled with a 503": {refused(503, "Throttling"), fault.SnapshotThrottled},
		"denied":               {refused(403, "Forbidden.RAM"), fault.AccessDenied},
		"expired":              {refused(400, "InvalidSecurityToken.Expired"), fault.AccessDenied},
		"too soon":             {refused(403, "IncorrectDiskStatus.CreatingSnapshot"), fault.SnapshotTooSoon},
		"quota":                {refused(403, "QuotaExceed.Snapshot"), fault.SnapshotRefused},
		"category":             {refused(403, "DiskCategory.OperationNotSupported"), fault.SnapshotRefused},
		"no such instance":     {refused(404, "InvalidInstanceId.NotFound"), fault.SnapshotRefused},
		"stopping":             {refused(403, "IncorrectInstanceStatus"), fault.SnapshotRefused},
		"its own trouble":      {refused(500, "InternalError"), fault.SnapshotOutcomeUnknown},
		"not JSON":             {response{status: 502, body: "<html>"}, fault.SnapshotOutcomeUnknown},
		"half an answer":       {response{body: `{"SnapshotGroupId":`}, fault.SnapshotOutcomeUnknown},
		"no answer":            {response{err: errReset}, fault.SnapshotOutcomeUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			p, w := against(inTurn(c.answer))
			_, err := p.CreateSet(t.Context(), someSet)
			wantCode(t, err, c.want)
			if len(w.seen) != 1 {
				t.Errorf("got %d attempts, want 1", len(w.seen))
			}
		})
	}
}

// What was never sent made nothing.
func TestNothingIsSentWithoutCredentials(t *testing.T) {
	p, w := against(nil)
	p.cfg.Credentials = func(context.Context) (Keys, error) { return Keys{}, errors.New("no role") }
	_, err := p.CreateSet(t.Context(), someSet)
	if wantCode(t, err, fault.AccessDenied); len(w.seen) > 0 {
		t.Errorf("sent %d requests", len(w.seen))
	}
	server := httptest.NewServer(nil)
	server.Close()
	p = New(Config{Region: "cn-hangzhou", Credentials: p.cfg.Credentials, Endpoints: map[string]string{"*": server.URL}}, Options{})
	p.cfg.Credentials = func(context.Context) (Keys, error) { return secretKeys, nil }
	_, err = p.CreateSet(t.Context(), someSet)
	wantCode(t, err, fault.Unavailable)
}

// Reads are made again, with pauses, a bounded number of times; a refusal that
// lasts is not.
func TestReadsAreRepeated(t *testing.T) {
	for name, c := range map[string]struct {
		answers []response
		want    fault.Code
		calls   int
	}{
		"throttled once":   {[]response{refused(400, "Throttling.User"), {body: `{}`}}, "", 2},
		"no answer twice":  {[]response{{err: errReset}, {err: errReset}, {body: `{}`}}, "", 3},
		"throttled always": {[]response{refused(400, "Throttling")}, fault.Throttled, attempts},
		"broken always":    {[]response{refused(500, "InternalError")}, fault.Unavailable, attempts},
		"denied":           {[]response{refused(403, "Forbidden.RAM")}, fault.AccessDenied, 1},
		"a wrong request":  {[]response{refused(400, "InvalidParameter.Status")}, fault.Internal, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, w := against(inTurn(c.answers...))
				_, err := p.Group(t.Context(), "ssg-1", "i-1", "") // a read of one call
				wantCode(t, err, c.want)
				if len(w.seen) != c.calls {
					t.Errorf("got %d calls, want %d", len(w.seen), c.calls)
				}
				nonces := map[string]bool{}
				for _, r := range w.seen {
					nonces[r.URL.Query().Get("SignatureNonce")] = true
				}
				if len(nonces) != c.calls {
					t.Errorf("%d calls were signed with %d nonces", c.calls, len(nonces))
				}
			})
		})
	}
}

// Nothing that an error says names a key, a token or a signature, wherever the
// text came from.
func TestErrorsKeepSecrets(t *testing.T) {
	leak := `{"Code":"SignatureDoesNotMatch","Message":"server string to sign is:GET&%2F&AccessKeyId%3DSTS.keyid123%26SecurityToken%3DCAIStoken%252F%252B%253D%253D%26Signature%3Dabc","RequestId":"R1"}`
	for name, answer := range map[string]response{
		"network": {err: errReset}, "signature": {status: 400, body: leak}, "broken": {status: 500, body: "<html>" + leak},
	} {
		synctest.Test(t, func(t *testing.T) {
			p, w := against(inTurn(answer))
			_, created := p.CreateSet(t.Context(), someSet)
			_, found := p.FindSet(t.Context(), "r1")
			_, read := p.Get(t.Context(), "key")
			for _, err := range []error{created, found, read, p.Publish(t.Context(), nil), p.Answer(t.Context(), "token")} {
				if err == nil {
					continue
				}
				signature := w.seen[0].URL.Query().Get("Signature")
				for _, secret := range []string{secretKeys.ID, secretKeys.Secret, secretKeys.Token, "CAIStoken", signature} {
					if secret != "" && strings.Contains(err.Error(), secret) {
						t.Errorf("%s: %q shows %q", name, err, secret)
					}
				}
			}
		})
	}
}

// The context ends a call that hangs, though the SDK knows none.
func TestContextEndsACall(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var asked atomic.Int32
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		cancel() // once it is under way, however long that took
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	defer server.Close()
	defer close(release)
	p := New(Config{
		Region: "cn-hangzhou", Endpoints: map[string]string{"*": server.URL},
		Credentials: func(context.Context) (Keys, error) { return secretKeys, nil },
	}, Options{})
	_, err := p.CreateSet(ctx, someSet)
	if wantCode(t, err, fault.SnapshotOutcomeUnknown); asked.Load() != 1 {
		t.Errorf("got %d requests, want 1", asked.Load())
	}
}

// Many calls at once share nothing that they change.
func TestCallsAtOnce(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{}`)) }))
	defer server.Close()
	p := New(Config{
		Region: "cn-hangzhou", Endpoints: map[string]string{"*": server.URL},
		Credentials: func(context.Context) (Keys, error) { return secretKeys, nil },
	}, Options{})
	failed := make(chan error, 32)
	for range cap(failed) {
		go func() {
			_, err := p.FindSet(context.Background(), "r1")
			failed <- err
		}()
	}
	for range cap(failed) {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
}

// Every product has the address that it has, and is called under TLS.
func TestEndpoints(t *testing.T) {
	p, w := against(inTurn(refused(403, "Forbidden.RAM")))
	_, _ = p.FindSet(t.Context(), "r1")
	_ = p.Answer(t.Context(), "token")
	m := p.Meter()
	if _, err := m.Write([]byte(aLine)); err != nil {
		t.Fatal(err)
	}
	_ = m.Flush(t.Context())
	_, _ = p.putEvents(t.Context(), []entry{{ID: "1"}})
	_, _ = p.Get(t.Context(), "key")
	want := []string{
		"https://ecs.cn-hangzhou.aliyuncs.com", "https://cn-hangzhou.fnf.aliyuncs.com", "https://metrics.cn-hangzhou.aliyuncs.com",
		"https://123.eventbridge.cn-hangzhou.aliyuncs.com", "https://assets.oss-cn-hangzhou.aliyuncs.com",
	}
	for i, r := range w.seen {
		if got := r.URL.Scheme + "://" + r.URL.Host; got != want[i] {
			t.Errorf("call %d went to %s, want %s", i, got, want[i])
		}
	}
	if len(w.seen) != len(want) {
		t.Errorf("got %d calls, want %d", len(w.seen), len(want))
	}
	asset, err := p.Helper(t.Context(), "amd64")
	if err != nil || !strings.HasPrefix(asset.URL, "https://assets.oss-cn-hangzhou-internal.aliyuncs.com/guest?") {
		t.Errorf("the helper is fetched at %q, %v", asset.URL, err)
	}
}
