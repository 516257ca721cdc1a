package retention

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/run"
)

var update = flag.Bool("update", false, "write the golden decisions anew")

// sets reads a set a line: when it was taken, what was proved of it, and what
// else is to be known of it.
func sets(t *testing.T, text string) (list []Set) {
	t.Helper()
	for line := range strings.Lines(strings.TrimSpace(text)) {
		words := strings.Fields(line)
		at, err := time.Parse(time.RFC3339, words[0])
		if err != nil {
			t.Fatal(err)
		}
		s := Set{
			RunID: "run-" + at.UTC().Format("0102-1504"), Policy: "nightly", InstanceID: "i-1", TakenAt: at, State: run.Completed,
			Consistency: run.Consistency(words[1]), Judged: true, Members: 2, Expected: 2,
		}
		for _, word := range words[2:] {
			switch key, value, _ := strings.Cut(word, "="); key {
			case "pending", "error":
				s.State = map[string]string{"pending": run.Pending, "error": run.Failed}[key]
			case "unjudged":
				s.Judged, s.Consistency = false, ""
			case "torn":
				s.Members = 1
			case "unsized":
				s.Expected = 0
			case "foreign":
				s.Foreign = true
			case "test":
				s.Test = Test(value)
			case "held":
				s.Held = append(s.Held, strings.ReplaceAll(value, "_", " "))
			case "marked":
				s.Marked = 1
			case "copied": // so long after it was taken
				after, err := time.ParseDuration(value)
				if err != nil {
					t.Fatal(err)
				}
				s.From, s.Since = "eu-central-1", at.Add(after)
			case "spare":
				s.Spare = true
			case "on":
				s.InstanceID = value
			case "policy":
				s.Policy = value
			default:
				t.Fatalf("what is %q?", word)
			}
		}
		list = append(list, s)
	}
	return list
}

// every makes sets at a distance, the last one at the end.
func every(d time.Duration, n int, end string) string {
	at, _ := time.Parse(time.RFC3339, end)
	var b strings.Builder
	for i := range n {
		fmt.Fprintln(&b, at.Add(-time.Duration(n-1-i)*d).Format(time.RFC3339), "application")
	}
	return b.String()
}

const day = 24 * time.Hour

// The golden file says what becomes of each set, in the words of a dry run.
func TestDecisions(t *testing.T) {
	var got strings.Builder
	for _, c := range cases {
		now, err := time.Parse(time.RFC3339, c.now)
		if err != nil {
			t.Fatal(err)
		}
		decisions, err := Decide(c.rule, now, sets(t, c.sets))
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		fmt.Fprintf(&got, "== %s, at %s\n", c.name, c.now)
		for _, d := range decisions {
			mark := ""
			if d.Orphan {
				mark = " !"
			}
			fmt.Fprintf(&got, "%s %-11s %s%s\n", d.TakenAt.Format(time.RFC3339), d.Consistency, d, mark)
		}
	}
	const golden = "testdata/decisions.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("got\n%s", got.String())
	}
	if len(cases) < 40 {
		t.Errorf("%d cases", len(cases))
	}
}

