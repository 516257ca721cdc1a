package policy

import (
	"math/bits"
	"time"
)

// in returns the days of one month, as a set.
func (d days) in(year int, month time.Month) (set uint64) {
	length := time.Date(year, month+1, 0, 0, 0, 0, 0, time.UTC).Day()
	first := time.Date(year, month, 1, 0, 0, 0, 0, time.UTC).Weekday()
	weekday := func(day int) time.Weekday { return (first + time.Weekday(day-1)) % 7 }
	switch {
	case d.month != 0:
		return d.month & (1<<(length+1) - 1)
	case d.last:
		return 1 << length
	case d.nearest > length:
		return 0
	case d.nearest != 0:
		return 1 << nearest(d.nearest, length, weekday(d.nearest))
	}
	for day := 1; day <= length; day++ {
		switch w := weekday(day); {
		case d.nth == 0 && d.week&(1<<w) != 0,
			d.nth > 0 && w == d.weekday && (day+6)/7 == d.nth,
			d.nth == lastOne && w == d.weekday && day+7 > length:
			set |= 1 << day
		}
	}
	return set
}

// nearest is the weekday nearest to a day, within its month.
func nearest(day, length int, w time.Weekday) int {
	switch {
	case w == time.Saturday && day == 1:
		return 3
	case w == time.Saturday:
		return day - 1
	case w == time.Sunday && day == length:
		return day - 2
	case w == time.Sunday:
		return day + 1
	}
	return day
}

// next returns the first instant after the given one; zero means never.
func (c *cron) next(after time.Time, zone *time.Location) time.Time {
	year, month, day := after.In(zone).Date()
	for ; year <= lastYear; year, month, day = year+1, time.January, 1 {
		if year < firstYear || !c.years[year-firstYear] {
			continue
		}
		for ; month <= time.December; month, day = month+1, 1 {
			if c.months&(1<<month) == 0 {
				continue
			}
			matching := c.days.in(year, month)
			for d := least(matching, day); d < 64; d = least(matching, d+1) {
				if t := c.within(year, month, d, after, zone); !t.IsZero() {
					return t
				}
			}
		}
	}
	return time.Time{}
}

// within returns the first instant of a day that lies after the given one.
func (c *cron) within(year int, month time.Month, day int, after time.Time, zone *time.Location) time.Time {
	hour, minute := 0, 0
	if from := after.In(zone); from.Day() == day && from.Month() == month && from.Year() == year {
		hour, minute = from.Hour(), from.Minute()
	}
	for h := least(c.hours, hour); h < 64; h = least(c.hours, h+1) {
		if h > hour {
			minute = 0
		}
		for m := least(c.minutes, minute); m < 64; m = least(c.minutes, m+1) {
			if t, ok := instant(year, month, day, h, m, zone); ok && t.After(after) {
				return t
			}
		}
	}
	return time.Time{}
}

// least is the smallest member of a set that is not below from; 64 for none.
func least(set uint64, from int) int {
	return bits.TrailingZeros64(set &^ (1<<from - 1))
}

// instant is when a clock on the wall shows this time: never in the hour that
// spring leaves out, and only the first time in the one that autumn repeats.
func instant(year int, month time.Month, day, hour, minute int, zone *time.Location) (time.Time, bool) {
	wall := time.Date(year, month, day, hour, minute, 0, 0, time.UTC)
	var first time.Time
	for _, around := range []time.Duration{-24 * time.Hour, 24 * time.Hour} {
		_, offset := wall.Add(around).In(zone).Zone()
		t := wall.Add(-time.Duration(offset) * time.Second).In(zone)
		shown := t.Day() == day && t.Hour() == hour && t.Minute() == minute
		if shown && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	return first, !first.IsZero()
}
