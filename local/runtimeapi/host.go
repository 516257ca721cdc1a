package runtimeapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Function is how one function is configured.
type Function struct {
	Handler     string        // _HANDLER; default the function's name
	Timeout     time.Duration // default 3 s, as Lambda's
	MemoryMB    int           // default 128; told to the process, not enforced
	Environment []string      // NAME=value
}

// Config is a host of functions that share one deployable binary.
type Config struct {
	Binary    string
	Functions map[string]Function
	Region    string // default eu-central-1
	Account   string // default 123456789012

	// Log gets every line that a function writes; nil drops them.
	Log func(function string, line []byte)
	// Init is how long a process may take to its first poll; default 10 s.
	Init time.Duration
}

// Record is one invocation as a benchmark wants to know it.
type Record struct {
	Function  string
	RequestID string
	At        time.Time
	Cold      bool
	Init      time.Duration // from the spawn to the first poll, of a cold start
	Duration  time.Duration // from the invocation to its answer, without Init
	Error     string        // the error's type
}

// Host runs functions in processes of their own: one that is idle is used
// again, a busy one is joined by another.
type Host struct {
	cfg Config

	mu        sync.Mutex
	closed    bool
	sandboxes []*sandbox
	records   []Record
	serial    int
	wg        sync.WaitGroup
}

// New makes a host; processes start when they are first needed.
func New(cfg Config) *Host {
	if cfg.Region == "" {
		cfg.Region = "eu-central-1"
	}
	if cfg.Account == "" {
		cfg.Account = "123456789012"
	}
	if cfg.Init == 0 {
		cfg.Init = 10 * time.Second
	}
	if cfg.Log == nil {
		cfg.Log = func(string, []byte) {}
	}
	return &Host{cfg: cfg}
}

// Close kills every process that the host has started and waits for them.
func (h *Host) Close() {
	h.mu.Lock()
	h.closed = true
	all := slices.Clone(h.sandboxes)
	h.mu.Unlock()
	for _, s := range all {
		s.kill()
	}
	h.wg.Wait()
}

// Invocations returns every invocation that has ended so far.
func (h *Host) Invocations() []Record {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.records)
}

// Processes counts the processes that are up, by function.
func (h *Host) Processes() map[string]int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := make(map[string]int)
	for _, s := range h.sandboxes {
		n[s.function]++
	}
	return n
}

var errClosed = errors.New("the host of the functions is closed")

// Invoke runs a function in an idle process or a new one.
func (h *Host) Invoke(ctx context.Context, function string, payload json.RawMessage) (json.RawMessage, error) {
	f, ok := h.cfg.Functions[function]
	if !ok {
		return nil, &Failed{Type: "Lambda.ResourceNotFoundException", Message: "Function not found: " + h.arn(function)}
	}
	if f.Timeout == 0 {
		f.Timeout = 3 * time.Second
	}
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		return nil, errClosed
	}
	h.serial++
	inv := &invocation{id: requestID(h.serial), payload: payload, done: make(chan struct{})}
	s := h.idle(function)
	inv.cold = s == nil
	h.wg.Add(1)
	h.mu.Unlock()

	go func() {
		defer h.wg.Done()
		h.run(function, f, s, inv)
		close(inv.done)
	}()
	select {
	case <-inv.done:
		return inv.output, inv.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// idle takes a process that waits for work; the caller holds the lock.
func (h *Host) idle(function string) *sandbox {
	for _, s := range h.sandboxes {
		if s.function == function && !s.busy {
			s.busy = true
			return s
		}
	}
	return nil
}

type invocation struct {
	id      string
	payload json.RawMessage
	cold    bool
	output  json.RawMessage
	err     error
	done    chan struct{}
}

// run carries one invocation to its end, whoever still waits for it.
func (h *Host) run(function string, f Function, s *sandbox, inv *invocation) {
	record := Record{Function: function, RequestID: inv.id, At: time.Now(), Cold: inv.cold}
	defer func() {
		var failed *Failed
		if errors.As(inv.err, &failed) {
			record.Error = failed.Type
		} else if inv.err != nil {
			record.Error = inv.err.Error()
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		h.records = append(h.records, record)
	}()
	if s == nil {
		var err error
		if s, err = h.spawn(function, f); err != nil {
			inv.err = err
			return
		}
		if inv.err = s.started(h.cfg.Init); inv.err != nil {
			s.kill()
			return
		}
		record.Init = time.Since(record.At)
	}
	began := time.Now()
	inv.output, inv.err = s.serve(inv, f.Timeout, h.arn(function))
	record.Duration = time.Since(began)
}

func (h *Host) arn(function string) string {
	return "arn:aws:lambda:" + h.cfg.Region + ":" + h.cfg.Account + ":function:" + function
}

func requestID(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012x", n) }

func timedOut(id string, after time.Duration) *Failed {
	return &Failed{
		Type:    "Sandbox.Timedout",
		Message: fmt.Sprintf("RequestId: %s Error: Task timed out after %.2f seconds", id, after.Seconds()),
	}
}
