package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/quiesce/quiesce/local"
	"github.com/quiesce/quiesce/local/database"
	"github.com/quiesce/quiesce/shared/policy"
)

// Server is what its adapter did to one kind of server, over several whole runs
// under load, each restored and checked.
type Server struct {
	App      string `json:"app"`
	Verified int    `json:"verified"` // of n
	Window   Spread `json:"window"`
	Pause    Spread `json:"pause"` // as the writer saw it
	Beyond   Spread `json:"pauseBeyondWindow"`
	Recovery Spread `json:"recovery"` // of the restored server
}

var kinds = []string{policy.MariaDB, policy.PostgreSQL, policy.Redis}

// servers runs every server by its adapter.
func (b *bench) servers(ctx context.Context, r *Report) error {
	for _, app := range kinds {
		var runs []*local.Report
		verified := 0
		for i := range b.N {
			b.say("servers: %s, %d of %d", app, i+1, b.N)
			o := b.options(b.made.dir)
			o.App = app
			report, err := local.Run(ctx, o, silence{})
			if err != nil {
				return fmt.Errorf("%s: %w", app, err)
			}
			if report.Good() {
				verified++
			} else {
				b.say("servers: %s, run %s ended %s, %s-consistent: %s", app, report.RunID, report.Outcome, report.Consistency, report.Reason)
			}
			runs = append(runs, report)
		}
		r.Servers = append(r.Servers, Server{
			App: app, Verified: verified,
			Window:   spreadOf(runs, func(r *local.Report) float64 { return r.FrozenMs }),
			Pause:    spreadOf(runs, func(r *local.Report) float64 { return r.ApplicationPauseMs }),
			Beyond:   spreadOf(runs, func(r *local.Report) float64 { return r.ApplicationPauseMs - r.FrozenMs }),
			Recovery: spreadOf(runs, func(r *local.Report) float64 { return r.RecoveryMs }),
		})
	}
	return nil
}

// Control is what became of copies that nobody held.
type Control struct {
	App      string        `json:"app"`
	Logs     database.Logs `json:"logs"`
	Order    string        `json:"order"` // of the calls
	Tries    int           `json:"tries"`
	Whole    int           `json:"whole"`       // the server started, all that was committed was there, its own check was clean
	Dead     int           `json:"didNotStart"` // on the restored volumes
	Lossy    int           `json:"otherTables"` // whose tables without transactions were damaged or had lost rows, of those that started
	Damage   []string      `json:"damage,omitempty"`
	CallsMs  Figure        `json:"calls"`
	HasOther bool          `json:"hasOtherTables"`
}

// control takes the same servers under the same load by one call a volume in
// turn, and nothing held.
func (b *bench) control(ctx context.Context, r *Report) error {
	for _, app := range []string{policy.MariaDB, policy.PostgreSQL} {
		for _, logs := range []database.Logs{database.Small, database.Ordinary} {
			for _, logFirst := range []bool{false, true} {
				c, err := b.unheld(ctx, app, logs, logFirst)
				if err != nil {
					return err
				}
				r.Control = append(r.Control, c)
			}
		}
	}
	return nil
}

func (b *bench) unheld(ctx context.Context, app string, logs database.Logs, logFirst bool) (Control, error) {
	c := Control{App: app, Logs: logs, Order: "data, log", HasOther: app == policy.MariaDB}
	if logFirst {
		c.Order = "log, data"
	}
	var took []float64
	for i := range b.N {
		b.say("control: %s, %s logs, %s, %d of %d", app, logs, c.Order, i+1, b.N)
		o := b.options(b.made.dir)
		o.App, o.Logs, o.Completion = app, logs, 100*time.Millisecond
		o.Latency = map[string]time.Duration{"CreateSnapshot": b.latency["CreateSnapshots"]} // no other call matters here
		t, err := local.Control(ctx, o, logFirst, silence{})
		if err != nil {
			return c, fmt.Errorf("%s: %w", app, err)
		}
		c.Tries++
		took = append(took, t.CallsMs)
		switch {
		case t.Whole:
			c.Whole++
		case !t.Started:
			c.Dead++
		}
		if t.Started && len(t.Notes) > 0 && c.HasOther {
			c.Lossy++
		}
		c.Damage = append(c.Damage, t.Findings...)
	}
	c.CallsMs = figure(took)
	return c, nil
}

// Spread is the distribution of one figure.
type Spread struct {
	P50 float64 `json:"p50"`
	P95 float64 `json:"p95"`
	Max float64 `json:"max"`
}

func (s Spread) String() string { return fmt.Sprintf("%.0f / %.0f / %.0f", s.P50, s.P95, s.Max) }

func spreadOf[T any](tries []T, value func(T) float64) Spread {
	values := make([]float64, len(tries))
	for i, t := range tries {
		values[i] = value(t)
	}
	slices.Sort(values)
	if len(values) == 0 {
		return Spread{}
	}
	// The nearest rank: the smallest value that so many of all do not exceed.
	rank := func(percent int) float64 { return values[(len(values)*percent+99)/100-1] }
	return Spread{P50: rank(50), P95: rank(95), Max: rank(100)}
}
