package shadow_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/run"
	"github.com/quiesce/quiesce/shared/shadow"
)

var asked = shadow.Request{Version: shadow.Version, Verb: shadow.Make, RunID: "run-1", Volumes: []string{"vol-0aaaaaaaa", "vol-0bbbbbbbb"}}

func whole() shadow.Reply {
	r := shadow.Reply{Version: shadow.Version, Verb: shadow.Make, RunID: "run-1", Shadows: &run.Shadows{SetID: "s"}}
	for _, v := range asked.Volumes {
		r.Shadows.Copies = append(r.Shadows.Copies, run.ShadowCopy{ID: "c", VolumeID: v, Path: `D:\`})
		r.Shadows.Disks = append(r.Shadows.Disks, run.ShadowDisk{VolumeID: v, Style: "MBR", Signature: "0A1B2C3D"})
	}
	return r
}

// What the document answers, or the agent in its place.
func TestRead(t *testing.T) {
	for _, c := range []struct {
		name   string
		with   func(*shadow.Reply, *cloud.Result)
		verb   string
		want   fault.Code
		says   string
		stdout string
	}{
		{"all is well", func(*shadow.Reply, *cloud.Result) {}, shadow.Make, "", "", ""},
		{"a set without a name", func(r *shadow.Reply, _ *cloud.Result) { r.Shadows.SetID = "" }, shadow.Make, fault.ShadowFailed, "without shadow copies", ""},
		{"no copies", func(r *shadow.Reply, _ *cloud.Result) { r.Shadows = nil }, shadow.Make, fault.ShadowFailed, "without shadow copies", ""},
		{"a copy is missing", func(r *shadow.Reply, _ *cloud.Result) { r.Shadows.Copies = r.Shadows.Copies[:1] }, shadow.Make, fault.ShadowFailed, "vol-0bbbbbbbb", ""},
		{"a signature is missing", func(r *shadow.Reply, _ *cloud.Result) { r.Shadows.Disks[0].Signature = "" }, shadow.Make, fault.ShadowFailed, "vol-0aaaaaaaa", ""},
		{"dropped", func(r *shadow.Reply, _ *cloud.Result) { r.Verb, r.Shadows, r.Dropped = shadow.Drop, nil, 2 }, shadow.Drop, "", "", ""},
		{"another run's answer", func(r *shadow.Reply, _ *cloud.Result) { r.RunID = "run-2" }, shadow.Make, fault.CommandFailed, "exit code 0", ""},
		{"another version", func(r *shadow.Reply, _ *cloud.Result) { r.Version = 2 }, shadow.Make, fault.CommandFailed, "", ""},
		{"no JSON", func(_ *shadow.Reply, c *cloud.Result) { c.ExitCode, c.Stderr = 1, "The term is not recognized" }, shadow.Make, fault.CommandFailed, "not recognized", "oops"},
		{"killed", func(_ *shadow.Reply, c *cloud.Result) { c.TimedOut, c.Status = true, "ExecutionTimedOut" }, shadow.Make, fault.CommandTimedOut, "ExecutionTimedOut", "-"},
		{"killed with its answer out", func(_ *shadow.Reply, c *cloud.Result) { c.TimedOut, c.ExitCode = true, 137 }, shadow.Make, fault.CommandTimedOut, "", ""},
		{"a code that nobody knows", func(r *shadow.Reply, c *cloud.Result) {
			c.ExitCode = 1
			r.Error = &shadow.Failure{Exit: 1, Message: "x"}
		}, shadow.Make, fault.ShadowFailed, "x", ""},
	} {
		reply, result := whole(), cloud.Result{Done: true, Status: "Success"}
		c.with(&reply, &result)
		text, err := json.Marshal(reply)
		if err != nil {
			t.Fatal(err)
		}
		if result.Stdout = string(text) + "\r\n"; c.stdout != "" {
			result.Stdout = c.stdout
		}
		ask := asked
		ask.Verb = c.verb
		_, err = shadow.Read(ask, result)
		if fault.CodeOf(err) != c.want || c.want != "" && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %v, want %s and %q", c.name, err, c.want, c.says)
		}
	}
	for exit, code := range shadow.Codes {
		reply := whole()
		reply.Error = &shadow.Failure{Exit: exit, Message: "why"}
		text, _ := json.Marshal(reply)
		_, err := shadow.Read(asked, cloud.Result{Done: true, Status: "Failed", ExitCode: exit, Stdout: string(text)})
		if fault.CodeOf(err) != code || code.NextMove() == "" || err.Error() != "why" {
			t.Errorf("exit code %d: got %v, want %s", exit, err, code)
		}
	}
}
