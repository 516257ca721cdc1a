package plugin_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quiesce/quiesce/functions"
	"github.com/quiesce/quiesce/local/aliyun"
	"github.com/quiesce/quiesce/local/aliyun/ecs"
	"github.com/quiesce/quiesce/local/engine"
	"github.com/quiesce/quiesce/local/fault"
	"github.com/quiesce/quiesce/local/instance"
	"github.com/quiesce/quiesce/local/plugin"
	"github.com/quiesce/quiesce/local/runtimeapi"
	"github.com/quiesce/quiesce/local/sim"
	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/cloud/alicloud"
	"github.com/quiesce/quiesce/shared/run"
	"github.com/quiesce/quiesce/workflow"
)

const id = "i-bp1234567890abcdef00"

// world is an account in virtual time with the stand-in on its instance.
type world struct {
	*testing.T
	account *aliyun.Cloud
	engine  *engine.Engine
	machine *sim.Machine
	ledger  *sim.Ledger
	mounts  []string
	local   *runtimeapi.Local
}

func newWorld(t *testing.T, windows bool, faults ...string) *world {
	t.Helper()
	plan, err := fault.New(faults...)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{T: t, machine: sim.New(sim.Config{}), engine: engine.New(engine.Config{})}
	w.account = aliyun.New(aliyun.Config{Disks: w.machine, Engine: w.engine, Faults: plan, ECS: ecs.Config{Completion: 5 * time.Second}})
	var disks []ecs.Disk
	for i, name := range []string{"d-bp100000000000000aa", "d-bp100000000000000bb"} {
		w.must(w.machine.Create(t.Context(), name, 1<<30, ""))
		device, err := w.machine.Attach(t.Context(), name)
		w.must(err)
		at := "/mnt/" + string(rune('a'+i))
		w.must(w.machine.Format(t.Context(), device, "ext4"))
		w.must(w.machine.Mount(device, at))
		w.mounts = append(w.mounts, at)
		disks = append(disks, ecs.Disk{ID: name, Device: device, Bytes: 1 << 30, Made: true, Path: device})
	}
	w.ledger, err = w.machine.StartLedger(w.mounts, 200*time.Millisecond, 0)
	w.must(err)
	host := plugin.Host{
		Mounts: func() []string { return w.mounts }, Runs: w.machine.Has, Freeze: w.machine.Fsfreeze,
		Script: func(ctx context.Context, path string) int { code, _ := w.machine.Run(ctx, path); return code },
		Stat:   func(path string) (string, bool) { return "0 700 " + path, w.machine.Has(path) },
	}
	system := "linux"
	if windows {
		system = "windows"
	}
	machine := w.account.Tool(id, w.machine, host, windows)
	_, err = w.account.Rent(t.Context(), ecs.Instance{ID: id, OS: system, Role: "Snapshotter", Tags: map[string]string{cloud.TagOptIn: "true"}}, machine,
		append(disks, ecs.Disk{ID: "d-bp10000000000000root", System: true, Hollow: true})...)
	w.must(err)
	w.local = &runtimeapi.Local{Handlers: map[string]runtimeapi.Handler{}, Timeouts: functions.Timeouts}
	for _, name := range functions.FlowNames {
		w.local.Handlers[name] = runtimeapi.Handler(functions.Table(functions.Deps{Cloud: alicloud.New(w.account.Client(name), alicloud.Options{AssetBucket: "assets"})})[name])
	}
	w.account.OSS.Put("assets", "README", []byte("x"))
	m, err := workflow.FlowMachine("quiesce", w.account.FunctionARN)
	w.must(err)
	w.engine.Deploy("quiesce", []byte(workflow.Flow()), m, w.account.Tasks(plan.Around(w.local)))
	time.Sleep(3 * time.Second)
	return w
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) close() {
	w.account.Close()
	w.engine.Close()
	w.local.Wait()
	w.must(w.machine.Close())
}

// run runs the whole flow and returns its verdict and the states it took.
func (w *world) run(request string) (v run.Verdict, states []string, end string) {
	w.Helper()
	x, err := w.engine.Start("quiesce", "run-1", json.RawMessage(request))
	w.must(err)
	x, err = w.engine.Wait(w.Context(), x.ARN)
	w.must(err)
	history, err := w.engine.History(x.ARN)
	w.must(err)
	var last run.State
	for _, e := range history {
		if strings.HasSuffix(e.Type, "StateEntered") {
			states = append(states, e.Name)
			_ = json.Unmarshal(e.Input, &last) // the first is what was asked
		}
	}
	if last.Verdict == nil {
		w.Fatalf("no verdict: %s %s after %v", x.Error, x.Cause, states)
	}
	return *last.Verdict, states, states[len(states)-1]
}

func (w *world) request(kind string) string {
	application := `{"kind":"` + kind + `"}`
	if kind == "script" {
		application = `{"kind":"script","preScript":"` + w.ledger.PreScript() + `","postScript":"` + w.ledger.PostScript() + `"}`
	}
	return `{"instanceId":"` + id + `","policy":{"mode":"plugin","ramRole":"Snapshotter","application":` + application + `,"freeze":{"deadlineSeconds":15}}}`
}

