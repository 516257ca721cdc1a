package policy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Document is a policy file: what one run needs, and beside it, in the same
// mapping, what a fleet and its schedules need. Read makes one.
type Document struct {
	Schema string `json:"$schema,omitempty"` // for editors; no meaning here
	Policy
	Fleet
}

// FlowRoom is how many bytes of a policy an execution of CloudFlow has room for,
// beside all that its steps add.
const FlowRoom = 10 << 10

// Fleet is the part of a policy file that no single run needs: who is
// snapshotted, when, and how many at once.
type Fleet struct {
	Targets            Targets        `json:"targets,omitzero"`       // empty: only runs that name an instance themselves
	Schedules          []Schedule     `json:"schedules,omitempty"`    // empty: started by hand or by an event; at most 10
	MaxConcurrency     int            `json:"maxConcurrency"`         // instances at once, 1-10000; default 0: as many as the quotas let through
	MaxErrors          Tolerance      `json:"maxErrors"`              // failed instances until no further one is started; default 100%: they do not stop each other
	StartLateMinutes   int            `json:"startLateMinutes"`       // 1-1440, default 60: a start that is later than this is dropped
	Group              bool           `json:"group"`                  // default false; true: quiesce all targets, snapshot all, release all
	GroupBudgetSeconds int            `json:"groupBudgetSeconds"`     // 5-300, default 30: with group, from the first quiesce until the last target must be released
	Notification       []Notification `json:"notification,omitempty"` // empty: nobody is written to; events and metrics are published all the same
	Retention          Retention      `json:"retention,omitzero"`     // empty: every set is kept
	RestoreTest        RestoreTest    `json:"restoreTest,omitzero"`   // empty: no set is tested
	Curation
}

// Targets finds instances by id or by tag: each one that either finds is a
// target once, if it carries the opt-in tag.
type Targets struct {
	InstanceIDs []string          `json:"instanceIds,omitempty"` // at most 1000; empty: none by id
	Tags        map[string]string `json:"tags,omitempty"`        // any match; an empty value matches every value; empty: none by tag
}

// Empty reports that nothing is looked for.
func (t Targets) Empty() bool { return len(t.InstanceIDs) == 0 && len(t.Tags) == 0 }

// Schedule is when the fleet is started.
type Schedule struct {
	Name       string `json:"name,omitempty"`     // unique in the file; empty: schedule-1 for the first, and so on
	Expression string `json:"expression"`         // cron(...) or rate(...), in the grammar of EventBridge
	Timezone   string `json:"timezone,omitempty"` // IANA name, for cron alone; empty: UTC
}

// Tolerance is how many instances of a fleet may fail: a number, or a share
// in percent, written 5 or "5%".
type Tolerance struct {
	Value   int
	Percent bool
}

// Of returns how many of total instances may fail before no further one is
// started; a share is rounded down.
func (t Tolerance) Of(total int) int {
	if t.Percent {
		return int(int64(total) * int64(t.Value) / 100)
	}
	return min(t.Value, total)
}

// String writes the tolerance as a policy file has it.
func (t Tolerance) String() string {
	if t.Percent {
		return strconv.Itoa(t.Value) + "%"
	}
	return strconv.Itoa(t.Value)
}

// MarshalJSON writes a number, or a share as text.
func (t Tolerance) MarshalJSON() ([]byte, error) {
	if t.Percent {
		return json.Marshal(t.String())
	}
	return json.Marshal(t.Value)
}

// UnmarshalJSON reads 5, "5" or "5%".
func (t *Tolerance) UnmarshalJSON(data []byte) error {
	text := strings.Trim(string(data), `"`)
	number, percent := strings.CutSuffix(text, "%")
	n, err := strconv.Atoi(number)
	if err != nil || n < 0 || n > math.MaxInt32 {
		return fmt.Errorf(`wants a number of instances such as 5, or a share such as "10%%", got %s`, data)
	}
	*t = Tolerance{Value: n, Percent: percent}
	return nil
}

// Notification is one receiver: exactly one of Email and TopicARN is given.
type Notification struct {
	Email    string    `json:"email,omitempty"`    // confirmed by its owner before anything arrives
	TopicARN string    `json:"topicArn,omitempty"` // an existing SNS topic
	On       []Outcome `json:"on,omitempty"`       // empty: degraded, failed, thaw-failed
}

// Outcome is what a receiver may ask to hear of, one for each event of a run.
type Outcome string

const (
	OnCompleted  Outcome = "completed"
	OnDegraded   Outcome = "degraded"
	OnFailed     Outcome = "failed"
	OnThawFailed Outcome = "thaw-failed"
)

// Outcomes is every outcome, and the ones of a receiver that named none.
var (
	Outcomes        = []Outcome{OnCompleted, OnDegraded, OnFailed, OnThawFailed}
	DefaultOutcomes = []Outcome{OnDegraded, OnFailed, OnThawFailed}
)

// Wants returns what the receiver hears of, the default filled in.
func (n Notification) Wants() []Outcome {
	if len(n.On) == 0 {
		return DefaultOutcomes
	}
	return n.On
}

// ScheduleName is the name of the schedule at index i, the default filled in.
func (f Fleet) ScheduleName(i int) string {
	if n := f.Schedules[i].Name; n != "" {
		return n
	}
	return fmt.Sprintf("schedule-%d", i+1)
}

// StartLate is the limit after which a late start is dropped.
func (f Fleet) StartLate() time.Duration { return time.Duration(f.StartLateMinutes) * time.Minute }

// GroupBudget is how long a group may be held in all.
func (f Fleet) GroupBudget() time.Duration {
	return time.Duration(f.GroupBudgetSeconds) * time.Second
}

// What a group's budget holds besides its scripts.
const (
	Delivery  = 5 * time.Second // until the commands have reached every target
	MinFreeze = 5 * time.Second // for the shortest freeze's deadline
)

// FreezeWithin is how long a group's budget lets a freeze last, once the
// scripts and the commands have taken theirs.
func (p Policy) FreezeWithin(budget time.Duration) time.Duration {
	return budget - p.Application.Limit() - Delivery
}

// DefaultFleet is the fleet of a file that says nothing about one.
func DefaultFleet() Fleet {
	return Fleet{
		MaxErrors:          Tolerance{Value: 100, Percent: true},
		StartLateMinutes:   60,
		GroupBudgetSeconds: 30,
	}
}

// DefaultDocument is the policy file that says nothing.
func DefaultDocument() Document { return Document{Policy: Default(), Fleet: DefaultFleet()} }

// UnmarshalJSON decodes over the defaults and refuses unknown fields, as
// Policy's does, whose promotion it hides.
func (d *Document) UnmarshalJSON(data []byte) error {
	type run Policy
	v := struct {
		Schema string `json:"$schema,omitempty"`
		run
		Fleet
	}{run: run(Default()), Fleet: DefaultFleet()}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&v); err != nil {
		return err
	}
	*d = Document{Schema: v.Schema, Policy: Policy(v.run), Fleet: v.Fleet}
	return nil
}

// IsZero hides Policy's: a file with targets alone is not empty.
func (d Document) IsZero() bool {
	return d.Policy.IsZero() && d.Targets.Empty() && len(d.Schedules) == 0
}
