package aliyun_test

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quiesce/quiesce/functions"
	"github.com/quiesce/quiesce/local/aliyun"
	"github.com/quiesce/quiesce/local/aliyun/ecs"
	"github.com/quiesce/quiesce/local/aliyun/eventbridge"
	"github.com/quiesce/quiesce/local/aws/wire"
	"github.com/quiesce/quiesce/local/engine"
	"github.com/quiesce/quiesce/local/instance"
	"github.com/quiesce/quiesce/local/plugin"
	"github.com/quiesce/quiesce/local/runtimeapi"
	"github.com/quiesce/quiesce/local/sim"
	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/cloud/alicloud"
	"github.com/quiesce/quiesce/workflow"
)

// granted are the actions of each function.
func granted(t *testing.T) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	for name, r := range read(t).local(t, "rights").AsValueMap() {
		for _, part := range []string{"reads", "commands", "writes", "hosts"} {
			for _, v := range r.GetAttr(part).AsValueSlice() {
				all[name] = append(all[name], v.AsString())
			}
		}
		for _, part := range []string{"objects", "marked"} {
			for action := range r.GetAttr(part).AsValueMap() {
				all[name] = append(all[name], action)
			}
		}
	}
	return all
}

// Every action is one that the provider calls somewhere.
func TestActionsExistInTheCode(t *testing.T) {
	var code strings.Builder
	files, err := filepath.Glob("../../shared/cloud/alicloud/*.go")
	if err != nil || len(files) < 5 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		code.Write(text)
	}
	for name, actions := range granted(t) {
		if len(actions) == 0 {
			t.Errorf("%s may do nothing", name)
		}
		for _, action := range actions {
			service, call, ok := strings.Cut(action, ":")
			called := service + ".Create" + call + "Request("
			switch service {
			case "oss":
				called = call + "("
			case "eventbridge":
				called = "/openapi/putEvents"
			}
			if action == "ecs:DescribeLockedSnapshots" { // which the SDK has no request for
				called = `"DescribeLockedSnapshots"`
			}
			if asked := action == "ecs:CreateSnapshot"; !asked && (!ok || !strings.Contains(code.String(), called)) {
				t.Errorf("%s may %s, which no code calls", name, action)
			}
			if strings.Contains(action, "*") {
				t.Errorf("%s may %s", name, action)
			}
		}
		if sorted := slices.Compact(slices.Sorted(slices.Values(actions))); len(sorted) != len(actions) {
			t.Errorf("%s is granted something twice: %v", name, actions)
		}
	}
}

// marks are the tags without which nothing is deleted or set back, and which
// functions may.
var marks = map[string]map[string]string{
	"restore-move": {"ecs:ResetDisk": cloud.TagReplaced},
	"restore-settle": {
		"ecs:DeleteDisk": cloud.TagRestore, "ecs:DeleteSnapshotGroup": cloud.TagRestore, "ecs:DeleteImage": cloud.TagRestore, "ecs:DeleteInstance": cloud.TagRestore,
	},
	"verify-clean": {"ecs:DeleteDisk": cloud.TagScratch},
	"prune":        {"ecs:DeleteSnapshot": cloud.TagDeleting, "ecs:DeleteSnapshotGroup": cloud.TagRun},
}

// What destroys is bound to a mark, and to the functions that write it.
func TestWhatDestroysIsBoundToAMark(t *testing.T) {
	for name, r := range read(t).local(t, "rights").AsValueMap() {
		got := map[string]string{}
		for action, mark := range r.GetAttr("marked").AsValueMap() {
			got[action] = mark.AsString()
		}
		if want := marks[name]; !maps.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
		for _, part := range []string{"reads", "commands", "writes", "hosts"} {
			for _, v := range r.GetAttr(part).AsValueSlice() {
				if verb := strings.TrimPrefix(v.AsString(), "ecs:"); strings.HasPrefix(verb, "Delete") || strings.HasPrefix(verb, "Reset") {
					t.Errorf("%s may %s without a mark", name, verb)
				}
			}
		}
	}
}

