// Package ssm is the emulated Systems Manager: Run Command with its documents,
// and the agent that carries commands to a machine. Statuses, limits and
// delays are those of the service; an agent can go offline, and commands can
// arrive late or twice.
package ssm

import (
	"context"
	"sort"
	"sync"
	"time"

	"github.com/quiesce/quiesce/local/aws/wire"
	"github.com/quiesce/quiesce/local/instance"
)

// Config is the account's SSM in one Region.
type Config struct {
	Region, Account string

	// State tells an instance's EC2 state; nil takes all as running.
	State func(instance string) string
	// Publish puts an event on the bus; nil publishes nothing.
	Publish func(detailType string, resources []string, detail any)
	NewID   func() string

	// Dispatch is how long a command travels to the agent; default 150 ms.
	Dispatch time.Duration
	// Report is how long its result travels back; default 150 ms.
	Report time.Duration
	// Visible is how long GetCommandInvocation does not know a new command;
	// default 100 ms, negative none.
	Visible time.Duration
	// Heartbeat is the agent's; default 5 min.
	Heartbeat time.Duration
	// LostAfter is when a silent agent shows as ConnectionLost; default 11
	// min, hence an agent that just died is still Online.
	LostAfter time.Duration
	// Workers is the agent's CommandWorkersLimit; default 5.
	Workers int
}

// SSM is the emulated service.
type SSM struct {
	cfg    Config
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu        sync.Mutex
	agents    map[string]*agent
	documents map[string]*Document
	commands  map[string]*command
	order     []string
}

// New makes an SSM without agents, with AWS-RunShellScript.
func New(cfg Config) *SSM {
	for d, def := range map[*time.Duration]time.Duration{
		&cfg.Dispatch: 150 * time.Millisecond, &cfg.Report: 150 * time.Millisecond, &cfg.Visible: 100 * time.Millisecond,
		&cfg.Heartbeat: 5 * time.Minute, &cfg.LostAfter: 11 * time.Minute,
	} {
		if *d == 0 {
			*d = def
		}
	}
	if cfg.Workers == 0 {
		cfg.Workers = 5
	}
	if cfg.State == nil {
		cfg.State = func(string) string { return "running" }
	}
	if cfg.Publish == nil {
		cfg.Publish = func(string, []string, any) {}
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &SSM{
		cfg: cfg, ctx: ctx, cancel: cancel,
		agents: make(map[string]*agent), documents: make(map[string]*Document), commands: make(map[string]*command),
	}
	d, err := shell()
	if err != nil {
		panic(err)
	}
	s.AddDocument(d)
	return s
}

// Close kills the commands that run and waits for them.
func (s *SSM) Close() {
	s.cancel()
	s.wg.Wait()
}

// Register puts an agent on a machine; it is online from now on.
func (s *SSM) Register(instanceID string, m instance.Machine) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.agents[instanceID] = &agent{
		instance: instanceID, machine: m, since: time.Now(), registered: time.Now(),
		changed: make(chan struct{}), workers: make(chan struct{}, s.cfg.Workers),
	}
}

// SetOnline connects an instance's agent or cuts it off. What runs goes on
// either way, but its result waits for the connection.
func (s *SSM) SetOnline(instanceID string, online bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.agents[instanceID]
	if a == nil || a.offline.IsZero() == online {
		return
	}
	if online {
		a.offline, a.since = time.Time{}, time.Now()
	} else {
		a.offline = time.Now()
	}
	close(a.changed)
	a.changed = make(chan struct{})
}

// Protocol is awsJson 1.1.
func (s *SSM) Protocol() wire.Protocol { return wire.AWSJSON }

// Limit is none: Run Command's quotas are not published, only planned
// throttles happen.
func (s *SSM) Limit(*wire.Call) (string, wire.Limit) { return "", wire.Limit{} }

// Do has the effect of one call.
func (s *SSM) Do(_ context.Context, c *wire.Call) (wire.Reply, error) {
	var do func(*wire.Call) (any, error)
	switch c.Action {
	case "SendCommand":
		do = s.sendCommand
	case "GetCommandInvocation":
		do = s.getCommandInvocation
	case "ListCommands":
		do = s.listCommands
	case "ListCommandInvocations":
		do = s.listCommandInvocations
	case "CancelCommand":
		do = s.cancelCommand
	case "DescribeInstanceInformation":
		do = s.describeInstanceInformation
	case "DescribeDocument":
		do = s.describeDocument
	case "GetDocument":
		do = s.getDocument
	default:
		return wire.Reply{}, wire.Bad("UnknownOperationException", "%s is not emulated", c.Action)
	}
	out, err := do(c)
	if err != nil {
		return wire.Reply{}, err
	}
	return wire.JSON(out)
}

func (s *SSM) describeInstanceInformation(c *wire.Call) (any, error) {
	var in struct {
		Filters []struct {
			Key    string
			Values []string
		}
		InstanceInformationFilterList []struct {
			Key      string   `json:"key"`
			ValueSet []string `json:"valueSet"`
		}
	}
	if err := c.Decode(&in); err != nil {
		return nil, err
	}
	if len(in.Filters) > 0 && len(in.InstanceInformationFilterList) > 0 {
		return nil, wire.Bad("ValidationException", "Filters and InstanceInformationFilterList cannot be used together")
	}
	type want struct {
		key    string
		values []string
	}
	var filters []want
	for _, f := range in.Filters {
		filters = append(filters, want{f.Key, f.Values})
	}
	for _, f := range in.InstanceInformationFilterList {
		filters = append(filters, want{f.Key, f.ValueSet})
	}
	type information struct {
		InstanceID       string `json:"InstanceId"`
		PingStatus       string
		LastPingDateTime any
		RegistrationDate any
		AgentVersion     string
		IsLatestVersion  bool
		PlatformType     string
		PlatformName     string
		PlatformVersion  string
		ResourceType     string
		ComputerName     string
	}
	list := []information{}
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, a := range s.agents {
		ping := s.lastPing(a, now)
		status := s.pingStatus(a, now)
		keep := true
		for _, f := range filters {
			have, ok := map[string]string{"InstanceIds": id, "PingStatus": status, "PlatformTypes": a.system().Platform, "ResourceType": "EC2Instance"}[f.key]
			if !ok {
				return nil, wire.Bad("InvalidInstanceInformationFilterValue", "The filter %s is not emulated", f.key)
			}
			keep = keep && contains(f.values, have)
		}
		if keep {
			system := a.system()
			list = append(list, information{
				InstanceID: id, PingStatus: status, LastPingDateTime: wire.Epoch(ping), RegistrationDate: wire.Epoch(a.registered),
				AgentVersion: system.Agent, IsLatestVersion: true, PlatformType: system.Platform, PlatformName: system.Name,
				PlatformVersion: system.Version, ResourceType: "EC2Instance", ComputerName: id,
			})
		}
	}
	sort.Slice(list, func(i, j int) bool { return list[i].InstanceID < list[j].InstanceID })
	return map[string]any{"InstanceInformationList": list}, nil
}

func contains(list []string, s string) bool {
	for _, v := range list {
		if v == s {
			return true
		}
	}
	return false
}
