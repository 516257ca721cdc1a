package runtimeapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
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
	pool[*sandbox]
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
	choose := func() *sandbox { return h.idle(function) }
	return h.invoke(ctx, payload, choose, func(s *sandbox, inv *invocation) { h.run(function, f, s, inv) })
}

// idle takes a process that waits for work; the caller holds the lock.
func (h *Host) idle(function string) *sandbox {
	for _, s := range h.up {
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
	record := begin(function, inv)
	defer func() { h.note(record, inv) }()
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
