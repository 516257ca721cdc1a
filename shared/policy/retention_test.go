package policy_test

import (
	"testing"
	"time"

	"github.com/quiesce/quiesce/shared/policy"
)

func TestAge(t *testing.T) {
	for text, want := range map[string]policy.Age{
		"30d": {Days: 30}, "36h": {Hours: 36}, "1y6m": {Years: 1, Months: 6}, "2w1d": {Weeks: 2, Days: 1}, "1y2m3w4d5h": {1, 2, 3, 4, 5},
	} {
		got, err := policy.ParseAge(text)
		if err != nil || got != want || got.String() != text {
			t.Errorf("%s: got %+v (%s), %v", text, got, got, err)
		}
	}
	for _, text := range []string{"", "0d", "d", "30", "30 d", "1d1y", "1d2d", "-1d", "1.5d", "99999d", "30D", "1y6mx"} {
		if got, err := policy.ParseAge(text); err == nil {
			t.Errorf("%q: got %+v", text, got)
		}
	}
	// A month before the last of March is the third of it: February has no 31st.
	if got := (policy.Age{Months: 1}).Before(time.Date(2026, 3, 31, 0, 0, 0, 0, time.UTC)); got.Format(time.DateOnly) != "2026-03-03" {
		t.Errorf("got %s", got)
	}
}

func TestRetentionInWords(t *testing.T) {
	for want, r := range map[string]policy.Retention{
		"every set":               {},
		"the last 3, told in UTC": {Last: 3},
		"the best of each of 24 hours, the best of each of 2 years, told in Asia/Tokyo": {Hourly: 24, Yearly: 2, Timezone: "Asia/Tokyo"},
		"all that are younger than 1y6m, the best of each of 7 days, the best of each of 5 weeks, the best of each of 12 months, told in UTC": {
			Within: policy.Age{Years: 1, Months: 6}, Daily: 7, Weekly: 5, Monthly: 12,
		},
	} {
		if got := r.String(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}
