package session

import (
	"context"
	"encoding/json"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/quiesce/quiesce/guest/application"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/protocol"
)

// machine is a Host in memory. Its filesystems outlive the processes that use
// them; a process is a generation of handles, and dies by kill.
type machine struct {
	mu      sync.Mutex
	boot    string
	began   time.Time
	disks   map[string]*disk // by mount
	records map[string][]byte
	order   []string // freezes, thaws and scripts as they happened
	scripts map[string]func() (int, time.Duration)
	saveErr error
	apps    map[string]application.New
	found   []protocol.Found
}

// disk is one filesystem as the kernel knows it.
type disk struct {
	depth      int
	readOnly   bool
	dirty      int64
	frozen     bool
	thaws      int           // how often it was thawed, for tripwires
	takes      time.Duration // the freeze call's
	freezeErr  error
	thawErr    error
	armErr     error
	refused    string
	calling    bool
	noTripwire bool
}

func newMachine(mounts ...string) *machine {
	m := &machine{boot: "boot-1", began: time.Now(), disks: map[string]*disk{}, records: map[string][]byte{}, scripts: map[string]func() (int, time.Duration){}}
	for _, p := range mounts {
		m.disks[p] = &disk{takes: 40 * time.Millisecond}
	}
	return m
}

func (m *machine) log(what string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.order = append(m.order, what)
}

func (m *machine) history() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.order)
}

func (m *machine) isFrozen(mount string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.disks[mount].frozen
}

// foreignThaw is what somebody else does with fsfreeze -u.
func (m *machine) foreignThaw(mount string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.disks[mount].frozen = false
	m.disks[mount].thaws++
}

func (m *machine) foreignFreeze(mount string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.disks[mount].frozen = true
}

func (m *machine) stamp() protocol.Stamp {
	return protocol.Stamp{Mono: 1 + int64(time.Since(m.began)), Wall: time.Now()}
}

// process is one helper process's view of the machine.
type process struct {
	*machine
	dead chan struct{}
	mu   sync.Mutex
	vols []*memVolume
}

func (m *machine) process() *process { return &process{machine: m, dead: make(chan struct{})} }

// kill ends the process as SIGKILL would: nothing it was doing goes on, and
// its guards notice.
func (p *process) kill() {
	close(p.dead)
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, v := range p.vols {
		v.end()
	}
}

// alive stops the goroutine of a dead process where it stands.
func (p *process) alive() {
	select {
	case <-p.dead:
		runtime.Goexit()
	default:
	}
}

func (p *process) sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		p.alive()
		return nil
	case <-p.dead:
		runtime.Goexit()
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *process) Stamp() protocol.Stamp { p.alive(); return p.stamp() }
func (p *process) BootID() string        { return p.boot }

func (p *process) Survey(context.Context, protocol.DryRunRequest) (protocol.DryRunReply, error) {
	return protocol.DryRunReply{Hostname: "sim", BootID: p.boot, Found: slices.Clone(p.found)}, nil
}

func (p *process) RunScript(ctx context.Context, s Script) (protocol.ScriptResult, error) {
	p.alive()
	p.log(s.Stage)
	code, takes := 0, 10*time.Millisecond
	if f := p.scripts[s.Stage]; f != nil {
		code, takes = f()
	}
	if takes > s.Timeout {
		if err := p.sleep(ctx, s.Timeout); err != nil {
			return protocol.ScriptResult{ExitCode: -1}, fault.New(fault.ScriptFailed, "stopped")
		}
		return protocol.ScriptResult{ExitCode: -1, TimedOut: true}, fault.New(fault.ScriptTimedOut, "too slow")
	}
	if err := p.sleep(ctx, takes); err != nil {
		return protocol.ScriptResult{ExitCode: -1}, fault.New(fault.ScriptFailed, "stopped")
	}
	if code != 0 {
		return protocol.ScriptResult{ExitCode: code}, fault.New(fault.ScriptFailed, "exit %d", code)
	}
	return protocol.ScriptResult{}, nil
}

func (p *process) Application(app protocol.Application, journal application.Journal) (application.Adapter, error) {
	p.alive()
	return application.Make(p.apps, app, journal)
}

func (p *process) Open(_ context.Context, _ string, want []protocol.Filesystem, _ bool) ([]Volume, error) {
	p.alive()
	var out []Volume
	for _, w := range want {
		d := p.disks[w.Mount]
		if d == nil || d.refused != "" {
			return nil, &fault.Error{Code: fault.FreezeRefused, Field: w.Mount, Message: "refused"}
		}
		v := &memVolume{p: p, d: d, about: About{Mount: w.Mount, Device: w.Device, Type: "mem", ReadOnly: d.readOnly, Depth: d.depth},
			signs: make(chan Sign, 4), off: make(chan struct{}), dead: make(chan struct{})}
		p.mu.Lock()
		p.vols = append(p.vols, v)
		p.mu.Unlock()
		out = append(out, v)
	}
	return out, nil
}

func (p *process) Rescue(ctx context.Context, _ string, fs protocol.Filesystem) (Thawed, error) {
	p.alive()
	return p.thaw(ctx, fs.Mount, p.disks[fs.Mount], "rescue")
}

func (p *process) Records() ([]Record, error) {
	p.alive()
	p.machine.mu.Lock()
	defer p.machine.mu.Unlock()
	var out []Record
	for _, raw := range p.records {
		var r Record
		if err := json.Unmarshal(raw, &r); err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b Record) int { return b.OpenedAt.Wall.Compare(a.OpenedAt.Wall) })
	return out, nil
}

