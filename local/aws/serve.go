package aws

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/quiesce/quiesce/local/aws/wire"
	"github.com/quiesce/quiesce/local/fault"
)

// targets routes the awsJson services by the prefix of X-Amz-Target.
var targets = map[string]string{"AmazonSSM": "ssm", "AWSEvents": "events", "AWSStepFunctions": "states"}

// errDropped is a connection that breaks before the reply.
var errDropped = errors.New("read: connection reset by peer")

// answer handles one request wholly: whose it is, what is planned for it, its
// effect, then its latency.
func (c *Cloud) answer(ctx context.Context, r *http.Request, body []byte) (wire.Reply, error) {
	call := &wire.Call{ID: c.uuid(), At: time.Now(), Body: body, HTTP: r, Step: fault.StepOf(ctx)}
	c.route(call)
	service := c.services[call.Service]
	if service == nil {
		return wire.AWSJSON.Refuse(wire.Bad("UnknownOperationException", "no service here answers to %s", call.Action), call.ID), nil
	}
	protocol := service.Protocol()
	var reply wire.Reply
	err := c.authenticate(call, protocol)
	if err == nil {
		if call.Step == "" {
			call.Step = call.Role
		}
		// What the plan does to the world outlives a client that hangs up.
		call.Planned = c.cfg.Faults.Arrive(fault.WithStep(context.WithoutCancel(ctx), call.Step), call.Step, call.Action)
		if err = c.admit(call, service); err == nil {
			reply, err = service.Do(ctx, call)
		}
	}
	code := ""
	if err != nil {
		e := wire.AsError(err)
		code = e.Code
		reply = protocol.Refuse(e, call.ID)
	}
	c.record(call, code)
	if reply.Header == nil {
		reply.Header = make(http.Header)
	}
	if reply.Header.Get("Content-Type") == "" {
		reply.Header.Set("Content-Type", "application/x-amz-json-1.1")
	}
	reply.Header.Set("X-Amzn-Requestid", call.ID)
	if err := wait(ctx, c.latency(call.Service, call.Action)+call.Planned.Slow); err != nil {
		return wire.Reply{}, err
	}
	if call.Planned.Drop {
		return wire.Reply{}, errDropped
	}
	return reply, nil
}

// admit refuses what the plan or the request limits refuse.
func (c *Cloud) admit(call *wire.Call, service wire.Service) error {
	protocol := service.Protocol()
	switch call.Planned.Refuse {
	case fault.Throttle:
		return protocol.Throttled
	case fault.Deny:
		return protocol.Denied
	case fault.BusDown:
		return protocol.Down
	}
	if c.cfg.Unthrottled {
		return nil
	}
	bucket, limit := service.Limit(call)
	if limit.Capacity > 0 && !c.buckets.Take(call.Service+":"+bucket, limit, call.At) {
		return protocol.Throttled
	}
	return nil
}

// route finds the service and the action of a request as the endpoints do.
func (c *Cloud) route(call *wire.Call) {
	r := call.HTTP
	if target := r.Header.Get("X-Amz-Target"); target != "" {
		prefix, action, _ := strings.Cut(target, ".")
		call.Service, call.Action = targets[prefix], action
		if call.Service == "" {
			call.Action = target
		}
		return
	}
	if strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		call.Form, _ = url.ParseQuery(string(call.Body))
		if call.Form.Get("Action") != "" {
			call.Service, call.Action = "ec2", call.Form.Get("Action")
			return
		}
	}
	call.Service = "s3"
	call.Action = map[string]string{"GET": "GetObject", "HEAD": "HeadObject", "PUT": "PutObject", "DELETE": "DeleteObject"}[r.Method]
	if r.Method == http.MethodGet && r.URL.Query().Get("list-type") == "2" {
		call.Action = "ListObjectsV2"
	}
}

func wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Transport reaches the cloud in process, whatever host a request names.
func (c *Cloud) Transport() http.RoundTripper { return transport{c} }

type transport struct{ cloud *Cloud }

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		var err error
		body, err = io.ReadAll(r.Body)
		_ = r.Body.Close()
		if err != nil {
			return nil, err
		}
	}
	reply, err := t.cloud.answer(r.Context(), r, body)
	if err != nil {
		return nil, err
	}
	if r.Method == http.MethodHead {
		reply.Body = nil
	}
	return &http.Response{
		Status: http.StatusText(reply.Status), StatusCode: reply.Status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: reply.Header, Body: io.NopCloser(bytes.NewReader(reply.Body)), ContentLength: int64(len(reply.Body)), Request: r,
	}, nil
}

// ServeHTTP answers over sockets. A reply that is to be lost closes the
// connection.
func (c *Cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	reply, err := c.answer(r.Context(), r, body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	for k, v := range reply.Header {
		w.Header()[k] = v
	}
	w.WriteHeader(reply.Status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(reply.Body)
	}
}

// Serve answers on a listener until ctx ends. It refuses any address but
// loopback: the keys of this account are no secret.
func (c *Cloud) Serve(ctx context.Context, l net.Listener) error {
	a, ok := l.Addr().(*net.TCPAddr)
	if !ok || !a.IP.IsLoopback() {
		_ = l.Close()
		return fmt.Errorf("the emulated cloud listens on loopback only, not on %s", l.Addr())
	}
	server := &http.Server{Handler: c, ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
