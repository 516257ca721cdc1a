package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/quiesce/quiesce/local/aws"
	"github.com/quiesce/quiesce/local/engine"
	"github.com/quiesce/quiesce/workflow/asl"
)

// quiesce runs one command line.
func quiesce(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	code = Run(t.Context(), args, &out, &err)
	return code, out.String(), err.String()
}

// waits is a machine whose executions last until they are stopped.
const waits = `{"StartAt":"Open","States":{
  "Open":{"Type":"Pass","Parameters":{"run":{"id.$":"$$.Execution.Name"},"request.$":"$"},"Next":"Wait"},
  "Wait":{"Type":"Wait","Seconds":3600,"End":true}}}`

// account puts a machine into an emulated account on loopback and lets the
// environment lead there.
func account(t *testing.T) (machine string) {
	t.Helper()
	e := engine.New(engine.Config{})
	cloud := aws.New(aws.Config{Engine: e, Latency: map[string]time.Duration{"*": 0}})
	m, err := asl.Parse([]byte(waits), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	serve(t, cloud)
	machine = e.Deploy("quiesce", []byte(waits), m, nil)
	t.Setenv("QUIESCE_STATE_MACHINE", machine)
	return machine
}

// serve puts an emulated account on loopback and lets the environment lead
// there. It returns the address.
func serve(t *testing.T, cloud *aws.Cloud) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- cloud.Serve(ctx, listener) }()
	t.Cleanup(func() { cloud.Close(); stop(); <-served })
	address = "http://" + listener.Addr().String()
	for _, entry := range cloud.Environment("operator", address) {
		name, value, _ := strings.Cut(entry, "=")
		t.Setenv(name, value)
	}
	return address
}

func TestStartStatusListStop(t *testing.T) {
	account(t)
	file := filepath.Join(t.TempDir(), "policy.yaml")
	if err := os.WriteFile(file, []byte("name: db\nfreeze:\n  deadlineSeconds: 30\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out, err := quiesce(t, "start", "i-0abc12345678def90", "--policy", file, "--name", "run-1"); code != 0 || !strings.Contains(out, ":run-1") {
		t.Fatalf("start: %d %s%s", code, out, err)
	}
	var record struct {
		RunID  string
		Status string
		States []string
		State  struct{ Request json.RawMessage }
	}
	for len(record.States) < 2 {
		code, out, err := quiesce(t, "status", "run-1", "-o", "json")
		if code != 0 {
			t.Fatalf("status: %d %s", code, err)
		}
		if err := json.Unmarshal([]byte(out), &record); err != nil {
			t.Fatal(err)
		}
	}
	if record.RunID != "run-1" || record.Status != "RUNNING" || !strings.Contains(string(record.State.Request), `"deadlineSeconds": 30`) {
		t.Errorf("status: %+v, request %s", record, record.State.Request)
	}
	if code, out, _ := quiesce(t, "list", "--status", "running"); code != 0 || !strings.Contains(out, "run-1") {
		t.Errorf("list: %d %s", code, out)
	}
	if code, out, err := quiesce(t, "stop", "run-1"); code != 0 {
		t.Errorf("stop: %d %s%s", code, out, err)
	}
	if code, out, _ := quiesce(t, "status", "run-1"); code != 0 || !strings.Contains(out, "ABORTED") {
		t.Errorf("status after the stop: %d %s", code, out)
	}
	if code, out, _ := quiesce(t, "list", "--status", "running"); code != 0 || strings.Contains(out, "run-1") {
		t.Errorf("list after the stop: %d %s", code, out)
	}
	if code, _, err := quiesce(t, "status", "run-0"); code != 1 || !strings.Contains(err, "ExecutionDoesNotExist") {
		t.Errorf("status of an unknown run: %d %s", code, err)
	}
}

// TestBadInputIsRefusedByName: exit code 2, the field's name, nothing started.
func TestBadInputIsRefusedByName(t *testing.T) {
	account(t)
	policy := func(text string) string {
		file := filepath.Join(t.TempDir(), "p.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	tests := []struct {
		name string
		args []string
		says string
	}{
		{"a malformed instance", []string{"start", "0abc"}, "instanceId"},
		{"an instance with a substitution", []string{"start", "i-$(id)"}, "instanceId"},
		{"a run id with a quote", []string{"start", "i-0abc12345678def90", "--name", "a'b"}, "run.id"},
		{"a run id with a newline", []string{"start", "i-0abc12345678def90", "--name", "a\nb"}, "run.id"},
		{"a policy with an unknown field", []string{"start", "i-0abc12345678def90", "--policy", policy("frieze: {}\n")}, "frieze"},
		{"a policy with a relative script", []string{"start", "i-0abc12345678def90", "--policy", policy("application:\n  kind: script\n  preScript: a\n  postScript: /b\n")}, "preScript"},
		{"a state machine that is none", []string{"start", "i-0abc12345678def90", "--state-machine", "quiesce"}, "--state-machine"},
		{"too many runs", []string{"list", "--max", "0"}, "--max"},
		{"an unknown command", []string{"freeze"}, "freeze"},
		{"an unknown flag", []string{"run", "--force"}, "--force"},
		{"no volumes", []string{"run", "--volumes", "0"}, "--volumes"},
		{"a filesystem that cannot be", []string{"run", "--fs", "zfs"}, "--fs"},
		{"a timeout of 9", []string{"run", "--timeout", "9"}, "timeoutSeconds"},
		{"a timeout of 121", []string{"run", "--timeout", "121"}, "timeoutSeconds"},
		{"4 retries", []string{"run", "--retries", "4"}, "retries"},
		{"a fault nobody knows", []string{"run", "--fault", "freeze:melt"}, "melt"},
		{"a latency that is none", []string{"run", "--api-latency", "quick"}, "--api-latency"},
		{"a latency below nothing", []string{"run", "--agent-latency=-1s"}, "--agent-latency"},
		{"a script for no script", []string{"run", "--pre-script", "/opt/pre"}, "--pre-script"},
		{"a relative script", []string{"run", "--app", "script", "--pre-script", "pre", "--post-script", "/post"}, "preScript"},
		{"a script with a newline", []string{"run", "--app", "script", "--pre-script", "/a\nb", "--post-script", "/post"}, "preScript"},
		{"a policy without a retention", []string{"prune", policy("name: db\n"), "--yes"}, "retention"},
		{"a policy whose retention is none", []string{"prune", policy("retention: {daily: -1}\n"), "--yes"}, "retention.daily"},
		{"yes to a dry run", []string{"prune", policy("retention: {daily: 1}\n"), "--yes", "--dry-run"}, "--yes"},
		{"a policy file that is not there", []string{"sets", "/nonexistent.yaml"}, "nonexistent"},
		{"no post-script", []string{"run", "--app", "script", "--pre-script", "/pre"}, "postScript"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			code, out, err := quiesce(t, tt.args...)
			if code != exitUsage || !strings.Contains(err, tt.says) || out != "" {
				t.Errorf("exit %d, %q, %q; want 2 and %q named", code, out, err, tt.says)
			}
		})
	}
	if _, out, _ := quiesce(t, "list", "-o", "json"); strings.TrimSpace(out) != "[]" && strings.TrimSpace(out) != "null" {
		t.Errorf("something was started: %s", out)
	}
}

func TestHelp(t *testing.T) {
	for _, args := range [][]string{nil, {"--help"}, {"run", "--help"}} {
		if code, out, _ := quiesce(t, args...); code != 0 || !strings.Contains(out, "Usage: quiesce") {
			t.Errorf("%v: exit %d, %q", args, code, out)
		}
	}
}
