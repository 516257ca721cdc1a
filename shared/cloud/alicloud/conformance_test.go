package alicloud_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quiesce/quiesce/events"
	"github.com/quiesce/quiesce/local/aliyun"
	"github.com/quiesce/quiesce/local/aliyun/ecs"
	"github.com/quiesce/quiesce/local/engine"
	"github.com/quiesce/quiesce/local/fault"
	"github.com/quiesce/quiesce/local/instance"
	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/cloud/alicloud"
	"github.com/quiesce/quiesce/shared/cloud/cloudtest"
	"github.com/quiesce/quiesce/workflow/asl"
)

func TestConformance(t *testing.T) { cloudtest.Run(t, emulated) }

const (
	running = "i-bp1234567890abcdef00"
	stopped = "i-bp1234567890abcdef01"
	absent  = "i-bp1234567890abcdef02"

	system = "d-bp1234567890abcdef00"
	first  = "d-bp1234567890abcdef01"
	second = "d-bp1234567890abcdef02"
)

// actions are the operations on Alibaba Cloud's wire, and kinds what they meet
// there.
var (
	actions = map[cloudtest.Op]string{
		cloudtest.CreateSet: "CreateSnapshotGroup",
		cloudtest.FindSet:   "DescribeSnapshotGroups",
		cloudtest.Send:      "RunCommand",
		cloudtest.Publish:   "PutEvents",
		cloudtest.SaveToken: "PutObject",
		cloudtest.FindToken: "GetObject",
		cloudtest.EndWait:   "ReportTaskSucceeded",
		cloudtest.Delete:    "DeleteSnapshot",

		cloudtest.MakeDisk:   "CreateDisk",
		cloudtest.FindDisks:  "DescribeDisks",
		cloudtest.AttachDisk: "AttachDisk",
		cloudtest.DetachDisk: "DetachDisk",
		cloudtest.BindDisk:   "ModifyDiskAttribute",
		cloudtest.MarkDisk:   "TagResources",
		cloudtest.UnmarkDisk: "UntagResources",
		cloudtest.DeleteDisk: "DeleteDisk",
		cloudtest.StopHost:   "StopInstance",
		cloudtest.StartHost:  "StartInstance",
		cloudtest.ResetDisk:  "ResetDisk",
		cloudtest.DropSet:    "DeleteSnapshotGroup",

		cloudtest.MakeImage:  "CreateImage",
		cloudtest.FindImages: "DescribeImages",
		cloudtest.DropImage:  "DeleteImage",
		cloudtest.Launch:     "RunInstances",
		cloudtest.FindHosts:  "DescribeInstances",
		cloudtest.EndHost:    "DeleteInstance",
	}
	kinds = map[cloudtest.Kind]fault.Kind{
		cloudtest.LostReply: fault.LostReply,
		cloudtest.Throttle:  fault.Throttle,
		cloudtest.Deny:      fault.Deny,
	}
)

// account is one of the emulated Alibaba Cloud, in process.
func account(t *testing.T, plan *fault.Plan, states *engine.Engine) (*aliyun.Cloud, *machine) {
	a := aliyun.New(aliyun.Config{Disks: storage{}, Faults: plan, Engine: states})
	t.Cleanup(a.Close)
	agent := &machine{guest: func(context.Context, string, []byte) cloudtest.Answer { return cloudtest.Answer{Stdout: "ok"} }}
	rent := func(i ecs.Instance, disks ...ecs.Disk) {
		if _, err := a.Rent(t.Context(), i, agent, disks...); err != nil {
			t.Fatal(err)
		}
	}
	rent(ecs.Instance{ID: running, Tags: map[string]string{cloud.TagOptIn: "true", "name": "db"}},
		ecs.Disk{ID: system, System: true, Hollow: true}, ecs.Disk{ID: first}, ecs.Disk{ID: second})
	rent(ecs.Instance{ID: stopped, State: "Stopped"}, ecs.Disk{ID: "d-bp1234567890abcdef03", System: true, Hollow: true})
	return a, agent
}

func emulated(t *testing.T) cloudtest.Harness {
	plan := &fault.Plan{}
	states := engine.New(engine.Config{})
	t.Cleanup(states.Close)
	a, agent := account(t, plan, states)
	helper := []byte("the helper")
	a.OSS.Put("assets", "quiesce-guest", helper)
	provider := alicloud.New(a.Client("conformance"), alicloud.Options{
		AssetBucket: "assets", Verifier: "tests", Helpers: map[string]alicloud.Helper{"arm64": {Key: "quiesce-guest", SHA256: sum(helper)}},
	})
	return cloudtest.Harness{
		Provider: provider, Keeper: provider, Restorer: provider,
		Running: cloudtest.Target{
			ID: running, Arch: "arm64", Tags: map[string]string{cloud.TagOptIn: "true", "name": "db"}, Boot: system, Data: []string{first, second},
		},
		Stopped: stopped,
		Absent:  absent,

		AbsentDisk: "d-bp1234567890abcdef99", AbsentSnapshot: "s-bp1234567890abcdef99", Zone: a.Region() + "-h", OtherZone: a.Region() + "-i", Place: network(a.ECS),
		Trouble: func(op cloudtest.Op, kind cloudtest.Kind) {
			plan.Add(fault.Fault{Target: actions[op], Kind: kinds[kind]})
		},
		Attempts: func(op cloudtest.Op) int { return a.Count(actions[op]) },
		Guest:    func(g cloudtest.Guest) { agent.guest = g },
		Agent:    func(online bool) { a.Assistant.SetOnline(running, online) },
		Wait:     func() (string, func() bool) { return waiting(t, states) },
		Test:     func(name, input string) func() { return under(t, states, name, input) },
		Refuse:   a.EventBridge.Refuse,
		Hold: func(how cloudtest.Hold, id string) {
			switch how {
			case cloudtest.Locked:
				a.ECS.Lock(id, 30*24*time.Hour)
			case cloudtest.Shared:
				a.ECS.Share(id, "2109876543210987")
			case cloudtest.Imaged:
				a.ECS.AddImage("m-bp1234567890abcdef00", id)
			}
		},
		Unstoppable: true,
		Fetch: func(url string) ([]byte, error) {
			response, err := (&http.Client{Transport: a.Transport()}).Get(url)
			if err != nil {
				return nil, err
			}
			defer func() { _ = response.Body.Close() }()
			if response.StatusCode != http.StatusOK {
				return nil, fmt.Errorf("got %s", response.Status)
			}
			return io.ReadAll(response.Body)
		},
		Received: func() (list []cloudtest.Received) {
			for _, e := range a.EventBridge.Events() {
				if e.Source == events.Source {
					list = append(list, cloudtest.Received{Source: e.Source, Type: e.Type, Time: e.Time, Resources: strings.Split(e.Subject, ","), Detail: e.Data})
				}
			}
			return list
		},
	}
}

