package functions_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quiesce/quiesce/events"
	"github.com/quiesce/quiesce/functions"
	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/protocol"
	"github.com/quiesce/quiesce/shared/run"
)

// fakeCloud answers as it is told to; the zero value is an instance with a
// boot volume and two data volumes on which everything works.
type fakeCloud struct {
	mu        sync.Mutex
	instance  cloud.Instance
	ping      cloud.Ping
	pending   map[string]int
	helper    func(cloud.Command, protocol.Request) protocol.Reply
	createSet func(cloud.SetSpec) ([]run.Snapshot, error)
	findSet   func() ([]cloud.TaggedSnapshot, error)
	snapshots func([]string) ([]run.Snapshot, error)
	publish   func([]events.Event) error
	saveToken func(set, token string) error
	answer    func(token string) error
	document  func(name string) (cloud.Document, error)
	ends      func(cmd cloud.DocumentCommand) cloud.Result

	found   []cloud.Found     // what Find finds
	objects map[string][]byte // what Put put

	calls []string // in order, as name or name:verb
	sent  []protocol.Request

	documents []cloud.DocumentCommand // that were sent
	replies   map[string]cloud.Result
	tags      map[string]map[string]string
	bus       []events.Event
	tokens    map[string]string // by set
	answers   []string
}

func newCloud() *fakeCloud {
	c := &fakeCloud{replies: map[string]cloud.Result{}, tags: map[string]map[string]string{}, tokens: map[string]string{}}
	c.instance = cloud.Instance{
		ID: "i-0abc12345678def90", Running: true, State: "running", Arch: "arm64",
		Tags:   map[string]string{cloud.TagOptIn: "true"},
		Target: run.Target{Provider: "aws", Region: "eu-west-1", InstanceID: "i-0abc12345678def90"},
		Volumes: []cloud.Volume{
			{ID: "vol-0boot0000", Device: "/dev/sda1", Serials: []string{"vol0boot0000"}, Boot: true, Concurrent: 5},
			{ID: "vol-0aaaaaaaa", Device: "/dev/sdf", Serials: []string{"vol0aaaaaaaa"}, Concurrent: 5},
			{ID: "vol-0bbbbbbbb", Device: "/dev/sdg", Serials: []string{"vol0bbbbbbbb"}, Concurrent: 5, Tags: map[string]string{"tier": "log"}},
		},
	}
	c.ping = cloud.Ping{Online: true, Linux: true}
	c.helper = func(_ cloud.Command, r protocol.Request) protocol.Reply { return answer(r, mounts...) }
	c.createSet = func(s cloud.SetSpec) (list []run.Snapshot, err error) {
		for i, v := range s.Include {
			list = append(list, run.Snapshot{ID: fmt.Sprintf("snap-%d", i), VolumeID: v, State: run.Pending})
		}
		return list, nil
	}
	c.findSet = func() ([]cloud.TaggedSnapshot, error) { return nil, nil }
	c.snapshots = func(ids []string) (list []run.Snapshot, err error) {
		for _, id := range ids {
			list = append(list, run.Snapshot{ID: id, VolumeID: "vol-of-" + id, State: run.Completed})
		}
		return list, nil
	}
	c.publish = func([]events.Event) error { return nil }
	c.saveToken = func(string, string) error { return nil }
	c.answer = func(string) error { return nil }
	c.document = func(string) (cloud.Document, error) { return dlm(), nil }
	c.ends = func(cloud.DocumentCommand) cloud.Result { return cloud.Result{Done: true, Status: "Success"} }
	return c
}

var mounts = []protocol.Mount{
	{Mount: "/", Device: "259:1", Type: "ext4", Disks: []protocol.Disk{{Name: "nvme0n1", Serial: "vol0boot0000"}}, Refused: "it is the root filesystem"},
	{Mount: "/data", Device: "259:3", Type: "xfs", Disks: []protocol.Disk{{Name: "nvme2n1", Serial: "vol0aaaaaaaa"}}},
	{Mount: "/log", Device: "259:4", Type: "ext4", Disks: []protocol.Disk{{Name: "nvme1n1", Serial: "vol0bbbbbbbb"}}},
}

// answer is what a helper says on whose machine everything works.
func answer(r protocol.Request, mounts ...protocol.Mount) protocol.Reply {
	reply := protocol.Reply{Version: protocol.Version, Verb: r.Verb, RunID: r.RunID, Now: time.Now()}
	switch r.Verb {
	case protocol.DryRun:
		reply.DryRun = &protocol.DryRunReply{Mounts: mounts}
	default:
		reply.Evidence = &protocol.Evidence{RunID: r.RunID, Hold: "hold-1", Filesystems: []protocol.FilesystemEvidence{{Mount: "/data"}, {Mount: "/log"}}}
	}
	return reply
}

// refuse makes the helper answer one verb with a fault.
func (c *fakeCloud) refuse(verb protocol.Verb, f protocol.Failure) {
	c.helper = func(_ cloud.Command, r protocol.Request) protocol.Reply {
		reply := answer(r, mounts...)
		if r.Verb == verb {
			reply.Error = &f
		}
		return reply
	}
}

func (c *fakeCloud) called(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls = append(c.calls, name)
}

func (c *fakeCloud) Instance(_ context.Context, id string) (cloud.Instance, error) {
	c.called("Instance")
	if id != c.instance.ID {
		return cloud.Instance{}, fault.New(fault.InstanceNotFound, "%s does not exist", id)
	}
	return c.instance, nil
}

