package policy

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"
)

// RestoreTest says where and how a set of the policy is brought to life to see
// whether it can be. The zero one tests nothing.
type RestoreTest struct {
	Instance         string   `json:"instance,omitempty"`         // where copies are attached for the time of the test; it carries the opt-in tag
	Application      string   `json:"application,omitempty"`      // the server that is started on them: a server's kind or none; empty: the policy's own, if that is one
	Check            string   `json:"check,omitempty"`            // absolute path of the user's own check on that instance; empty: none
	Schedule         Schedule `json:"schedule,omitzero"`          // empty: started by hand
	TimeLimitMinutes int      `json:"timeLimitMinutes,omitempty"` // 5-360; 0: 60
	CostLimit        float64  `json:"costLimit,omitempty"`        // the most that the copies may cost until the time limit; 0: not limited
	PricePerGiBMonth float64  `json:"pricePerGiBMonth,omitempty"` // of a disk, in the currency of the limit; wanted with costLimit
}

// IsZero reports that nothing is tested.
func (r RestoreTest) IsZero() bool { return r == RestoreTest{} }

// defaultTestLimit is in minutes.
const defaultTestLimit = 60

// TimeLimit is how long a test may take until the copies are taken away.
func (r RestoreTest) TimeLimit() time.Duration {
	return time.Duration(cmp.Or(r.TimeLimitMinutes, defaultTestLimit)) * time.Minute
}

// Cost is what disks of so many GiB cost until the time limit, 0 without a
// price: nobody here knows one.
func (r RestoreTest) Cost(gib int64) float64 {
	const hoursAMonth = 730
	return float64(gib) * r.PricePerGiBMonth * r.TimeLimit().Hours() / hoursAMonth
}

// Tested is the server that a test of the policy starts, none for no server.
func (d Document) Tested() string {
	switch {
	case d.RestoreTest.Application != "":
		return d.RestoreTest.Application
	case d.Application.Server():
		return d.Application.Kind
	}
	return None
}

const onNoInstance = "is missing: copies are attached to an instance that is named"

// restoreTest checks how sets are tested.
func (c *complaints) restoreTest(r RestoreTest, now time.Time) {
	if r.IsZero() {
		return
	}
	switch {
	case r.Instance == "":
		c.add("restoreTest.instance", onNoInstance)
	case !instance.MatchString(r.Instance):
		c.add("restoreTest.instance", "wants an instance id such as i-0abc12345678def90, got %q", r.Instance)
	}
	if r.Application != "" && r.Application != None && !(Application{Kind: r.Application}).Server() {
		c.add("restoreTest.application", "wants none, %s, got %q", strings.Join(slices.Sorted(maps.Keys(Modes)), ", "), r.Application)
	}
	if r.Check != "" {
		c.path("restoreTest.check", r.Check)
	}
	if r.Schedule != (Schedule{}) {
		if r.Schedule.Name != "" && !name.MatchString(r.Schedule.Name) {
			c.add("restoreTest.schedule.name", "wants 1-64 letters, digits, dots, dashes or underscores, got %q", r.Schedule.Name)
		}
		c.schedule("restoreTest.schedule", r.Schedule, now)
	}
	if r.TimeLimitMinutes != 0 {
		c.within("restoreTest.timeLimitMinutes", r.TimeLimitMinutes, 5, 360)
	}
	for _, n := range []struct {
		field string
		got   float64
	}{{"restoreTest.costLimit", r.CostLimit}, {"restoreTest.pricePerGiBMonth", r.PricePerGiBMonth}} {
		if n.got < 0 || n.got > 1e6 {
			c.add(n.field, "wants 0-1000000, got %v", n.got)
		}
	}
	if r.CostLimit > 0 && r.PricePerGiBMonth == 0 {
		c.add("restoreTest.pricePerGiBMonth", "is missing: a cost is limited by a price that you give")
	}
}
