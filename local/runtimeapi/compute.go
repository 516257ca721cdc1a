package runtimeapi

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// Error types of Function Compute, as a flow is told them. The first covers a
// process that died and one that was killed at its timeout: they are not told
// apart.
const (
	Unhandled = "FC.Unknown"
	NotFound  = "FC.FunctionNotFound"
)

// Secrets are what one invocation may sign its calls with.
type Secrets struct{ ID, Secret, Token string }

// ComputeConfig is a host of functions that share one deployable binary.
type ComputeConfig struct {
	Binary      string
	Functions   map[string]Function // Handler defaults to main, the binary's own name
	Concurrency int                 // invocations that one process takes at once; default 1
	Region      string              // default cn-hangzhou
	Account     string              // default 1234567890123456

	// Secrets is asked before every invocation; nil: fixed ones.
	Secrets func() Secrets
	// Log gets every line that a function writes; nil drops them.
	Log func(function string, line []byte)
	// Init is how long a process may take to its first poll; default 10 s.
	Init time.Duration
}

// Compute runs functions as Function Compute does: in processes that poll for
// the next invocation while they still work on others.
type Compute struct {
	cfg ComputeConfig
	pool[*worker]
}

// NewCompute makes a host; processes start when they are first needed.
func NewCompute(cfg ComputeConfig) *Compute {
	cfg.Region = cmp.Or(cfg.Region, "cn-hangzhou")
	cfg.Account = cmp.Or(cfg.Account, "1234567890123456")
	cfg.Concurrency = cmp.Or(cfg.Concurrency, 1)
	cfg.Init = cmp.Or(cfg.Init, 10*time.Second)
	if cfg.Secrets == nil {
		cfg.Secrets = func() Secrets { return Secrets{"LTAI-local", "local", "local-token"} }
	}
	if cfg.Log == nil {
		cfg.Log = func(string, []byte) {}
	}
	return &Compute{cfg: cfg}
}

// Invoke runs a function in a process that has room or in a new one.
func (c *Compute) Invoke(ctx context.Context, function string, payload json.RawMessage) (json.RawMessage, error) {
	f, ok := c.cfg.Functions[function]
	if !ok {
		return nil, &Failed{Type: NotFound, Message: fmt.Sprintf("function '%s' does not exist", function)}
	}
	f.Timeout = cmp.Or(f.Timeout, 3*time.Second)
	f.Handler = cmp.Or(f.Handler, "main")
	choose := func() *worker { return c.roomy(function) }
	return c.invoke(ctx, payload, choose, func(w *worker, inv *invocation) { c.run(function, f, w, inv) })
}

// roomy takes a place in a process; the caller holds the lock.
func (c *Compute) roomy(function string) *worker {
	for _, w := range c.up {
		if w.function == function && w.load < c.cfg.Concurrency {
			w.load++
			return w
		}
	}
	return nil
}

// run carries one invocation to its end, whoever still waits for it.
func (c *Compute) run(function string, f Function, w *worker, inv *invocation) {
	record := begin(function, inv)
	defer func() {
		c.note(record, inv)
		if w != nil {
			c.mu.Lock()
			w.load--
			c.mu.Unlock()
		}
	}()
	if w == nil {
		if w, inv.err = c.spawn(function, f); inv.err != nil {
			return
		}
	}
	if inv.err = w.started(c.cfg.Init); inv.err != nil {
		w.kill()
		return
	}
	if inv.cold {
		record.Init = time.Since(record.At)
	}
	began := time.Now()
	inv.output, inv.err = w.serve(inv, f)
	record.Duration = time.Since(began)
}
