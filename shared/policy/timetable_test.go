package policy_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quiesce/quiesce/shared/policy"
)

// next is the starts of a schedule after a time, written by UTC.
func next(t *testing.T, expression, zone, after string, n int) (starts []string) {
	t.Helper()
	table, err := policy.Schedule{Expression: expression, Timezone: zone}.Timetable()
	if err != nil {
		t.Fatal(err)
	}
	at, err := time.Parse(time.RFC3339, after)
	if err != nil {
		t.Fatal(err)
	}
	for range n {
		if at = table.Next(at); at.IsZero() {
			return append(starts, "never")
		}
		if at.Second() != 0 || at.Location().String() != table.Zone().String() {
			t.Errorf("%s is not a minute in %s", at, table.Zone())
		}
		starts = append(starts, at.UTC().Format("2006-01-02T15:04"))
	}
	return starts
}

func TestNext(t *testing.T) {
	tests := []struct {
		name, expression, zone, after, want string
	}{
		{"daily", "cron(30 3 * * ? *)", "", "2026-01-01T03:29:59Z", "2026-01-01T03:30 2026-01-02T03:30"},
		{"strictly after", "cron(30 3 * * ? *)", "", "2026-01-01T03:30:00Z", "2026-01-02T03:30"},
		{"a second later", "cron(30 3 * * ? *)", "", "2026-01-01T03:30:01Z", "2026-01-02T03:30"},
		{"across a year", "cron(0 0 1 1 ? *)", "", "2026-06-01T00:00:00Z", "2027-01-01T00:00 2028-01-01T00:00"},
		{"steps from the start", "cron(5/20 * * * ? *)", "", "2026-01-01T00:00:00Z", "2026-01-01T00:05 2026-01-01T00:25 2026-01-01T00:45 2026-01-01T01:05"},
		{"a step in a range", "cron(0 8-18/4 * * ? *)", "", "2026-01-01T00:00:00Z", "2026-01-01T08:00 2026-01-01T12:00 2026-01-01T16:00 2026-01-02T08:00"},
		{"a list", "cron(0 1,13 * * ? *)", "", "2026-01-01T00:00:00Z", "2026-01-01T01:00 2026-01-01T13:00 2026-01-02T01:00"},
		{"the minute goes back in a later hour", "cron(15 10,12 * * ? *)", "", "2026-01-01T10:40:00Z", "2026-01-01T12:15"},
		{"months by name", "cron(0 0 1 FEB,NOV ? *)", "", "2026-01-01T00:00:00Z", "2026-02-01T00:00 2026-11-01T00:00 2027-02-01T00:00"},
		{"weekdays by number, Sunday is 1", "cron(0 9 ? * 2-6 *)", "", "2026-01-02T09:00:00Z", "2026-01-05T09:00 2026-01-06T09:00"},
		{"weekdays by name", "cron(0 9 ? * SAT,SUN *)", "", "2026-01-01T00:00:00Z", "2026-01-03T09:00 2026-01-04T09:00 2026-01-10T09:00"},
		{"years", "cron(0 0 1 1 ? 2027,2030-2031)", "", "2026-01-01T00:00:00Z", "2027-01-01T00:00 2030-01-01T00:00 2031-01-01T00:00 never"},
		{"every other year", "cron(0 0 1 1 ? 2026/2)", "", "2026-01-01T00:00:00Z", "2028-01-01T00:00 2030-01-01T00:00"},

		{"the last day", "cron(0 4 L * ? *)", "", "2027-12-31T04:00:00Z", "2028-01-31T04:00 2028-02-29T04:00 2028-03-31T04:00 2028-04-30T04:00"},
		{"the 31st", "cron(0 4 31 * ? *)", "", "2026-01-31T04:00:00Z", "2026-03-31T04:00 2026-05-31T04:00"},
		{"a leap day", "cron(0 4 29 2 ? *)", "", "2026-01-01T00:00:00Z", "2028-02-29T04:00 2032-02-29T04:00"},
		{"a century without one", "cron(0 4 29 2 ? *)", "", "2096-03-01T00:00:00Z", "2104-02-29T04:00"},
		{"a day that never comes", "cron(0 4 30 2 ? *)", "", "2026-01-01T00:00:00Z", "never"},
		{"the weekday nearest to a Saturday", "cron(0 4 15W * ? *)", "", "2026-08-01T00:00:00Z", "2026-08-14T04:00"},
		{"the weekday nearest to a Sunday", "cron(0 4 15W * ? *)", "", "2026-11-01T00:00:00Z", "2026-11-16T04:00"},
		{"not before the month", "cron(0 4 1W * ? *)", "", "2026-08-01T00:00:00Z", "2026-08-03T04:00"},
		{"not after the month", "cron(0 4 31W * ? *)", "", "2026-05-01T00:00:00Z", "2026-05-29T04:00 2026-07-31T04:00"},
		{"the last Friday", "cron(15 10 ? * 6L *)", "", "2026-01-01T00:00:00Z", "2026-01-30T10:15 2026-02-27T10:15 2026-03-27T10:15"},
		{"the last Friday by name", "cron(15 10 ? * FRIL *)", "", "2026-01-01T00:00:00Z", "2026-01-30T10:15"},
		{"the second Tuesday", "cron(0 4 ? * 3#2 *)", "", "2026-01-01T00:00:00Z", "2026-01-13T04:00 2026-02-10T04:00"},
		{"the fifth Monday", "cron(0 4 ? * MON#5 *)", "", "2026-01-01T00:00:00Z", "2026-03-30T04:00 2026-06-29T04:00"},
		{"the last day of the week", "cron(0 4 ? * L *)", "", "2026-01-01T00:00:00Z", "2026-01-03T04:00 2026-01-10T04:00"},

		{"winter and summer", "cron(30 3 * * ? *)", "Europe/Berlin", "2026-03-27T12:00:00Z", "2026-03-28T02:30 2026-03-29T01:30 2026-03-30T01:30"},
		{"the hour that spring leaves out", "cron(30 2 * * ? *)", "Europe/Berlin", "2026-03-27T12:00:00Z", "2026-03-28T01:30 2026-03-30T00:30"},
		{"its other side", "cron(0 2,3 * * ? *)", "Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-29T01:00 2026-03-30T00:00 2026-03-30T01:00"},
		{"the hour that autumn repeats", "cron(30 2 * * ? *)", "Europe/Berlin", "2026-10-24T12:00:00Z", "2026-10-25T00:30 2026-10-26T01:30"},
		{"asked between the two", "cron(30 2 * * ? *)", "Europe/Berlin", "2026-10-25T00:45:00Z", "2026-10-26T01:30"},
		{"asked in the repeated hour", "cron(0/30 2 * * ? *)", "Europe/Berlin", "2026-10-25T01:05:00Z", "2026-10-26T01:00"},
		{"half-hourly over the repeated hour", "cron(0/30 1-3 * * ? *)", "America/New_York", "2026-11-01T04:45:00Z", "2026-11-01T05:00 2026-11-01T05:30 2026-11-01T07:00"},
		{"half an hour of summer time", "cron(45 1 * * ? *)", "Australia/Lord_Howe", "2026-04-03T20:00:00Z", "2026-04-04T14:45 2026-04-05T15:15"},
		{"a gap of half an hour", "cron(15 2 * * ? *)", "Australia/Lord_Howe", "2026-10-02T20:00:00Z", "2026-10-04T15:15"},
		{"a gap at midnight", "cron(30 0 * * ? *)", "America/Santiago", "2026-09-04T12:00:00Z", "2026-09-05T04:30 2026-09-07T03:30"},
		{"a day that was left out", "cron(0 12 * * ? *)", "Pacific/Apia", "2011-12-29T21:00:00Z", "2011-12-29T22:00 2011-12-30T22:00"},
		{"a local date ahead of UTC", "cron(0 1 L * ? *)", "Asia/Tokyo", "2026-01-30T15:59:00Z", "2026-01-30T16:00 2026-02-27T16:00"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want := strings.Fields(tt.want)
			if got := next(t, tt.expression, tt.zone, tt.after, len(want)); !slices.Equal(got, want) {
				t.Errorf("got  %v\nwant %v", got, want)
			}
		})
	}
}

