package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/quiesce/quiesce/shared/telemetry"
)

func fixtures(t *testing.T) map[string][]byte {
	t.Helper()
	paths, err := filepath.Glob("../../events/testdata/*.json")
	if err != nil || len(paths) == 0 {
		t.Fatalf("%v, %v", paths, err)
	}
	all := map[string][]byte{}
	for _, path := range paths {
		if all[filepath.Base(path)], err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// metrics are the names that steps emit under.
var metrics = []string{
	telemetry.StepDuration, telemetry.StepFailed, telemetry.FrozenWindow, telemetry.ApplicationPause,
	telemetry.SetCompleted, telemetry.SetDegraded, telemetry.SetFailed, telemetry.AutoThawed, telemetry.ThawFailed,
	telemetry.PreScriptFailed, telemetry.PostScriptFailed, telemetry.SetsOrphaned, telemetry.CurationFailed,
	telemetry.RestoreTestSuccessful, telemetry.RestoreTestFailed, telemetry.RestoreTestTimedOut, telemetry.RestoreTestNotDone,
	telemetry.RestoreTestRecovery, telemetry.RestoreTestLeft,
	telemetry.RestoreDirty,
}

func TestAlarmsSayWhatTheyMean(t *testing.T) {
	_, tmpl := synthesised(t)
	names := map[string]resource{}
	for id, a := range tmpl.of("AWS::CloudWatch::Alarm") {
		names[unnamed(a.Properties["AlarmName"])] = a
		if text, _ := a.Properties["AlarmDescription"].(string); len(strings.Fields(text)) < 8 {
			t.Errorf("%s says %q", id, text)
		}
		if len(a.Properties["AlarmActions"].([]any)) != 1 || a.Properties["TreatMissingData"] == nil {
			t.Errorf("%s: wakes nobody, or guesses what no data means", id)
		}
	}
	for _, want := range []string{"thaw-failed", "degraded", "failed", "frozen-too-long", "auto-thawed", "janitor-undelivered", "completions-undelivered", "retention-undelivered", "curation-undelivered", "orphaned", "not-curated", "notifications-undelivered", "restore-dirty", "restores-undelivered"} {
		if _, ok := names[want]; !ok {
			t.Errorf("there is no alarm %s", want)
		}
	}
	missed, ok := names["missed-nightly"]
	if !ok {
		t.Fatal("nobody notices that nightly did not run")
	}
	p := missed.Properties
	if p["TreatMissingData"] != "breaching" || p["ComparisonOperator"] != "LessThanThreshold" || p["EvaluationPeriods"].(float64) > longest {
		t.Errorf("got %s", flat(p))
	}
	if _, ok := names["missed-monthly"]; ok {
		t.Error("an alarm would have to look back for more than a week")
	}
}

var (
	selected = regexp.MustCompile(`SELECT [A-Z]+\(([A-Za-z]+)\) FROM SCHEMA\("Quiesce", policy, step\)`)
	searched = regexp.MustCompile(`MetricName=\\?"([A-Za-z]+)\\?"`)
)

// An alarm about a metric that nobody emits is silent for ever.
func TestWatchedMetricsAreEmitted(t *testing.T) {
	d, tmpl := synthesised(t)
	emitted := map[string]bool{}
	for _, m := range metrics {
		emitted[m] = true
	}
	for _, a := range d.alarms {
		if a.query == "" {
			continue
		}
		m := selected.FindStringSubmatch(a.query)
		if m == nil || !emitted[m[1]] {
			t.Errorf("%s asks %s", a.name, a.query)
		}
	}
	board := page(t, tmpl)
	found := searched.FindAllStringSubmatch(board, -1)
	if len(found) < 10 {
		t.Errorf("the dashboard shows %d metrics", len(found))
	}
	for _, m := range found {
		if !emitted[m[1]] {
			t.Errorf("the dashboard shows %s", m[1])
		}
	}
}

// page is the dashboard's body, its references to other resources left out.
func page(t *testing.T, tmpl template) string {
	t.Helper()
	for _, b := range tmpl.of("AWS::CloudWatch::Dashboard") {
		body := b.Properties["DashboardBody"]
		if text, plain := body.(string); plain {
			return text
		}
		var text strings.Builder
		parts, _ := at(body, "Fn::Join", 1).([]any)
		for _, part := range parts {
			if s, ok := part.(string); ok {
				text.WriteString(s)
			} else {
				text.WriteString("X")
			}
		}
		return text.String()
	}
	t.Fatal("there is no dashboard")
	return ""
}

func TestDashboardFillsItsPage(t *testing.T) {
	_, tmpl := synthesised(t)
	var body struct {
		Widgets []struct{ X, Y, Width, Height int }
	}
	if err := json.Unmarshal([]byte(page(t, tmpl)), &body); err != nil {
		t.Fatal(err)
	}
	taken := map[[2]int]bool{}
	bottom := 0
	for _, w := range body.Widgets {
		for x := w.X; x < w.X+w.Width; x++ {
			for y := w.Y; y < w.Y+w.Height; y++ {
				if taken[[2]int{x, y}] {
					t.Fatalf("two widgets lie at %d, %d", x, y)
				}
				taken[[2]int{x, y}] = true
			}
		}
		bottom = max(bottom, w.Y+w.Height)
	}
	if got, want := len(taken), 24*bottom; got != want {
		t.Errorf("%d of %d cells are filled", got, want)
	}
}

func TestOutputsLeadSomewhere(t *testing.T) {
	_, tmpl := synthesised(t)
	for name, o := range tmpl.Outputs {
		if reflect.ValueOf(o["Value"]).IsZero() || o["Description"] == nil {
			t.Errorf("%s: %v", name, o)
		}
	}
	for _, want := range []string{"StartARun", "DashboardLink", "AlarmsLink", "EventBusName", "StateMachineArn"} {
		if tmpl.Outputs[want] == nil {
			t.Errorf("there is no output %s", want)
		}
	}
}
