// Package wire is what the emulated services have in common: one request as
// it arrived, the account's keys, the errors in each protocol's own shape, and
// the token buckets that throttle.
package wire

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"net/http"
	"net/url"
	"time"

	"github.com/quiesce/quiesce/local/fault"
)

// Call is one authenticated request.
type Call struct {
	ID      string // request id
	Service string // as the credential scope names it: ec2, ssm, events, states, s3
	Action  string
	Region  string // that it was sent to; empty where there is one alone
	Role    string // whose key signed it
	Step    string // the workflow's step that made it, if known
	At      time.Time
	Body    []byte
	Form    url.Values // the EC2 query parameters
	HTTP    *http.Request

	// Planned is what the fault plan has for this call. The caller of Do sees
	// to what every call has in common; the rest is the service's.
	Planned fault.Disturbance
}

// Decode reads the JSON document of a call; fields it does not know are left
// alone, as every AWS service does.
func (c *Call) Decode(into any) error {
	if len(c.Body) == 0 {
		return nil
	}
	if err := json.Unmarshal(c.Body, into); err != nil {
		return Errorf(http.StatusBadRequest, "SerializationException", "%v", err)
	}
	return nil
}

// Record is one call that arrived: who did what, and the code it was refused
// with, if it was.
type Record struct {
	At      time.Time
	Took    time.Duration // to the effect; latency comes on top
	Service string
	Action  string
	Region  string // that it was sent to; empty where there is one alone
	Role    string
	Step    string
	Code    string
}

// Record is what is kept of a call that has had its effect.
func (c *Call) Record(code string) Record {
	return Record{c.At, time.Since(c.At), c.Service, c.Action, c.Region, c.Role, c.Step, code}
}

// Reply is one answer on its way out.
type Reply struct {
	Status int
	Header http.Header
	Body   []byte
}

// Service is one emulated API. Do has the effect at once: latency is added by
// its caller afterwards, so that a point in time is the request's arrival.
type Service interface {
	Do(ctx context.Context, c *Call) (Reply, error)
	Protocol() Protocol
	// Limit names the bucket that the call is counted in; a zero limit is none.
	Limit(c *Call) (bucket string, limit Limit)
}

// JSON answers in the awsJson protocols.
func JSON(v any) (Reply, error) {
	body, err := json.Marshal(v)
	return Reply{Status: http.StatusOK, Body: body}, err
}

// XML answers in the EC2 query protocol and S3's. v names its own root.
func XML(v any) (Reply, error) {
	body, err := xml.Marshal(v)
	return Reply{
		Status: http.StatusOK,
		Header: http.Header{"Content-Type": {"text/xml;charset=UTF-8"}},
		Body:   append([]byte(xml.Header), body...),
	}, err
}

// Epoch renders a time as the awsJson protocols do: seconds with a fraction.
func Epoch(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return float64(t.UnixMilli()) / 1000
}

// Time renders a time as the EC2 query protocol does.
func Time(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
