package awscloud

import (
	"context"
	"encoding/json"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"

	"github.com/quiesce/quiesce/events"
	"github.com/quiesce/quiesce/shared/fault"
)

// EventBridge's limits on one PutEvents.
const (
	maxEntries = 10
	maxBytes   = 256 << 10
)

// Publish puts the events in batches. A batch may be taken in part; then only
// what was refused is put again, because the rest would arrive twice.
func (p *Provider) Publish(ctx context.Context, entries []events.Event) error {
	batches, err := p.batches(entries)
	if err != nil {
		return err
	}
	for _, batch := range batches {
		if err := p.put(ctx, batch); err != nil {
			return err
		}
	}
	return nil
}

// batches cuts the events in order; one that fits into none is refused before
// any is put.
func (p *Provider) batches(entries []events.Event) ([][]types.PutEventsRequestEntry, error) {
	var all [][]types.PutEventsRequestEntry
	var batch []types.PutEventsRequestEntry
	var bytes int
	for _, e := range entries {
		entry, err := p.entry(e)
		if err != nil {
			return nil, err
		}
		size := sizeOf(entry)
		if size > maxBytes {
			return nil, fault.New(fault.Internal, "event %q has %d bytes, more than the bus takes", e.Type, size)
		}
		if len(batch) == maxEntries || bytes+size > maxBytes {
			all, batch, bytes = append(all, batch), nil, 0
		}
		batch, bytes = append(batch, entry), bytes+size
	}
	if len(batch) > 0 {
		all = append(all, batch)
	}
	return all, nil
}

func (p *Provider) entry(e events.Event) (types.PutEventsRequestEntry, error) {
	detail, err := json.Marshal(e.Detail)
	if err != nil {
		return types.PutEventsRequestEntry{}, fault.Wrap(fault.Internal, err, "encode event %q", e.Type)
	}
	entry := types.PutEventsRequestEntry{
		Source:     aws.String(events.Source),
		DetailType: aws.String(e.Type),
		Detail:     aws.String(string(detail)),
		Resources:  e.Resources,
	}
	if !e.Time.IsZero() {
		entry.Time = aws.Time(e.Time)
	}
	if p.options.Bus != "" {
		entry.EventBusName = aws.String(p.options.Bus)
	}
	return entry, nil
}

// sizeOf counts an entry as EventBridge does: 14 bytes for the time.
func sizeOf(e types.PutEventsRequestEntry) int {
	size := 14 + len(*e.Source) + len(*e.DetailType) + len(*e.Detail)
	for _, r := range e.Resources {
		size += len(r)
	}
	return size
}

// put puts one batch until all of it is taken. What the bus refuses for a
// reason that lasts is not put again.
func (p *Provider) put(ctx context.Context, batch []types.PutEventsRequestEntry) error {
	pause := 100 * time.Millisecond
	for attempt := 1; ; attempt++ {
		out, err := p.bus.PutEvents(ctx, &eventbridge.PutEventsInput{Entries: batch})
		if err != nil {
			return translate(err, "publish %d events", len(batch))
		}
		refused, why := refusedEntries(batch, out)
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

// refusedEntries returns the entries that were not taken, in order, and why
// the last of them was not; a reason that lasts goes before one that passes.
func refusedEntries(batch []types.PutEventsRequestEntry, out *eventbridge.PutEventsOutput) ([]types.PutEventsRequestEntry, *fault.Error) {
	if out.FailedEntryCount == 0 {
		return nil, nil
	}
	var refused []types.PutEventsRequestEntry
	var why *fault.Error
	for i, r := range out.Entries {
		reason := aws.ToString(r.ErrorCode)
		if reason == "" || i >= len(batch) {
			continue
		}
		refused = append(refused, batch[i])
		code, ok := codes[reason]
		if !ok {
			code = fault.InvalidInput // malformed: it would be again
		}
		if why == nil || why.Code.Retryable() {
			why = fault.New(code, "the bus refused event %q: %s: %s", *batch[i].DetailType, reason, aws.ToString(r.ErrorMessage))
		}
	}
	return refused, why
}
