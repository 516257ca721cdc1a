package wire

import (
	"context"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/quiesce/quiesce/local/fault"
)

// Gate is where requests enter an emulated account: what is planned for a call,
// its limits, its latency and its record are the same for every service.
type Gate struct {
	Faults      *fault.Plan // nil plans nothing
	Unthrottled bool

	// Latency is how long a call takes until its reply, by its action, by its
	// service, or "*"; the first that is there counts, then Latencies.
	Latency, Latencies map[string]time.Duration

	NewID        func() string
	Route        func(*Call) // finds the service and the action as the endpoints do
	Service      func(*Call) Service
	Unknown      func(*Call) Reply // where there is no such service
	Authenticate func(*Call, Protocol) error

	// Partial are the calls whose services make a wrong answer that can be read:
	// lists that lack one, an output that breaks off. Every other answer breaks off
	// as it is sent.
	Partial     map[string]bool
	ContentType string // of a reply that names none
	IDHeader    string

	buckets Buckets
	mu      sync.Mutex
	calls   []Record
}

// answer handles one request wholly: whose it is, what is planned for it, its
// effect, then its latency.
func (g *Gate) answer(ctx context.Context, r *http.Request, body []byte) (Reply, error) {
	call := &Call{ID: g.NewID(), At: time.Now(), Body: body, HTTP: r, Step: fault.StepOf(ctx)}
	g.Route(call)
	service := g.Service(call)
	if service == nil {
		return g.Unknown(call), nil
	}
	protocol := service.Protocol()
	var reply Reply
	err := g.Authenticate(call, protocol)
	if err == nil {
		if call.Step == "" {
			call.Step = call.Role
		}
		// What the plan does to the world outlives a client that hangs up.
		call.Planned = g.Faults.Arrive(fault.WithStep(context.WithoutCancel(ctx), call.Step), call.Step, call.Action)
		if call.Planned.Hang {
			<-ctx.Done()
			return Reply{}, ctx.Err()
		}
		if err = g.Admit(call, service); err == nil {
			reply, err = service.Do(ctx, call)
		}
	}
	code := ""
	if err != nil {
		e := AsError(err)
		code = e.Code
		reply = protocol.Refuse(e, call.ID)
	}
	g.Record(call, code)
	if reply.Header == nil {
		reply.Header = http.Header{}
	}
	if reply.Header.Get("Content-Type") == "" {
		reply.Header.Set("Content-Type", g.ContentType)
	}
	reply.Header.Set(g.IDHeader, call.ID)
	reply.Header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	if err := g.Delay(ctx, call); err != nil {
		return Reply{}, err
	}
	if call.Planned.Wrong && !g.Partial[call.Action] && err == nil {
		reply.Body = reply.Body[:len(reply.Body)/2]
	}
	return reply, nil
}

// Inside is a call by a service of the account itself, which is not signed: with
// the faults, the limits and the latency of any.
func (g *Gate) Inside(ctx context.Context, call *Call, s Service) (reply Reply, err error) {
	if call.Step == "" {
		call.Step = call.Role
	}
	call.ID, call.At = g.NewID(), time.Now()
	call.Planned = g.Faults.Arrive(fault.WithStep(context.WithoutCancel(ctx), call.Step), call.Step, call.Action)
	if err = g.Admit(call, s); err == nil {
		reply, err = s.Do(ctx, call)
	}
	code := ""
	if err != nil {
		code = AsError(err).Code
	}
	g.Record(call, code)
	if slept := Sleep(ctx, g.Takes(call.Service, call.Action)+call.Planned.Slow); slept != nil {
		return Reply{}, slept
	}
	return reply, err
}

// Admit refuses what the plan or the request limits refuse.
func (g *Gate) Admit(c *Call, s Service) error {
	protocol := s.Protocol()
	switch c.Planned.Refuse {
	case fault.Throttle:
		return protocol.Throttled
	case fault.Deny:
		return protocol.Denied
	case fault.BusDown:
		return protocol.Down
	}
	bucket, limit := s.Limit(c)
	if limit.Capacity > 0 && !g.Take(c.Region+c.Service+":"+bucket, limit, c.At) {
		return protocol.Throttled
	}
	return nil
}

// Take counts a call in a bucket and tells whether that had room.
func (g *Gate) Take(bucket string, limit Limit, at time.Time) bool {
	return g.Unthrottled || g.buckets.Take(bucket, limit, at)
}

// Delay is the call's latency, after which its reply may be lost.
func (g *Gate) Delay(ctx context.Context, c *Call) error {
	if err := Sleep(ctx, g.Takes(c.Service, c.Action)+c.Planned.Slow); err != nil {
		return err
	}
	if c.Planned.Drop {
		return ErrDropped
	}
	return nil
}

// Takes is how long a call takes with nothing in its way.
func (g *Gate) Takes(service, action string) time.Duration {
	for _, table := range []map[string]time.Duration{g.Latency, g.Latencies} {
		for _, name := range []string{action, service, "*"} {
			if d, ok := table[name]; ok {
				return d
			}
		}
	}
	return 0
}

// Record keeps a call that has had its effect, and the code it was refused with.
func (g *Gate) Record(call *Call, code string) {
	r := call.Record(code)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.calls = append(g.calls, r)
}

// Calls returns every call so far in the order in which they had their effect.
func (g *Gate) Calls() []Record {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.calls)
}

// Count tells how often an action was called.
func (g *Gate) Count(action string) int {
	n := 0
	for _, r := range g.Calls() {
		if r.Action == action {
			n++
		}
	}
	return n
}

// Transport reaches the account in process, whatever host a request names.
func (g *Gate) Transport() http.RoundTripper { return Front(g.answer) }

// ServeHTTP answers over sockets.
func (g *Gate) ServeHTTP(w http.ResponseWriter, r *http.Request) { Front(g.answer).ServeHTTP(w, r) }

// Serve answers on a listener on loopback until ctx ends.
func (g *Gate) Serve(ctx context.Context, l net.Listener) error {
	return Front(g.answer).Serve(ctx, l)
}