func (c *fakeCloud) Pending(context.Context, []string) (map[string]int, error) {
	c.called("Pending")
	return c.pending, nil
}

func (c *fakeCloud) CreateSet(_ context.Context, s cloud.SetSpec) ([]run.Snapshot, error) {
	c.called("CreateSet")
	return c.createSet(s)
}

func (c *fakeCloud) FindSet(context.Context, string) ([]cloud.TaggedSnapshot, error) {
	c.called("FindSet")
	return c.findSet()
}

func (c *fakeCloud) Snapshots(_ context.Context, ids []string) ([]run.Snapshot, error) {
	c.called("Snapshots")
	return c.snapshots(ids)
}

func (c *fakeCloud) TagSnapshots(_ context.Context, ids []string, tags map[string]string) error {
	c.called("TagSnapshots")
	for _, id := range ids {
		c.tags[id] = maps.Clone(c.tags[id]) // tags are added to those that are there
		if c.tags[id] == nil {
			c.tags[id] = map[string]string{}
		}
		maps.Copy(c.tags[id], tags)
	}
	return nil
}

func (c *fakeCloud) Ping(context.Context, string) (cloud.Ping, error) {
	c.called("Ping")
	ping := c.ping
	if ping.Last.IsZero() {
		ping.Last = time.Now()
	}
	return ping, nil
}

func (c *fakeCloud) Send(_ context.Context, cmd cloud.Command) (string, error) {
	var r protocol.Request
	if err := json.Unmarshal(cmd.Request, &r); err != nil {
		return "", err
	}
	c.called("Send:" + string(r.Verb))
	c.sent = append(c.sent, r)
	text, err := json.Marshal(c.helper(cmd, r))
	c.replies[cmd.Verb] = cloud.Result{Done: true, Status: "Success", Stdout: string(text)}
	return cmd.Verb, err
}

func (c *fakeCloud) Result(_ context.Context, _, id string) (cloud.Result, error) {
	return c.replies[id], nil
}

func (c *fakeCloud) Cancel(context.Context, string, string) error { c.called("Cancel"); return nil }

func (c *fakeCloud) Document(_ context.Context, name string) (cloud.Document, error) {
	c.called("Document")
	return c.document(name)
}

func (c *fakeCloud) SendDocument(_ context.Context, cmd cloud.DocumentCommand) (string, error) {
	command := cmd.Parameters["command"]
	c.called("Document:" + command)
	c.documents = append(c.documents, cmd)
	result := c.ends(cmd)
	if result.Status == "Refused" {
		return "", fault.New(fault.AccessDenied, "send %s", cmd.Document)
	}
	c.replies[command] = result
	return command, nil
}

// dlm is a document as Data Lifecycle Manager's examples are.
func dlm() cloud.Document {
	return cloud.Document{Command: true, Parameters: map[string]cloud.Parameter{
		"command":     {Allowed: []string{"pre-script", "post-script", "dry-run"}, Optional: true},
		"executionId": {Pattern: `^(None|[a-fA-F0-9]{8}-[a-fA-F0-9]{4}-[a-fA-F0-9]{4}-[a-fA-F0-9]{4}-[a-fA-F0-9]{12})$`, Optional: true},
	}}
}

func (c *fakeCloud) Helper(context.Context, string) (cloud.Asset, error) {
	c.called("Helper")
	return cloud.Asset{SHA256: "f00d", URL: "https://assets.example/helper"}, nil
}

func (c *fakeCloud) Publish(_ context.Context, list []events.Event) error {
	c.called("Publish")
	if err := c.publish(list); err != nil {
		return err
	}
	c.bus = append(c.bus, list...)
	return nil
}

func (c *fakeCloud) SaveToken(_ context.Context, set, token string) error {
	c.called("SaveToken")
	if err := c.saveToken(set, token); err != nil {
		return err
	}
	c.tokens[set] = token
	return nil
}

func (c *fakeCloud) FindToken(_ context.Context, set string) (string, error) {
	c.called("FindToken")
	return c.tokens[set], nil
}

func (c *fakeCloud) Answer(_ context.Context, token string) error {
	c.called("Answer")
	if err := c.answer(token); err != nil {
		return err
	}
	c.answers = append(c.answers, token)
	return nil
}

// do runs one step of the table as a runtime does.
func do[O any](t *testing.T, c cloud.Provider, name string, input any) (O, error) {
	t.Helper()
	payload, ok := input.(string)
	if !ok {
		text, err := json.Marshal(input)
		if err != nil {
			t.Fatal(err)
		}
		payload = string(text)
	}
	var out O
	text, err := functions.Table(functions.Deps{Cloud: c})[name](t.Context(), json.RawMessage(payload))
	if err != nil {
		return out, err
	}
	return out, json.Unmarshal(text, &out)
}

// refused asserts a fault's code and the field that it names.
func refused(t *testing.T, err error, code fault.Code, field string) {
	t.Helper()
	var f *fault.Error
	if !errors.As(err, &f) || f.Code != code {
		t.Fatalf("got %v (%s), want %s", err, fault.CodeOf(err), code)
	}
	if field != "" && f.Field != field {
		t.Errorf("it names the field %q, want %q: %v", f.Field, field, err)
	}
}

// refusedFor asserts a fault's code and what its sentence says.
func refusedFor(t *testing.T, err error, code fault.Code, says string) {
	t.Helper()
	refused(t, err, code, "")
	if !strings.Contains(err.Error(), says) {
		t.Errorf("%q does not say %q", err, says)
	}
}