// services are those of the emulated account as RAM names them.
var services = map[string]string{"ecs": "ecs", "assistant": "ecs", "oss": "oss", "fnf": "fnf", "cms": "cms", "eventbridge": "eventbridge", "vpc": "vpc", "resourcesharing": "resourcesharing"}

// A run in each mode calls nothing that its function is not granted.
func TestRightsAreEnough(t *testing.T) {
	may := granted(t)
	used := map[string]map[string]bool{}
	for _, request := range []string{
		`{"instanceId":"` + instanceID + `"}`,
		`{"instanceId":"` + instanceID + `","policy":{"mode":"plugin","ramRole":"quiesce-plugin"}}`,
	} {
		synctest.Test(t, func(t *testing.T) {
			for _, c := range calls(t, request) {
				action := services[c.Service] + ":" + c.Action
				if c.Role == "operator" || c.Role == "workflow" || c.Role == plugin.Label {
					continue
				}
				if used[c.Role] == nil {
					used[c.Role] = map[string]bool{}
				}
				if used[c.Role][action] = true; !slices.Contains(may[c.Role], action) {
					t.Errorf("%s calls %s, which it may not", c.Role, action)
				}
			}
		})
	}
	for _, name := range functions.FlowNames {
		if len(used[name]) == 0 {
			t.Errorf("%s called nothing, so that this shows nothing of it", name)
		}
	}
}

const instanceID = "i-bp1234567890abcdef00"

// calls runs the flows and what a timer starts over an emulated account.
func calls(t *testing.T, request string) []wire.Record {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	flows, machine := engine.New(engine.Config{}), sim.New(sim.Config{})
	a := aliyun.New(aliyun.Config{Disks: machine, Engine: flows, ECS: ecs.Config{
		Completion: 30 * time.Second, Stopped: func(string) { _ = machine.Unmount("/data") }, // it may be so already
	}})
	local := &runtimeapi.Local{Handlers: map[string]runtimeapi.Handler{}, Timeouts: functions.Timeouts}
	defer func() {
		a.Close()
		flows.Close()
		local.Wait()
		must(machine.Close())
	}()
	const disk = "d-bp100000000000000aa"
	must(machine.Create(t.Context(), disk, 1<<30, ""))
	device, err := machine.Attach(t.Context(), disk)
	must(err)
	must(machine.Format(t.Context(), device, "ext4"))
	must(machine.Mount(device, "/data"))
	host := plugin.Host{Mounts: func() []string { return []string{"/data"} }, Runs: machine.Has, Freeze: machine.Fsfreeze}
	_, err = a.Rent(t.Context(), ecs.Instance{ID: instanceID, Role: "quiesce-plugin", Tags: map[string]string{cloud.TagOptIn: "true"}},
		a.Tool(instanceID, speaking{machine}, host, false),
		ecs.Disk{ID: disk, Device: device, Bytes: 1 << 30, Made: true, Path: device}, ecs.Disk{ID: "d-bp10000000000000root", System: true, Hollow: true})
	must(err)
	helper := []byte("the helper")
	a.OSS.Put("assets", "helper/x", helper)
	for _, name := range functions.FlowNames {
		provider := alicloud.New(a.Client(name), alicloud.Options{
			AssetBucket: "assets", Flow: "quiesce", Janitor: "janitor", Verifier: verifier, Restorer: "restore", RestoreJanitor: "restore-janitor",
			Helpers: map[string]alicloud.Helper{"amd64": {Key: "helper/x", SHA256: strings.Repeat("ab", 32)}},
		})
		meter := provider.Meter()
		step := functions.Table(functions.Deps{Cloud: provider, Keeper: provider, Metrics: meter})[name]
		local.Handlers[name] = func(ctx context.Context, payload json.RawMessage) (json.RawMessage, error) {
			defer func() { must(meter.Flush(ctx)) }()
			return step(ctx, payload)
		}
	}
	const completed = `{"source":["acs.ecs"],"type":["ecs:Snapshot:CreateSnapshotCompleted"]}`
	must(a.Listen("completion", completed, func(ctx context.Context, e eventbridge.Event) error {
		var data struct{ SnapshotID string }
		if err := json.Unmarshal(e.Data, &data); err != nil {
			return err
		}
		_, err := local.Invoke(ctx, "wake", json.RawMessage(`{"detail":{"snapshots":[{"snapshot_id":"`+data.SnapshotID+`"}]}}`))
		return err
	}))
	m, err := workflow.FlowMachine("default", a.FunctionARN)
	must(err)
	flows.Deploy("quiesce", []byte(workflow.Flow()), m, a.Tasks(local))
	for _, name := range []string{"run-0", "run-1"} {
		time.Sleep(time.Minute)
		x, err := flows.Start("quiesce", name, json.RawMessage(request))
		must(err)
		x, err = flows.Wait(t.Context(), x.ARN)
		must(err)
		if x.Status != engine.Succeeded {
			t.Errorf("%s ended as %s: %s", name, x.Status, x.Error)
		}
	}
	restoring, err := workflow.RestoreFlowMachine(a.FunctionARN)
	must(err)
	flows.Deploy("restore", []byte(workflow.RestoreFlow()), restoring, a.Tasks(local))
	stops(t, a, flows, local, request)
	bootable(t, a)
	restores(t, flows)
	tests(t, a, flows, local)
	out, err := local.Invoke(t.Context(), "prune", json.RawMessage(`{"run":{"id":"p"},"request":{"policy":{"name":"default","retention":{"last":1}}}}`))
	if err != nil || !strings.Contains(string(out), `"deleted":1`) {
		t.Errorf("prune: got %s, %v", out, err)
	}
	return a.Calls()
}