// network puts into the account what an instance is started in.
func network(e *ecs.ECS) cloudtest.Place {
	e.AddVSwitch(ecs.VSwitch{ID: "vsw-bp1234567890abcdef00", VPC: "vpc-bp1234567890abcdef00"})
	e.AddGroup(ecs.Group{ID: "sg-bp1234567890abcdef00", VPC: "vpc-bp1234567890abcdef00"})
	e.AddGroup(ecs.Group{ID: "sg-bp1234567890abcdef01", VPC: "vpc-bp1234567890abcdef01"})
	e.AddRole("restored")
	return cloudtest.Place{
		Type: "ecs.g8y.large", Unfit: "ecs.g7.large", Subnet: "vsw-bp1234567890abcdef00", AbsentSubnet: "vsw-bp1234567890abcdef99",
		Group: "sg-bp1234567890abcdef00", AbsentGroup: "sg-bp1234567890abcdef99", ForeignGroup: "sg-bp1234567890abcdef01", Profile: "restored",
	}
}

// waiting starts an execution whose one state waits for its token.
func waiting(t *testing.T, states *engine.Engine) (token string, ended func() bool) {
	const definition = `{"StartAt":"Wait","States":{"Wait":{"Type":"Task","Resource":"arn:aws:states:::lambda:invoke.waitForTaskToken",
		"TimeoutSeconds":3600,"Parameters":{"FunctionName":"f","Payload.$":"$$.Task.Token"},"End":true}}}`
	m, err := asl.Parse([]byte(definition), nil)
	if err != nil {
		t.Fatal(err)
	}
	states.Deploy("waits", []byte(definition), m, asl.TasksFunc(func(_ context.Context, _ string, input json.RawMessage) (json.RawMessage, error) {
		var in struct{ Payload string }
		err := json.Unmarshal(input, &in)
		token = in.Payload
		return json.RawMessage("{}"), err
	}))
	x, err := states.Start("waits", "w", nil)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	return token, func() bool {
		synctest.Wait()
		now, err := states.Describe(x.ARN)
		return err == nil && now.Status != engine.Running
	}
}

// under starts an execution of a restore test's flow that goes on for a day.
func under(t *testing.T, states *engine.Engine, name, input string) (end func()) {
	const definition = `{"StartAt":"Wait","States":{"Wait":{"Type":"Wait","Seconds":86400,"End":true}}}`
	m, err := asl.Parse([]byte(definition), nil)
	if err != nil {
		t.Fatal(err)
	}
	states.Deploy("tests", []byte(definition), m, nil)
	x, err := states.Start("tests", name, json.RawMessage(input))
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		if _, err := states.Stop(x.ARN, "StopExecution", "planned"); err != nil {
			t.Error(err)
		}
	}
}

func sum(data []byte) string {
	s := sha256.Sum256(data)
	return hex.EncodeToString(s[:])
}

// machine is an instance with a helper in place of a shell.
type machine struct{ guest cloudtest.Guest }

func (m *machine) Arch() string { return "arm64" }

func (m *machine) Execute(ctx context.Context, c instance.Command) instance.Result {
	request, err := base64.StdEncoding.DecodeString(c.Parameters["Request"])
	if err != nil {
		return instance.Result{ExitCode: 2, Stderr: []byte(err.Error())}
	}
	a := m.guest(ctx, c.Parameters["Verb"], request)
	return instance.Result{ExitCode: a.ExitCode, Stdout: []byte(alicloud.Answer(a.Stdout)), Stderr: []byte(a.Stderr)}
}

// storage holds nothing: these tests ask for the wire, not for the bytes.
type storage struct{}

func (storage) Create(context.Context, string, int64, string) error { return nil }
func (storage) Attach(_ context.Context, v string) (string, error)  { return "/dev/" + v, nil }
func (storage) Detach(context.Context, string) error                { return nil }
func (storage) Delete(context.Context, string) error                { return nil }
func (storage) Snapshot(context.Context, map[string]string) error   { return nil }
func (storage) DeleteSnapshot(context.Context, string) error        { return nil }
func (storage) Close() error                                        { return nil }
