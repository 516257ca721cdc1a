package awscloud

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/quiesce/quiesce/shared/fault"
)

// wire answers the provider in process, with what the services document. It
// notes every request that reaches it.
type wire struct {
	answer func(request) response
	seen   []request
}

type request struct {
	action string
	form   url.Values     // of the query protocol
	doc    map[string]any // of the JSON protocol
}

type response struct {
	status int // 200 if 0
	body   string
	err    error // no answer
}

func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	in := request{}
	kind := "text/xml;charset=UTF-8"
	if target := r.Header.Get("X-Amz-Target"); target != "" {
		_, in.action, _ = strings.Cut(target, ".")
		kind = "application/x-amz-json-1.1"
		if err := json.Unmarshal(body, &in.doc); err != nil {
			return nil, err
		}
	} else {
		if in.form, err = url.ParseQuery(string(body)); err != nil {
			return nil, err
		}
		in.action = in.form.Get("Action")
	}
	w.seen = append(w.seen, in)
	out := w.answer(in)
	if out.err != nil {
		return nil, out.err
	}
	if out.status == 0 {
		out.status = http.StatusOK
	}
	return &http.Response{
		StatusCode: out.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header: http.Header{"Content-Type": {kind}}, Body: io.NopCloser(strings.NewReader(out.body)),
	}, nil
}

// count is how often an action reached the wire.
func (w *wire) count(action string) int {
	n := 0
	for _, r := range w.seen {
		if r.action == action {
			n++
		}
	}
	return n
}

var testOptions = Options{
	AssetBucket: "assets", Bus: "quiesce", Document: "Quiesce", DocumentHash: strings.Repeat("d", 64),
	Helpers: map[string]Helper{"arm64": {Key: "quiesce-guest-arm64", SHA256: strings.Repeat("a", 64)}},
}

// against makes a provider whose every call is answered by f.
func against(f func(request) response) (*Provider, *wire) {
	w := &wire{answer: f}
	return New(aws.Config{
		Region:      "eu-central-1",
		Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret", ""),
		HTTPClient:  &http.Client{Transport: w},
	}, testOptions), w
}

// inTurn answers with each response once, and with the last for ever.
func inTurn(all ...response) func(request) response {
	return func(request) response {
		next := all[0]
		if len(all) > 1 {
			all = all[1:]
		}
		return next
	}
}

// refusal is EC2's error document.
func refusal(status int, code string) response {
	return response{status: status, body: `<?xml version="1.0" encoding="UTF-8"?>
<Response><Errors><Error><Code>` + code + `</Code><Message>because</Message></Error></Errors><RequestID>ea966190-f9aa-478e-9ede-example</RequestID></Response>`}
}

// denial is a JSON service's error document.
func denial(status int, code string) response {
	return response{status: status, body: `{"__type":"` + code + `","message":"because"}`}
}

func wantCode(t *testing.T, err error, want fault.Code) {
	t.Helper()
	if got := fault.CodeOf(err); got != want {
		t.Errorf("got %q (%v), want %q", got, err, want)
	}
}

var errReset = errors.New("read tcp 10.0.0.1:443: connection reset by peer")