// stops has a run and a restore broken off and swept.
func stops(t *testing.T, a *aliyun.Cloud, flows *engine.Engine, local *runtimeapi.Local, request string) {
	t.Helper()
	m, err := workflow.JanitorFlowMachine("default", a.FunctionARN)
	of, err2 := workflow.RestoreJanitorFlowMachine("default", a.FunctionARN)
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	flows.Deploy("janitor", []byte(workflow.JanitorFlow()), m, a.Tasks(local))
	flows.Deploy("restore-janitor", []byte(workflow.RestoreJanitorFlow()), of, a.Tasks(local))
	for flow, input := range map[string]string{"quiesce": request, "restore": `{"runId":"run-1","mode":"volumes"}`} {
		time.Sleep(time.Minute)
		x, err := flows.Start(flow, "stopped", json.RawMessage(input))
		if err == nil {
			time.Sleep(100 * time.Millisecond) // it has begun, and touched nothing
			_, err = flows.Stop(x.ARN, "StopExecution", "planned")
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	out, err := local.Invoke(t.Context(), "sweep", aliyun.Tick("every-minute", time.Now(), ""))
	if err != nil || string(out) != `{"broken":2,"started":2,"left":0}` {
		t.Fatalf("sweep: got %s, %v", out, err)
	}
	for _, flow := range []string{"janitor", "restore-janitor"} {
		all, err := flows.List(flow, "")
		if err != nil || len(all) != 1 {
			t.Fatalf("%s: got %d executions, %v", flow, len(all), err)
		}
		if x, err := flows.Wait(t.Context(), all[0].ARN); err != nil || x.Status != engine.Succeeded {
			t.Errorf("%s ended as %s: %s %s, %v", flow, x.Status, x.Error, x.Cause, err)
		}
	}
}

// bootable makes a set with the system disk, and a network for what is started
// of it.
func bootable(t *testing.T, a *aliyun.Cloud) {
	t.Helper()
	a.ECS.AddVSwitch(ecs.VSwitch{ID: "vsw-bp1234567890abcdef00", VPC: "vpc-1"})
	a.ECS.AddGroup(ecs.Group{ID: "sg-bp1234567890abcdef00", VPC: "vpc-1"})
	_, err := alicloud.New(a.Client("operator"), alicloud.Options{}).CreateSet(t.Context(), cloud.SetSpec{
		InstanceID: instanceID, Include: []string{"d-bp100000000000000aa", "d-bp10000000000000root"}, Tags: map[string]string{
			cloud.TagRun: "bootable", cloud.TagHold: "h", cloud.TagInstance: instanceID, cloud.TagMembers: "2", cloud.TagConsistency: "filesystem",
		},
	})
	if err != nil {
		t.Fatal(err)
	}
}

// restores does with the run's set all that can be done with one.
func restores(t *testing.T, flows *engine.Engine) {
	t.Helper()
	for _, asked := range []struct{ name, request string }{
		{"beside", `{"runId":"run-1","mode":"volumes"}`},
		{"clean", `{"runId":"beside","action":"cleanup"}`},
		{"alive", `{"runId":"run-1","mode":"volumes","recover":{}}`},
		{"clean-alive", `{"runId":"alive","action":"cleanup"}`},
		{"place", `{"runId":"run-1","mode":"in-place"}`},
		{"back", `{"runId":"place","action":"rollback"}`},
		{"clean-place", `{"runId":"place","action":"cleanup"}`},
		{"again", `{"runId":"run-1","mode":"in-place"}`},
		{"confirm", `{"runId":"again","action":"confirm"}`},
		{"image", `{"runId":"bootable","mode":"image","launch":{"type":"ecs.g7.large","subnet":"vsw-bp1234567890abcdef00","groups":["sg-bp1234567890abcdef00"]}}`},
		{"clean-image", `{"runId":"image","action":"cleanup"}`},
		{"kept", `{"runId":"bootable","mode":"image"}`},
		{"keep", `{"runId":"kept","action":"confirm"}`},
	} {
		time.Sleep(time.Minute)
		x, err := flows.Start("restore", asked.name, json.RawMessage(asked.request))
		if err == nil {
			x, err = flows.Wait(t.Context(), x.ARN)
		}
		if err != nil || x.Status != engine.Succeeded {
			t.Errorf("%s ended as %s: %s %s, %v", asked.name, x.Status, x.Error, x.Cause, err)
		}
	}
}

const verifier = "verify"

// tests lets sets be tested, to a good end, by a command that is given up, and by
// one that is stopped, which the timer's look finds.
func tests(t *testing.T, a *aliyun.Cloud, flows *engine.Engine, local *runtimeapi.Local) {
	t.Helper()
	m, err := workflow.VerifyFlowMachine(a.FunctionARN)
	if err != nil {
		t.Fatal(err)
	}
	flows.Deploy(verifier, []byte(workflow.VerifyFlow()), m, a.Tasks(local))
	const policy = `"policy":{"name":"default","restoreTest":{"instance":"` + instanceID + `"}}`
	for _, asked := range []struct {
		name, request string
		stop          time.Duration
		ends          engine.Status
	}{
		{"named", `{"runId":"run-1",` + policy + `}`, time.Hour, engine.Succeeded},
		{"newest", `{` + policy + `}`, time.Hour, engine.Succeeded},
		{"stopped", `{` + policy + `}`, 5200 * time.Millisecond, engine.Aborted},
	} {
		time.Sleep(time.Minute)
		x, err := flows.Start(verifier, asked.name, json.RawMessage(asked.request))
		if err == nil {
			stop := time.AfterFunc(asked.stop, func() { _, _ = flows.Stop(x.ARN, "StopExecution", "planned") })
			x, err = flows.Wait(t.Context(), x.ARN)
			stop.Stop()
		}
		if err != nil || x.Status != asked.ends {
			t.Errorf("%s ended as %s: %s %s, %v", asked.name, x.Status, x.Error, x.Cause, err)
		}
	}
	time.Sleep(time.Minute)
	out, err := local.Invoke(t.Context(), "verify-clean", json.RawMessage(`{"run":{"id":"look"},"created":null,"before":null,"sweep":true}`))
	if err != nil || !strings.Contains(string(out), "1 tests") {
		t.Errorf("the look for tests that broke off: got %s, %v", out, err)
	}
	for id, d := range a.ECS.Disks() {
		if d.Tags[cloud.TagScratch] != "" {
			t.Errorf("%s is left", id)
		}
	}
}

// speaking lets a machine without a shell answer as the shell text does.
type speaking struct{ instance.Machine }

func (m speaking) Execute(ctx context.Context, c instance.Command) instance.Result {
	r := m.Machine.Execute(ctx, c)
	if len(r.Stdout) > 0 {
		r.Stdout = []byte(alicloud.Answer(string(r.Stdout)))
	}
	return r
}
