package simulation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/quiesce/quiesce/functions"
	"github.com/quiesce/quiesce/functions/edge"
	"github.com/quiesce/quiesce/local/aliyun"
	"github.com/quiesce/quiesce/local/aliyun/assistant"
	"github.com/quiesce/quiesce/local/aliyun/ecs"
	"github.com/quiesce/quiesce/local/aliyun/eventbridge"
	"github.com/quiesce/quiesce/local/engine"
	"github.com/quiesce/quiesce/local/fault"
	"github.com/quiesce/quiesce/local/runtimeapi"
	port "github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/cloud/alicloud"
	"github.com/quiesce/quiesce/workflow"
	"github.com/quiesce/quiesce/workflow/asl"
)

const (
	aliyunInstance = "i-bp1234567890abcdef00"
	systemDisk     = "d-bp10000000000000root"
	pluginRole     = "quiesce-plugin"
)

// alibaba is a world's account of Alibaba Cloud.
type alibaba struct {
	*aliyun.Cloud
	world    *world
	handlers map[string]runtimeapi.Handler
	janitor  *asl.Machine
}

// onAlibaba deploys the definition in CloudFlow's language. Clients are made
// anew for every world, because they remember what never changes in an account.
func onAlibaba() (*place, error) {
	template := aliyun.New(aliyun.Config{Keys: keys})
	defer template.Close()
	definition, err := workflow.FlowMachine(busName, template.FunctionARN)
	janitor, err2 := workflow.JanitorFlowMachine(busName, func(string) string { return template.FunctionARN("janitor") })
	return &place{definition, func(w *world) account {
		a := &alibaba{Cloud: aliyun.New(w.aliyun()), world: w, handlers: map[string]runtimeapi.Handler{}, janitor: janitor}
		a.OSS.Put(bucket, "helper", []byte(helper))
		for _, name := range append([]string{"janitor"}, functions.FlowNames...) {
			provider := alicloud.New(a.Client(name), alicloud.Options{
				AssetBucket: bucket, Bus: busName, Helpers: map[string]alicloud.Helper{"amd64": {Key: "helper", SHA256: checksum([]byte(helper))}},
				Flow: machineName, Janitor: janitorName,
			})
			meter := provider.Meter()
			does := name
			if name == "janitor" { // the same function, called by the janitor's flow
				does = "thaw"
			}
			step := functions.Table(functions.Deps{Cloud: provider, Metrics: meter})[does]
			swelling := func(ctx context.Context, payload json.RawMessage) (json.RawMessage, error) {
				out, err := step(ctx, payload)
				return fault.Swell(ctx, out), err
			}
			a.handlers[name] = runtimeapi.Edge(edge.Flow(does, swelling, func(ctx context.Context) {
				_ = meter.Flush(ctx) // a metric that could not be put is lost
			}))
		}
		return a
	}}, errors.Join(err, err2)
}

// aliyun is how an account is, with a latency of its own for everything.
func (w *world) aliyun() aliyun.Config {
	s := w.schedule.Setup
	return aliyun.Config{
		Seed: w.schedule.Seed, Keys: keys, Disks: w.sim, Engine: w.engine, Faults: w.plan,
		Latency: w.latencies(slices.Concat(fault.APIs, fault.MoreAPIs, []string{"GetObject"}), latencyOfAlibaba),
		ECS: ecs.Config{Completion: otherwise(s.Completion, 100*time.Millisecond) + w.about(time.Millisecond),
			Visible: otherwise(s.Unlisted, time.Second) + w.about(time.Millisecond), Provision: -1},
		Assistant:   assistant.Config{Dispatch: w.about(60 * time.Millisecond), Report: w.about(60 * time.Millisecond)},
		EventBridge: eventbridge.Config{Delivery: w.about(200 * time.Millisecond)},
	}
}

var latencyOfAlibaba = map[string]time.Duration{
	"CreateSnapshotGroup": 250 * time.Millisecond, "PutEvents": 20 * time.Millisecond, "RunCommand": 40 * time.Millisecond,
	"DescribeInvocationResults": 110 * time.Millisecond, "ReportTaskSucceeded": 30 * time.Millisecond,
	"ListExecutions": 40 * time.Millisecond, "StartExecution": 40 * time.Millisecond,
	"PutObject": 30 * time.Millisecond, "GetObject": 30 * time.Millisecond, "PutCustomMetric": 30 * time.Millisecond,
}

