package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// write makes a policy file.
func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestPolicyCheckListsEveryProblemAsEditorsReadIt(t *testing.T) {
	good := write(t, "good.yaml", "name: db\n")
	bad := write(t, "bad.yaml", "name: db\napplication:\n  timeoutSeconds: 9\nfreez: {}\n")
	worse := write(t, "worse.json", `{"onFailure": "ignore"}`)
	if code, out, err := quiesce(t, "policy", "check", good); code != exitDone || out != good+": good\n" || err != "" {
		t.Errorf("%d %q %q", code, out, err)
	}
	code, out, err := quiesce(t, "policy", "check", good, bad, worse)
	want := bad + ":3:19: application.timeoutSeconds: wants 10-120, got 9\n" +
		bad + ":4:1: freez: is unknown: perhaps freeze\n" +
		worse + `:1:15: onFailure: wants degrade or fail, got "ignore"` + "\n"
	if code != exitUsage || out != good+": good\n" || err != want {
		t.Errorf("%d %q\ngot  %s\nwant %s", code, out, err, want)
	}
	if code, _, err := quiesce(t, "policy", "check", filepath.Join(t.TempDir(), "none.yaml")); code != exitUsage || !strings.Contains(err, "none.yaml") {
		t.Errorf("a file that does not exist: %d %q", code, err)
	}
}

func TestPolicyExplainShowsDefaultsAndStarts(t *testing.T) {
	file := write(t, "db.yaml", `
name: db
targets: {tags: {backup: db}}
schedules: [{name: nightly, expression: cron(30 2 * * ? *), timezone: Europe/Berlin}]
retention: {within: 36h, weekly: 5}
`)
	code, out, err := quiesce(t, "policy", "explain", file, "--after", "2026-03-28T00:00:00Z")
	if code != exitDone {
		t.Fatal(err)
	}
	for _, want := range []string{
		"deadlineSeconds: 60", "maxErrors: 100%", "within: 36h", "weekly: 5",
		"kept of each instance: all that are younger than 36h, the best of each of 5 weeks, told in UTC", "nightly: cron(30 2 * * ? *)", "Europe/Berlin",
		"Sat 2026-03-28 02:30 CET", "Sat 2026-03-28 01:30",
		"Mon 2026-03-30 02:30 CEST", "Mon 2026-03-30 00:30", // spring has no Sunday's
		"Thu 2026-04-02 02:30 CEST",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	}
	if strings.Contains(out, "2026-03-29") || strings.Contains(out, "2026-04-03") {
		t.Errorf("a start too many:\n%s", out)
	}
	_, out, _ = quiesce(t, "policy", "explain", file, "--after", "2026-03-28T00:00:00Z", "-o", "json")
	var got struct {
		Policy map[string]any
		Starts []plannedStarts
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Starts) != 1 || len(got.Starts[0].Starts) != 5 || got.Policy["name"] != "db" {
		t.Errorf("got %+v", got)
	}
	if code, _, err := quiesce(t, "policy", "explain", write(t, "bad.yaml", "name: a b\n")); code != exitUsage || !strings.Contains(err, "bad.yaml:1:7: name") {
		t.Errorf("%d %q", code, err)
	}
}

func TestStartRefusesABadPolicyFileWithoutACall(t *testing.T) {
	file := write(t, "db.yaml", "name: db\nfreeze:\n  deadlineSeconds: 4\n")
	code, _, err := quiesce(t, "start", "i-0abc12345678def90", "--policy", file,
		"--state-machine", "arn:aws:states:eu-west-1:123456789012:stateMachine:q", "--endpoint-url", "http://127.0.0.1:1")
	if code != exitUsage || err != file+":3:20: freeze.deadlineSeconds: wants 5-300, got 4\n" {
		t.Errorf("%d %q", code, err)
	}
	file = write(t, "windows.yaml", "name: windows\napplication:\n  kind: vss\n")
	code, _, err = quiesce(t, "start", "i-0abc12345678def90", "--policy", file,
		"--state-machine", "arn:aws:states:eu-west-1:123456789012:stateMachine:q", "--endpoint-url", "http://127.0.0.1:1")
	if code != exitUsage || !strings.Contains(err, file+":3:9: application.kind: is vss, but in mode orchestrated") {
		t.Errorf("%d %q", code, err)
	}
}
