package main

import (
	"strings"
	"testing"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/jsii-runtime-go"
)

// A wrong policy stops the synthesis, with its file and line, before anything
// of it is deployed.
func TestWrongPoliciesStopTheSynthesis(t *testing.T) {
	for _, c := range []struct{ name, text, line, says string }{
		{"an unknown field", "name: a\nfreez: {}\n", "a.yaml:2:", "freez"},
		{"a bad cron", "name: a\ntargets: {tags: {b: c}}\nschedules:\n  - expression: cron(61 2 * * ? *)\n", "a.yaml:4:", "61"},
		{"no such time zone", "name: a\ntargets: {tags: {b: c}}\nschedules:\n  - expression: cron(0 2 * * ? *)\n    timezone: Europe/Atlantis\n", "a.yaml:5:", "Atlantis"},
		{"a timeout out of range", "name: a\nfreeze:\n  deadlineSeconds: 3\n", "a.yaml:3:", "deadlineSeconds"},
		{"overlapping schedules", "name: a\ntargets: {tags: {b: c}}\nschedules:\n  - expression: cron(0 2 * * ? *)\n  - expression: cron(0 2 1 * ? *)\n", "a.yaml:5:", "schedule"},
	} {
		_, err := readPolicies(written(t, map[string]string{"a.yaml": c.text, "b.yaml": "name: b\n"}))
		if err == nil || !strings.Contains(err.Error(), c.line) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %v, want %s and %q", c.name, err, c.line, c.says)
		}
	}
	if _, err := readPolicies(written(t, map[string]string{"a.yaml": "name: a\n", "b.yaml": "name: a\n"})); err == nil || !strings.Contains(err.Error(), "a.yaml") {
		t.Errorf("two policies of one name: got %v", err)
	}
	if _, err := readPolicies(t.TempDir()); err == nil {
		t.Error("an empty folder is taken for a folder of policies")
	}
}

// The policies that come with the project can be deployed.
func TestReadyPoliciesAreRead(t *testing.T) {
	all, err := readPolicies("../../policies")
	if err != nil || len(all) == 0 {
		t.Errorf("got %d policies, %v", len(all), err)
	}
}

func TestContext(t *testing.T) {
	needNode(t)
	read := func(context map[string]any) (config, error) {
		return fromContext(awscdk.NewApp(&awscdk.AppProps{Context: &context, Outdir: jsii.String(t.TempDir())}).Node(), "dist")
	}
	c, err := read(nil)
	if err != nil || c.name != "quiesce" || c.frozenWindowMs != 5000 || c.logDays != 90 {
		t.Errorf("got %+v, %v", c, err)
	}
	c, err = read(map[string]any{"name": "backup", "frozenWindowMs": "250", "logDays": "30", "policies": written(t, policies)})
	if err != nil || c.name != "backup" || c.frozenWindowMs != 250 || c.logDays != 30 || len(c.policies) != len(policies) {
		t.Errorf("got %+v, %v", c, err)
	}
	for key, value := range map[string]string{
		"name": "aws-backup", "frozenWindowMs": "soon", "logDays": "31", "policies": "nowhere",
	} {
		if _, err := read(map[string]any{key: value}); err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("%s=%s: got %v", key, value, err)
		}
	}
}