// somehow makes a history and a rule by chance.
func somehow(r *rand.Rand) (policy.Retention, time.Time, []Set) {
	rule := policy.Retention{
		Last: r.IntN(4), Hourly: r.IntN(3), Daily: r.IntN(8), Weekly: r.IntN(5), Monthly: r.IntN(4), Yearly: r.IntN(3),
		Timezone: []string{"", "Europe/Berlin", "America/New_York", "Pacific/Apia"}[r.IntN(4)],
	}
	if r.IntN(3) == 0 {
		rule.Within = policy.Age{Days: 1 + r.IntN(40)}
	}
	if rule.IsZero() {
		rule.Last = 1
	}
	now := time.Date(2026, 3, 29, 1, 30, 0, 0, time.UTC).Add(time.Duration(r.IntN(400*24)) * time.Hour)
	var list []Set
	for i := range 2 + r.IntN(40) {
		s := Set{
			RunID: fmt.Sprint("run-", i), Policy: "p", InstanceID: []string{"i-1", "i-2"}[r.IntN(2)], State: run.Completed, Judged: true,
			TakenAt:     now.Add(-time.Duration(r.IntN(500*24*60)-60) * time.Minute),
			Consistency: []run.Consistency{run.Application, run.Application, run.Filesystem, run.Crash}[r.IntN(4)],
		}
		switch r.IntN(12) {
		case 0:
			s.State = run.Failed
		case 1:
			s.Judged, s.Consistency = false, ""
		case 2:
			s.Held = []string{"locked"}
		case 3:
			s.Test = []Test{Running, Successful, TestFailed}[r.IntN(3)]
		case 4:
			s.State = run.Pending
		case 5:
			s.Marked = 1
		}
		list = append(list, s)
	}
	return rule, now, list
}

// What holds whatever the history is.
func TestProperties(t *testing.T) {
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 1))
		rule, now, before := somehow(r)
		decisions, err := Decide(rule, now, before)
		if err != nil {
			t.Fatal(err)
		}
		sound(t, seed, rule, now, decisions)
		// A newer set comes: none that a rule had kept may go without being told
		// which rule has let it go.
		added := Set{RunID: "added", Policy: "p", InstanceID: "i-1", TakenAt: now, State: run.Completed, Judged: true, Consistency: run.Application}
		after, err := Decide(rule, now.Add(time.Minute), append(slices.Clone(before), added))
		if err != nil {
			t.Fatal(err)
		}
		sound(t, seed, rule, now.Add(time.Minute), after)
		kept := map[string]bool{}
		for _, d := range decisions {
			kept[d.RunID] = d.Keep
		}
		for _, d := range after {
			if d.InstanceID == "i-2" && d.Keep != kept[d.RunID] && rule.Within.IsZero() {
				t.Errorf("seed %d: a set of one instance changed what becomes of %s of another", seed, d.RunID)
			}
			if d.RunID == "added" && !d.Keep {
				t.Errorf("seed %d: the newest set is %s", seed, d)
			}
		}
		// Deleting what may be deleted changes nothing about the rest: a second
		// run of the same rule finds nothing more to delete.
		var rest []Set
		for _, d := range decisions {
			if d.Keep {
				rest = append(rest, d.Set)
			}
		}
		again, err := Decide(rule, now, rest)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range again {
			if !d.Keep {
				t.Errorf("seed %d: %s was kept, and once the others are gone it is %s", seed, d.RunID, d)
			}
		}
	}
}

func sound(t *testing.T, seed uint64, rule policy.Retention, now time.Time, decisions []Decision) {
	t.Helper()
	best := map[string]*Decision{}
	for i, d := range decisions {
		if len(d.Why) == 0 {
			t.Errorf("seed %d, %+v: %s is unexplained", seed, rule, d.RunID)
		}
		if !d.Keep && (d.Orphan || len(d.Held) > 0 || d.State == run.Pending || d.Test == Running || d.Foreign || d.TakenAt.After(now)) {
			t.Errorf("seed %d: %s must stay: %s", seed, d.RunID, d)
		}
		if d.Good() && !d.TakenAt.After(now) && (best[d.InstanceID] == nil || d.Consistency.Rank() > best[d.InstanceID].Consistency.Rank()) {
			best[d.InstanceID] = &decisions[i]
		}
	}
	for instance, d := range best {
		if !d.Keep {
			t.Errorf("seed %d: the best set of %s is %s", seed, instance, d)
		}
	}
}

func TestUnknownTimezone(t *testing.T) {
	if _, err := Decide(policy.Retention{Last: 1, Timezone: "Mars/Olympus"}, time.Now(), nil); err == nil || !strings.Contains(err.Error(), "timezone") {
		t.Errorf("got %v", err)
	}
}
