// Package sim is a machine in memory: filesystems that freeze as Linux freezes
// them, disks that hold what was flushed, a ledger that writes on them, and an
// agent that runs the real helper's state machine. It waits on package time
// alone, so that it runs in real time and inside a testing/synctest bubble.
package sim

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/quiesce/quiesce/guest/application"
	"github.com/quiesce/quiesce/guest/session"
	"github.com/quiesce/quiesce/local/instance"
	"github.com/quiesce/quiesce/shared/protocol"
)

// Config of a machine. The zero value is one with the timings that were
// measured on Linux.
type Config struct {
	Seed    uint64           // every chance is drawn from it
	Arch    string           // empty means amd64
	Start   time.Duration    // of a command by the agent; 0 means 5 ms
	Options session.Options  // of the helper
	Clock   func() time.Time // the wall clock; nil means time.Now

	Applications map[string]application.New // what can be quiesced besides scripts, by kind

	// Observe is told what happens, in order. It must not call back.
	Observe func(Event)
	// Disturb is asked before each operation of the helper whether it is
	// refused, and how much longer it takes; it may do anything to the machine.
	Disturb func(step, operation string) (refused bool, stall time.Duration)
}

// Machine is a simulated instance with its disks; it implements
// instance.Machine and instance.Disks. Make it inside the bubble it runs in.
type Machine struct {
	config Config
	began  time.Time
	boot   string

	mu          sync.Mutex // never held while anything waits
	volumes     map[string]*volume
	snapshots   map[string]image
	filesystems map[string]*filesystem // by mount point
	attached    int
	records     map[string][]byte
	guardThaws  map[string]session.Thawed // by run and device
	scripts     map[string]func(context.Context, session.Script) error
	documents   map[string]Document
	servers     []protocol.Found
	process     *process
	helper      *session.Helper
	stops       []func()
	guards      []*held // of whatever process, dead ones too
	databases   []*Database
	closed      bool
	full        bool // there is no room for records
	off         bool // it has no power, or is being taken away
	boots       int
	recovering  chan struct{}             // held by the one that works on copies
	recovered   map[string]protocol.Reply // by run
	kept        map[string][]string       // and where its copies are mounted
	used        map[string]bool           // places at which somebody is at work
}

var (
	_ instance.Machine = (*Machine)(nil)
	_ instance.Disks   = (*Machine)(nil)
)

// New makes a machine that has just booted.
func New(config Config) *Machine {
	if config.Arch == "" {
		config.Arch = "amd64"
	}
	if config.Start == 0 {
		config.Start = 5 * time.Millisecond
	}
	if config.Clock == nil {
		config.Clock = time.Now
	}
	return &Machine{
		config: config, began: time.Now(), boot: "simulated-0",
		volumes: map[string]*volume{}, snapshots: map[string]image{}, filesystems: map[string]*filesystem{},
		records: map[string][]byte{}, guardThaws: map[string]session.Thawed{},
		scripts: map[string]func(context.Context, session.Script) error{}, documents: map[string]Document{},
		recovering: make(chan struct{}, 1), recovered: map[string]protocol.Reply{}, kept: map[string][]string{}, used: map[string]bool{},
	}
}

// Document is what a user's command document does here: told its parameters, it
// ends early when its context does, and returns its exit code.
type Document func(ctx context.Context, parameters map[string]string) int

// Document puts what a document does on the machine, by the document's name.
func (m *Machine) Document(name string, do Document) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.documents[name] = do
}

// Clock reads the machine's clocks: nanoseconds since it booted, and the wall.
func (m *Machine) Clock() (int64, time.Time) {
	return int64(time.Second) + int64(time.Since(m.began)), m.config.Clock()
}

func (m *Machine) stamp() protocol.Stamp {
	mono, wall := m.Clock()
	return protocol.Stamp{Mono: mono, Wall: wall}
}

// dice are a stream of chance of their own for each name, so that what happens
// on one filesystem does not change what happens on another.
func (m *Machine) dice(name string) *rand.Rand {
	h := fnv.New64a()
	h.Write([]byte(name))
	return rand.New(rand.NewPCG(m.config.Seed, h.Sum64()))
}

