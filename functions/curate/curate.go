// Package curate does what a policy says becomes of a set once it is complete:
// it is locked, shared, copied to other Regions, archived, restored fast. Every
// look sees what is and does what is missing, so that it may be interrupted and
// repeated anywhere. It deletes nothing.
package curate

import (
	"context"
	"log/slog"
	"time"

	"github.com/quiesce/quiesce/events"
	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/run"
	"github.com/quiesce/quiesce/shared/telemetry"
)

// Input is what a schedule starts it with.
type Input struct {
	Run     run.Run `json:"run"`
	Request Request `json:"request"`
}

// Request names the policy, which says all of it.
type Request struct {
	Policy policy.Document `json:"policy"`
}

// Check refuses what nobody could act by.
func (in Input) Check() error {
	switch d := in.Request.Policy; {
	case in.Run.ID == "":
		return fault.Input("run.id", "is missing")
	case !d.Curated():
		return fault.Input("request.policy", "says of no set what becomes of it: wants copies, share, archive, fastRestore or lock")
	default:
		return d.Check(time.Now())
	}
}

// Regions is the account in a Region; an empty name is its own.
type Regions func(name string) cloud.Curator

// Do looks and acts. What could not be done is told by the event and the metric,
// and tried again by the next look. Codes: InvalidInput, and those of a look.
func Do(ctx context.Context, at Regions, bus cloud.Bus, metrics *telemetry.Metrics, in Input) (*Report, error) {
	c, err := look(ctx, at, in.Request.Policy)
	if err != nil {
		return nil, err
	}
	c.act(ctx)
	r := c.report()
	tell(ctx, bus, metrics, in, r)
	return r, nil
}

// curator is one look, and what comes of it.
type curator struct {
	policy policy.Document
	at     Regions
	here   cloud.Curator
	home   *shelf
	abroad map[string]*shelf // by Region
	now    time.Time         // by the provider's clock

	giveable map[string]bool // by key
	gaveUp   map[string]bool // by Region and run: told once a look
	crowded  bool            // a copy waits for room
	pace     pacer
	stopped  bool // whoever is throttled makes it worse by going on
	lines    []Line
	done     Done
}

// look lists what is here and in the Regions of the copies. One that is the
// sets' own is refused before anything is touched.
func look(ctx context.Context, at Regions, d policy.Document) (*curator, error) {
	c := &curator{policy: d, at: at, here: at(""), abroad: map[string]*shelf{}, giveable: map[string]bool{}, gaveUp: map[string]bool{}}
	for _, one := range d.Copies {
		if one.Region == c.here.Region() {
			return nil, fault.Input("request.policy.copies", "%s is where the sets are themselves", one.Region)
		}
	}
	for _, z := range d.FastRestore.Zones {
		if z[:len(z)-1] != c.here.Region() {
			return nil, fault.Input("request.policy.fastRestore.zones", "%s is not in %s, where the sets are", z, c.here.Region())
		}
	}
	var err error
	if c.home, c.now, err = shelve(ctx, c.here, d.Name, "", d.Retention); err != nil {
		return nil, err
	}
	for _, one := range d.Copies {
		if c.abroad[one.Region], _, err = shelve(ctx, at(one.Region), d.Name, c.here.Region(), one.Retention); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// act begins with what protects a set. Nothing is begun for which there may not
// be the time to note it.
func (c *curator) act(ctx context.Context) {
	for _, s := range c.home.sets {
		if c.wanted(s) {
			c.lock(ctx, s)
			c.share(ctx, s)
		}
		c.unshare(ctx, s)
	}
	c.fast(ctx)
	c.copyAll(ctx)
	c.archive(ctx)
}

// tell publishes a look that did something, or could not: most do nothing.
func tell(ctx context.Context, bus cloud.Bus, metrics *telemetry.Metrics, in Input, r *Report) {
	metrics.Emit(r.Policy, "curate", in.Run.ID,
		telemetry.Metric{Name: telemetry.SetsCopied, Value: float64(r.Copied)},
		telemetry.Metric{Name: telemetry.CopiesWaiting, Value: float64(r.Waiting)},
		telemetry.Metric{Name: telemetry.CurationFailed, Value: float64(r.Failed)})
	if len(r.Lines) == 0 {
		return
	}
	detail := events.Curation{
		Subject: events.Subject{RunID: in.Run.ID, Policy: r.Policy},
		Outcome: r.Outcome(), Reason: r.String(), Code: string(r.Code), NextMove: r.Code.NextMove(),
		Locked: r.Locked, Shared: r.Shared, Unshared: r.Unshared, Copied: r.Copied, Waiting: r.Waiting, Archived: r.Archived, Failed: r.Failed,
		Lines: []events.Deed{},
	}
	for _, l := range r.Lines[:min(len(r.Lines), run.Listed)] {
		detail.Lines = append(detail.Lines, events.Deed{RunID: l.RunID, InstanceID: l.InstanceID, What: l.What, Region: l.Region, Code: string(l.Code), Reason: l.Reason})
	}
	if err := bus.Publish(ctx, []events.Event{{Type: events.TypeCuration, Time: time.Now(), Detail: detail}}); err != nil {
		slog.Error("the report was not published", "run", in.Run.ID, "policy", r.Policy, "error", err)
	}
}