// writes tells whether the ledger goes on writing.
func (w *world) writes() bool {
	before, _ := w.ledger.Last(w.Context())
	time.Sleep(3 * time.Second)
	after, _ := w.ledger.Last(w.Context())
	return after.N > before.N
}

// The whole path: the flow, the functions, the provider on the wire, and the
// stand-in where the tool would be.
func TestPluginMode(t *testing.T) {
	for _, c := range []struct {
		name, kind string
		windows    bool
		faults     []string
		end        string
		level      run.Consistency
		says       string
	}{
		{"application", "script", false, nil, "Completed", run.Application, "AppConsistent"},
		{"nothing to quiesce", "none", false, nil, "Completed", run.Filesystem, "FsConsistent"},
		{"windows", "vss", true, nil, "Completed", run.Application, "AppConsistent"},
		{"windows without writers", "none", true, nil, "Completed", run.Filesystem, "FsConsistent"},
		{"a silent degrade", "script", false, []string{"plugin:degrade"}, "Degraded", run.Filesystem, "FsConsistent alone"},
		{"the group is refused once", "script", false, []string{"plugin:exit-4"}, "Completed", run.Application, ""},
		{"the freeze fails once", "script", false, []string{"plugin:exit-11"}, "Completed", run.Application, ""},
		{"the freeze fails", "script", false, []string{"plugin:exit-11@1", "plugin:exit-11@2", "plugin:exit-11@3"}, "FailedClean", "", "freeze"},
		{"a snapshot before", "script", false, []string{"plugin:exit-16"}, "Completed", run.Application, ""},
		{"no tags", "script", false, []string{"plugin:exit-8"}, "Degraded", run.Crash, "tags"},
		{"a pre-script", "script", false, []string{"plugin:exit-9"}, "FailedDirty", "", "script"},
		{"a post-script", "script", false, []string{"plugin:exit-10"}, "FailedDirty", run.Crash, "post-script"},
		{"the thaw", "script", false, []string{"plugin:exit-12"}, "FailedDirty", run.Crash, "thaw"},
		{"unknown, then well", "script", false, []string{"plugin:exit-255"}, "Completed", run.Application, ""},
		{"the reply to the command is lost", "script", false, []string{"start-plugin/RunCommand:lost-reply"}, "Completed", run.Application, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, c.windows, c.faults...)
				defer w.close()
				v, states, end := w.run(w.request(c.kind))
				if end != c.end || v.Consistency != c.level || !strings.Contains(v.Reason, c.says) {
					t.Errorf("ends %s, %q: %s, want %s, %q", end, v.Consistency, v.Reason, c.end, c.level)
				}
				if slices.Contains(states, "Freeze") || slices.Contains(states, "Thaw") {
					t.Errorf("the workflow's own window was entered: %v", states)
				}
				if c.end != "FailedDirty" {
					for _, m := range w.mounts {
						if w.machine.Frozen(m) {
							t.Errorf("%s is left frozen", m)
						}
					}
					if !w.writes() {
						t.Error("the application is left at rest")
					}
				}
				if n := w.account.Count("CreateSnapshotGroup"); c.level != "" && n != 1 {
					t.Errorf("%d groups were made", n)
				}
				if c.level == run.Application {
					set, err := alicloud.New(w.account.Client("operator"), alicloud.Options{}).FindSet(w.Context(), "run-1")
					if err != nil || len(set) != 2 || set[0].Tags[cloud.TagConsistency] != "application" {
						t.Errorf("the set is found as %v, %v", set, err)
					}
				}
			})
		})
	}
}

// The tool takes the documented form and nothing else.
func TestStandInRefusesWhatTheToolRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, false)
		defer w.close()
		m := w.account.Tool(id, w.machine, plugin.Host{Runs: func(string) bool { return false }}, false)
		for script, want := range map[string]int{
			`acs-plugin-manager --exec --plugin app-snapshot-plugin --params=-RamRoleName="Other",-Name="ok"`:                           1,
			`acs-plugin-manager --exec --plugin app-snapshot-plugin --params=-RamRoleName="Snapshotter",-Name="ok",-EnableWriters=true`: 2,
			`acs-plugin-manager --exec --plugin app-snapshot-plugin --params=-RamRoleName="Snapshotter",-TimeoutInSeconds=soon`:         2,
			`acs-plugin-manager --exec --plugin app-snapshot-plugin --params=-Name="ok"`:                                                2,
			`acs-plugin-manager --exec --plugin another --params=-Name="ok"`:                                                            2,
		} {
			if got := m.Execute(t.Context(), command(script)); got.ExitCode != want {
				t.Errorf("%s: got %d, %s, want %d", script, got.ExitCode, got.Stdout, want)
			}
		}
	})
}

func command(script string) instance.Command { return instance.Command{Script: script} }
