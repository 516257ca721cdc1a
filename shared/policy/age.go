package policy

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Age is a stretch of the calendar, written as 1y6m, 30d or 36h: years, months,
// weeks, days, hours, each at most once and in this order.
type Age struct {
	Years, Months, Weeks, Days, Hours int
}

// IsZero reports that there is none.
func (a Age) IsZero() bool { return a == Age{} }

// Before is the moment that is so long before another.
func (a Age) Before(t time.Time) time.Time {
	return t.AddDate(-a.Years, -a.Months, -a.Days-7*a.Weeks).Add(-time.Duration(a.Hours) * time.Hour)
}

func (a *Age) units() []struct {
	letter byte
	value  *int
} {
	return []struct {
		letter byte
		value  *int
	}{{'y', &a.Years}, {'m', &a.Months}, {'w', &a.Weeks}, {'d', &a.Days}, {'h', &a.Hours}}
}

// String writes the age as it is read.
func (a Age) String() string {
	var b strings.Builder
	for _, u := range a.units() {
		if *u.value != 0 {
			fmt.Fprintf(&b, "%d%c", *u.value, u.letter)
		}
	}
	return b.String()
}

// longest is the largest number before a unit: past it an age is a slip.
const longest = 9999

// ParseAge reads an age; it is never zero.
func ParseAge(text string) (Age, error) {
	var a Age
	rest := text
	for _, u := range a.units() {
		digits := strings.TrimLeft(rest, "0123456789")
		if n := len(rest) - len(digits); n > 0 && digits != "" && digits[0] == u.letter {
			value, err := strconv.Atoi(rest[:n])
			if err != nil || value > longest {
				return Age{}, fmt.Errorf("wants numbers up to %d, got %q", longest, text)
			}
			*u.value, rest = value, digits[1:]
		}
	}
	if rest != "" || a.IsZero() {
		return Age{}, fmt.Errorf("wants an age such as 30d, 36h or 1y6m, got %q", text)
	}
	return a, nil
}

// MarshalJSON writes it as text.
func (a Age) MarshalJSON() ([]byte, error) { return json.Marshal(a.String()) }

// UnmarshalJSON reads text; an empty one is no age.
func (a *Age) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return fmt.Errorf("wants an age such as 30d, 36h or 1y6m, got %s", data)
	}
	if text == "" {
		*a = Age{}
		return nil
	}
	got, err := ParseAge(text)
	if err == nil {
		*a = got
	}
	return err
}
