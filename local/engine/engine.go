// Package engine hosts state machines as Step Functions does: executions by
// name, their history, stopping them, and an announcement of every change of
// status.
package engine

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"hash/fnv"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/quiesce/quiesce/workflow/asl"
)

// Config is where the machines live.
type Config struct {
	Region  string // default eu-central-1
	Account string // default 123456789012
	RoleARN string // of every machine; default QuiesceStateMachine
	Seed    uint64 // of jitter and ids, together with the execution's name

	Clock     asl.Clock // what the executions live in; nil: the machine's own time
	Forgetful bool      // keeps no history: a fleet's would fill the memory
}

// Status of an execution, as the service spells it.
type Status string

const (
	Running   Status = "RUNNING"
	Succeeded Status = "SUCCEEDED"
	Failed    Status = "FAILED"
	TimedOut  Status = "TIMED_OUT"
	Aborted   Status = "ABORTED"
)

// Execution is one run of a machine as it stands.
type Execution struct {
	ARN        string
	Name       string
	Machine    string // its name
	MachineARN string
	Status     Status
	Input      json.RawMessage
	Output     json.RawMessage
	Error      string
	Cause      string
	StartedAt  time.Time
	StoppedAt  time.Time
}

// Refusals, each by the service's own name.
var (
	ErrNoMachine   = errors.New("StateMachineDoesNotExist")
	ErrNoExecution = errors.New("ExecutionDoesNotExist")
	ErrExists      = errors.New("ExecutionAlreadyExists")
	ErrName        = errors.New("InvalidName")
	ErrInput       = errors.New("InvalidExecutionInput")
)

// Engine runs executions, each in a goroutine.
type Engine struct {
	cfg    Config
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	callbacks asl.Callbacks

	mu         sync.Mutex
	machines   map[string]*machine
	executions map[string]*execution // by ARN
	order      []string
	announce   []func(Execution)
}

type machine struct {
	definition []byte
	machine    *asl.Machine
	tasks      asl.Tasks
	created    time.Time
}

type execution struct {
	Execution
	events []asl.Event
	stop   context.CancelCauseFunc
	done   asl.Gate
}

// New makes an engine without machines.
func New(cfg Config) *Engine {
	cfg.Region = cmp.Or(cfg.Region, "eu-central-1")
	cfg.Account = cmp.Or(cfg.Account, "123456789012")
	cfg.RoleARN = cmp.Or(cfg.RoleARN, "arn:aws:iam::"+cfg.Account+":role/QuiesceStateMachine")
	if cfg.Clock == nil {
		cfg.Clock = asl.Wall{}
	}
	ctx, cancel := context.WithCancel(context.Background())
	return &Engine{cfg: cfg, ctx: ctx, cancel: cancel, machines: make(map[string]*machine), executions: make(map[string]*execution)}
}

// Close aborts every execution, takes the context away from tasks that still
// run, and waits for all of them.
func (e *Engine) Close() {
	e.cancel()
	e.wg.Wait()
}

// Deploy makes a machine known by its name and returns its ARN. Executions
// that run keep the definition they were started with.
func (e *Engine) Deploy(name string, definition []byte, m *asl.Machine, tasks asl.Tasks) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.machines[name] = &machine{definition, m, tasks, e.cfg.Clock.Now()}
	return e.MachineARN(name)
}

// Announce lets f know every execution's start and end, in order.
func (e *Engine) Announce(f func(Execution)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.announce = append(e.announce, f)
}

// MachineARN names a machine.
func (e *Engine) MachineARN(name string) string {
	return "arn:aws:states:" + e.cfg.Region + ":" + e.cfg.Account + ":stateMachine:" + name
}

var validName = regexp.MustCompile(`^[^\s<>{}\[\]?*"#%\\^|~` + "`" + `$&,;:/\x00-\x1f\x7f-\x9f]{1,80}$`)

