package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/quiesce/quiesce/events"
	"github.com/quiesce/quiesce/functions"
	"github.com/quiesce/quiesce/local/aliyun"
	"github.com/quiesce/quiesce/local/aliyun/assistant"
	"github.com/quiesce/quiesce/local/aliyun/ecs"
	"github.com/quiesce/quiesce/local/aliyun/eventbridge"
	"github.com/quiesce/quiesce/local/aws/emf"
	"github.com/quiesce/quiesce/local/engine"
	"github.com/quiesce/quiesce/local/fault"
	"github.com/quiesce/quiesce/local/host"
	"github.com/quiesce/quiesce/local/instance"
	"github.com/quiesce/quiesce/local/runtimeapi"
	port "github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/cloud/alicloud"
	"github.com/quiesce/quiesce/shared/history"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/run"
	"github.com/quiesce/quiesce/workflow"
)

// Names in the emulated account of Alibaba Cloud.
const (
	flowName       = "quiesce-snapshot"
	janitorName    = "quiesce-janitor"
	restoreJanitor = "quiesce-restore-janitor"
	aliyunInstance = "i-bp1234567890abcdef00"
	systemDisk     = "d-bp10000000000000root"
	systemDevice   = "/dev/xvda"
)

// alibaba is the emulated account with the flow deployed in it.
type alibaba struct {
	cloud    *aliyun.Cloud
	engine   *engine.Engine
	hosts    roles
	invoker  runtimeapi.Invoker // the hosts, with the planned faults around them
	metrics  emf.Capture
	faults   *fault.Plan
	endpoint string
	operator *alicloud.Provider
	tooled   bool   // the instance has the stand-in for the provider's own tool
	halted   func() // what becomes of the machine when its instance is stopped; nil for nothing
	stop     context.CancelFunc
	served   chan error
}

// roles is a host for each function, because each has a role of its own.
type roles map[string]*runtimeapi.Compute

func (f roles) Invoke(ctx context.Context, function string, payload json.RawMessage) (json.RawMessage, error) {
	h := f[function]
	if h == nil {
		return nil, &runtimeapi.Failed{Type: runtimeapi.NotFound, Message: "function '" + function + "' does not exist"}
	}
	return h.Invoke(ctx, function, payload)
}

