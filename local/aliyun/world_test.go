package aliyun_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quiesce/quiesce/local/aliyun"
	"github.com/quiesce/quiesce/local/aliyun/ecs"
	"github.com/quiesce/quiesce/local/instance"
	"github.com/quiesce/quiesce/shared/cloud/alicloud"
)

const (
	target = "i-bp1aaaaaaaaaaaaaaaa1"
	system = "d-bp1aaaaaaaaaaaaaaaa0"
	first  = "d-bp1aaaaaaaaaaaaaaaa1"
	second = "d-bp1aaaaaaaaaaaaaaaa2"
)

// storage keeps nothing: what the account says of it is all that counts here.
type storage struct{ instance.Disks }

func (storage) Create(context.Context, string, int64, string) error   { return nil }
func (storage) Attach(_ context.Context, disk string) (string, error) { return "/dev/" + disk, nil }
func (storage) Detach(context.Context, string) error                  { return nil }
func (storage) Delete(context.Context, string) error                  { return nil }
func (storage) Snapshot(context.Context, map[string]string) error     { return nil }
func (storage) DeleteSnapshot(context.Context, string) error          { return nil }

// machine does what it is told with every command, or says it, and keeps what
// has ended.
type machine struct {
	do func(context.Context, instance.Command) instance.Result

	mu    sync.Mutex
	ended []string
}

// ran are the commands that have ended, in order.
func (m *machine) ran() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.ended)
}

func (m *machine) Arch() string { return "amd64" }

func (m *machine) Execute(ctx context.Context, c instance.Command) instance.Result {
	r := instance.Result{Stdout: []byte(c.Script)}
	if m.do != nil {
		r = m.do(ctx, c)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ended = append(m.ended, c.Script)
	return r
}

// world is an account with an instance of a system disk and two data disks.
type world struct {
	*testing.T
	*aliyun.Cloud
	machine *machine
	keys    alicloud.Keys
	nonces  int
}

func in(t *testing.T, cfg aliyun.Config, test func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		if cfg.Latency = map[string]time.Duration{"*": time.Millisecond}; cfg.Disks == nil {
			cfg.Disks = storage{}
		}
		w := &world{T: t, Cloud: aliyun.New(cfg), machine: &machine{}}
		defer w.Close()
		w.keys = w.Keys("tester")
		w.rent(ecs.Instance{ID: target}, ecs.Disk{ID: system, System: true, Hollow: true}, ecs.Disk{ID: first}, ecs.Disk{ID: second})
		test(w)
	})
}

func (w *world) rent(i ecs.Instance, disks ...ecs.Disk) {
	w.Helper()
	if _, err := w.Rent(w.Context(), i, w.machine, disks...); err != nil {
		w.Fatal(err)
	}
}

// answer is what came back: the refusal's code, or the document.
type answer struct {
	status int
	code   string
	doc    map[string]any
}

// at reads a value below names and numbers.
func (a answer) at(path ...any) any {
	var v any = a.doc
	for _, p := range path {
		switch p := p.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[p]
		case int:
			list, _ := v.([]any)
			if p >= len(list) {
				return nil
			}
			v = list[p]
		}
	}
	return v
}

func (a answer) text(path ...any) string {
	if v := a.at(path...); v != nil {
		return fmt.Sprint(v)
	}
	return ""
}

var versions = map[string]string{"PutCustomMetric": "2019-01-01", "StartExecution": "2019-03-15", "DescribeExecution": "2019-03-15", "StopExecution": "2019-03-15", "GetExecutionHistory": "2019-03-15", "ListExecutions": "2019-03-15", "DescribeVSwitches": "2016-04-28"}

