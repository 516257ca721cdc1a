package simulation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/quiesce/quiesce/functions"
	"github.com/quiesce/quiesce/functions/edge"
	"github.com/quiesce/quiesce/functions/thaw"
	cloud "github.com/quiesce/quiesce/local/aws"
	"github.com/quiesce/quiesce/local/aws/bus"
	"github.com/quiesce/quiesce/local/aws/ec2"
	"github.com/quiesce/quiesce/local/aws/ssm"
	"github.com/quiesce/quiesce/local/aws/wire"
	"github.com/quiesce/quiesce/local/fault"
	"github.com/quiesce/quiesce/local/runtimeapi"
	port "github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/cloud/awscloud"
	"github.com/quiesce/quiesce/shared/run"
	"github.com/quiesce/quiesce/workflow"
	"github.com/quiesce/quiesce/workflow/asl"
)

const (
	document   = "Quiesce-Helper"
	instanceID = "i-0123456789abcdef0"
	rootVolume = "vol-0root000000000000"
)

// amazon is a world's account of AWS.
type amazon struct {
	*cloud.Cloud
	world    *world
	handlers map[string]runtimeapi.Handler
	operator *awsec2.Client
}

// onAWS deploys what change has made of the definition. The functions and their
// clients serve one world after the other, as a function's process serves one
// invocation after the other; the road leads them to the account that there is.
func onAWS(change func(string) string) (*place, error) {
	template, way := cloud.New(cloud.Config{Keys: keys}), &road{}
	defer template.Close()
	client := func(role string) sdk.Config {
		cfg := template.Client(role)
		cfg.HTTPClient = way
		return cfg
	}
	handlers := map[string]runtimeapi.Handler{}
	for _, name := range functions.Names {
		provider := awscloud.New(client(name), awscloud.Options{
			AssetBucket: bucket, Helpers: map[string]awscloud.Helper{"amd64": {Key: "helper", SHA256: checksum([]byte(helper))}},
			Bus: busName, Document: document, DocumentHash: checksum([]byte(awscloud.Document())),
		})
		handlers[name] = runtimeapi.Edge(edge.Lambda(functions.Table(functions.Deps{Cloud: provider, Metrics: io.Discard})[name]))
	}
	handlers["janitor"] = handlers["thaw"] // the same function, started by an event
	with := map[string]string{workflow.EventBusName: busName}
	for _, f := range workflow.SnapshotFunctions() {
		with[f.Arn] = template.FunctionARN(f.Step)
	}
	definition, err := asl.Parse([]byte(change(workflow.Snapshot())), with)
	parsed, err2 := ssm.ParseDocument(document, []byte(awscloud.Document()))
	operator, signing := awsec2.NewFromConfig(client("operator")), &wire.Keys{}
	return &place{definition, func(w *world) account {
		a := &amazon{cloud.New(w.aws(signing)), w, handlers, operator}
		way.to = a.Transport()
		for _, role := range append([]string{"operator"}, fault.Steps...) {
			a.Key(role)
		}
		a.S3.Put(bucket, "helper", []byte(helper))
		a.SSM.AddDocument(parsed)
		return a
	}}, errors.Join(err, err2)
}

// road leads the clients to the account of the world that runs.
type road struct{ to http.RoundTripper }

func (r *road) Do(q *http.Request) (*http.Response, error) { return r.to.RoundTrip(q) }

// aws is how an account is, with a latency of its own for everything.
func (w *world) aws(signing *wire.Keys) cloud.Config {
	s := w.schedule.Setup
	return cloud.Config{
		Seed: w.schedule.Seed, Keys: keys, Signing: signing, Disks: w.sim, Engine: w.engine, Faults: w.plan, Latency: w.latencies(fault.APIs, latencyOfAWS),
		EC2: ec2.Config{Completion: otherwise(s.Completion, 100*time.Millisecond) + w.about(time.Millisecond),
			Visible: otherwise(s.Unlisted, time.Second) + w.about(time.Millisecond), Provision: -1},
		SSM: ssm.Config{Dispatch: w.about(60 * time.Millisecond), Report: w.about(60 * time.Millisecond), Visible: w.about(40 * time.Millisecond)},
		Bus: bus.Config{Delivery: w.about(200 * time.Millisecond)},
	}
}

