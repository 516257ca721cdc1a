package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/quiesce/quiesce/functions"
	"github.com/quiesce/quiesce/local/aws"
	"github.com/quiesce/quiesce/local/aws/ec2"
	"github.com/quiesce/quiesce/local/engine"
	"github.com/quiesce/quiesce/local/runtimeapi"
	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/cloud/awscloud"
	"github.com/quiesce/quiesce/shared/restore"
	"github.com/quiesce/quiesce/workflow"
)

// restorable is the stocked account with the restore's own workflow deployed.
func restorable(t *testing.T) *aws.Cloud {
	t.Helper()
	e := engine.New(engine.Config{})
	t.Cleanup(e.Close)
	account := aws.New(aws.Config{
		Engine: e, Latency: map[string]time.Duration{"CreateSnapshots": 5 * time.Millisecond, "*": 0},
		EC2: ec2.Config{Completion: time.Nanosecond, Visible: -1, Spacing: -1, Provision: -1},
	})
	stock(t, account, map[string]string{cloud.TagOptIn: "true"})
	local := &runtimeapi.Local{Handlers: map[string]runtimeapi.Handler{}, Timeouts: functions.Timeouts}
	for _, name := range functions.RestoreSteps {
		provider := awscloud.New(account.Client(name), awscloud.Options{})
		local.Handlers[name] = runtimeapi.Handler(functions.Table(functions.Deps{Cloud: provider})[name])
	}
	m, err := workflow.RestoreMachine(account.FunctionARN)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("QUIESCE_RESTORE_MACHINE", e.Deploy("restore", []byte(workflow.Restore()), m, account.Tasks(local)))
	return account
}

func TestRestoreShowsItsPlanFirst(t *testing.T) {
	account := restorable(t)
	volumes := func() int {
		out, err := awsec2.NewFromConfig(account.Client("owner")).DescribeVolumes(t.Context(), &awsec2.DescribeVolumesInput{})
		if err != nil {
			t.Fatal(err)
		}
		return len(out.Volumes)
	}
	before := volumes()
	code, out, stderr := quiesce(t, "restore", "db-3", "--mode", "volumes")
	if code != 0 {
		t.Fatalf("%d %s%s", code, out, stderr)
	}
	if !strings.Contains(stderr, "  Plan ") || !strings.Contains(stderr, "  Report ") {
		t.Errorf("it does not say how far it is: %s", stderr)
	}
	for _, want := range []string{"planned", "db-3", "application", "vol-0da7a000000000001", "20 GiB", stockedID, "step 1", "--yes"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if got := volumes(); got != before {
		t.Errorf("there were %d volumes, now %d", before, got)
	}
	code, out, stderr = quiesce(t, "restore", "db-3", "--mode", "volumes", "--yes", "-o", "json")
	var v restore.Verdict
	if err := json.Unmarshal([]byte(out), &v); code != 0 || err != nil || v.Outcome != restore.Restored || len(v.Created) != 1 {
		t.Fatalf("%d %v %s%s", code, err, out, stderr)
	}
	if got := volumes(); got != before+1 {
		t.Errorf("there were %d volumes, now %d", before, got)
	}
	code, out, stderr = quiesce(t, "restore", v.Plan.RestoreID, "--cleanup", "--yes")
	if got := volumes(); code != 0 || got != before {
		t.Errorf("%d, %d volumes: %s%s", code, got, out, stderr)
	}
}

func TestRestoreRefuses(t *testing.T) {
	restorable(t)
	for _, c := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"a set that there is not", []string{"no-such-run", "--mode", "volumes", "--yes"}, 1, "no-such-run"},
		{"no mode", []string{"db-3"}, 2, "request.mode"},
		{"two actions", []string{"r", "--rollback", "--cleanup"}, 2, "--cleanup"},
		{"an action with a mode", []string{"r", "--rollback", "--mode", "volumes"}, 2, "request.action"},
		{"devices in place", []string{"db-3", "--mode", "in-place", "--device", "vol-1=/dev/sdf"}, 2, "request.devices"},
		{"an image without the boot disk", []string{"db-3", "--mode", "image"}, 1, "request.mode"},
		{"an image's launch beside", []string{"db-3", "--mode", "volumes", "--launch", "m7i.large", "--subnet", "subnet-0123456789abcdef0"}, 2, "request.launch"},
		{"a launch without a place", []string{"db-3", "--mode", "image", "--launch", "m7i.large"}, 2, "request.launch.subnet"},
		{"copies that come to life in place", []string{"db-3", "--mode", "in-place", "--recover"}, 2, "request.recover"},
		{"a place for them without a path", []string{"db-3", "--mode", "volumes", "--mount", "/srv=here"}, 2, "request.recover.mounts[/srv]"},
		{"unmounted, without a cleanup", []string{"r", "--rollback", "--unmounted"}, 2, "request.unmounted"},
		{"no machine", []string{"db-3", "--mode", "volumes", "--restore-machine", "quiesce"}, 2, "--restore-machine"},
	} {
		code, out, stderr := quiesce(t, append([]string{"restore"}, c.args...)...)
		if code != c.code || !strings.Contains(out+stderr, c.says) {
			t.Errorf("%s: got %d %s%s, want %d and %q", c.name, code, out, stderr, c.code, c.says)
		}
	}
}
