// Package invoke_test keeps the sample events of the functions true: those of
// a run are what the workflow handed to each step in one, written down by
// `go test ./events/invoke -update`.
package invoke_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quiesce/quiesce/functions"
	"github.com/quiesce/quiesce/local/aws"
	"github.com/quiesce/quiesce/local/aws/ec2"
	"github.com/quiesce/quiesce/local/engine"
	"github.com/quiesce/quiesce/local/runtimeapi"
	"github.com/quiesce/quiesce/local/sim"
	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/cloud/awscloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/workflow"
)

var update = flag.Bool("update", false, "write down what the workflow hands to each step")

const (
	runID    = "nightly-2026-11-02T0200"
	instance = "i-0abc12345678def90"
	request  = `{"instanceId":"` + instance + `","policy":{"name":"nightly"}}`
)

// account is an emulated one with one instance, in which everything works.
type account struct {
	*aws.Cloud
	engine   *engine.Engine
	sim      *sim.Machine
	handlers map[string]runtimeapi.Handler
	mu       sync.Mutex
	given    map[string]json.RawMessage // what each function was first called with
}

func open(t *testing.T) *account {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	a := &account{
		engine: engine.New(engine.Config{}), sim: sim.New(sim.Config{}),
		handlers: map[string]runtimeapi.Handler{}, given: map[string]json.RawMessage{},
	}
	a.Cloud = aws.New(aws.Config{Regions: []string{"eu-west-1"}, Disks: a.sim, Engine: a.engine, EC2: ec2.Config{
		Completion: time.Minute, Provision: -1, Stopped: func(string) { _ = a.sim.Unmount("/data") }, // once: what is restored is not mounted
	}})
	helper := []byte("the helper")
	sum := sha256.Sum256(helper)
	a.S3.Put("assets", "helper", helper)
	must(a.SSM.RegisterDocument("quiesce-helper", []byte(awscloud.Document())))
	for _, name := range functions.Names {
		provider := awscloud.New(a.Client(name), awscloud.Options{
			AssetBucket: "assets", Document: "quiesce-helper", Shadow: "quiesce-shadow",
			Helpers: map[string]awscloud.Helper{"amd64": {Key: "helper", SHA256: hex.EncodeToString(sum[:])}},
		})
		step := functions.Table(functions.Deps{
			Cloud: provider, Keeper: provider, Regions: func(name string) cloud.Region { return provider.In(name) },
		})[name]
		a.handlers[name] = func(ctx context.Context, payload json.RawMessage) (json.RawMessage, error) {
			a.mu.Lock()
			if _, known := a.given[name]; !known {
				a.given[name] = slices.Clone(payload)
			}
			a.mu.Unlock()
			return step(ctx, payload)
		}
	}
	m, err := workflow.Machine("default", a.FunctionARN)
	must(err)
	local := &runtimeapi.Local{Handlers: a.handlers, Timeouts: functions.Timeouts}
	a.engine.Deploy("quiesce-snapshot", []byte(workflow.Snapshot()), m, a.Tasks(local))
	m, err = workflow.RestoreMachine(a.FunctionARN)
	must(err)
	a.engine.Deploy("quiesce-restore", []byte(workflow.Restore()), m, a.Tasks(local))
	m, err = workflow.VerifyMachine(a.FunctionARN)
	must(err)
	a.engine.Deploy("quiesce-verify", []byte(workflow.Verify()), m, a.Tasks(local))
	must(a.sim.Create(t.Context(), "vol-0da7a000000000001", 1<<30, ""))
	device, err := a.sim.Attach(t.Context(), "vol-0da7a000000000001")
	must(err)
	_, err = a.Rent(t.Context(), ec2.Instance{ID: instance, RootDevice: "/dev/xvda", Tags: map[string]string{cloud.TagOptIn: "true"}}, a.sim,
		ec2.Volume{ID: "vol-0b007000000000001", Device: "/dev/xvda", Bytes: 8 << 30, Hollow: true},
		ec2.Volume{ID: "vol-0da7a000000000001", Device: device, Bytes: 1 << 30, Made: true, Path: device})
	must(err)
	must(a.sim.Format(t.Context(), device, "ext4"))
	must(a.sim.Mount(device, "/data"))
	return a
}