// Arch is amd64 or arm64.
func (m *Machine) Arch() string { return m.config.Arch }

// Script puts a script on the machine. It ends early when its context does; a
// *fault.Error is passed on, any other error is the script's failure.
func (m *Machine) Script(path string, do func(context.Context, session.Script) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.scripts[path] = do
}

// Serve has the kernel show these servers, from now on.
func (m *Machine) Serve(servers ...protocol.Found) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.servers = servers
}

// Run runs a script as a program on the machine does that is not the helper;
// found tells whether there is one.
func (m *Machine) Run(ctx context.Context, path string) (exitCode int, found bool) {
	m.mu.Lock()
	do := m.scripts[path]
	m.mu.Unlock()
	if do == nil {
		return 127, false
	}
	if err := do(ctx, session.Script{Path: path}); err != nil {
		return 1, true
	}
	return 0, true
}

// Has tells whether there is a script.
func (m *Machine) Has(path string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.scripts[path] != nil
}

// Execute runs the helper's document: Verb, and Request as base64 of a
// protocol.Request; or what was put in a user's document's place. There is no
// shell for anything else.
func (m *Machine) Execute(ctx context.Context, cmd instance.Command) instance.Result {
	if !wait(ctx, m.config.Start) {
		return instance.Result{ExitCode: 137}
	}
	m.mu.Lock()
	theirs := m.documents[cmd.Document]
	m.mu.Unlock()
	if theirs != nil {
		code := theirs(ctx, cmd.Parameters)
		if ctx.Err() != nil {
			code = 137
		}
		return instance.Result{ExitCode: code}
	}
	encoded, ours := cmd.Parameters["Request"]
	if !ours {
		return instance.Result{ExitCode: 127, Stderr: []byte("a simulated machine has no shell\n")}
	}
	raw, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return refuse(err)
	}
	var req protocol.Request
	if err := json.Unmarshal(raw, &req); err != nil {
		return refuse(err)
	}
	if verb := cmd.Parameters["Verb"]; verb != string(req.Verb) {
		return refuse(fmt.Errorf("the command says %q and its request %q", verb, req.Verb))
	}
	m.tell(Event{Kind: Told, Run: req.RunID, Text: string(req.Verb)})
	answered := make(chan protocol.Reply, 1)
	p, helper := m.current()
	if p == nil {
		return instance.Result{ExitCode: -1}
	}
	go func() { // which ends with its process
		if req.Verb == protocol.Recover || req.Verb == protocol.Unmount {
			answered <- m.recovery(ctx, req)
			return
		}
		answered <- helper.Handle(ctx, req)
	}()
	select {
	case r := <-answered:
		m.tell(Event{Kind: Answered, Run: req.RunID, Text: string(req.Verb) + ": " + said(r)})
		out, err := json.Marshal(r)
		if err != nil {
			return refuse(err)
		}
		return instance.Result{ExitCode: session.ExitCode(r), Stdout: append(out, '\n')}
	case <-ctx.Done():
	case <-p.dead:
	}
	return instance.Result{ExitCode: 137}
}

// said is a reply in a few words.
func said(r protocol.Reply) string {
	text := "done"
	if r.Error != nil {
		text = string(r.Error.Code)
	}
	if r.Evidence != nil {
		text += ", " + string(r.Evidence.Phase)
	}
	if r.Replayed {
		text += ", replayed"
	}
	return text
}

func refuse(err error) instance.Result {
	return instance.Result{ExitCode: session.ExitFailed, Stderr: []byte(err.Error() + "\n")}
}

// current is the helper's process, a new one if there is none.
func (m *Machine) current() (*process, *session.Helper) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.start(false)
}

// start is under the lock.
func (m *Machine) start(keeper bool) (*process, *session.Helper) {
	if m.off {
		return nil, nil
	}
	if m.process == nil {
		m.process = &process{Machine: m, dead: make(chan struct{}), keeper: keeper}
		m.helper = session.New(m.process, m.config.Options)
	}
	return m.process, m.helper
}

// wait waits and reports whether ctx let it.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