func (a *alibaba) functions() map[string]runtimeapi.Handler { return a.handlers }
func (a *alibaba) target() string                           { return aliyunInstance }
func (a *alibaba) volume(i int) string                      { return fmt.Sprintf("d-bp1%017x", 0xda7a0000+i) }

func (a *alibaba) rent(ctx context.Context, devices map[string]string) error {
	disks := []ecs.Disk{{ID: systemDisk, Device: "/dev/xvda", System: true, Bytes: 20 * gibibyte, Hollow: true}}
	for _, id := range slices.Sorted(maps.Keys(devices)) {
		disks = append(disks, ecs.Disk{ID: id, Device: devices[id], Bytes: gibibyte, Made: true, Path: devices[id]})
	}
	instance := ecs.Instance{ID: aliyunInstance, Tags: map[string]string{port.TagOptIn: "true"}}
	agent := aliyun.Spoken(a.world.sim)
	if a.world.schedule.Setup.Plugin {
		instance.Role, agent = pluginRole, a.world.tooled(a.Tool(aliyunInstance, agent, a.world.tool(), false))
	}
	_, err := a.Rent(ctx, instance, agent, disks...)
	return err
}

// sweepEvery is the timer's period.
const sweepEvery = time.Minute

// timers start sweep each minute. Those in which nothing has broken off, or all
// has been swept and seen to be, are left out: they show nothing, and a day has
// too many of them.
func (a *alibaba) timers() {
	w := a.world
	w.engine.Deploy(janitorName, nil, a.janitor, a.Tasks(w.invoker))
	first, gap := w.about(20*time.Second), w.about(3*time.Millisecond)
	w.over.Go(func() {
		again := false
		for goes := w.rest(first); goes; goes = w.rest(sweepEvery) {
			left := a.unswept()
			if !left && !again {
				continue
			}
			again = left
			w.over.Go(a.sweep)
			if w.schedule.Setup.Twice && w.rest(gap) {
				w.over.Go(a.sweep)
			}
		}
	})
}

func (a *alibaba) sweep() {
	_ = a.world.invoke(a.world.life, "sweep", aliyun.Tick("every-minute", time.Now(), "")) // the next minute looks again
}

// unswept reports that an execution has broken off and has no janitor yet.
func (a *alibaba) unswept() bool {
	all, _ := a.world.engine.List(machineName, "")
	janitors, _ := a.world.engine.List(janitorName, "")
	return slices.ContainsFunc(all, func(x engine.Execution) bool {
		broken := x.Status == engine.Aborted || x.Status == engine.TimedOut
		return broken && !slices.ContainsFunc(janitors, func(j engine.Execution) bool { return j.Name == x.Name })
	})
}

// listen adds the one rule there is: no event tells of an execution that was
// stopped.
func (a *alibaba) listen(again string) error {
	return a.Listen("completion"+again, aliyun.Completed, func(ctx context.Context, e eventbridge.Event) error {
		payload, err := json.Marshal(e)
		if err == nil {
			err = a.world.invoke(ctx, "wake", payload)
		}
		return err
	})
}

func (a *alibaba) running() bool       { return a.ECS.State(aliyunInstance) == "Running" }
func (a *alibaba) connect(online bool) { a.Assistant.SetOnline(aliyunInstance, online) }

// occupy does nothing: this agent has no room that others could take up.
func (a *alibaba) occupy() {}

func (a *alibaba) turn(on bool) {
	a.ECS.Change(aliyunInstance, func(i *ecs.Instance) { i.State = map[bool]string{true: "Running", false: "Stopped"}[on] })
}

func (a *alibaba) published() (all []message) {
	for _, e := range a.EventBridge.Events() {
		all = append(all, message{e.Source, e.Type, e.Data})
	}
	return all
}

func (a *alibaba) snapshots() (map[string]snapshot, error) {
	found := map[string]snapshot{}
	for id, tags := range a.ECS.All() {
		done, at := a.ECS.Completion(id)
		found[id] = snapshot{tags, done, at}
	}
	return found, nil
}