func (p *process) Save(r Record) error {
	p.alive()
	if p.saveErr != nil {
		return p.saveErr
	}
	raw, err := json.Marshal(r)
	if err != nil {
		return err
	}
	p.machine.mu.Lock()
	defer p.machine.mu.Unlock()
	p.records[r.RunID] = raw
	return nil
}

// thaw is the kernel's thaw, past a freeze call in progress.
func (p *process) thaw(ctx context.Context, mount string, d *disk, who string) (Thawed, error) {
	began := p.stamp()
	for {
		p.machine.mu.Lock()
		switch {
		case d.thawErr != nil:
			p.machine.mu.Unlock()
			return Thawed{}, d.thawErr
		case !d.calling:
			was := d.frozen
			d.frozen = false
			if was {
				d.thaws++
				p.order = append(p.order, who+" "+mount)
			}
			p.machine.mu.Unlock()
			return Thawed{Span: Span{began, p.stamp()}, WasFrozen: was}, nil
		}
		p.machine.mu.Unlock()
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return Thawed{}, ctx.Err()
		}
	}
}

// memVolume is a guard and a witness without processes.
type memVolume struct {
	p         *process
	d         *disk
	about     About
	signs     chan Sign
	off, dead chan struct{} // disarmed; the guard was killed
	mu        sync.Mutex
	closed    bool
	wired     bool
	seen      int // thaws when the tripwire was seen blocked
	result    *Thawed
}

func (v *memVolume) About() About       { v.p.alive(); return v.about }
func (v *memVolume) Signs() <-chan Sign { return v.signs }

func (v *memVolume) Flush(ctx context.Context) (int64, error) {
	n := v.d.dirty
	v.d.dirty /= 10
	return n, v.p.sleep(ctx, time.Duration(n)*time.Nanosecond)
}

func (v *memVolume) Arm(_ context.Context, deadline protocol.Stamp) error {
	v.p.alive()
	if v.d.armErr != nil {
		return v.d.armErr
	}
	left := time.Duration(deadline.Mono - v.p.stamp().Mono)
	go func() {
		t := time.NewTimer(left)
		defer t.Stop()
		why := "guard"
		select {
		case <-t.C:
		case <-v.p.dead:
			why = "orphan"
		case <-v.dead:
			v.send(Sign{Kind: GuardDied, At: v.p.stamp()})
			return
		case <-v.off:
			return
		}
		res, err := v.p.thaw(context.Background(), v.about.Mount, v.d, why)
		if err == nil {
			res.ByGuard = true
			v.send(Sign{Kind: GuardFired, At: res.Began, Thaw: &res})
		}
	}()
	return nil
}

func (v *memVolume) send(s Sign) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closed {
		return
	}
	select {
	case v.signs <- s:
	default:
	}
}

func (v *memVolume) end() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.closed {
		v.closed = true
		close(v.signs)
	}
}

func (v *memVolume) Freeze(ctx context.Context) (Span, error) {
	v.p.alive()
	began := v.p.stamp()
	v.p.machine.mu.Lock()
	if v.d.frozen {
		v.p.machine.mu.Unlock()
		return Span{}, &fault.Error{Code: fault.ForeignFreeze, Field: v.about.Mount}
	}
	if v.d.freezeErr != nil {
		v.p.machine.mu.Unlock()
		return Span{}, v.d.freezeErr
	}
	v.d.calling = true
	v.p.machine.mu.Unlock()
	done := make(chan struct{})
	go func() { // the kernel's: it goes on whoever dies
		time.Sleep(v.d.takes)
		v.p.machine.mu.Lock()
		v.d.frozen, v.d.calling = true, false
		v.p.order = append(v.p.order, "freeze "+v.about.Mount)
		v.p.machine.mu.Unlock()
		close(done)
	}()
	select {
	case <-done:
		v.p.alive()
		return Span{began, v.p.stamp()}, nil
	case <-ctx.Done():
		return Span{}, ctx.Err()
	case <-v.p.dead:
		runtime.Goexit()
		return Span{}, nil
	}
}

func (v *memVolume) Blocked(ctx context.Context) (protocol.Stamp, error) {
	v.p.alive()
	if v.d.noTripwire {
		<-ctx.Done()
		return protocol.Stamp{}, ctx.Err()
	}
	v.p.machine.mu.Lock()
	v.seen, v.wired = v.d.thaws, true
	v.p.machine.mu.Unlock()
	go func() { // the tripwire
		for {
			select {
			case <-time.After(time.Millisecond):
			case <-v.off:
				return
			case <-v.p.dead:
				return
			}
			if !v.Held() {
				v.send(Sign{Kind: Tripped, At: v.p.stamp()})
				return
			}
		}
	}()
	return v.p.stamp(), v.p.sleep(ctx, time.Millisecond)
}

func (v *memVolume) Held() bool {
	v.p.machine.mu.Lock()
	defer v.p.machine.mu.Unlock()
	return v.d.frozen && v.d.thaws == v.seen
}

func (v *memVolume) Thaw(ctx context.Context) (Thawed, error) {
	v.p.alive()
	if v.result != nil {
		return *v.result, nil
	}
	v.p.machine.mu.Lock()
	tripped := v.wired && v.d.thaws != v.seen
	v.p.machine.mu.Unlock()
	if tripped {
		return Thawed{Span: Span{v.p.stamp(), v.p.stamp()}}, nil
	}
	t, err := v.p.thaw(ctx, v.about.Mount, v.d, "thaw")
	if err == nil {
		v.result = &t
	}
	return t, err
}

func (v *memVolume) Close() {
	v.p.alive()
	select {
	case <-v.off:
	default:
		close(v.off)
	}
	v.end()
}