var latencyOfAWS = map[string]time.Duration{
	"CreateSnapshots": 250 * time.Millisecond, "PutEvents": 20 * time.Millisecond, "SendCommand": 40 * time.Millisecond,
	"GetCommandInvocation": 110 * time.Millisecond, "SendTaskSuccess": 30 * time.Millisecond, "PutObject": 30 * time.Millisecond,
}

func (a *amazon) functions() map[string]runtimeapi.Handler { return a.handlers }
func (a *amazon) target() string                           { return instanceID }
func (a *amazon) volume(i int) string                      { return fmt.Sprintf("vol-0%016x", 0xda7a0000+i) }

func (a *amazon) rent(ctx context.Context, devices map[string]string) error {
	attached := []ec2.Volume{{ID: rootVolume, Device: "/dev/xvda", Bytes: 8 * gibibyte, Hollow: true}}
	for _, id := range slices.Sorted(maps.Keys(devices)) {
		attached = append(attached, ec2.Volume{ID: id, Device: devices[id], Bytes: gibibyte, Made: true, Path: devices[id]})
	}
	instance := ec2.Instance{ID: instanceID, RootDevice: "/dev/xvda", Tags: map[string]string{port.TagOptIn: "true"}}
	_, err := a.Rent(ctx, instance, a.world.sim, attached...)
	return err
}

// listen adds the rules. The bus delivers at least once.
func (a *amazon) listen(again string) error {
	wake := func(ctx context.Context, e bus.Event) error {
		payload, err := json.Marshal(e)
		if err == nil {
			err = a.world.invoke(ctx, "wake", payload)
		}
		return err
	}
	return errors.Join(
		a.Janitor("janitor"+again, a.world.machine, a.sweep),
		a.Listen("completion"+again, awscloud.Completion(), wake),
	)
}

// sweep is the janitor: thaw, started with what the execution was started with.
func (a *amazon) sweep(ctx context.Context, stopped cloud.Stopped) error {
	payload, err := json.Marshal(map[string]any{
		"run":     run.Run{ID: stopped.RunID},
		"request": json.RawMessage(stopped.Input),
		"ended":   thaw.Ended{Status: stopped.Status, Error: stopped.Error},
		"plan":    nil,
	})
	if err == nil {
		err = a.world.invoke(ctx, "janitor", payload)
	}
	return err
}

// timers are none: events bring the janitor.
func (a *amazon) timers() {}

func (a *amazon) running() bool       { return a.EC2.State(instanceID) == "running" }
func (a *amazon) connect(online bool) { a.SSM.SetOnline(instanceID, online) }
func (a *amazon) occupy()             { a.SSM.Occupy(instanceID, isBusy) }

func (a *amazon) turn(on bool) {
	a.EC2.SetState(instanceID, map[bool]string{true: "running", false: "stopped"}[on])
}

func (a *amazon) published() (all []message) {
	for _, e := range a.Bus.Events() {
		all = append(all, message{e.Source, e.DetailType, e.Detail})
	}
	return all
}

func (a *amazon) snapshots() (map[string]snapshot, error) {
	out, err := a.operator.DescribeSnapshots(context.Background(), &awsec2.DescribeSnapshotsInput{OwnerIds: []string{"self"}})
	if err != nil {
		return nil, err
	}
	found := map[string]snapshot{}
	for _, s := range out.Snapshots {
		tags := map[string]string{}
		for _, t := range s.Tags {
			tags[sdk.ToString(t.Key)] = sdk.ToString(t.Value)
		}
		found[sdk.ToString(s.SnapshotId)] = snapshot{tags, s.State == types.SnapshotStateCompleted, sdk.ToTime(s.CompletionTime)}
	}
	return found, nil
}
