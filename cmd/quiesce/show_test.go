package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/quiesce/quiesce/local"
	"github.com/quiesce/quiesce/local/aws"
	"github.com/quiesce/quiesce/local/aws/ec2"
	"github.com/quiesce/quiesce/local/engine"
	"github.com/quiesce/quiesce/local/ledger"
	"github.com/quiesce/quiesce/shared/cloud/awscloud/history"
	"github.com/quiesce/quiesce/shared/protocol"
	"github.com/quiesce/quiesce/shared/run"
	"github.com/quiesce/quiesce/workflow/asl"
)

// told is a machine whose executions carry what a run's document does.
const told = `{"StartAt":"Open","States":{
  "Open":{"Type":"Pass","Parameters":{"run":{"id.$":"$$.Execution.Name"},"request.$":"$"},"Next":"Thaw"},
  "Thaw":{"Type":"Pass","Result":{"evidence":{"runId":"db-3","bootId":"b","phase":"released","frozenMs":812.4,"lost":[{"code":"HoldLost","subject":"/log","message":"thawed by somebody else","at":{"mono":1}}],"filesystems":[
    {"mount":"/data","device":"d","type":"ext4","presync":{"rounds":1,"bytes":0,"ms":1},"frozenAt":{"mono":1000000},"blockedAt":{"mono":2000000},"heldAt":{"mono":700000000},"thawedAt":{"mono":813400000},"thaw":"ok"},
    {"mount":"/log","device":"e","type":"xfs","presync":{"rounds":1,"bytes":0,"ms":1},"frozenAt":{"mono":1000000},"blockedAt":{"mono":2000000},"thawedAt":{"mono":13400000},"thaw":"not-frozen"}],
    "application":{"kind":"mariadb","version":"10.11","held":true}},"published":true,"record":{"startedAt":"2026-01-01T00:00:00Z","endedAt":"2026-01-01T00:00:01Z"}},"ResultPath":"$.thaw","Next":"Tag"},
  "Tag":{"Type":"Pass","Result":{"outcome":"degraded","consistency":"crash","reason":"the hold of /log was lost","code":"HoldLost","frozenMs":812.4,"snapshotIds":["snap-1"],"record":{"startedAt":"2026-01-01T00:00:00Z","endedAt":"2026-01-01T00:00:01Z"}},"ResultPath":"$.verdict","Next":"Kind"},
  "Kind":{"Type":"Choice","Choices":[{"Variable":"$.request.instanceId","StringEquals":"i-0abc12345678def91","Next":"Last"}],"Default":"Degraded"},
  "Last":{"Type":"Wait","Seconds":3600,"Next":"Degraded"},
  "Degraded":{"Type":"Succeed"}}}`

func TestShowOfACloud(t *testing.T) {
	e := engine.New(engine.Config{})
	t.Cleanup(e.Close)
	account := aws.New(aws.Config{Engine: e, Latency: map[string]time.Duration{"*": 0}, EC2: ec2.Config{Completion: time.Nanosecond, Visible: -1, Spacing: -1}})
	stock(t, account, nil)
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	m, err := asl.Parse([]byte(told), nil)
	if err != nil {
		t.Fatal(err)
	}
	machine := e.Deploy("quiesce", []byte(told), m, nil)
	start := func(name, instance string) string {
		x, err := e.Start("quiesce", name, json.RawMessage(fmt.Sprintf(`{"instanceId":%q,"policy":{"name":"db"}}`, instance)))
		if err != nil {
			t.Fatal(err)
		}
		return x.ARN
	}
	arn := start("db-3", stockedID)
	if _, err := e.Wait(t.Context(), arn); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"show", arn}, {"show", "db-3", "--state-machine", machine}} {
		code, out, stderr := quiesce(t, args...)
		for _, want := range []string{
			"db-3  SUCCEEDED", "+   0.", "Thaw", "Degraded", "frozen", "812.4 ms", "/data (ext4): frozen 812.4 ms; its tripwire blocked before the call and after it; thaw ok",
			"/log (xfs)", "not seen blocked after it", "mariadb 10.11: held throughout", "/log: HoldLost", "crash, degraded", "the hold of /log was lost", "Find who thawed",
			"vol-0da7a000000000001, completed", "successful", "quiesce:policy=db", stockedID + ", policy db",
		} {
			if code != exitDone || !strings.Contains(strings.Join(strings.Fields(out), " "), strings.Join(strings.Fields(want), " ")) {
				t.Errorf("%v: %d %s: it does not say %q\n%s", args, code, stderr, want, out)
			}
		}
	}
	code, out, stderr := quiesce(t, "show", arn, "-o", "json")
	var s shown
	if err := json.Unmarshal([]byte(out), &s); err != nil || code != exitDone {
		t.Fatalf("%d %v %s%s", code, err, out, stderr)
	}
	if len(s.Timeline) != 5 || s.Timeline[1].State != "Thaw" || s.Timeline[1].Type != "Pass" || s.Timeline[1].At.IsZero() || s.Timeline[4].Open ||
		s.FrozenMs != 812.4 || len(s.Evidence.Filesystems) != 2 || s.Verdict.Consistency != run.Crash || len(s.Set) != 1 || s.Set[0].Tags["quiesce:restore-test"] != "SUCCESSFUL" {
		t.Errorf("got %s", out)
	}
	// One that goes on has an open end, and one whose set is gone says so.
	going := start("going", "i-0abc12345678def91")
	for !strings.Contains(out, `"open": true`) {
		code, out, _ = quiesce(t, "show", going, "-o", "json")
		if code != exitDone {
			t.Fatalf("%d %s", code, out)
		}
	}
	if _, out, _ = quiesce(t, "show", going); !strings.Contains(out, "goes on") || strings.Contains(out, "snap-") {
		t.Errorf("got %s", out)
	}
	if _, err := awsec2.NewFromConfig(account.Client("owner")).DeleteSnapshot(t.Context(), &awsec2.DeleteSnapshotInput{SnapshotId: &s.Set[0].ID}); err != nil {
		t.Fatal(err)
	}
	if code, out, stderr = quiesce(t, "show", arn); code != exitDone || strings.Contains(out, s.Set[0].ID) {
		t.Errorf("%d %s%s", code, out, stderr)
	}
	if code, _, stderr = quiesce(t, "show", "nobody", "--state-machine", machine); code != exitLess || !strings.Contains(stderr, "ExecutionDoesNotExist") {
		t.Errorf("an unknown run: %d %s", code, stderr)
	}
}

