package aliyun_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quiesce/quiesce/local/aliyun"
	"github.com/quiesce/quiesce/local/aliyun/eventbridge"
)

// cloudEvent is one that is taken, but for what is changed.
func cloudEvent(change ...string) map[string]string {
	e := map[string]string{"id": "e-1", "source": "quiesce", "specversion": "1.0", "type": "Thaw Failed", "datacontenttype": "application/json", "aliyuneventbusname": "default", "data": "{}"}
	for i := 0; i < len(change); i += 2 {
		e[change[i]] = change[i+1]
	}
	return e
}

// batch is the request that puts events, signed as the service's pages say; change
// may change it before that, and after.
func (w *world) batch(body any, before, after func(http.Header)) answer {
	w.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		w.Fatal(err)
	}
	r, err := http.NewRequestWithContext(w.Context(), http.MethodPost, "http://"+w.Account()+".eventbridge."+w.Region()+".aliyuncs.com/openapi/putEvents", strings.NewReader(string(text)))
	if err != nil {
		w.Fatal(err)
	}
	w.nonces++
	for name, value := range map[string]string{
		"Content-Type": "application/cloudevents-batch+json; charset=utf-8", "Date": time.Now().UTC().Format(http.TimeFormat),
		"x-acs-signature-nonce": "bus-" + strconv.Itoa(w.nonces), "x-acs-signature-method": "HMAC-SHA1", "x-acs-signature-version": "1.0",
		"x-eventbridge-version": "2015-06-06", "x-acs-accesskey-id": w.keys.ID, "x-acs-security-token": w.keys.Token,
	} {
		r.Header.Set(name, value)
	}
	if before != nil {
		before(r.Header)
	}
	var own []string
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		if lower := strings.ToLower(name); strings.HasPrefix(lower, "x-acs-") {
			own = append(own, lower+":"+r.Header.Get(name)+"\n")
		}
	}
	slices.Sort(own)
	mac := hmac.New(sha1.New, []byte(w.keys.Secret))
	fmt.Fprintf(mac, "POST\n\n%s\n%s\n%s/openapi/putEvents", r.Header.Get("Content-Type"), r.Header.Get("Date"), strings.Join(own, ""))
	r.Header.Set("Authorization", "acs:"+w.keys.ID+":"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	if after != nil {
		after(r.Header)
	}
	return w.do(r)
}

func TestTheBusChecksSignatures(t *testing.T) {
	day := func(d time.Duration) func(http.Header) {
		return func(h http.Header) { h.Set("Date", time.Now().Add(d).UTC().Format(http.TimeFormat)) }
	}
	for _, c := range []struct {
		name          string
		before, after func(http.Header)
		want          string
	}{
		{name: "as it should be"},
		{"a wrong signature", nil, func(h http.Header) {
			given := h.Get("Authorization")
			h.Set("Authorization", given[:strings.LastIndex(given, ":")+1]+base64.StdEncoding.EncodeToString(make([]byte, sha1.Size)))
		}, "SignatureDoesNotMatch"},
		{"a signature of something else", nil, func(h http.Header) { h.Set("x-acs-signature-version", "2.0") }, "SignatureDoesNotMatch"},
		{"no signature", nil, func(h http.Header) { h.Del("Authorization") }, "MissingAccessKeyId"},
		{"no nonce", func(h http.Header) { h.Del("x-acs-signature-nonce") }, nil, "IncompleteSignature"},
		{"no date", func(h http.Header) { h.Del("Date") }, nil, "IncompleteSignature"},
		{"no token of STS", func(h http.Header) { h.Del("x-acs-security-token") }, nil, "InvalidSecurityToken.MismatchWithAccessKey"},
		{"an old one", day(-16 * time.Minute), nil, "InvalidTimeStamp.Expired"},
		{"one of tomorrow", day(24 * time.Hour), nil, "InvalidTimeStamp.Expired"},
		{"another content type", func(h http.Header) { h.Set("Content-Type", "application/json") }, nil, "InvalidContentType"},
		{"a used nonce", func(h http.Header) { h.Set("x-acs-signature-nonce", "used") }, nil, "SignatureNonceUsed"},
	} {
		in(t, aliyun.Config{}, func(w *world) {
			w.batch([]any{cloudEvent()}, func(h http.Header) { h.Set("x-acs-signature-nonce", "used") }, nil)
			w.refuses(c.name, w.batch([]any{cloudEvent()}, c.before, c.after), c.want)
		})
	}
}

