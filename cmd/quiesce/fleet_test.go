package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

func TestRunFleet(t *testing.T) {
	for _, c := range []struct {
		args string
		exit int
		want string // in the report, or in the complaint
	}{
		{"--fleet 150", exitDone, `"instances": 150`},
		{"--fleet 150 --fleet-failures 2", exitDone, `"failed": 2`},
		{"--fleet 150 --fleet-failures 9 --max-errors 1%", exitLess, `"outcome": "failed"`},
		{"--fleet 20 --max-concurrency 5", exitDone, `"throttled": 0`},
		{"--fleet 10001", exitUsage, "--fleet: wants 1-10000 instances"},
		{"--fleet=-1", exitUsage, "--fleet: wants 1-10000 instances"},
		{"--fleet 5 --fleet-failures 6", exitUsage, "--fleet-failures: wants 0-5"},
		{"--fleet 5 --max-errors lots", exitUsage, "--max-errors: "},
		{"--fleet 5 --fault snapshot:deny", exitUsage, "--fault: is for one run"},
		{"--max-errors 5", exitUsage, "--max-errors: is for --fleet"},
	} {
		var out, complaint bytes.Buffer
		exit := Run(t.Context(), append([]string{"run", "-o", "json"}, strings.Fields(c.args)...), &out, &complaint)
		if exit != c.exit || !strings.Contains(out.String()+complaint.String(), c.want) {
			t.Errorf("%s: exit %d, want %d with %q; got %.300s %s", c.args, exit, c.exit, c.want, &out, &complaint)
		}
		var report struct{ Fleet map[string]any }
		if c.exit != exitUsage && (json.Unmarshal(out.Bytes(), &report) != nil || report.Fleet["makespanSeconds"] == nil) {
			t.Errorf("%s: no report", c.args)
		}
	}
}

func TestRunFleetForPeople(t *testing.T) {
	var out, complaint bytes.Buffer
	if exit := Run(t.Context(), []string{"run", "--fleet", "150"}, &out, &complaint); exit != exitDone {
		t.Errorf("exit %d: %s", exit, &complaint)
	}
	for _, want := range []string{"150 completed", "makespan", "quota bound of CreateSnapshots is 10 s", "throttled", "modelled"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, &out)
		}
	}
}
