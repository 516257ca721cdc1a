package retention

import (
	"fmt"
	"time"

	"github.com/quiesce/quiesce/shared/policy"
)

// period is a stretch of the calendar of which one set is kept.
type period struct {
	name  string // as an explanation has it: daily 2026-11-04
	count func(policy.Retention) int
	label func(time.Time) string
	rare  bool // longer than anybody waits for what is in the archive
}

var periods = []period{
	{"hourly", func(r policy.Retention) int { return r.Hourly }, hour, false},
	{"daily", func(r policy.Retention) int { return r.Daily }, func(t time.Time) string { return t.Format(time.DateOnly) }, false},
	{"weekly", func(r policy.Retention) int { return r.Weekly }, week, false},
	{"monthly", func(r policy.Retention) int { return r.Monthly }, func(t time.Time) string { return t.Format("2006-01") }, true},
	{"yearly", func(r policy.Retention) int { return r.Yearly }, func(t time.Time) string { return t.Format("2006") }, true},
}

// hour carries the offset: an hour that a clock goes through twice is two.
func hour(t time.Time) string { return t.Format("2006-01-02T15Z07:00") }

func week(t time.Time) string {
	year, n := t.ISOWeek()
	return fmt.Sprintf("%d-W%02d", year, n)
}

// period keeps the best set of each of the newest n periods that have one, and
// tells the others whose place is taken. Where there are fewer than n, the oldest
// set is kept until there are enough: a series that has just begun has one, too.
func (j *judge) period(p period, n int, good []*Decision) {
	if n == 0 {
		return
	}
	var labels []string
	of := map[string][]*Decision{}
	for _, d := range good {
		label := p.label(d.TakenAt.In(j.zone))
		if of[label] == nil {
			labels = append(labels, label)
		}
		of[label] = append(of[label], d)
	}
	for i, label := range labels {
		if i >= n {
			for _, d := range of[label] {
				d.pass("%s %s is past the newest %d", p.name, label, n)
			}
			continue
		}
		best := of[label][0]
		for _, d := range of[label] {
			if d.Consistency.Rank() > best.Consistency.Rank() {
				best = d
			}
		}
		best.keep("%s %s", p.name, label)
		if p.rare {
			best.Rare++
		}
		for _, d := range of[label] {
			if d != best {
				d.pass("%s %s has %s", p.name, label, best.RunID)
			}
		}
	}
	if oldest := len(good) - 1; oldest >= 0 && len(labels) < n {
		good[oldest].keep("the oldest, while there are fewer than %d %s ones", n, p.name)
	}
}