// A batch is refused as a whole for its size, an entry by itself for what it
// says; the others are taken all the same.
func TestTheBusLimits(t *testing.T) {
	in(t, aliyun.Config{}, func(w *world) {
		events := func(n int, change ...string) (all []any) {
			for range n {
				all = append(all, cloudEvent(change...))
			}
			return all
		}
		data := func(n int) []string { return []string{"data", strings.Repeat("x", n)} }
		for _, c := range []struct {
			name string
			body any
			want string
		}{
			{"sixteen events", events(16), ""},
			{"seventeen", events(17), "EventSizeExceeded"},
			{"none", []any{}, "EventSizeExceeded"},
			{"a mebibyte together", events(4, data(255<<10)...), ""},
			{"more than that", events(5, data(255<<10)...), "EventSizeExceeded"},
			{"no batch", cloudEvent(), "InvalidArgument"},
		} {
			w.refuses(c.name, w.batch(c.body, nil, nil), c.want)
		}
		before := len(w.EventBridge.Events())
		long := func(n int) string { return strings.Repeat("x", n) }
		for _, c := range []struct {
			name   string
			change []string
			want   string
		}{
			{"as it should be", nil, ""},
			{"an id of 128", []string{"id", long(128)}, ""},
			{"a longer id", []string{"id", long(129)}, "InvalidArgument"},
			{"an id that begins with a dash", []string{"id", "-1"}, "InvalidArgument"},
			{"an id with a slash", []string{"id", "a/b"}, "InvalidArgument"},
			{"a source of 128", []string{"source", long(128)}, ""},
			{"a longer source", []string{"source", long(129)}, "InvalidArgument"},
			{"no source", []string{"source", ""}, "InvalidArgument"},
			{"a source of the provider's", []string{"source", "acs.ecs"}, "NoPermission"},
			{"a type of 64", []string{"type", long(64)}, ""},
			{"a longer type", []string{"type", long(65)}, "InvalidArgument"},
			{"a subject of 512", []string{"subject", long(512)}, ""},
			{"a longer subject", []string{"subject", long(513)}, "InvalidArgument"},
			{"another version of the specification", []string{"specversion", "0.3"}, "InvalidArgument"},
			{"a bus that does not exist", []string{"aliyuneventbusname", "other"}, "EventBusNotExist"},
			{"a quarter of a mebibyte and more", data(256 << 10), "EventSizeExceeded"},
		} {
			a := w.batch([]any{cloudEvent(), cloudEvent(c.change...)}, nil, nil)
			failed := map[bool]string{true: "0", false: "1"}[c.want == ""]
			if got := a.text("EntryList", 1, "ErrorCode"); a.status != http.StatusOK || got != c.want || a.text("FailedEntryCount") != failed || a.text("EntryList", 0, "EventId") != "e-1" {
				t.Errorf("%s: got %v, want %q", c.name, a.doc, c.want)
			}
			taken := 2
			if c.want != "" {
				taken = 1
			}
			if after := len(w.EventBridge.Events()); after != before+taken {
				t.Errorf("%s: %d events were taken, want %d", c.name, after-before, taken)
			} else {
				before = after
			}
		}
	})
}

// What ECS tells of itself comes by the same bus, to whoever has a rule for it.
func TestARuleHearsOfCompletedSnapshots(t *testing.T) {
	in(t, aliyun.Config{}, func(w *world) {
		var mu sync.Mutex
		var heard []string
		err := w.Listen("mine", aliyun.Completed, func(_ context.Context, e eventbridge.Event) error {
			mu.Lock()
			defer mu.Unlock()
			heard = append(heard, e.Subject)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		w.refuses("a group", w.call("CreateSnapshotGroup", "InstanceId", target, "DiskId.1", first, "DiskId.2", second), "")
		time.Sleep(9 * time.Second)
		mu.Lock()
		if len(heard) != 0 {
			t.Errorf("heard of %v before it was so", heard)
		}
		mu.Unlock()
		time.Sleep(2 * time.Second)
		mu.Lock()
		defer mu.Unlock()
		if len(heard) != 2 || !strings.HasPrefix(heard[0], "acs:ecs:cn-hangzhou:1234567890123456:snapshot/s-") {
			t.Errorf("heard of %v, want each member by itself", heard)
		}
	})
}
