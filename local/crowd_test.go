package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	cloud "github.com/quiesce/quiesce/local/aws"
	"github.com/quiesce/quiesce/local/aws/ec2"
	"github.com/quiesce/quiesce/local/engine"
	"github.com/quiesce/quiesce/local/fault"
	"github.com/quiesce/quiesce/local/runtimeapi"
	"github.com/quiesce/quiesce/local/sim"
	port "github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/cloud/awscloud"

	"github.com/quiesce/quiesce/functions"
	"github.com/quiesce/quiesce/workflow"
)

// crowd is an account with several machines, in virtual time: the three
// definitions, the handlers that are deployed, SDK clients, and on each machine
// the helper's own state machine.
type crowd struct {
	*testing.T
	*account
	local    *runtimeapi.Local
	machines []*sim.Machine
	fleet    string // ARNs
	group    string
}

// shelves are the disks of all machines, by the machine that made a volume.
type shelves struct {
	mu sync.Mutex
	of map[string]*sim.Machine
}

func (s *shelves) at(id string) *sim.Machine {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.of[id]
}

func (s *shelves) Create(context.Context, string, int64, string) error { return nil }
func (s *shelves) Attach(context.Context, string) (string, error)      { return "", nil }
func (s *shelves) Detach(context.Context, string) error                { return nil }
func (s *shelves) Delete(context.Context, string) error                { return nil }
func (s *shelves) DeleteSnapshot(context.Context, string) error        { return nil }
func (s *shelves) Close() error                                        { return nil }

func (s *shelves) Snapshot(ctx context.Context, set map[string]string) error {
	for volume := range set {
		return s.at(volume).Snapshot(ctx, set) // all of one machine
	}
	return nil
}

func crowdID(i int) string { return fmt.Sprintf("i-0%016x", 0xabc000+i) }

// inCrowd runs a test in a bubble of virtual time with n machines.
func inCrowd(t *testing.T, n int, faults []string, test func(c *crowd)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, n, faults)
		defer c.end()
		test(c)
	})
}

func newCrowd(t *testing.T, n int, faults []string) *crowd {
	t.Helper()
	plan, err := fault.New(faults...)
	if err != nil {
		t.Fatal(err)
	}
	c := &crowd{T: t, account: &account{faults: plan, engine: engine.New(engine.Config{})}}
	disks := &shelves{of: map[string]*sim.Machine{}}
	c.cloud = cloud.New(cloud.Config{Disks: disks, Engine: c.engine, Faults: plan, EC2: ec2.Config{Completion: 40 * time.Second, Visible: time.Second, Provision: -1}})
	c.install()
	for i := range n {
		c.rent(disks, i)
	}
	return c
}

// rent puts one machine with one data volume into the account.
func (c *crowd) rent(disks *shelves, i int) {
	m := sim.New(sim.Config{})
	id := fmt.Sprintf("vol-0%016x", 0xda7a0000+i)
	c.must(m.Create(c.Context(), id, gibibyte, ""))
	device, err := m.Attach(c.Context(), id)
	c.must(err)
	c.must(m.Format(c.Context(), device, "ext4"))
	c.must(m.Mount(device, "/mnt/data"))
	disks.of[id] = m
	_, err = c.cloud.Rent(c.Context(), ec2.Instance{ID: crowdID(i), RootDevice: rootDevice, Tags: map[string]string{port.TagOptIn: "true", "fleet": "crowd"}}, m,
		ec2.Volume{ID: fmt.Sprintf("vol-0%016x", 0xb0070000+i), Device: rootDevice, Bytes: 8 * gibibyte, Hollow: true},
		ec2.Volume{ID: id, Device: device, Bytes: gibibyte, Made: true, Path: device})
	c.must(err)
	c.machines = append(c.machines, m)
}

func (c *crowd) install() {
	helper := []byte("the helper")
	c.cloud.S3.Put(bucket, "helper", helper)
	c.must(c.cloud.SSM.RegisterDocument(document, []byte(awscloud.Document())))
	c.local = &runtimeapi.Local{Handlers: map[string]runtimeapi.Handler{}, Timeouts: functions.Timeouts}
	for _, name := range functions.Names {
		provider := awscloud.New(c.cloud.Client(name), awscloud.Options{
			AssetBucket: bucket, Helpers: map[string]awscloud.Helper{"amd64": {Key: "helper", SHA256: checksum(helper)}},
			Bus: busName, Document: document, DocumentHash: checksum([]byte(awscloud.Document())),
		})
		c.local.Handlers[name] = runtimeapi.Handler(functions.Table(functions.Deps{Cloud: provider})[name])
	}
	c.lambda = c.faults.Around(c.local)
	one, err := workflow.Machine(busName, c.cloud.FunctionARN)
	c.must(err)
	group, err := workflow.GroupMachine(c.cloud.FunctionARN)
	c.must(err)
	tasks := c.cloud.Tasks(c.lambda)
	c.machine = c.engine.Deploy(machineName, []byte(workflow.Snapshot()), one, tasks)
	c.group = c.engine.Deploy("quiesce-group", []byte(workflow.Group()), group, tasks)
	all, err := workflow.FleetMachine(c.machine, c.group, c.cloud.FunctionARN)
	c.must(err)
	c.fleet = c.engine.Deploy("quiesce-fleet", []byte(workflow.Fleet()), all, tasks)
	c.must(c.listen())
}

func (c *crowd) end() {
	c.cloud.Close()
	c.engine.Close()
	c.local.Wait()
	var errs []error
	for _, m := range c.machines {
		errs = append(errs, m.Close())
	}
	c.must(errors.Join(errs...))
}

func (c *crowd) must(err error) {
	c.Helper()
	if err != nil {
		c.Fatal(err)
	}
}

// frozen counts the machines whose filesystem is frozen now.
func (c *crowd) frozen() (n int) {
	for _, m := range c.machines {
		if m.Frozen("/mnt/data") {
			n++
		}
	}
	return n
}

// execute starts an execution and waits for its end.
func (c *crowd) execute(machine, name string, input any) (engine.Execution, []string) {
	c.Helper()
	text, err := json.Marshal(input)
	c.must(err)
	x, err := c.engine.Start(machine, name, text)
	c.must(err)
	x, err = c.engine.Wait(c.Context(), x.ARN)
	c.must(err)
	history, err := c.engine.History(x.ARN)
	c.must(err)
	var states []string
	for _, e := range history {
		if strings.HasSuffix(e.Type, "StateEntered") {
			states = append(states, e.Name)
		}
	}
	return x, states
}

// told are the details of the events of one type.
func (c *crowd) told(detailType string) (details []map[string]any) {
	for _, e := range c.cloud.Bus.Events() {
		if e.DetailType == detailType {
			var d map[string]any
			c.must(json.Unmarshal(e.Detail, &d))
			details = append(details, d)
		}
	}
	return details
}
