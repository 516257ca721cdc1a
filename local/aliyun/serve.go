package aliyun

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/quiesce/quiesce/local/aliyun/assistant"
	"github.com/quiesce/quiesce/local/aliyun/rpc"
	"github.com/quiesce/quiesce/local/aws/wire"
	"github.com/quiesce/quiesce/local/fault"
)

// partial are the calls whose services make a wrong answer that can be read: a
// list that lacks some, an output that was cut. Any other wrong answer is one
// whose end is missing.
var partial = map[string]bool{"DescribeSnapshots": true, "DescribeSnapshotGroups": true, "DescribeInvocationResults": true}

// answer handles one request wholly: whose it is, what is planned for it, its
// effect, then its latency.
func (c *Cloud) answer(ctx context.Context, r *http.Request, body []byte) (wire.Reply, error) {
	call := &wire.Call{ID: c.requestID(), At: time.Now(), Body: body, HTTP: r, Step: fault.StepOf(ctx)}
	route(call)
	service := c.services[call.Service]
	if service == nil {
		return rpc.Protocol.Refuse(wire.Errorf(http.StatusNotFound, "InvalidVersion", "No service here answers to %s.", call.Action), call.ID), nil
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
		reply.Header = http.Header{}
	}
	if reply.Header.Get("Content-Type") == "" {
		reply.Header.Set("Content-Type", "application/json;charset=utf-8")
	}
	reply.Header.Set("X-Acs-Request-Id", call.ID)
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

func (c *Cloud) requestID() string {
	d := strings.ToUpper(c.digits(32))
	return strings.Join([]string{d[:8], d[8:12], d[12:16], d[16:20], d[20:]}, "-")
}

// admit refuses what the plan or the request limits refuse.
func (c *Cloud) admit(call *wire.Call, service wire.Service) error {
	return c.buckets.Admit(call, service, c.cfg.Unthrottled)
}

// versions are the services that speak RPC, by the version of their API.
var versions = map[string]string{"2014-05-26": "ecs", "2019-01-01": "cms", "2019-03-15": "fnf", "2020-01-10": "resourcesharing"}

// route finds the service and the action of a request as the endpoints do.
// Parameters stand in the address, in a form, or in both.
func route(call *wire.Call) {
	r := call.HTTP
	call.Form = r.URL.Query()
	if strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		form, _ := url.ParseQuery(string(call.Body))
		for name, values := range form {
			call.Form[name] = values
		}
	}
	if action := call.Form.Get("Action"); action != "" {
		call.Service, call.Action = versions[call.Form.Get("Version")], action
		if call.Service == "ecs" && assistant.Actions[action] {
			call.Service = "assistant"
		}
		return
	}
	if r.URL.Path == "/openapi/putEvents" && r.Method == http.MethodPost {
		call.Service, call.Action = "eventbridge", "PutEvents"
		return
	}
	call.Service = "oss"
	call.Action = map[string]string{"GET": "GetObject", "HEAD": "HeadObject", "PUT": "PutObject", "DELETE": "DeleteObject"}[r.Method]
	if r.Method == http.MethodGet && call.Form.Get("list-type") == "2" {
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
