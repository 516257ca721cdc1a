package sim

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/quiesce/quiesce/guest/application"
	"github.com/quiesce/quiesce/guest/session"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/protocol"
)

// process is the helper's daemon: the machine as seen by one process, which
// can be killed while the machine goes on.
type process struct {
	*Machine
	dead chan struct{}

	mu       sync.Mutex
	held     []*held
	sessions []dropper      // on servers, which end with the process
	run      string         // whose session is open, or was the last one
	phase    protocol.Phase // of that, as it was last saved
	keeper   bool           // this is the one that comes after a dead one
}

// dropper is a connection to a server.
type dropper interface{ Drop() }

var _ session.Host = (*process)(nil)

func (p *process) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.dead)
	for _, v := range p.held {
		v.end()
	}
	for _, s := range p.sessions {
		s.Drop()
	}
}

var (
	errRefused = errors.New("input/output error")
	errDead    = errors.New("the process is dead")
)

// op is one operation of the helper: it may be refused, take long, or be the
// last thing that the process does.
func (p *process) op(ctx context.Context, step, operation string) error {
	p.alive()
	refused, stall := p.disturb(step, operation)
	p.alive()
	if stall > 0 && !wait(ctx, stall) {
		p.alive()
		return ctx.Err()
	}
	p.alive()
	if refused {
		return errRefused
	}
	return nil
}

// step is the one whose work the session is at.
func (p *process) step() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch p.phase {
	case "":
		return "precheck"
	case protocol.Opening, protocol.Quiescing:
		return "run-prescript"
	case protocol.Quiesced, protocol.Freezing:
		return "freeze"
	}
	return "thaw"
}

// alive stops the goroutine of a dead process where it stands.
func (p *process) alive() {
	select {
	case <-p.dead:
		runtime.Goexit()
	default:
	}
}

// Stamp reads both clocks, also for the dead: who reads them may hold a lock that
// the other threads of his process would wait for.
func (p *process) Stamp() protocol.Stamp { return p.stamp() }

// BootID names this boot.
func (p *process) BootID() string { return p.boot }

// Survey lists the mounted filesystems and looks for the scripts.
func (p *process) Survey(ctx context.Context, req protocol.DryRunRequest) (protocol.DryRunReply, error) {
	if err := p.op(ctx, p.step(), "survey"); err != nil {
		return protocol.DryRunReply{}, fault.Wrap(fault.Internal, err, "looking at the machine")
	}
	seen := protocol.DryRunReply{Hostname: "simulated", Kernel: "simulated", BootID: p.boot, Mounts: p.Mounted()}
	p.Machine.mu.Lock()
	defer p.Machine.mu.Unlock()
	if req.Discover {
		seen.Found = slices.Clone(p.servers)
	}
	for i, s := range req.Scripts {
		if p.scripts[s] == nil {
			return seen, &fault.Error{Code: fault.ScriptUnsafe, Field: fmt.Sprintf("scripts[%d]", i), Message: s + " does not exist"}
		}
	}
	return seen, nil
}

// Mounted are the machine's filesystems, as the helper resolves them.
func (m *Machine) Mounted() []protocol.Mount {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := []protocol.Mount{}
	for _, at := range slices.Sorted(maps.Keys(m.filesystems)) {
		f := m.filesystems[at]
		on := protocol.Mount{Mount: at, Device: f.number, Type: f.disk.image.kind, Depth: f.depth(),
			Disks: []protocol.Disk{{Name: path.Base(f.disk.device), Serial: f.disk.serial()}}}
		if f.on != nil {
			on.On = f.on.mount
		}
		list = append(list, on)
	}
	return list
}

func (f *filesystem) depth() int {
	n := 0
	for on := f.on; on != nil; on = on.on {
		n++
	}
	return n
}

// RunScript runs one of the machine's scripts.
func (p *process) RunScript(ctx context.Context, s session.Script) (protocol.ScriptResult, error) {
	p.alive()
	p.Machine.mu.Lock()
	do := p.scripts[s.Path]
	p.Machine.mu.Unlock()
	res := protocol.ScriptResult{Path: s.Path, ExitCode: -1}
	if do == nil {
		return res, fault.New(fault.ScriptUnsafe, "%s does not exist", s.Path)
	}
	began := time.Now()
	limited, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	step := map[string]string{"pre": "run-prescript", "post": "thaw"}[s.Stage]
	err := p.op(limited, step, "script")
	if err == nil {
		if err = do(limited, s); err == nil {
			err = p.op(limited, step, "scripted")
		}
	}
	p.alive()
	p.tell(Event{Kind: Scripted, Run: s.Run, Text: fmt.Sprintf("%s-script ended: %v", s.Stage, err)})
	res.Ms = float64(time.Since(began)) / float64(time.Millisecond)
	var known *fault.Error
	switch {
	case err == nil:
		res.ExitCode = 0
	case errors.As(err, &known):
		res.ExitCode = 1
	case limited.Err() != nil && ctx.Err() == nil:
		res.TimedOut = true
		err = fault.New(fault.ScriptTimedOut, "%s did not end in %v", s.Path, s.Timeout)
	default:
		res.ExitCode = 1
		err = fault.Wrap(fault.ScriptFailed, err, "%s", s.Path)
	}
	return res, err
}

// Application makes the adapter of a kind that the machine was given.
func (p *process) Application(app protocol.Application, journal application.Journal) (application.Adapter, error) {
	p.alive()
	a, err := application.Make(p.config.Applications, app, journal)
	if err != nil {
		return nil, err
	}
	if d, ok := a.(dropper); ok {
		p.mu.Lock()
		p.sessions = append(p.sessions, d)
		p.mu.Unlock()
	}
	return &disturbed{a, p}, nil
}

