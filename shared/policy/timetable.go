package policy

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Timetable is when a schedule fires.
type Timetable struct {
	every time.Duration // of a rate, which counts from its deployment
	cron  *cron
	zone  *time.Location
}

// The least time between two starts: below it an application is held more
// often than its snapshots can complete.
const minGap = 15 * time.Minute

// maxRate is a year: a longer one is rather a slip of the unit.
const maxRate = 366 * 24 * time.Hour

// horizon is how far ahead schedules are compared.
const horizon = 400 * 24 * time.Hour

var rate = regexp.MustCompile(`^rate\(([0-9]{1,9}) (minute|hour|day)(s?)\)$`)

// Timetable reads the schedule, or says what is wrong with its expression or
// time zone; the binary must carry the zones, or the machine must.
func (s Schedule) Timetable() (*Timetable, error) {
	t, zone, err := s.read()
	if zone != nil {
		return nil, zone
	}
	return t, err
}

// read tells what is wrong with the zone from what is with the expression.
func (s Schedule) read() (t *Timetable, zone, expression error) {
	t = &Timetable{}
	t.zone, zone = location(s.Timezone)
	inside, isCron := strings.CutPrefix(s.Expression, "cron(")
	switch {
	case s.Expression == "":
		expression = fmt.Errorf("is missing: wants cron(...) or rate(...)")
	case isCron && strings.HasSuffix(inside, ")"):
		t.cron, expression = parseCron(strings.TrimSuffix(inside, ")"))
	case strings.HasPrefix(s.Expression, "rate("):
		t.every, expression = parseRate(s.Expression)
	default:
		expression = fmt.Errorf("wants cron(...) or rate(...), got %q", s.Expression)
	}
	return t, zone, expression
}

func parseRate(text string) (time.Duration, error) {
	m := rate.FindStringSubmatch(text)
	if m == nil {
		return 0, fmt.Errorf("wants rate(N unit) with minutes, hours or days, got %q", text)
	}
	n, _ := strconv.Atoi(m[1])
	if singular := m[3] == ""; singular != (n == 1) {
		unit := m[2]
		if singular {
			unit += "s"
		}
		return 0, fmt.Errorf("wants rate(%d %s): the unit is singular for 1 alone, got %q", n, unit, text)
	}
	unit := map[string]time.Duration{"minute": time.Minute, "hour": time.Hour, "day": 24 * time.Hour}[m[2]]
	if every := time.Duration(n) * unit; n <= int(maxRate/unit) && every >= minGap {
		return every, nil
	}
	return 0, fmt.Errorf("wants a rate of 15 minutes to 366 days, got %q", text)
}

// Rate returns the time between starts of a rate, and whether it is one: when
// it fires is then counted from when it was deployed, which no file can tell.
func (t *Timetable) Rate() (time.Duration, bool) { return t.every, t.every > 0 }

// Zone is where the clock hangs by which a cron expression fires.
func (t *Timetable) Zone() *time.Location { return t.zone }

// Next returns the first time after the given one, in the schedule's zone;
// zero means never again. A rate counts from the given time.
func (t *Timetable) Next(after time.Time) time.Time {
	if t.every > 0 {
		return after.Add(t.every).In(t.zone)
	}
	return t.cron.next(after, t.zone)
}

// crowded returns the first two starts that lie too near to each other.
func (t *Timetable) crowded(now time.Time) (first, second time.Time, found bool) {
	if t.every > 0 {
		return first, second, false
	}
	first = t.Next(now)
	for end := first.Add(horizon); first.Before(end); first = second {
		second = t.Next(first)
		switch {
		case second.IsZero():
			return first, second, false
		case second.Sub(first) < minGap:
			return first, second, true
		}
	}
	return first, second, false
}

// meet returns the first minute at which both fire, looking ahead from the
// first start of the later one; zero means that they do not.
func meet(a, b *Timetable, now time.Time) time.Time {
	x, y := a.Next(now), b.Next(now)
	if x.IsZero() || y.IsZero() {
		return time.Time{}
	}
	end := x.Add(horizon)
	if y.After(x) {
		end = y.Add(horizon)
	}
	for !x.IsZero() && !y.IsZero() && x.Before(end) && y.Before(end) {
		switch {
		case x.Equal(y):
			return x
		case x.Before(y):
			x = a.Next(y.Add(-time.Nanosecond))
		default:
			y = b.Next(x.Add(-time.Nanosecond))
		}
	}
	return time.Time{}
}