// silent is a local run's progress, told to nobody.
type silent struct{}

func (silent) Say(string, ...any)      {}
func (silent) Passage(history.Passage) {}

func TestShowOfThisMachine(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	t.Setenv("QUIESCE_STATE_MACHINE", "")
	began := time.Date(2026, 11, 28, 9, 0, 0, 0, time.UTC)
	after := run.State{
		Plan: &run.Plan{Target: run.Target{InstanceID: "i-1"}},
		Thaw: &run.Thaw{Evidence: &protocol.Evidence{FrozenMs: 300}}, Verdict: &run.Verdict{Outcome: run.OutcomeCompleted, Consistency: run.Application, Reason: "all was held"},
		Set:    &run.Set{CallMs: 260, Snapshots: []run.Snapshot{{ID: "snap-1", VolumeID: "vol-1", State: run.Pending}}},
		Status: &run.Status{Snapshots: []run.Snapshot{{ID: "snap-1", VolumeID: "vol-1", State: run.Completed}}},
	}
	write := func(id string) {
		s := &scribe{Progress: silent{}}
		s.Passage(history.Passage{State: "Precheck", Type: "Task", At: began})
		s.Passage(history.Passage{State: "Precheck", Type: "Task", At: began, Done: true, Took: 1500 * time.Millisecond, After: after})
		s.Passage(history.Passage{State: "Failed", Type: "Fail", At: began.Add(2 * time.Second)})
		if err := s.write(&local.Report{RunID: id, Status: "SUCCEEDED", Mode: local.Simulated, Oracle: &ledger.Result{Verified: true}}); err != nil {
			t.Fatal(err)
		}
	}
	write("run-1")
	code, out, stderr := quiesce(t, "show", "run-1")
	for _, want := range []string{"run-1  SUCCEEDED", "1500 ms", "local, simulated", "300.0 ms", "260.0 ms", "application, completed", "snap-1 of vol-1, completed", "restored to new volumes and checked", "2.000 s"} {
		if code != exitDone || !strings.Contains(out, want) {
			t.Errorf("%d %s: it does not say %q\n%s", code, stderr, want, out)
		}
	}
	if code, _, stderr := quiesce(t, "show", "run-2"); code != exitUsage || !strings.Contains(stderr, "run: run-2 is none of this machine") {
		t.Errorf("an unknown run: %d %s", code, stderr)
	}
	if code, _, stderr := quiesce(t, "show", "../../etc/passwd"); code != exitUsage || !strings.Contains(stderr, "none of this machine") {
		t.Errorf("a path: %d %s", code, stderr)
	}
	// The oldest goes when there are too many.
	folder, err := records()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(filepath.Join(folder, "run-1.json"), began, began); err != nil {
		t.Fatal(err)
	}
	for i := range remembered {
		write(fmt.Sprintf("later-%d", i))
	}
	entries, err := os.ReadDir(folder)
	if err != nil || len(entries) != remembered {
		t.Errorf("%d are kept, %v, want %d", len(entries), err, remembered)
	}
	if code, _, _ := quiesce(t, "show", "run-1"); code != exitUsage {
		t.Error("the oldest is there still")
	}
}
