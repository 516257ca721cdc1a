// Package eventbridge is the emulated EventBridge of Alibaba Cloud: PutEvents
// with its limits, buses, rules with patterns over CloudEvents, and a log of
// everything that passed.
package eventbridge

import (
	"context"
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/quiesce/quiesce/local/aliyun/rpc"
	"github.com/quiesce/quiesce/local/aws/bus"
	"github.com/quiesce/quiesce/local/aws/wire"
)

// Config is the account's EventBridge in one Region.
type Config struct {
	Region, Account string
	NewID           func() string
	Buses           []string // besides default

	// Delivery is how long an event travels to its targets; default 200 ms,
	// negative none.
	Delivery time.Duration
}

// Event is one CloudEvent as targets get it.
type Event struct {
	ID              string          `json:"id"`
	Source          string          `json:"source"`
	SpecVersion     string          `json:"specversion"`
	Type            string          `json:"type"`
	DataContentType string          `json:"datacontenttype"`
	Subject         string          `json:"subject,omitempty"`
	Time            time.Time       `json:"time"`
	Account         string          `json:"aliyunaccountid"`
	Published       time.Time       `json:"aliyunpublishtime"`
	Bus             string          `json:"aliyuneventbusname"`
	Region          string          `json:"aliyunregionid"`
	Data            json.RawMessage `json:"data"`
}

// EventBridge is the running service.
type EventBridge struct {
	cfg    Config
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu     sync.Mutex
	events []Event
	rules  []rule
	refuse *int
}

type rule struct {
	name, bus string
	pattern   bus.Pattern
	target    func(context.Context, Event)
}

// New makes an EventBridge without rules.
func New(cfg Config) *EventBridge {
	if cfg.Delivery == 0 {
		cfg.Delivery = 200 * time.Millisecond
	}
	ctx, cancel := context.WithCancel(context.Background())
	return &EventBridge{cfg: cfg, ctx: ctx, cancel: cancel}
}

// Close ends all deliveries and waits for the targets that run.
func (b *EventBridge) Close() {
	b.cancel()
	b.wg.Wait()
}

// Rule lets target be called for every event on a bus that the pattern
// matches.
func (b *EventBridge) Rule(name, on, pattern string, target func(context.Context, Event)) error {
	p, err := bus.ParsePattern([]byte(pattern))
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rules = append(b.rules, rule{name, on, p, target})
	return nil
}

// Events returns everything that was on a bus so far, in order.
func (b *EventBridge) Events() []Event {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.events)
}

// Refuse lets the service take the n-th entry (from 0) of the next batch only
// at a second attempt.
func (b *EventBridge) Refuse(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refuse = &n
}

// Emit puts a service's own event on the default bus.
func (b *EventBridge) Emit(source, kind, subject string, data any) {
	doc, err := json.Marshal(data)
	if err != nil {
		panic("an event of " + source + " is not JSON: " + err.Error())
	}
	b.put(Event{ID: b.cfg.NewID(), Source: source, SpecVersion: "1.0", Type: kind, DataContentType: "application/json", Subject: subject, Time: time.Now(), Bus: "default", Data: doc})
}

func (b *EventBridge) put(e Event) {
	e.Account, e.Region, e.Published = b.cfg.Account, b.cfg.Region, time.Now().UTC()
	e.Time = e.Time.UTC()
	doc, _ := json.Marshal(e)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.events = append(b.events, e)
	if b.ctx.Err() != nil {
		return
	}
	for _, r := range b.rules {
		if r.bus == e.Bus && r.pattern.Match(doc) {
			b.wg.Go(func() { b.deliver(r, e) })
		}
	}
}

func (b *EventBridge) deliver(r rule, e Event) {
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

// Protocol refuses as the RPC services do.
func (b *EventBridge) Protocol() wire.Protocol { return rpc.Protocol }

// Limit is that of a custom bus.
func (b *EventBridge) Limit(*wire.Call) (string, wire.Limit) {
	return "PutEvents", wire.Limit{Capacity: 3000, Refill: 3000}
}

// Limits of one PutEvents.
const (
	maxEntries = 16
	maxEntry   = 256 << 10
	maxBatch   = 1 << 20
)

// Do has the effect of one PutEvents.
func (b *EventBridge) Do(_ context.Context, c *wire.Call) (wire.Reply, error) {
	if !strings.HasPrefix(c.HTTP.Header.Get("Content-Type"), "application/cloudevents-batch+json") {
		return wire.Reply{}, wire.Errorf(http.StatusUnsupportedMediaType, "InvalidContentType", "The content type is not supported.")
	}
	var raw []json.RawMessage
	if err := json.Unmarshal(c.Body, &raw); err != nil {
		return wire.Reply{}, wire.Bad("InvalidArgument", "The body is no JSON array of CloudEvents.")
	}
	if len(raw) == 0 || len(raw) > maxEntries || len(c.Body) > maxBatch {
		return wire.Reply{}, wire.Bad("EventSizeExceeded", "A request takes 1-%d events of at most %d bytes together.", maxEntries, maxBatch)
	}
	b.mu.Lock()
	refuse := b.refuse
	b.refuse = nil
	b.mu.Unlock()
	type result struct {
		EventID string `json:"EventId,omitempty"`
		Code    string `json:"ErrorCode,omitempty"`
		Message string `json:"ErrorMessage,omitempty"`
	}
	var results []result
	failed := 0
	for i, text := range raw {
		var e Event
		code, message := "", ""
		if err := json.Unmarshal(text, &e); err != nil {
			code, message = "InvalidArgument", err.Error()
		} else {
			code, message = b.fault(e, len(text))
		}
		if refuse != nil && *refuse == i {
			code, message = "InternalError", "try again"
		}
		if code != "" {
			failed++
			results = append(results, result{Code: code, Message: message})
			continue
		}
		b.put(e)
		results = append(results, result{EventID: e.ID})
	}
	return rpc.Answer(c, map[string]any{"ResourceOwnerAccountId": b.cfg.Account, "FailedEntryCount": failed, "EntryList": results})
}

var (
	validID   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9-]{0,127}$`)
	mandatory = "The attribute %s is not valid."
)

// fault is why a single entry is refused; the others are accepted all the same.
func (b *EventBridge) fault(e Event, size int) (code, message string) {
	switch {
	case size > maxEntry:
		return "EventSizeExceeded", "The event is too large."
	case !validID.MatchString(e.ID):
		return "InvalidArgument", strings.ReplaceAll(mandatory, "%s", "id")
	case e.Source == "" || len(e.Source) > 128:
		return "InvalidArgument", strings.ReplaceAll(mandatory, "%s", "source")
	case strings.HasPrefix(e.Source, "acs."):
		return "NoPermission", "The source is reserved."
	case e.SpecVersion != "1.0":
		return "InvalidArgument", strings.ReplaceAll(mandatory, "%s", "specversion")
	case e.Type == "" || len(e.Type) > 64:
		return "InvalidArgument", strings.ReplaceAll(mandatory, "%s", "type")
	case len(e.Subject) > 512:
		return "InvalidArgument", strings.ReplaceAll(mandatory, "%s", "subject")
	case e.Bus != "default" && !slices.Contains(b.cfg.Buses, e.Bus):
		return "EventBusNotExist", "The event bus " + e.Bus + " does not exist."
	}
	return "", ""
}