// Start starts an execution of the named machine. The same name and input
// while it runs is the same execution; the name stays taken afterwards.
func (e *Engine) Start(machineName, name string, input json.RawMessage) (Execution, error) {
	if !validName.MatchString(name) {
		return Execution{}, ErrName
	}
	if len(input) == 0 {
		input = json.RawMessage("{}")
	}
	if !json.Valid(input) || len(input) > asl.MaxPayload {
		return Execution{}, ErrInput
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	m := e.machines[machineName]
	if m == nil {
		return Execution{}, ErrNoMachine
	}
	arn := "arn:aws:states:" + e.cfg.Region + ":" + e.cfg.Account + ":execution:" + machineName + ":" + name
	if x := e.executions[arn]; x != nil {
		if x.Status == Running && string(x.Input) == string(input) {
			return x.Execution, nil
		}
		return Execution{}, ErrExists
	}
	ctx, stop := context.WithCancelCause(e.ctx)
	x := &execution{Execution: Execution{
		ARN: arn, Name: name, Machine: machineName, MachineARN: e.MachineARN(machineName), Status: Running,
		Input: slices.Clone(input), StartedAt: e.cfg.Clock.Now(),
	}, stop: stop}
	e.executions[arn] = x
	e.order = append(e.order, arn)
	e.tell(x.Execution)
	e.wg.Add(1)
	e.cfg.Clock.Go(func() {
		defer e.wg.Done()
		e.run(ctx, x, m)
	})
	return x.Execution, nil
}

func (e *Engine) run(ctx context.Context, x *execution, m *machine) {
	defer x.done.Open()
	h := fnv.New64a()
	h.Write([]byte(x.Name))
	out, err := m.machine.Run(ctx, asl.Execution{
		ID: x.ARN, Name: x.Name, RoleARN: e.cfg.RoleARN, MachineID: x.MachineARN, MachineName: x.Machine,
		Input: x.Input, Tasks: mortal{m.tasks, e.ctx}, Work: &e.wg, Seed: e.cfg.Seed ^ h.Sum64(), Callbacks: &e.callbacks,
		Observe: e.observe(x), Clock: e.cfg.Clock, Child: e.adopt,
	})
	x.stop(nil)
	e.end(x, out, err)
}

// observe keeps an execution's history.
func (e *Engine) observe(x *execution) func(asl.Event) {
	if e.cfg.Forgetful {
		return nil
	}
	return func(event asl.Event) {
		e.mu.Lock()
		defer e.mu.Unlock()
		x.events = append(x.events, event)
	}
}

// adopt lists a child execution of a distributed Map like any other. It ends
// with its parent, hence nobody can stop it alone.
func (e *Engine) adopt(child asl.Execution) asl.Kin {
	x := &execution{Execution: Execution{
		ARN: child.ID, Name: child.Name, Machine: child.MachineName, MachineARN: child.MachineID, Status: Running,
		Input: child.Input, StartedAt: e.cfg.Clock.Now(),
	}, stop: func(error) {}}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.executions[x.ARN] = x
	e.order = append(e.order, x.ARN)
	e.tell(x.Execution)
	return asl.Kin{Observe: e.observe(x), Ended: func(out json.RawMessage, err error) {
		e.end(x, out, err)
		x.done.Open()
	}}
}

// end notes how an execution ended and announces it.
func (e *Engine) end(x *execution, out json.RawMessage, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	x.StoppedAt, x.Status, x.Output = e.cfg.Clock.Now(), Succeeded, out
	var f *asl.Failure
	switch {
	case errors.As(err, &f):
		x.Status, x.Error, x.Cause, x.Output = Status(f.Status), f.Name, f.Cause, nil
	case err != nil:
		x.Status, x.Error, x.Cause = Failed, asl.Runtime, err.Error()
	}
	if e.ctx.Err() == nil {
		e.tell(x.Execution)
	}
}

// tell announces in order: it holds the lock, hence announcers must not call
// back into the engine.
func (e *Engine) tell(x Execution) {
	for _, f := range e.announce {
		f(x)
	}
}

// mortal ends the context of tasks when the engine closes, and not before: a
// function goes on when its execution is stopped.
type mortal struct {
	asl.Tasks
	life context.Context
}

func (m mortal) Invoke(ctx context.Context, resource string, input json.RawMessage) (json.RawMessage, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(m.life, cancel)()
	return m.Tasks.Invoke(ctx, resource, input)
}

// Stop aborts an execution past every Catch. A task that runs goes on alone.
func (e *Engine) Stop(arn, name, cause string) (Execution, error) {
	e.mu.Lock()
	x := e.executions[arn]
	e.mu.Unlock()
	if x == nil {
		return Execution{}, ErrNoExecution
	}
	x.stop(&asl.Error{Name: name, Cause: cause})
	e.cfg.Clock.Wait(-1, &x.done)
	return e.Describe(arn)
}

// Expire ends an execution as if its machine's time were over.
func (e *Engine) Expire(arn string) error {
	e.mu.Lock()
	x := e.executions[arn]
	e.mu.Unlock()
	if x == nil {
		return ErrNoExecution
	}
	x.stop(asl.Expired)
	e.cfg.Clock.Wait(-1, &x.done)
	return nil
}

// Wait waits for an execution to end.
func (e *Engine) Wait(ctx context.Context, arn string) (Execution, error) {
	e.mu.Lock()
	x := e.executions[arn]
	e.mu.Unlock()
	if x == nil {
		return Execution{}, ErrNoExecution
	}
	var given asl.Gate
	defer context.AfterFunc(ctx, given.Open)()
	if e.cfg.Clock.Wait(-1, &x.done, &given) == 1 {
		return Execution{}, ctx.Err()
	}
	return e.Describe(arn)
}

// Describe returns an execution as it stands.
func (e *Engine) Describe(arn string) (Execution, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if x := e.executions[arn]; x != nil {
		return x.Execution, nil
	}
	return Execution{}, ErrNoExecution
}

// History returns an execution's events so far.
func (e *Engine) History(arn string) ([]asl.Event, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if x := e.executions[arn]; x != nil {
		return slices.Clone(x.events), nil
	}
	return nil, ErrNoExecution
}

// List returns a machine's executions, the newest first; an empty status means
// all.
func (e *Engine) List(machineName string, status Status) ([]Execution, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	name, _, _ := strings.Cut(machineName, "/") // children are listed under the machine and the Map's label
	if e.machines[name] == nil {
		return nil, ErrNoMachine
	}
	var list []Execution
	for _, arn := range slices.Backward(e.order) {
		x := e.executions[arn]
		if x.Machine == machineName && (status == "" || x.Status == status) {
			list = append(list, x.Execution)
		}
	}
	return list, nil
}

// Machine is a deployed machine.
type Machine struct {
	Name, ARN, RoleARN string
	Definition         []byte
	CreatedAt          time.Time
}

// Machines returns the deployed machines by name.
func (e *Engine) Machines() []Machine {
	e.mu.Lock()
	defer e.mu.Unlock()
	var list []Machine
	for name, m := range e.machines {
		list = append(list, Machine{name, e.MachineARN(name), e.cfg.RoleARN, m.definition, m.created})
	}
	slices.SortFunc(list, func(a, b Machine) int { return cmp.Compare(a.Name, b.Name) })
	return list
}