// common are the parameters that every call has, signed by nobody yet.
func (w *world) common(action string) url.Values {
	w.nonces++
	version := versions[action]
	if version == "" {
		version = "2014-05-26"
	}
	return url.Values{
		"Action": {action}, "Version": {version}, "Format": {"JSON"}, "Timestamp": {time.Now().UTC().Format("2006-01-02T15:04:05Z")},
		"SignatureMethod": {"HMAC-SHA1"}, "SignatureVersion": {"1.0"}, "SignatureNonce": {"nonce-" + strconv.Itoa(w.nonces)},
		"AccessKeyId": {w.keys.ID}, "SecurityToken": {w.keys.Token}, "RegionId": {w.Region()},
	}
}

// sign puts the signature on, as the service's pages describe it.
func sign(params url.Values, secret string) {
	escape := func(s string) string {
		return strings.NewReplacer("+", "%20", "*", "%2A", "%7E", "~").Replace(url.QueryEscape(s))
	}
	params.Del("Signature")
	var pairs []string
	for _, name := range slices.Sorted(maps.Keys(params)) {
		pairs = append(pairs, escape(name)+"="+escape(params.Get(name)))
	}
	mac := hmac.New(sha1.New, []byte(secret+"&"))
	mac.Write([]byte("POST&%2F&" + escape(strings.Join(pairs, "&"))))
	params.Set("Signature", base64.StdEncoding.EncodeToString(mac.Sum(nil)))
}

// call makes one call with these parameters besides: names and values in turn.
func (w *world) call(action string, with ...string) answer {
	w.Helper()
	params := w.common(action)
	for i := 0; i < len(with); i += 2 {
		params.Set(with[i], with[i+1])
	}
	sign(params, w.keys.Secret)
	return w.send(params)
}

func (w *world) send(params url.Values) answer {
	w.Helper()
	r, err := http.NewRequestWithContext(w.Context(), http.MethodPost, "http://ecs.aliyuncs.com/?"+params.Encode(), nil)
	if err != nil {
		w.Fatal(err)
	}
	return w.do(r)
}

func (w *world) do(r *http.Request) answer {
	w.Helper()
	response, err := w.Transport().RoundTrip(r)
	if err != nil {
		w.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		w.Fatal(err)
	}
	a := answer{status: response.StatusCode, doc: map[string]any{}}
	if err := json.Unmarshal(body, &a.doc); err != nil {
		w.Fatalf("%s: %v", body, err)
	}
	if a.status/100 != 2 {
		a.code, _ = a.doc["Code"].(string)
	}
	return a
}

// refuses checks that a call is refused by that code, or taken if it is empty.
func (w *world) refuses(what string, got answer, want string) {
	w.Helper()
	if got.code != want {
		w.Errorf("%s: got %d %q (%v), want %q", what, got.status, got.code, got.doc["Message"], want)
	}
}

// list makes Name.1, Name.2 and so on.
func list(name string, values ...string) (params []string) {
	for i, v := range values {
		params = append(params, fmt.Sprintf("%s.%d", name, i+1), v)
	}
	return params
}

// broken sends a call whose answer is to break off.
func (w *world) broken(params url.Values) {
	w.Helper()
	r, err := http.NewRequestWithContext(w.Context(), http.MethodPost, "http://ecs.aliyuncs.com/?"+params.Encode(), nil)
	if err != nil {
		w.Fatal(err)
	}
	response, err := w.Transport().RoundTrip(r)
	if err != nil {
		w.Fatal(err)
	}
	if body, _ := io.ReadAll(response.Body); json.Valid(body) {
		w.Errorf("the answer is whole: %s", body)
	}
}

// hangs sends a call and hangs up after so long; it tells after how long it was
// over.
func (w *world) hangs(params url.Values, patience time.Duration) time.Duration {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://ecs.aliyuncs.com/?"+params.Encode(), nil)
	if err != nil {
		w.Fatal(err)
	}
	began := time.Now()
	if response, err := w.Transport().RoundTrip(r); err == nil {
		w.Errorf("answered %s", response.Status)
	}
	return time.Since(began)
}
