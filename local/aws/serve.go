package aws

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/quiesce/quiesce/local/aws/wire"
	"github.com/quiesce/quiesce/local/fault"
)

// targets routes the awsJson services by the prefix of X-Amz-Target.
var targets = map[string]string{"AmazonSSM": "ssm", "AWSEvents": "events", "AWSStepFunctions": "states", "TrentService": "kms"}

// partial are the calls whose services make a wrong answer that can be read:
// lists that lack one, an output that breaks off. Every other answer breaks off
// as it is sent.
var partial = map[string]bool{"DescribeSnapshots": true, "GetCommandInvocation": true}

// answer handles one request wholly: whose it is, what is planned for it, its
// effect, then its latency.
func (c *Cloud) answer(ctx context.Context, r *http.Request, body []byte) (wire.Reply, error) {
	call := &wire.Call{ID: c.uuid(), At: time.Now(), Body: body, HTTP: r, Step: fault.StepOf(ctx)}
	c.route(call)
	service := c.service(call)
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
		if call.Planned.Hang {
			<-ctx.Done()
			return wire.Reply{}, ctx.Err()
		}
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
	reply.Header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	if err := wire.Sleep(ctx, c.latency(call.Service, call.Action)+call.Planned.Slow); err != nil {
		return wire.Reply{}, err
	}
	if call.Planned.Drop {
		return wire.Reply{}, wire.ErrDropped
	}
	if call.Planned.Wrong && !partial[call.Action] && err == nil {
		reply.Body = reply.Body[:len(reply.Body)/2]
	}
	return reply, nil
}

// admit refuses what the plan or the request limits refuse.
func (c *Cloud) admit(call *wire.Call, service wire.Service) error {
	return c.buckets.Admit(call, service, c.cfg.Unthrottled)
}

// route finds the service and the action of a request as the endpoints do.
func (c *Cloud) route(call *wire.Call) {
	r := call.HTTP
	call.Region = c.reached(r)
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

// Transport reaches the cloud in process, whatever host a request names.
func (c *Cloud) Transport() http.RoundTripper { return wire.Front(c.answer) }

// ServeHTTP answers over sockets.
func (c *Cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	wire.Front(c.answer).ServeHTTP(w, r)
}

// Serve answers on a listener on loopback until ctx ends.
func (c *Cloud) Serve(ctx context.Context, l net.Listener) error {
	return wire.Front(c.answer).Serve(ctx, l)
}
