package alicloud

import (
	"cmp"
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/quiesce/quiesce/events"
	"github.com/quiesce/quiesce/shared/fault"
)

// EventBridge's limits on one PutEvents and on one event.
const (
	maxEntries = 16
	maxEntry   = 256 << 10
	maxBatch   = 1 << 20
	maxSubject = 512
	maxType    = 64
)

// entry is one CloudEvent, with the bus as its extension.
type entry struct {
	ID              string          `json:"id"`
	Source          string          `json:"source"`
	SpecVersion     string          `json:"specversion"`
	Type            string          `json:"type"`
	DataContentType string          `json:"datacontenttype"`
	Subject         string          `json:"subject,omitempty"`
	Time            string          `json:"time"`
	Data            json.RawMessage `json:"data"`
	Bus             string          `json:"aliyuneventbusname"`
}

// Publish puts the events in batches. A batch may be taken in part; then only
// what was refused is put again, because the rest would arrive twice.
func (p *Provider) Publish(ctx context.Context, list []events.Event) error {
	batches, err := p.batches(list)
	if err != nil {
		return err
	}
	for _, batch := range batches {
		if err := p.publish(ctx, batch); err != nil {
			return err
		}
	}
	return nil
}

// batches cuts the events in order; one that fits into none is refused before
// any is put.
func (p *Provider) batches(list []events.Event) ([][]entry, error) {
	var all [][]entry
	var batch []entry
	var bytes int
	for _, e := range list {
		made, err := p.entry(e)
		if err != nil {
			return nil, err
		}
		text, err := json.Marshal(made)
		if err != nil {
			return nil, fault.Wrap(fault.Internal, err, "encode event %q", e.Type)
		}
		switch {
		case len(text) > maxEntry:
			return nil, fault.New(fault.Internal, "event %q has %d bytes, more than the bus takes", e.Type, len(text))
		case len(e.Type) > maxType:
			return nil, fault.New(fault.Internal, "event %q has a type longer than the bus takes", e.Type)
		}
		if len(batch) == maxEntries || bytes+len(text) > maxBatch-maxEntries {
			all, batch, bytes = append(all, batch), nil, 0
		}
		batch, bytes = append(batch, made), bytes+len(text)
	}
	if len(batch) > 0 {
		all = append(all, batch)
	}
	return all, nil
}

func (p *Provider) entry(e events.Event) (entry, error) {
	detail, err := json.Marshal(e.Detail)
	if err != nil {
		return entry{}, fault.Wrap(fault.Internal, err, "encode event %q", e.Type)
	}
	at := e.Time
	if at.IsZero() {
		at = time.Now()
	}
	return entry{
		ID: token(), Source: events.Source, SpecVersion: "1.0", Type: e.Type, DataContentType: "application/json",
		Subject: subject(e.Resources), Time: at.UTC().Format(time.RFC3339Nano), Data: detail, Bus: cmp.Or(p.options.Bus, "default"),
	}, nil
}

// subject names the resources, as many of them as there is room for: the
// detail names all.
func subject(resources []string) string {
	text := ""
	for _, r := range resources {
		next := strings.TrimPrefix(text+","+r, ",")
		if len(next) > maxSubject {
			break
		}
		text = next
	}
	return text
}

// publish puts one batch until all of it is taken. What the bus refuses for a
// reason that lasts is not put again.
func (p *Provider) publish(ctx context.Context, batch []entry) error {
	pause := firstPause
	for attempt := 1; ; attempt++ {
		var out answered
		if err := again(ctx, func() (err error) { out, err = p.putEvents(ctx, batch); return err }); err != nil {
			return translate(err, "publish %d events", len(batch))
		}
		refused, why := out.refused(batch)
		if len(refused) == 0 {
			return nil
		}
		if attempt == attempts || !why.Code.Retryable() {
			return why
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return why
		}
		batch, pause = refused, pause*2
	}
}

// answered is what PutEvents says of each entry; its status says nothing.
type answered struct {
	FailedEntryCount int
	EntryList        []struct{ EventId, ErrorCode, ErrorMessage string } //nolint:revive,staticcheck // the wire's own names
}

// refused returns the entries that were not taken, in order, and why; a reason
// that lasts goes before one that passes.
func (a answered) refused(batch []entry) ([]entry, *fault.Error) {
	if a.FailedEntryCount == 0 {
		return nil, nil
	}
	var refused []entry
	var why *fault.Error
	for i, r := range a.EntryList {
		if r.ErrorCode == "" || i >= len(batch) {
			continue
		}
		refused = append(refused, batch[i])
		code, ok := codes[r.ErrorCode]
		if !ok {
			code = fault.InvalidInput // malformed: it would be again
		}
		if why == nil || why.Code.Retryable() {
			why = fault.New(code, "the bus refused event %q: %s: %s", batch[i].Type, r.ErrorCode, scrub(r.ErrorMessage))
		}
	}
	return refused, why
}