func TestARateCountsFromTheTimeGiven(t *testing.T) {
	table, err := policy.Schedule{Expression: "rate(6 hours)"}.Timetable()
	if err != nil {
		t.Fatal(err)
	}
	if got := table.Next(now); !got.Equal(now.Add(6 * time.Hour)) {
		t.Errorf("got %s", got)
	}
	if every, ok := table.Rate(); !ok || every != 6*time.Hour {
		t.Errorf("got %s", every)
	}
}

func TestExpressionsThatAreRefused(t *testing.T) {
	for expression, want := range map[string]string{
		"":                        "is missing: wants cron(...) or rate(...)",
		"0 2 * * ? *":             "wants cron(...) or rate(...)",
		"at(2026-01-01T00:00:00)": "wants cron(...) or rate(...)",
		"cron(0 2 * * ? *":        "wants cron(...) or rate(...)",
		"CRON(0 2 * * ? *)":       "wants cron(...) or rate(...)",
		"cron()":                  "wants 6 fields",
		"cron(0 2 * * ?)":         "wants 6 fields",
		"cron(0 0 2 * * ? *)":     "wants 6 fields",
		"cron(60 2 * * ? *)":      `minutes wants 0-59, got "60"`,
		"cron(-1 2 * * ? *)":      `minutes wants 0-59, got "-1"`,
		"cron(+1 2 * * ? *)":      `minutes wants 0-59, got "+1"`,
		"cron(? 2 * * ? *)":       `minutes wants 0-59, got "?"`,
		"cron(,5 2 * * ? *)":      `minutes wants 0-59, got ""`,
		"cron(0/0 2 * * ? *)":     `minutes wants a step of 1-59, got "0/0"`,
		"cron(0/x 2 * * ? *)":     `minutes wants a step of 1-59, got "0/x"`,
		"cron(/5 2 * * ? *)":      `minutes wants 0-59, got "/5"`,
		"cron(0 24 * * ? *)":      `hours wants 0-23, got "24"`,
		"cron(0 22-2 * * ? *)":    `hours has the range "22-2", which runs backwards`,
		"cron(0 2 0 * ? *)":       `day-of-month wants 1-31, got "0"`,
		"cron(0 2 32 * ? *)":      `day-of-month wants 1-31, got "32"`,
		"cron(0 2 32W * ? *)":     `day-of-month wants 1-31, got "32W"`,
		"cron(0 2 W * ? *)":       `day-of-month wants 1-31, got "W"`,
		"cron(0 2 LW * ? *)":      `day-of-month wants 1-31, got "LW"`,
		"cron(0 2 1,L * ? *)":     `day-of-month wants 1-31, got "L"`,
		"cron(0 2 * 13 ? *)":      `month wants 1-12 or JAN-DEC, got "13"`,
		"cron(0 2 * jan ? *)":     `month wants 1-12 or JAN-DEC, got "jan"`,
		"cron(0 2 ? * 0 *)":       `day-of-week wants 1-7 or SUN-SAT, got "0"`,
		"cron(0 2 ? * 8 *)":       `day-of-week wants 1-7 or SUN-SAT, got "8"`,
		"cron(0 2 ? * MON/2 *)":   `day-of-week has the step "MON/2", which this field does not know`,
		"cron(0 2 ? * FRI-MON *)": `day-of-week has the range "FRI-MON", which runs backwards`,
		"cron(0 2 ? * 2#6 *)":     `day-of-week wants #1-#5, got "2#6"`,
		"cron(0 2 ? * 2# *)":      `day-of-week wants #1-#5, got "2#"`,
		"cron(0 2 ? * 3#1,6#3 *)": `day-of-week wants #1-#5, got "3#1,6#3"`,
		"cron(0 2 ? * MON,6L *)":  `day-of-week wants 1-7 or SUN-SAT, got "MON,6L"`,
		"cron(0 2 * * * *)":       "has both day-of-month (*) and day-of-week (*): wants ? in one of them",
		"cron(0 2 1 * MON *)":     "has both day-of-month (1) and day-of-week (MON): wants ? in one of them",
		"cron(0 2 ? * ? *)":       "has ? for both",
		"cron(0 2 * * ? 1969)":    `year wants 1970-2199, got "1969"`,
		"cron(0 2 * * ? 2200)":    `year wants 1970-2199, got "2200"`,
		"rate(1 hours)":           `wants rate(1 hour): the unit is singular for 1 alone, got "rate(1 hours)"`,
		"rate(2 hour)":            `wants rate(2 hours): the unit is singular for 1 alone, got "rate(2 hour)"`,
		"rate(0 hours)":           "wants a rate of 15 minutes to 366 days",
		"rate(14 minutes)":        "wants a rate of 15 minutes to 366 days",
		"rate(367 days)":          "wants a rate of 15 minutes to 366 days",
		"rate(999999999 days)":    "wants a rate of 15 minutes to 366 days",
		"rate(1 week)":            "wants rate(N unit) with minutes, hours or days",
		"rate(1.5 hours)":         "wants rate(N unit) with minutes, hours or days",
		"rate(-1 hours)":          "wants rate(N unit) with minutes, hours or days",
		"rate(1  hour)":           "wants rate(N unit) with minutes, hours or days",
	} {
		_, err := policy.Schedule{Expression: expression}.Timetable()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", expression, err, want)
		}
	}
}

// TestNextAgainstEveryMinute asks each minute of the days around the changes
// of clocks whether it fires, which needs no cleverness at all.
func TestNextAgainstEveryMinute(t *testing.T) {
	for _, zone := range []string{"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Santiago"} {
		table, err := policy.Schedule{Expression: "cron(0/15 0-4,23 * * ? *)", Timezone: zone}.Timetable()
		if err != nil {
			t.Fatal(err)
		}
		start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		seen := map[string]bool{} // by the wall's clock, so that what is repeated fires once
		at := start
		for m := start.Add(time.Minute); m.Before(start.AddDate(1, 0, 0)); m = m.Add(time.Minute) {
			local := m.In(table.Zone())
			h := local.Hour()
			wall := local.Format("2006-01-02T15:04")
			if local.Minute()%15 != 0 || h > 4 && h < 23 || seen[wall] {
				continue
			}
			seen[wall] = true
			if at = table.Next(at); !at.Equal(m) {
				t.Fatalf("%s: got %s, want %s", zone, at, m.In(table.Zone()))
			}
		}
	}
}
