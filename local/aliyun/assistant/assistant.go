// Package assistant is the emulated Cloud Assistant: commands, and the agent
// that carries them to a machine. Statuses, limits and delays are those that
// are documented; an agent can go offline, and commands can arrive late or
// twice.
package assistant

import (
	"context"
	"net/http"
	"slices"
	"sort"
	"sync"
	"time"

	"github.com/quiesce/quiesce/local/aliyun/rpc"
	"github.com/quiesce/quiesce/local/aws/wire"
	"github.com/quiesce/quiesce/local/instance"
)

// Config is the account's Cloud Assistant in one Region.
type Config struct {
	// State tells an instance's state, and System its operating system.
	State, System func(instance string) string
	// Publish puts an event of acs.ecs on the bus; nil publishes nothing.
	Publish func(kind, subject string, data any)
	NewID   func(digits int) string

	// Dispatch is how long a command travels to the agent; default 150 ms.
	Dispatch time.Duration
	// Report is how long its result travels back; default 150 ms.
	Report time.Duration
	// Delivery is how long a command waits for its agent; default 1 min.
	Delivery time.Duration
	// Heartbeat is the agent's; default 1 min.
	Heartbeat time.Duration
	// LostAfter is when a silent agent is called gone; default 2 min.
	LostAfter time.Duration
}

// Assistant is the emulated service.
type Assistant struct {
	cfg    Config
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu          sync.Mutex
	agents      map[string]*agent
	invocations map[string]*invocation
	tokens      map[string]string // client token -> invocation
}

// New makes a Cloud Assistant without agents.
func New(cfg Config) *Assistant {
	for d, def := range map[*time.Duration]time.Duration{
		&cfg.Dispatch: 150 * time.Millisecond, &cfg.Report: 150 * time.Millisecond, &cfg.Delivery: time.Minute,
		&cfg.Heartbeat: time.Minute, &cfg.LostAfter: 2 * time.Minute,
	} {
		if *d == 0 {
			*d = def
		}
	}
	if cfg.Publish == nil {
		cfg.Publish = func(string, string, any) {}
	}
	ctx, cancel := context.WithCancel(context.Background())
	return &Assistant{
		cfg: cfg, ctx: ctx, cancel: cancel,
		agents: map[string]*agent{}, invocations: map[string]*invocation{}, tokens: map[string]string{},
	}
}

// Close kills the commands that run and waits for them.
func (a *Assistant) Close() {
	a.cancel()
	a.wg.Wait()
}

// Register puts an agent on a machine; it is online from now on.
func (a *Assistant) Register(id string, m instance.Machine) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.agents[id] = &agent{instance: id, machine: m, since: time.Now(), changed: make(chan struct{})}
}

// SetOnline connects an instance's agent or cuts it off. What runs goes on
// either way, but its result waits for the connection.
func (a *Assistant) SetOnline(id string, online bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if one := a.agents[id]; one != nil {
		one.turn(online)
	}
}

// Protocol is that of every RPC service.
func (a *Assistant) Protocol() wire.Protocol { return rpc.Protocol }

// Limit is none: only planned throttles happen.
func (a *Assistant) Limit(*wire.Call) (string, wire.Limit) { return "", wire.Limit{} }

// Actions are the actions of ECS that belong to Cloud Assistant.
var Actions = map[string]bool{
	"RunCommand": true, "DescribeInvocationResults": true, "StopInvocation": true, "DescribeCloudAssistantStatus": true,
}

// Do has the effect of one call.
func (a *Assistant) Do(_ context.Context, c *wire.Call) (wire.Reply, error) {
	do := map[string]func(*wire.Call, rpc.Params) (map[string]any, error){
		"RunCommand":                   a.runCommand,
		"DescribeInvocationResults":    a.describeResults,
		"StopInvocation":               a.stopInvocation,
		"DescribeCloudAssistantStatus": a.describeStatus,
	}[c.Action]
	if do == nil {
		return wire.Reply{}, wire.Errorf(http.StatusNotFound, "InvalidAction.NotFound", "Specified api is not found: %s", c.Action)
	}
	out, err := do(c, rpc.Params(c.Form))
	if err != nil {
		return wire.Reply{}, err
	}
	return rpc.Answer(c, out)
}

func (a *Assistant) describeStatus(_ *wire.Call, p rpc.Params) (map[string]any, error) {
	asked := p.List("InstanceId")
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	list := []map[string]any{}
	for id, one := range a.agents {
		if len(asked) > 0 && !slices.Contains(asked, id) {
			continue
		}
		status := "false"
		if a.online(one, now) {
			status = "true"
		}
		system := "Linux"
		if a.cfg.System(id) == windows {
			system = "Windows"
		}
		list = append(list, map[string]any{
			"InstanceId": id, "CloudAssistantStatus": status, "CloudAssistantVersion": "2.2.4.900", "LastHeartbeatTime": rpc.Stamp(a.lastPing(one, now)),
			"OSType": system, "SupportSessionManager": true, "ActiveTaskCount": 0, "InvocationCount": 0,
		})
	}
	sort.Slice(list, func(i, j int) bool { return list[i]["InstanceId"].(string) < list[j]["InstanceId"].(string) })
	return map[string]any{"InstanceCloudAssistantStatusSet": map[string]any{"InstanceCloudAssistantStatus": list}, "TotalCount": len(list)}, nil
}
