package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/assertions"
	"github.com/aws/jsii-runtime-go"

	"github.com/quiesce/quiesce/shared/policy"
)

// TestMain leaves the construct library's process to end by itself: its own
// Close races with the end that it waits for.
func TestMain(m *testing.M) {
	folder, err := os.MkdirTemp("", "quiesce-infra-")
	if err != nil {
		panic(err)
	}
	_ = os.Setenv("TMPDIR", folder)
	code := m.Run()
	_ = os.RemoveAll(folder)
	os.Exit(code)
}

// template is what CloudFormation is given.
type template struct {
	Resources map[string]resource
	Outputs   map[string]map[string]any
}

type resource struct {
	Type       string
	Properties map[string]any
	Metadata   map[string]any
}

// of returns the resources of a type.
func (t template) of(kind string) map[string]resource {
	found := map[string]resource{}
	for id, r := range t.Resources {
		if r.Type == kind {
			found[id] = r
		}
	}
	return found
}

// one returns the resource of a type whose property has a value.
func (t template) one(tb testing.TB, kind, property, value string) resource {
	tb.Helper()
	for _, r := range t.of(kind) {
		if r.Properties[property] == value {
			return r
		}
	}
	tb.Fatalf("there is no %s with %s %s", kind, property, value)
	return resource{}
}

// at follows a path of fields and indices; nil where there is nothing.
func at(value any, path ...any) any {
	for _, p := range path {
		switch p := p.(type) {
		case string:
			object, _ := value.(map[string]any)
			value = object[p]
		case int:
			array, _ := value.([]any)
			if p >= len(array) {
				return nil
			}
			value = array[p]
		}
	}
	return value
}

// flat writes a value with its intrinsic functions as one line, to be searched.
func flat(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Sprint(err)
	}
	return string(text)
}

// policies are deployed in every test: a schedule of each kind, receivers of
// each kind, an opt-in tag of one's own.
var policies = map[string]string{
	"nightly.yaml": `
name: nightly
targets: {tags: {ConsistentSnapshot: ""}}
optIn: {key: backup, value: consistent}
schedules:
  - expression: cron(0 2 * * ? *)
  - {name: noon, expression: cron(30 12 * * ? *), timezone: Europe/Berlin}
startLateMinutes: 20
notification:
  - {email: ops@example.com}
  - {topicArn: "arn:aws:sns:eu-central-1:123456789012:on-call", on: [thaw-failed]}
`,
	"a-b.yaml": "name: a-b",
	"a.b.yaml": `
name: a.b
targets: {tags: {a: b}}
schedules: [{expression: rate(6 hours)}]
notification: [{email: ops@example.com}]
restoreTest: {instance: i-0fed98765432cba10, schedule: {expression: cron(0 5 ? * SUN *), timezone: Europe/Berlin}}
startLateMinutes: 20
`,
	"monthly.yaml": `
name: monthly
targets: {instanceIds: [i-0abc12345678def90]}
schedules: [{expression: cron(0 4 1 * ? *)}]
retention: {within: 2y, monthly: 24, timezone: Europe/Berlin}
restoreTest: {instance: i-0fed98765432cba10, check: /opt/check, schedule: {expression: cron(0 5 2 * ? *)}, costLimit: 1.5, pricePerGiBMonth: 0.0952}
copies: [{region: eu-west-1, retention: {monthly: 12}}, {region: us-east-1}]
lock: {mode: governance, days: 30}
`,
}

func written(tb testing.TB, files map[string]string) (folder string) {
	tb.Helper()
	folder = tb.TempDir()
	if err := write(folder, files); err != nil {
		tb.Fatal(err)
	}
	return folder
}

// lasting is a folder until the last test: the construct library reads and
// writes it whenever it is asked.
func lasting(files map[string]string) (folder string, err error) {
	if folder, err = os.MkdirTemp("", "quiesce-infra-"); err != nil {
		return "", err
	}
	return folder, write(folder, files)
}

func write(folder string, files map[string]string) error {
	for name, text := range files {
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			return err
		}
	}
	return nil
}

// binaries stand for those of `make package`.
var binaries = map[string]string{
	"amd64/quiesce-guest": "helper for amd64", "arm64/quiesce-guest": "helper for arm64", "arm64/bootstrap": "functions",
}

var deployed struct {
	sync.Once
	*deployment
	template template
	text     []byte
	err      error
}

// synthesised deploys once for all tests: the library needs seconds to start.
func synthesised(t *testing.T) (*deployment, template) {
	t.Helper()
	needNode(t)
	deployed.Do(func() {
		var dist, out string
		if dist, deployed.err = lasting(binaries); deployed.err != nil {
			return
		}
		if out, deployed.err = lasting(nil); deployed.err != nil {
			return
		}
		c := config{
			name: defaultName, dist: dist, frozenWindowMs: defaultFrozen, logDays: defaultLog, alarmEmail: "alarms@example.com",
		}
		if c.policies, deployed.err = readPolicies(written(t, policies)); deployed.err != nil {
			return
		}
		deployed.deployment, deployed.err = newDeployment(awscdk.NewApp(&awscdk.AppProps{Outdir: jsii.String(out)}), c)
		if deployed.err != nil {
			return
		}
		document := assertions.Template_FromStack(deployed.stack, nil).ToJSON()
		if deployed.text, deployed.err = json.Marshal(document); deployed.err == nil {
			deployed.err = json.Unmarshal(deployed.text, &deployed.template)
		}
	})
	if deployed.err != nil {
		t.Fatal(deployed.err)
	}
	return deployed.deployment, deployed.template
}

func needNode(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("node"); err != nil {
		t.Skip("needs node, which the construct library runs on")
	}
}

// named returns what a name in the account ends in.
func unnamed(name any) string { return strings.TrimPrefix(fmt.Sprint(name), defaultName+"-") }

func TestPoliciesOfTheTestsAreWhatTheySay(t *testing.T) {
	all, err := readPolicies(written(t, policies))
	if err != nil || len(all) != len(policies) {
		t.Fatalf("got %d policies, %v", len(all), err)
	}
	if got, want := (config{policies: all}).optIns(), []policy.OptIn{{Key: "quiesce:opt-in", Value: "true"}, {Key: "backup", Value: "consistent"}}; len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("got the opt-in tags %v, want %v", got, want)
	}
}

func source(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