// openAlibaba deploys everything into a new account on loopback.
func openAlibaba(ctx context.Context, o Options, s stage, b binaries) (*alibaba, error) {
	faults, err := fault.New(o.Faults...)
	if err != nil {
		return nil, err
	}
	for kind, do := range s.hooks() {
		faults.On(kind, do)
	}
	a := &alibaba{tooled: o.Mode == string(policy.Plugin), faults: faults, engine: engine.New(engine.Config{}), served: make(chan error, 1)}
	a.cloud = aliyun.New(aliyun.Config{
		Seed: uint64(time.Now().UnixNano()), Disks: s.disks(), Engine: a.engine, Faults: faults, Latency: o.Latency,
		ECS:       ecs.Config{Completion: o.Completion, Provision: -1, Moving: -1, Turn: -1, Stopped: a.halt},
		Assistant: assistant.Config{Dispatch: orNone(o.AgentLatency), Report: ReportLatency},
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	a.stop, a.endpoint = stop, "http://"+listener.Addr().String()
	go func() { a.served <- a.cloud.Serve(serving, listener) }()
	if err := a.deploy(ctx, s, b); err != nil {
		a.close()
		return nil, err
	}
	return a, nil
}

// at is a configuration that reaches the account over its socket.
func (a *alibaba) at(role string) alicloud.Config {
	cfg := a.cloud.Client(role)
	cfg.Transport, cfg.Endpoints = nil, map[string]string{"*": a.endpoint}
	return cfg
}

// deploy does what a deployment does in an account: the helper into the bucket,
// the functions, the flow, the rule.
func (a *alibaba) deploy(ctx context.Context, s stage, b binaries) error {
	helper, err := os.ReadFile(b.helper)
	if err != nil {
		return err
	}
	a.operator = alicloud.New(a.at("operator"), alicloud.Options{AssetBucket: bucket})
	sum := checksum(helper)
	key := "helper/" + sum + "/quiesce-guest"
	a.cloud.OSS.Put(bucket, "README", []byte("the helper, by its checksum"))
	if err := a.operator.Put(ctx, key, helper); err != nil {
		return fmt.Errorf("put the helper into the bucket: %w", err)
	}
	arch := strings.ToUpper(s.machine().Arch())
	a.hosts = roles{}
	for _, name := range functions.FlowNames {
		keys := a.cloud.Keys(name)
		a.hosts[name] = runtimeapi.NewCompute(runtimeapi.ComputeConfig{
			Binary: b.functions, Concurrency: 4, Region: a.cloud.Region(), Account: a.cloud.Account(), Log: a.metrics.Line,
			Secrets: func() runtimeapi.Secrets {
				return runtimeapi.Secrets{ID: keys.ID, Secret: keys.Secret, Token: keys.Token}
			},
			Functions: map[string]runtimeapi.Function{name: {Timeout: functions.Timeouts[name], Environment: []string{
				"QUIESCE_STEP=" + name, "QUIESCE_ENDPOINT=" + a.endpoint, "QUIESCE_BUS=" + busName, "QUIESCE_ASSET_BUCKET=" + bucket,
				"QUIESCE_FLOW=" + flowName, "QUIESCE_JANITOR=" + janitorName, "QUIESCE_RESTORER=" + restorerName, "QUIESCE_RESTORE_JANITOR=" + restoreJanitor,
				"QUIESCE_HELPER_KEY_" + arch + "=" + key, "QUIESCE_HELPER_SHA256_" + arch + "=" + sum,
				"QUIESCE_VERIFIER=" + verifierName,
			}}},
		})
	}
	return a.install(a.hosts)
}

// install makes the flow of the functions, and the rule by which an event
// starts one.
func (a *alibaba) install(hosts runtimeapi.Invoker) error {
	a.invoker = a.faults.Around(hosts)
	m, err := workflow.FlowMachine(busName, a.cloud.FunctionARN)
	if err != nil {
		return fmt.Errorf("the definition: %w", err)
	}
	a.engine.Deploy(flowName, []byte(workflow.Flow()), m, a.cloud.Tasks(a.invoker))
	a.faults.On(fault.StopExecution, func(context.Context) {
		running, _ := a.engine.List(flowName, engine.Running)
		restoring, _ := a.engine.List(restorerName, engine.Running)
		testing, _ := a.engine.List(verifierName, engine.Running)
		for _, e := range slices.Concat(running, restoring, testing) {
			_, _ = a.engine.Stop(e.ARN, "StopExecution", "planned") // over already: nothing to stop
		}
	})
	if err := errors.Join(a.deployJanitors(), a.deployRestore()); err != nil {
		return err
	}
	if err := a.deployVerify(); err != nil {
		return err
	}
	return a.cloud.Listen("completion", aliyun.Completed, a.wake)
}

// wake hands the event over as it is.
func (a *alibaba) wake(ctx context.Context, e eventbridge.Event) error {
	payload, err := json.Marshal(e)
	if err == nil {
		_, err = a.invoker.Invoke(ctx, "wake", payload)
	}
	return err
}

// rent puts the machine with its disks into the account, each data disk under
// the name that the kernel gave its device. The system disk stands for the
// host's own, and a snapshot of it would hold nothing.
func (a *alibaba) rent(ctx context.Context, s stage, n int) ([]member, error) {
	disks := []ecs.Disk{{ID: systemDisk, Device: systemDevice, System: true, Bytes: 20 * gibibyte, Hollow: true}}
	members := make([]member, n)
	for i := range members {
		id := fmt.Sprintf("d-bp1%017x", 0xda7a0000+i)
		if err := s.disks().Create(ctx, id, volumeBytes, ""); err != nil {
			return nil, err
		}
		device, err := s.disks().Attach(ctx, id)
		if err != nil {
			return nil, err
		}
		members[i] = member{id, device}
		disks = append(disks, ecs.Disk{ID: id, Device: device, Bytes: volumeBytes, Made: true, Path: device})
	}
	machine, agent := ecs.Instance{ID: aliyunInstance, Tags: map[string]string{port.TagOptIn: "true"}}, instance.Machine(naming{spoken(s.machine()), a.cloud.ECS.Path})
	if a.tooled {
		machine.Role, agent = pluginRole, a.cloud.Tool(aliyunInstance, agent, s.tool(), false)
	}
	_, err := a.cloud.Rent(ctx, machine, agent, disks...)
	return members, err
}

// spoken lets a machine without a shell answer as the shell text does.
func spoken(m instance.Machine) instance.Machine {
	if _, shell := m.(*host.Machine); shell {
		return m
	}
	return aliyun.Spoken(m)
}

// execute starts one execution by the service's own API and follows it.
func (a *alibaba) execute(ctx context.Context, o Options, s stage, tell Progress) (*history.Record, error) {
	input, err := json.Marshal(run.Request{InstanceID: aliyunInstance, Policy: s.policy(o)})
	if err != nil {
		return nil, err
	}
	name := named()
	if err := a.operator.StartExecution(ctx, flowName, name, input); err != nil {
		return nil, err
	}
	tell.Say("run %s", name)
	return a.operator.Follow(ctx, flowName, name, tell.Passage)
}

// released waits for the janitor of an execution that broke off, else for the
// deadline by which the instance lets go by itself.
func (a *alibaba) released(ctx context.Context, o Options, record *history.Record) error {
	if record.Status == "Stopped" || record.Status == "TimedOut" {
		if swept, err := a.swept(ctx, record.RunID); swept || err != nil {
			return err
		}
	}
	if record.State.Plan == nil || record.State.Thaw != nil {
		return nil // nothing was touched, or it was thawed
	}
	if p := record.State.Plugin; p != nil && !p.Dirty {
		return nil // it has let go, and says so
	}
	return rest(ctx, time.Duration(o.Deadline)*time.Second)
}

// told counts what reached the bus and the log.
func (a *alibaba) told() telling {
	t := telling{calls: a.cloud.Calls(), events: map[string]int{}}
	for _, e := range a.cloud.EventBridge.Events() {
		if e.Source == events.Source {
			t.events[e.Type]++
		}
	}
	t.metrics, t.unreached = measured(&a.metrics), never(a.faults)
	return t
}

// restore makes new disks of a whole set: the set is found by its run, and
// refused if a member is missing or not complete.
func (a *alibaba) restore(ctx context.Context, runID string, of []member) ([]member, error) {
	found, err := port.Find(ctx, a.operator, runID, visible)
	if err != nil {
		return nil, fmt.Errorf("find the set: %w", err)
	}
	source := map[string]string{}
	for _, s := range found {
		if s.State != run.Completed {
			return nil, fmt.Errorf("the set is not whole: %s is %s", s.ID, s.State)
		}
		source[s.VolumeID] = s.ID
	}
	machine, err := a.operator.Machine(ctx, aliyunInstance)
	if err != nil {
		return nil, err
	}
	restored := make([]member, len(of))
	for i, v := range of {
		snapshot, ok := source[v.id]
		if !ok {
			return nil, fmt.Errorf("the set is not whole: it has no snapshot of %s", v.id)
		}
		id, err := a.operator.NewDisk(ctx, snapshot, machine.Zone, "cloud_essd")
		if err != nil {
			return nil, err
		}
		if err := a.available(ctx, id); err != nil {
			return nil, err
		}
		if err := a.operator.AttachDisk(ctx, id, aliyunInstance); err != nil {
			return nil, err
		}
		restored[i] = member{id, a.cloud.ECS.Path(id)}
	}
	return restored, nil
}

// available waits until a new disk can be attached.
func (a *alibaba) available(ctx context.Context, id string) error {
	for give := time.Now().Add(time.Minute); ; {
		d, err := a.operator.Disk(ctx, id)
		switch {
		case err != nil:
			return err
		case d.Status == "Available":
			return nil
		case time.Now().After(give):
			return fmt.Errorf("wait for %s: it is %s", id, d.Status)
		}
		if err := rest(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
}

func (a *alibaba) close() {
	for _, h := range a.hosts {
		h.Close()
	}
	a.cloud.Close()
	a.engine.Close()
	a.stop()
	<-a.served
}
