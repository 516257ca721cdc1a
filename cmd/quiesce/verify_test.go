package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/quiesce/quiesce/functions"
	"github.com/quiesce/quiesce/local/aws"
	"github.com/quiesce/quiesce/local/aws/ec2"
	"github.com/quiesce/quiesce/local/engine"
	"github.com/quiesce/quiesce/local/instance"
	"github.com/quiesce/quiesce/local/runtimeapi"
	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/cloud/awscloud"
	"github.com/quiesce/quiesce/shared/protocol"
	"github.com/quiesce/quiesce/shared/retention"
	"github.com/quiesce/quiesce/shared/verify"
	"github.com/quiesce/quiesce/workflow"
)

const (
	policyOfTests = "name: db\nrestoreTest: {instance: i-0fed98765432cba10, check: /opt/check, costLimit: 1, pricePerGiBMonth: 0.1}\n"
	testHost      = "i-0fed98765432cba10"
)

// reviver is a test instance whose helper says that all copies came to life, or
// what is wrong with them.
type reviver struct{ problems []string }

func (reviver) Arch() string { return "amd64" }

func (r reviver) Execute(_ context.Context, c instance.Command) instance.Result {
	var asked protocol.Request
	raw, _ := base64.StdEncoding.DecodeString(c.Parameters["Request"])
	if err := json.Unmarshal(raw, &asked); err != nil || asked.Recover == nil {
		return instance.Result{ExitCode: 1, Stderr: []byte("this helper only recovers")}
	}
	reply := protocol.Reply{Version: protocol.Version, Verb: asked.Verb, RunID: asked.RunID, Recover: &protocol.RecoverReply{Seconds: 12.5, Problems: r.problems}}
	for _, d := range asked.Recover.Disks {
		reply.Recover.Filesystems = append(reply.Recover.Filesystems, protocol.Recovered{Origin: d.Origin, Type: "ext4", Checked: "clean"})
	}
	out, _ := json.Marshal(reply)
	return instance.Result{Stdout: out}
}

// testable is the stocked account with the restore test's workflow deployed, and a
// policy file for it.
func testable(t *testing.T, machine instance.Machine) (account *aws.Cloud, policy string) {
	t.Helper()
	e := engine.New(engine.Config{})
	t.Cleanup(e.Close)
	account = aws.New(aws.Config{
		Engine: e, Latency: map[string]time.Duration{"CreateSnapshots": 5 * time.Millisecond, "*": 0},
		EC2: ec2.Config{Completion: time.Nanosecond, Visible: -1, Spacing: -1, Provision: -1, Attaching: -1},
	})
	stock(t, account, map[string]string{cloud.TagOptIn: "true"})
	if _, err := account.Rent(t.Context(), ec2.Instance{ID: testHost, Tags: map[string]string{cloud.TagOptIn: "true"}}, machine); err != nil {
		t.Fatal(err)
	}
	account.S3.Put("assets", "helper", []byte("the helper"))
	if err := account.SSM.RegisterDocument("quiesce-helper", []byte(awscloud.Document())); err != nil {
		t.Fatal(err)
	}
	local := &runtimeapi.Local{Handlers: map[string]runtimeapi.Handler{}, Timeouts: functions.Timeouts}
	for _, name := range functions.Names {
		provider := awscloud.New(account.Client(name), awscloud.Options{
			AssetBucket: "assets", Document: "quiesce-helper", Helpers: map[string]awscloud.Helper{"amd64": {Key: "helper", SHA256: strings.Repeat("0", 64)}},
		})
		local.Handlers[name] = runtimeapi.Handler(functions.Table(functions.Deps{Cloud: provider, Keeper: provider})[name])
	}
	m, err := workflow.VerifyMachine(account.FunctionARN)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("QUIESCE_VERIFY_MACHINE", e.Deploy("verify", []byte(workflow.Verify()), m, account.Tasks(local)))
	policy = filepath.Join(t.TempDir(), "db.yaml")
	if err := os.WriteFile(policy, []byte(policyOfTests), 0o600); err != nil {
		t.Fatal(err)
	}
	return account, policy
}

func TestVerifyShowsItsPlanFirst(t *testing.T) {
	account, policy := testable(t, reviver{})
	volumes := func() int {
		out, err := awsec2.NewFromConfig(account.Client("owner")).DescribeVolumes(t.Context(), &awsec2.DescribeVolumesInput{})
		if err != nil {
			t.Fatal(err)
		}
		return len(out.Volumes)
	}
	before := volumes()
	code, out, stderr := quiesce(t, "verify", "--policy", policy)
	if code != 0 {
		t.Fatalf("%d %s%s", code, out, stderr)
	}
	for _, want := range []string{"planned", "db-3", "it is the newest good one", testHost, "20 GiB", "0.0027", "/opt/check", "step 1", "--yes"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	code, out, stderr = quiesce(t, "verify", "db-2", "--policy", policy, "--yes", "-o", "json")
	var v verify.Verdict
	if err := json.Unmarshal([]byte(out), &v); code != 0 || err != nil || v.Result != retention.Successful || v.Choice.SetID != "db-2" || v.RecoverySeconds != 12.5 {
		t.Fatalf("%d %v %s%s", code, err, out, stderr)
	}
	if got := volumes(); got != before {
		t.Errorf("there were %d volumes, now %d", before, got)
	}
	if code, out, stderr = quiesce(t, "sets", policy); code != 0 || !strings.Contains(out, "successful") {
		t.Errorf("%d %s%s", code, out, stderr)
	}
}

func TestVerifyTellsWhatIsWrong(t *testing.T) {
	_, policy := testable(t, reviver{problems: []string{"3 pages do not match their checksums"}})
	code, out, stderr := quiesce(t, "verify", "--policy", policy, "--yes")
	for _, want := range []string{"FAILED", "3 pages do not match", "ext4 clean"} {
		if code != 1 || !strings.Contains(out, want) {
			t.Errorf("%d, no %q in\n%s%s", code, want, out, stderr)
		}
	}
}

func TestVerifyRefuses(t *testing.T) {
	_, policy := testable(t, reviver{})
	for _, c := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"neither run nor policy", nil, 2, "--policy"},
		{"no test instance", []string{"db-3"}, 2, "--instance"},
		{"an instance that is none", []string{"db-3", "--instance", "db"}, 2, "restoreTest.instance"},
		{"a check by a relative path", []string{"db-3", "--policy", policy, "--check", "check"}, 2, "restoreTest.check"},
		{"a server that nobody knows", []string{"db-3", "--policy", policy, "--app", "oracle"}, 2, "restoreTest.application"},
		{"too little time", []string{"db-3", "--policy", policy, "--minutes", "1"}, 2, "restoreTest.timeLimitMinutes"},
		{"a run and an instance", []string{"db-3", "--policy", policy, "--of", "i-0abc12345678def90"}, 2, "request.instanceId"},
		{"no machine", []string{"db-3", "--policy", policy, "--verify-machine", "quiesce"}, 2, "--verify-machine"},
		{"a set that there is not", []string{"nobody", "--policy", policy, "--yes"}, 1, "no snapshot"},
	} {
		code, out, stderr := quiesce(t, append([]string{"verify"}, c.args...)...)
		if code != c.code || !strings.Contains(out+stderr, c.says) {
			t.Errorf("%s: got %d %s%s, want %d and %q", c.name, code, out, stderr, c.code, c.says)
		}
	}
}
