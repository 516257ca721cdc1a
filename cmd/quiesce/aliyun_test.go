package main

import (
	"encoding/json"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quiesce/quiesce/functions"
	"github.com/quiesce/quiesce/functions/prune"
	"github.com/quiesce/quiesce/local/aliyun"
	"github.com/quiesce/quiesce/local/aliyun/ecs"
	"github.com/quiesce/quiesce/local/engine"
	"github.com/quiesce/quiesce/local/runtimeapi"
	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/cloud/alicloud"
	"github.com/quiesce/quiesce/shared/restore"
	"github.com/quiesce/quiesce/shared/retention"
	"github.com/quiesce/quiesce/shared/verify"
	"github.com/quiesce/quiesce/workflow"
)

const abroadID = "i-bp1234567890abcdef00"

// stockedAbroad is an account of Alibaba Cloud with three sets of the policy db,
// of which the first is locked, and the restore's flow.
func stockedAbroad(t *testing.T) *aliyun.Cloud {
	t.Helper()
	e := engine.New(engine.Config{})
	t.Cleanup(e.Close)
	a := aliyun.New(aliyun.Config{Engine: e, Latency: map[string]time.Duration{"*": 0}, ECS: ecs.Config{
		Completion: time.Nanosecond, Visible: -1, Provision: -1, Moving: -1, Turn: -1,
	}})
	t.Cleanup(a.Close)
	front := httptest.NewServer(a)
	t.Cleanup(front.Close)
	t.Setenv("QUIESCE_CLOUD", "aliyun")
	t.Setenv("QUIESCE_ENDPOINT", front.URL)
	t.Setenv("ALIBABA_CLOUD_REGION_ID", "cn-hangzhou")
	k := a.Keys("operator")
	t.Setenv("ALIBABA_CLOUD_ACCESS_KEY_ID", k.ID)
	t.Setenv("ALIBABA_CLOUD_ACCESS_KEY_SECRET", k.Secret)
	t.Setenv("ALIBABA_CLOUD_SECURITY_TOKEN", k.Token)
	a.ECS.AddInstance(ecs.Instance{ID: abroadID, Tags: map[string]string{cloud.TagOptIn: "true"}})
	for _, d := range []ecs.Disk{{ID: "d-bp10000000000000root", System: true}, {ID: "d-bp1234567890abcdef01", Bytes: 40 << 30}} {
		d.Instance, d.Hollow = abroadID, true
		if _, err := a.ECS.AddDisk(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	owner := alicloud.New(a.Client("owner"), alicloud.Options{})
	for i, id := range []string{"db-1", "db-2", "db-3"} {
		set, err := owner.CreateSet(t.Context(), cloud.SetSpec{InstanceID: abroadID, Include: []string{"d-bp1234567890abcdef01"}, Tags: map[string]string{
			cloud.TagRun: id, cloud.TagPolicy: "db", cloud.TagInstance: abroadID, cloud.TagMembers: "1", cloud.TagConsistency: "application",
		}})
		if err != nil {
			t.Fatal(err)
		}
		a.ECS.Age(set[0].ID, time.Duration(3-i)*time.Hour) // it tells whole seconds
		if id == "db-1" {
			a.ECS.Lock(set[0].ID, time.Hour)
		}
		for state := ""; state != "completed"; {
			now, err := owner.Snapshots(t.Context(), []string{set[0].ID})
			if err != nil {
				t.Fatal(err)
			}
			state = now[0].State
		}
	}
	a.OSS.Put("assets", "helper", []byte("the helper"))
	local := &runtimeapi.Local{Handlers: map[string]runtimeapi.Handler{}, Timeouts: functions.Timeouts}
	for _, name := range slices.Concat(functions.RestoreSteps, functions.VerifySteps) {
		provider := alicloud.New(a.Client(name), alicloud.Options{
			AssetBucket: "assets", Helpers: map[string]alicloud.Helper{"amd64": {Key: "helper", SHA256: strings.Repeat("0", 64)}},
		})
		local.Handlers[name] = runtimeapi.Handler(functions.Table(functions.Deps{Cloud: provider, Keeper: provider})[name])
	}
	m, err := workflow.RestoreFlowMachine(a.FunctionARN)
	if err != nil {
		t.Fatal(err)
	}
	e.Deploy("quiesce-restore", []byte(workflow.RestoreFlow()), m, a.Tasks(local))
	tests, err := workflow.VerifyFlowMachine(a.FunctionARN)
	if err != nil {
		t.Fatal(err)
	}
	e.Deploy("quiesce-verify", []byte(workflow.VerifyFlow()), tests, a.Tasks(local))
	return a
}

func TestSetsAndPruneAbroad(t *testing.T) {
	a := stockedAbroad(t)
	file := write(t, "db.yaml", "name: db\nretention: {last: 1}\n")
	of := listed(t, file)
	if len(of) != 3 || !*of["db-3"].Keep || *of["db-2"].Keep || of["db-2"].SizeGiB != 40 || of["db-2"].InstanceID != abroadID {
		t.Errorf("got %+v", of)
	}
	code, out, err := quiesce(t, "prune", file)
	if code != exitUsage || !strings.Contains(err, "1 sets of 1 snapshots would be deleted for good") || !strings.Contains(out, "is locked until") {
		t.Errorf("without a yes: %d %s%s", code, out, err)
	}
	if n := a.Count("DeleteSnapshot"); n > 0 {
		t.Errorf("%d deletions before there was a yes", n)
	}
	code, out, err = quiesce(t, "prune", file, "--yes", "-o", "json")
	var r prune.Report
	if code != exitDone || json.Unmarshal([]byte(out), &r) != nil || r.Deleted != 1 || r.Kept != 2 {
		t.Errorf("%d %s%s", code, out, err)
	}
	if left := listed(t); len(left) != 2 {
		t.Errorf("got %+v", left)
	}
	if groups := a.ECS.Groups(); len(groups) != 2 {
		t.Errorf("a group of nothing is left: %v", groups)
	}
}

func TestRestoreAbroad(t *testing.T) {
	a := stockedAbroad(t)
	code, out, stderr := quiesce(t, "restore", "db-3", "--mode", "in-place")
	for _, want := range []string{"planned", "db-3", abroadID, "40 GiB cloud_essd", "set d-bp1234567890abcdef01", "--yes"} {
		if code != exitDone || !strings.Contains(out, want) {
			t.Errorf("%d %s: no %q in\n%s", code, stderr, want, out)
		}
	}
	code, out, stderr = quiesce(t, "restore", "db-3", "--mode", "in-place", "--yes", "-o", "json")
	var v restore.Verdict
	if err := json.Unmarshal([]byte(out), &v); code != exitDone || err != nil || v.Outcome != restore.Restored || len(v.Kept) != 1 {
		t.Fatalf("%d %v %s%s", code, err, out, stderr)
	}
	if !strings.Contains(stderr, "Swap") {
		t.Errorf("no state was told: %s", stderr)
	}
	code, out, stderr = quiesce(t, "restore", v.Plan.RestoreID, "--rollback", "--yes")
	if code != exitDone || !strings.Contains(out, "rolled-back") {
		t.Errorf("%d %s%s", code, out, stderr)
	}
	code, out, stderr = quiesce(t, "restore", v.Plan.RestoreID, "--cleanup", "--yes")
	if left := a.ECS.Groups(); code != exitDone || len(left) != 3 {
		t.Errorf("%d, %v is left: %s%s", code, left, out, stderr)
	}
}

func TestVerifyAbroad(t *testing.T) {
	a := stockedAbroad(t)
	if _, err := a.Rent(t.Context(), ecs.Instance{ID: testHost, Tags: map[string]string{cloud.TagOptIn: "true"}}, aliyun.Spoken(reviver{})); err != nil {
		t.Fatal(err)
	}
	file := write(t, "db.yaml", policyOfTests)
	code, out, stderr := quiesce(t, "verify", "--policy", file)
	for _, want := range []string{"planned", "db-3", "it is the newest good one", testHost, "40 GiB", "/opt/check", "step 1", "--yes"} {
		if code != exitDone || !strings.Contains(out, want) {
			t.Errorf("%d %s: no %q in\n%s", code, stderr, want, out)
		}
	}
	code, out, stderr = quiesce(t, "verify", "db-2", "--policy", file, "--yes", "-o", "json")
	var v verify.Verdict
	if err := json.Unmarshal([]byte(out), &v); code != exitDone || err != nil || v.Result != retention.Successful || v.Choice.SetID != "db-2" || v.RecoverySeconds != 12.5 {
		t.Fatalf("%d %v %s%s", code, err, out, stderr)
	}
	if !strings.Contains(stderr, "  Recover ") {
		t.Errorf("no state was told: %s", stderr)
	}
	for id, d := range a.ECS.Disks() {
		if d.Tags[cloud.TagScratch] != "" {
			t.Errorf("%s is left", id)
		}
	}
	if of := listed(t, file); of["db-2"].Verified != retention.Successful || of["db-3"].Verified != "" {
		t.Errorf("got %+v", of)
	}
	if code, out, stderr = quiesce(t, "sets", file); code != exitDone || !strings.Contains(out, "successful") {
		t.Errorf("%d %s%s", code, out, stderr)
	}
}

// What is missing is named before anything is asked.
func TestAbroadWantsItsKeys(t *testing.T) {
	file := write(t, "db.yaml", "name: db\nretention: {last: 1}\n")
	t.Setenv("QUIESCE_CLOUD", "aliyun")
	variables := map[string]string{
		"region": "ALIBABA_CLOUD_REGION_ID", "key-id": "ALIBABA_CLOUD_ACCESS_KEY_ID", "key-secret": "ALIBABA_CLOUD_ACCESS_KEY_SECRET",
	}
	for _, args := range [][]string{{"sets"}, {"prune", file}, {"restore", "db-3", "--mode", "volumes"}, {"verify", "db-3", "--instance", testHost}} {
		for missing := range variables {
			for name, variable := range variables {
				t.Setenv(variable, map[bool]string{false: "there"}[name == missing])
			}
			code, out, stderr := quiesce(t, args...)
			if code != exitUsage || !strings.Contains(stderr, "--aliyun-"+missing+": is missing") {
				t.Errorf("%v without its %s: got %d %s%s", args, missing, code, out, stderr)
			}
		}
	}
}
