package policy

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// cron is an expression of EventBridge: its six fields as sets. What its
// reference does not document is refused, because a schedule that is found
// wrong while it is deployed is found too late.
type cron struct {
	minutes, hours, months uint64
	days                   days
	years                  [lastYear - firstYear + 1]bool
}

// days is the field that is not a question mark, of the two for days.
type days struct {
	month   uint64       // days of the month, as a set; 0: weekdays decide
	last    bool         // L: the month's last day
	nearest int          // 3W: the weekday nearest to the 3rd; 0: none
	week    uint64       // weekdays, as a set by time.Weekday
	nth     int          // 6#2: the second Friday; 6L: the last one, as lastOne; 0: every one
	weekday time.Weekday // of nth
}

const (
	firstYear = 1970
	lastYear  = 2199
	lastOne   = -1
)

// part is one field of an expression: how it is called, its range and names.
type part struct {
	name        string
	least, most int
	names       []string // of least, least+1 and so on
	every       bool     // steps are allowed
}

var (
	minutePart  = part{"minutes", 0, 59, nil, true}
	hourPart    = part{"hours", 0, 23, nil, true}
	dayPart     = part{"day-of-month", 1, 31, nil, true}
	monthPart   = part{"month", 1, 12, strings.Split("JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC", " "), true}
	weekdayPart = part{"day-of-week", 1, 7, strings.Split("SUN MON TUE WED THU FRI SAT", " "), false}
	yearPart    = part{"year", firstYear, lastYear, nil, true}
)

// parseCron reads what stands between the brackets of cron(...).
func parseCron(text string) (*cron, error) {
	f := strings.Fields(text)
	if len(f) != 6 {
		return nil, fmt.Errorf("wants 6 fields (minutes hours day-of-month month day-of-week year), got %d", len(f))
	}
	c := &cron{}
	var err error
	for _, p := range []struct {
		part part
		text string
		into *uint64
	}{{minutePart, f[0], &c.minutes}, {hourPart, f[1], &c.hours}, {monthPart, f[3], &c.months}} {
		if *p.into, err = p.part.set(p.text); err != nil {
			return nil, err
		}
	}
	switch {
	case f[2] == "?" && f[4] == "?":
		return nil, fmt.Errorf("has ? for both day-of-month and day-of-week: wants a value or * in one of them")
	case f[2] == "?":
		err = c.days.weekdays(f[4])
	case f[4] == "?":
		err = c.days.monthdays(f[2])
	default:
		return nil, fmt.Errorf("has both day-of-month (%s) and day-of-week (%s): wants ? in one of them", f[2], f[4])
	}
	if err != nil {
		return nil, err
	}
	return c, yearPart.each(f[5], func(year int) { c.years[year-firstYear] = true })
}

// set reads a field whose values fit into 64 bits.
func (p part) set(text string) (set uint64, err error) {
	err = p.each(text, func(v int) { set |= 1 << v })
	return set, err
}

// each reads a list of values, ranges and steps.
func (p part) each(text string, take func(int)) error {
	for _, item := range strings.Split(text, ",") {
		span, by, stepped := strings.Cut(item, "/")
		step := 1
		if stepped {
			n, err := strconv.Atoi(by)
			switch {
			case !p.every:
				return p.bad("has the step %q, which this field does not know", item)
			case err != nil || n < 1 || n > p.most:
				return p.bad("wants a step of 1-%d, got %q", p.most, item)
			}
			step = n
		}
		from, to := p.least, p.most
		if span != "*" {
			first, last, ranged := strings.Cut(span, "-")
			var err error
			if from, err = p.value(first, item); err != nil {
				return err
			}
			switch {
			case ranged:
				if to, err = p.value(last, item); err != nil {
					return err
				}
			case !stepped:
				to = from
			}
			if from > to {
				return p.bad("has the range %q, which runs backwards", item)
			}
		}
		for v := from; v <= to; v += step {
			take(v)
		}
	}
	return nil
}

// value reads one number or name of item.
func (p part) value(text, item string) (int, error) {
	for i, name := range p.names {
		if text == name {
			return p.least + i, nil
		}
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < p.least || n > p.most || text[0] == '+' {
		return 0, p.bad("wants %s, got %q", p.wants(), item)
	}
	return n, nil
}

func (p part) wants() string {
	s := fmt.Sprintf("%d-%d", p.least, p.most)
	if p.names != nil {
		s += " or " + p.names[0] + "-" + p.names[len(p.names)-1]
	}
	return s
}

func (p part) bad(format string, args ...any) error {
	return fmt.Errorf(p.name+" "+format, args...)
}

// monthdays reads day-of-month, where L and W stand alone.
func (d *days) monthdays(text string) (err error) {
	day, nearest := strings.CutSuffix(text, "W")
	switch {
	case text == "L":
		d.last = true
	case nearest:
		d.nearest, err = dayPart.value(day, text)
	default:
		d.month, err = dayPart.set(text)
	}
	return err
}

// weekdays reads day-of-week, where L and # stand alone.
func (d *days) weekdays(text string) error {
	if text == "L" { // of the week
		d.week = 1 << time.Saturday
		return nil
	}
	day, ordinal, nth := strings.Cut(text, "#")
	last := strings.HasSuffix(text, "L")
	if !nth && !last {
		set, err := weekdayPart.set(text)
		d.week = set >> 1
		return err
	}
	if last {
		day, d.nth = strings.TrimSuffix(text, "L"), lastOne
	}
	weekday, err := weekdayPart.value(day, text)
	if err != nil {
		return err
	}
	d.weekday = time.Weekday(weekday - 1)
	if nth {
		n, err := strconv.Atoi(ordinal)
		if err != nil || n < 1 || n > 5 {
			return weekdayPart.bad("wants #1-#5, got %q", text)
		}
		d.nth = n
	}
	return nil
}