// disturbed is an adapter to which the operations of a server's hold happen.
type disturbed struct {
	application.Adapter
	p *process
}

func (d *disturbed) Quiesce(ctx context.Context) (application.Held, error) {
	if err := d.p.op(ctx, "run-prescript", "quiesce"); err != nil {
		return application.Held{}, fault.Wrap(fault.ApplicationRefused, err, "asking the server")
	}
	held, err := d.Adapter.Quiesce(ctx)
	d.p.alive()
	return held, err
}

func (d *disturbed) StillHeld(ctx context.Context) error {
	if err := d.p.op(ctx, "thaw", "still-held"); err != nil {
		return fault.Wrap(fault.HoldLost, err, "asking the server")
	}
	return d.Adapter.StillHeld(ctx)
}

func (d *disturbed) Release(ctx context.Context) (map[string]string, error) {
	if err := d.p.op(ctx, "thaw", "release"); err != nil {
		return nil, fault.Wrap(fault.ApplicationRefused, err, "asking the server")
	}
	return d.Adapter.Release(ctx)
}

func (d *disturbed) Undo(ctx context.Context, journal []byte) error {
	if err := d.p.op(ctx, "thaw", "undo"); err != nil {
		return fault.Wrap(fault.ApplicationRefused, err, "asking the server")
	}
	return d.Adapter.Undo(ctx, journal)
}

// Open readies the filesystems for a freeze.
func (p *process) Open(ctx context.Context, run string, want []protocol.Filesystem, _ bool) ([]session.Volume, error) {
	if err := p.op(ctx, "freeze", "open"); err != nil {
		return nil, fault.Wrap(fault.FreezeRefused, err, "opening the filesystems")
	}
	var opened []*held
	for _, w := range want {
		f, err := p.at(w.Mount)
		if err != nil || f.number != w.Device {
			return nil, &fault.Error{Code: fault.FreezeRefused, Field: w.Mount, Message: "is not device " + w.Device}
		}
		p.Machine.mu.Lock()
		about := session.About{Mount: w.Mount, Device: w.Device, Type: f.disk.image.kind, Depth: f.depth()}
		delete(p.guardThaws, mark(run, w.Device))
		p.Machine.mu.Unlock()
		opened = append(opened, &held{p: p, f: f, run: run, about: about,
			signs: make(chan session.Sign, 4), off: make(chan struct{}), shot: make(chan struct{}), over: make(chan struct{}), seen: -1})
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held = append(p.held, opened...)
	p.Machine.mu.Lock()
	p.guards = append(p.guards, opened...)
	p.Machine.mu.Unlock()
	volumes := make([]session.Volume, len(opened))
	for i, v := range opened {
		volumes[i] = v
	}
	return volumes, nil
}

func mark(run, device string) string { return run + "/" + device }

// Rescue thaws what a dead process of the run left frozen.
func (p *process) Rescue(ctx context.Context, run string, fs protocol.Filesystem) (session.Thawed, error) {
	// Whoever asked waits for an answer here: it is the next call that ends him.
	refused, stall := p.disturb("thaw", "rescue")
	select {
	case <-p.dead:
		return session.Thawed{}, errDead
	default:
	}
	if stall > 0 && !wait(ctx, stall) {
		return session.Thawed{}, ctx.Err()
	}
	if refused {
		return session.Thawed{}, errRefused
	}
	f, err := p.at(fs.Mount)
	if err != nil || f.number != fs.Device {
		return session.Thawed{}, nil // unmounted: there is nothing to thaw
	}
	began := p.stamp()
	if err := f.until(ctx, func() bool { return !f.freezing }); err != nil {
		return session.Thawed{}, err
	}
	ours := f.frozen && f.owner == run
	byGuard, fired := p.guardThaws[mark(run, fs.Device)]
	p.Machine.mu.Unlock()
	switch {
	case fired:
		return byGuard, nil
	case !ours:
		return session.Thawed{Span: session.Span{Began: began, Ended: p.stamp()}}, nil
	}
	err = f.thaw(ctx, "whoever recovers "+run)
	return session.Thawed{Span: session.Span{Began: began, Ended: p.stamp()}, WasFrozen: err == nil}, notFrozen(err)
}

const keptRecords = 16

// Records are the runs' records, newest first.
func (p *process) Records() ([]session.Record, error) {
	p.alive()
	p.Machine.mu.Lock()
	defer p.Machine.mu.Unlock()
	return p.readRecords()
}

func (m *Machine) readRecords() ([]session.Record, error) {
	var out []session.Record
	for _, raw := range m.records {
		var r session.Record
		if err := json.Unmarshal(raw, &r); err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b session.Record) int {
		return cmp.Or(cmp.Compare(b.OpenedAt.Mono, a.OpenedAt.Mono), strings.Compare(a.RunID, b.RunID))
	})
	return out, nil
}

// Save replaces the record of its run.
func (p *process) Save(r session.Record) error {
	p.mu.Lock()
	if r.RunID == p.run || p.run == "" || r.Evidence.Phase == protocol.Opening { // what is kept of a thaw that came too early is no session
		p.run, p.phase = r.RunID, r.Evidence.Phase
	}
	p.mu.Unlock()
	if err := p.op(context.Background(), p.step(), "save"); err != nil {
		return err
	}
	raw, err := json.Marshal(r)
	if err != nil {
		return err
	}
	p.Machine.mu.Lock()
	defer p.Machine.mu.Unlock()
	if p.full {
		return syscall.ENOSPC
	}
	p.records[r.RunID] = raw
	if len(p.records) <= keptRecords {
		return nil
	}
	all, err := p.readRecords()
	if err != nil {
		return err
	}
	delete(p.records, all[len(all)-1].RunID)
	return nil
}