func (a *account) close() {
	a.Close()
	a.engine.Close()
	_ = a.sim.Close()
}

// run takes one set, through every step of the workflow, restores it in place,
// has the old disk back, has a copy come to life beside it, and tests the set; then takes another, and makes an
// image of it.
func (a *account) run(t *testing.T) {
	t.Helper()
	a.execute(t, "quiesce-snapshot", runID, request)
	const restore = "restore-2026-11-03"
	a.execute(t, "quiesce-restore", restore, `{"runId":"`+runID+`","mode":"in-place","acceptCrashConsistent":true}`)
	a.execute(t, "quiesce-restore", restore+"-back", `{"action":"rollback","runId":"`+restore+`"}`)
	a.execute(t, "quiesce-restore", restore+"-cleanup", `{"action":"cleanup","runId":"`+restore+`"}`)
	a.execute(t, "quiesce-restore", restore+"-beside", `{"runId":"`+runID+`","mode":"volumes","acceptCrashConsistent":true,"recover":{"at":"/mnt/restored"}}`)
	a.execute(t, "quiesce-restore", restore+"-unmount", `{"action":"cleanup","runId":"`+restore+`-beside"}`)
	a.execute(t, "quiesce-verify", "verify-2026-11-03", `{"policy":{"name":"nightly","restoreTest":{"instance":"`+instance+`"}}}`)
	a.execute(t, "quiesce-snapshot", runID+"-boot", `{"instanceId":"`+instance+`","policy":{"name":"nightly","volumes":{"excludeBoot":false}}}`)
	a.execute(t, "quiesce-restore", "restore-2026-11-04", `{"runId":"`+runID+`-boot","mode":"image","acceptCrashConsistent":true}`)
}

func (a *account) execute(t *testing.T, machine, name, input string) {
	t.Helper()
	x, err := a.engine.Start(machine, name, json.RawMessage(input))
	if err == nil {
		x, err = a.engine.Wait(t.Context(), x.ARN)
	}
	if err != nil || x.Status != engine.Succeeded {
		t.Fatalf("%s %s %s, %v", x.Status, x.Error, x.Cause, err)
	}
}

// samples are the events by file; the name begins with the function's.
func samples(t *testing.T) map[string]json.RawMessage {
	t.Helper()
	paths, err := filepath.Glob("*.json")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]json.RawMessage{}
	for _, path := range paths {
		if all[strings.TrimSuffix(path, ".json")], err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func TestEveryFunctionTakesItsSample(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := open(t)
		defer a.close()
		a.run(t)
		if *update {
			for _, step := range slices.Concat(functions.Steps, functions.RestoreSteps, functions.VerifySteps) {
				var text bytes.Buffer
				if err := json.Indent(&text, a.given[step], "", "  "); err != nil {
					t.Fatalf("%s: %v", step, err)
				}
				if err := os.WriteFile(step+".json", append(text.Bytes(), '\n'), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		}
		all := samples(t)
		for _, name := range functions.Names {
			sample, ok := all[name]
			if !ok {
				t.Errorf("%s has no sample", name)
				continue
			}
			if _, err := a.handlers[name](t.Context(), sample); fault.CodeOf(err) == fault.InvalidInput || fault.CodeOf(err) == fault.Internal {
				t.Errorf("%s: %v", name, err)
			}
		}
		for name := range all {
			if of, _, _ := strings.Cut(name, "-janitor"); !slices.Contains(functions.Names, of) {
				t.Errorf("%s is a sample of no function", name)
			}
		}
	})
}
