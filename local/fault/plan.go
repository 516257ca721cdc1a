package fault

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Plan is the faults of one run or of many. The zero Plan and a nil one plan
// nothing. It is safe for concurrent use.
type Plan struct {
	// Lateness is how late Late delivers; default 45 s, after every limit of
	// a command inside the window.
	Lateness time.Duration
	// Slowness is how much later Slow answers; default 3 s.
	Slowness time.Duration
	// Notice is told every fault that happens, when it does; nil: nobody is.
	Notice func(Fault)

	mu      sync.Mutex
	planned []*planned
	hooks   map[Kind]func(context.Context)
	busDown map[string]int
	seen    map[string]int
}

// Fault is one planned fault. N counts from 1 the times its target is reached.
type Fault struct {
	Target string // a step, an API, or STEP/API
	Kind   Kind
	N      int
}

// String is the form that Parse reads.
func (f Fault) String() string {
	if f.N == 1 {
		return f.Target + ":" + string(f.Kind)
	}
	return fmt.Sprintf("%s:%s@%d", f.Target, f.Kind, f.N)
}

type planned struct {
	Fault
	seen int
	hit  bool
}

// Parse reads TARGET:KIND[@N] with a target of STEP, API or STEP/API.
func Parse(text string) (Fault, error) {
	target, rest, ok := strings.Cut(text, ":")
	if !ok {
		return Fault{}, fmt.Errorf("fault %q: want STEP:KIND[@N]", text)
	}
	kind, count, counted := strings.Cut(rest, "@")
	f := Fault{Target: target, Kind: Kind(kind), N: 1}
	if counted {
		n, err := strconv.Atoi(count)
		if err != nil || n < 1 {
			return Fault{}, fmt.Errorf("fault %q: @N counts from 1, got %q", text, count)
		}
		f.N = n
	}
	valid := KindsOf(target)
	if valid == nil {
		return Fault{}, fmt.Errorf("fault %q: %w", text, unknownTarget(target))
	}
	if !slices.Contains(valid, f.Kind) {
		return Fault{}, fmt.Errorf("fault %q: %w", text, unknownKind(target, f.Kind))
	}
	return f, nil
}

// New makes a plan of faults in the form that Parse reads.
func New(texts ...string) (*Plan, error) {
	p := &Plan{}
	for _, text := range texts {
		f, err := Parse(text)
		if err != nil {
			return nil, err
		}
		p.Add(f)
	}
	return p, nil
}

// Add plans one more fault.
func (p *Plan) Add(f Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if f.N == 0 {
		f.N = 1
	}
	p.planned = append(p.planned, &planned{Fault: f})
}

// On registers what a fault of the world does. It is called in the goroutine
// of the invocation or call that fires it, which waits for it.
func (p *Plan) On(kind Kind, do func(context.Context)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.hooks == nil {
		p.hooks = make(map[Kind]func(context.Context))
	}
	p.hooks[kind] = do
}

// Seen counts how often each point was reached: a step, STEP/CALL or
// STEP/OPERATION.
func (p *Plan) Seen() map[string]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.seen)
}

func (p *Plan) see(point string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.seen == nil {
		p.seen = make(map[string]int)
	}
	p.seen[point]++
}

// Hit lists the faults that did happen.
func (p *Plan) Hit() []Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	var did []Fault
	for _, f := range p.planned {
		if f.hit {
			did = append(did, f.Fault)
		}
	}
	return did
}

// Unreached lists the faults that never happened, those of the world for which
// nothing was registered included.
func (p *Plan) Unreached() []Fault {
	if p == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var never []Fault
	for _, f := range p.planned {
		if !f.hit {
			never = append(never, f.Fault)
		}
	}
	return never
}

// reach counts one opportunity for the faults that match and returns the kinds
// that happen now. A fault of the world without a hook does not happen.
func (p *Plan) reach(match func(*planned) bool) []Kind {
	now, hit := p.due(match)
	if p.Notice != nil {
		for _, f := range hit {
			p.Notice(f)
		}
	}
	return now
}

func (p *Plan) due(match func(*planned) bool) (now []Kind, hit []Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range p.planned {
		if !match(f) {
			continue
		}
		f.seen++
		if f.seen != f.N || (isHook(f.Kind) && p.hooks[f.Kind] == nil) {
			continue
		}
		f.hit = true
		now, hit = append(now, f.Kind), append(hit, f.Fault)
	}
	return now, hit
}

func isHook(k Kind) bool { return slices.Contains(ofWorld, k) && k != BusDown }

// fire calls the hooks among the kinds.
func (p *Plan) fire(ctx context.Context, kinds []Kind) {
	for _, k := range kinds {
		p.mu.Lock()
		do := p.hooks[k]
		p.mu.Unlock()
		if do != nil && isHook(k) {
			do(ctx)
		}
	}
}

func (p *Plan) lateness() time.Duration { return orDefault(p.Lateness, 45*time.Second) }
func (p *Plan) slowness() time.Duration { return orDefault(p.Slowness, 3*time.Second) }

func orDefault(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}

type stepKey struct{}

// WithStep notes in the context which step acts, for calls made in process.
func WithStep(ctx context.Context, step string) context.Context {
	return context.WithValue(ctx, stepKey{}, step)
}

// StepOf returns the step that WithStep noted, "" for none.
func StepOf(ctx context.Context) string {
	step, _ := ctx.Value(stepKey{}).(string)
	return step
}
