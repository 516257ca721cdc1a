package policy

import (
	"cmp"
	"fmt"
	"strings"
	"time"
)

// Retention says how many sets of an instance under a policy are kept. What any
// of its fields keeps is kept; the zero one keeps everything. A period keeps its
// best set: the newest of those of which most was proved.
type Retention struct {
	Last     int    `json:"last,omitempty"`     // 0-1000: so many of the newest
	Within   Age    `json:"within,omitzero"`    // all that are younger, such as 30d or 1y6m; at most 100y
	Hourly   int    `json:"hourly,omitempty"`   // 0-1000: one for each of so many hours that have any
	Daily    int    `json:"daily,omitempty"`    // 0-1000: the same for days,
	Weekly   int    `json:"weekly,omitempty"`   // ISO weeks,
	Monthly  int    `json:"monthly,omitempty"`  // months
	Yearly   int    `json:"yearly,omitempty"`   // and years
	Timezone string `json:"timezone,omitempty"` // IANA name in which hours and days are told; empty: UTC
}

// IsZero reports a retention that keeps everything.
func (r Retention) IsZero() bool { r.Timezone = ""; return r == Retention{} }

// String says what is kept of each instance, as a person would.
func (r Retention) String() string {
	if r.IsZero() {
		return "every set"
	}
	var parts []string
	if r.Last > 0 {
		parts = append(parts, fmt.Sprintf("the last %d", r.Last))
	}
	if !r.Within.IsZero() {
		parts = append(parts, "all that are younger than "+r.Within.String())
	}
	for _, p := range []struct {
		n    int
		what string
	}{{r.Hourly, "hours"}, {r.Daily, "days"}, {r.Weekly, "weeks"}, {r.Monthly, "months"}, {r.Yearly, "years"}} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("the best of each of %d %s", p.n, p.what))
		}
	}
	return strings.Join(parts, ", ") + ", told in " + cmp.Or(r.Timezone, "UTC")
}

// Zone is where hours and days are told.
func (r Retention) Zone() (*time.Location, error) { return location(r.Timezone) }

// maxKept bounds each count, as it does for users of DLM.
const maxKept = 1000

// oldest bounds an age.
var oldest = Age{Years: 100}

// retention checks what is kept.
func (c *complaints) retention(at string, r Retention, now time.Time) {
	for _, n := range []struct {
		field string
		got   int
	}{
		{"last", r.Last}, {"hourly", r.Hourly}, {"daily", r.Daily}, {"weekly", r.Weekly}, {"monthly", r.Monthly}, {"yearly", r.Yearly},
	} {
		c.within(at+"."+n.field, n.got, 0, maxKept)
	}
	if r.Within.Before(now).Before(oldest.Before(now)) {
		c.add(at+".within", "wants at most %s, got %s", oldest, r.Within)
	}
	if _, err := r.Zone(); err != nil {
		c.add(at+".timezone", "%v", err)
	}
	if r.IsZero() && r.Timezone != "" {
		c.add(at, keepsNothing)
	}
}

const keepsNothing = "names nothing to keep: wants a number above 0 or an age; leave it out and every set is kept"

// location reads a time zone's name.
func location(name string) (*time.Location, error) {
	zone, err := time.LoadLocation(name)
	if err != nil || name == "Local" {
		return zone, fmt.Errorf("wants an IANA time zone such as Europe/Berlin, got %q, which does not exist", name)
	}
	return zone, nil
}
