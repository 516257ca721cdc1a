// Package bus is the emulated EventBridge: one default bus, rules with
// patterns, targets in Go, and a log of everything that passed.
package bus

import (
	"context"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/quiesce/quiesce/local/aws/wire"
)

// Config is the bus of an account.
type Config struct {
	Region, Account string
	NewID           func() string

	// Delivery is how long an event travels to its targets; default 200 ms,
	// negative none.
	Delivery time.Duration
	// Log gets every event as a line of JSON; nil keeps them in memory only.
	Log io.Writer
}

// Event is one event as targets get it.
type Event struct {
	Version    string          `json:"version"`
	ID         string          `json:"id"`
	DetailType string          `json:"detail-type"`
	Source     string          `json:"source"`
	Account    string          `json:"account"`
	Time       time.Time       `json:"time"`
	Region     string          `json:"region"`
	Resources  []string        `json:"resources"`
	Detail     json.RawMessage `json:"detail"`
}

// Bus is the running bus.
type Bus struct {
	cfg    Config
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu     sync.Mutex
	events []Event
	rules  []rule
}

type rule struct {
	name    string
	pattern Pattern
	target  func(context.Context, Event)
}

// New makes a bus without rules.
func New(cfg Config) *Bus {
	if cfg.Delivery == 0 {
		cfg.Delivery = 200 * time.Millisecond
	}
	ctx, cancel := context.WithCancel(context.Background())
	return &Bus{cfg: cfg, ctx: ctx, cancel: cancel}
}

// Close ends all deliveries and waits for the targets that run.
func (b *Bus) Close() {
	b.cancel()
	b.wg.Wait()
}

// Rule lets target be called, in a goroutine of its own, for every event that
// the pattern matches. A rule of the same name is replaced; a nil target
// removes it.
func (b *Bus) Rule(name, pattern string, target func(context.Context, Event)) error {
	p, err := ParsePattern([]byte(pattern))
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rules = slices.DeleteFunc(b.rules, func(r rule) bool { return r.name == name })
	if target != nil {
		b.rules = append(b.rules, rule{name, p, target})
	}
	return nil
}

// Events returns everything that was on the bus so far, in order.
func (b *Bus) Events() []Event {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.events)
}

// Emit puts a service's own event on the bus.
func (b *Bus) Emit(source, detailType string, resources []string, detail any) {
	doc, err := json.Marshal(detail)
	if err != nil {
		panic("an event of " + source + " is not JSON: " + err.Error())
	}
	b.put(Event{Source: source, DetailType: detailType, Resources: resources, Detail: doc, Time: time.Now()})
}

func (b *Bus) put(e Event) (id string) {
	e.Version, e.ID, e.Account, e.Region = "0", b.cfg.NewID(), b.cfg.Account, b.cfg.Region
	e.Time = e.Time.UTC().Truncate(time.Second) // as the real bus keeps it
	if e.Resources == nil {
		e.Resources = []string{}
	}
	var doc []byte
	b.mu.Lock()
	defer b.mu.Unlock()
	b.events = append(b.events, e)
	if b.cfg.Log != nil {
		doc, _ = json.Marshal(e)
		_, _ = b.cfg.Log.Write(append(doc, '\n'))
	}
	if b.ctx.Err() != nil {
		return e.ID
	}
	for _, r := range b.rules {
		if !r.pattern.may(e.Source, e.DetailType) {
			continue
		}
		if doc == nil {
			doc, _ = json.Marshal(e)
		}
		if r.pattern.Match(doc) {
			b.wg.Go(func() { b.deliver(r, e) })
		}
	}
	return e.ID
}

func (b *Bus) deliver(r rule, e Event) {
	if b.cfg.Delivery > 0 {
		t := time.NewTimer(b.cfg.Delivery)
		defer t.Stop()
		select {
		case <-t.C:
		case <-b.ctx.Done():
			return
		}
	}
	r.target(b.ctx, e)
}

// Protocol is awsJson 1.1.
func (b *Bus) Protocol() wire.Protocol { return wire.AWSJSON }

// Limit is PutEvents' quota in a small Region.
func (b *Bus) Limit(*wire.Call) (string, wire.Limit) {
	return "PutEvents", wire.Limit{Capacity: 600, Refill: 600}
}

// Do has the effect of one call.
func (b *Bus) Do(_ context.Context, c *wire.Call) (wire.Reply, error) {
	if c.Action != "PutEvents" {
		return wire.Reply{}, wire.Bad("UnknownOperationException", "%s is not emulated", c.Action)
	}
	var in struct {
		Entries []entry `json:"Entries"`
	}
	if err := c.Decode(&in); err != nil {
		return wire.Reply{}, err
	}
	return b.putEvents(in.Entries)
}

type entry struct {
	Source       string
	DetailType   string
	Detail       string
	EventBusName string
	Resources    []string
	Time         *float64
}

// size counts an entry as the service does.
func (e entry) size() int {
	n := len(e.Source) + len(e.DetailType) + len(e.Detail)
	for _, r := range e.Resources {
		n += len(r)
	}
	if e.Time != nil {
		n += 14
	}
	return n
}

func (b *Bus) putEvents(entries []entry) (wire.Reply, error) {
	total := 0
	for _, e := range entries {
		total += e.size()
		if name := e.EventBusName; name != "" && name != "default" && !strings.HasSuffix(name, ":event-bus/default") {
			return wire.Reply{}, wire.Bad("ResourceNotFoundException", "Event bus %s does not exist.", name)
		}
	}
	switch {
	case len(entries) == 0 || len(entries) > 10:
		return wire.Reply{}, wire.Bad("ValidationException", "1 validation error detected: Value at 'entries' failed to satisfy constraint: Member must have length less than or equal to 10 and greater than or equal to 1")
	case total > 256*1024:
		return wire.Reply{}, wire.Bad("ValidationException", "Total size of the entries in the request is over the limit.")
	}
	type result struct {
		EventID string `json:"EventId,omitempty"`
		Code    string `json:"ErrorCode,omitempty"`
		Message string `json:"ErrorMessage,omitempty"`
	}
	var out struct {
		Failed  int      `json:"FailedEntryCount"`
		Entries []result `json:"Entries"`
	}
	for _, e := range entries {
		if code, message := e.fault(); code != "" {
			out.Failed++
			out.Entries = append(out.Entries, result{Code: code, Message: message})
			continue
		}
		at := time.Now()
		if e.Time != nil {
			at = time.UnixMilli(int64(*e.Time * 1000))
		}
		id := b.put(Event{Source: e.Source, DetailType: e.DetailType, Resources: e.Resources, Detail: json.RawMessage(e.Detail), Time: at})
		out.Entries = append(out.Entries, result{EventID: id})
	}
	return wire.JSON(out)
}

// fault is why a single entry is refused; the others are accepted all the same.
func (e entry) fault() (code, message string) {
	var detail map[string]any
	switch {
	case e.Source == "":
		return "InvalidArgument", "Parameter Source is not valid. Reason: Source is a required argument."
	case strings.HasPrefix(e.Source, "aws."):
		return "NotAuthorizedForSourceException", "Not authorized for the source."
	case e.DetailType == "" || len(e.DetailType) > 128:
		return "InvalidArgument", "Parameter DetailType is not valid. Reason: DetailType is a required argument of at most 128 characters."
	case e.Detail == "":
		return "InvalidArgument", "Parameter Detail is not valid. Reason: Detail is a required argument."
	case json.Unmarshal([]byte(e.Detail), &detail) != nil:
		return "MalformedDetail", "Detail is malformed."
	}
	return "", ""
}
