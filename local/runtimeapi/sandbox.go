package runtimeapi

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// sandbox is one process with a Runtime API of its own, hence what arrives
// there can only be about its one invocation.
type sandbox struct {
	*child
	host *Host
	busy bool // guarded by the host's lock

	next   chan *task
	polled chan struct{} // one value for each poll after the first

	current  *task   // this and the next are guarded by the child's lock
	initFail *Failed // what it reported before its first poll
}

// task is an invocation on its way through one process.
type task struct {
	*invocation
	deadline time.Time
	arn      string
	answered chan struct{}
	once     sync.Once
}

func (t *task) answer(output json.RawMessage, err error) {
	t.once.Do(func() {
		t.output, t.err = output, err
		close(t.answered)
	})
}

const (
	version     = "/2018-06-01/runtime"
	maxResponse = 6 * 1024 * 1024
)

// spawn starts a process with no environment but its own.
func (h *Host) spawn(function string, f Function) (*sandbox, error) {
	s := &sandbox{host: h, busy: true, next: make(chan *task), polled: make(chan struct{}, 1)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+version+"/invocation/next", s.poll)
	mux.HandleFunc("POST "+version+"/invocation/{id}/response", s.response)
	mux.HandleFunc("POST "+version+"/invocation/{id}/error", s.failure)
	mux.HandleFunc("POST "+version+"/init/error", s.initError)
	var err error
	if s.child, err = newChild(function, h.cfg.Binary, mux, h.cfg.Log); err != nil {
		return nil, err
	}

	s.cmd.Env = append([]string{
		"AWS_LAMBDA_RUNTIME_API=" + s.address(),
		"AWS_LAMBDA_FUNCTION_NAME=" + function,
		"AWS_LAMBDA_FUNCTION_VERSION=$LATEST",
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE=" + strconv.Itoa(cmp.Or(f.MemoryMB, 128)),
		"AWS_LAMBDA_INITIALIZATION_TYPE=on-demand",
		"AWS_LAMBDA_LOG_GROUP_NAME=/aws/lambda/" + function,
		"AWS_LAMBDA_LOG_STREAM_NAME=local",
		"AWS_EXECUTION_ENV=AWS_Lambda_provided.al2023",
		"AWS_REGION=" + h.cfg.Region,
		"_HANDLER=" + cmp.Or(f.Handler, function),
		"PATH=/usr/local/bin:/usr/bin:/bin",
		"TZ=:UTC",
		"LANG=en_US.UTF-8",
	}, f.Environment...)
	return s, h.start(s, "Runtime.InvalidEntrypoint")
}

// started waits for the first poll.
func (s *sandbox) started(limit time.Duration) error {
	return s.wait(limit, func() *Failed {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.initFail != nil {
			return s.initFail
		}
		return &Failed{Type: "Runtime.ExitError", Message: "Error: Runtime exited with error: " + s.status}
	}, &Failed{Type: "Sandbox.Timedout", Message: fmt.Sprintf("Error: Init timed out after %.2f seconds", limit.Seconds())})
}

// serve hands one invocation to the process and waits for its answer, its
// death or the function's timeout, which kills it.
func (s *sandbox) serve(inv *invocation, timeout time.Duration, arn string) (json.RawMessage, error) {
	t := &task{invocation: &invocation{id: inv.id, payload: inv.payload}, deadline: time.Now().Add(timeout), arn: arn, answered: make(chan struct{})}
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	dead := func() (json.RawMessage, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		return nil, &Failed{Type: "Runtime.ExitError", Message: "RequestId: " + inv.id + " Error: Runtime exited with error: " + s.status}
	}
	select {
	case s.next <- t:
	case <-s.exited:
		return dead()
	case <-timer.C:
		s.kill()
		return nil, timedOut(inv.id, timeout)
	}
	select {
	case <-t.answered:
		s.release(timer)
		return t.output, t.err
	case <-s.exited:
		select {
		case <-t.answered: // a handler that panics reports it, then exits
			return t.output, t.err
		default:
		}
		return dead()
	case <-timer.C:
		s.kill()
		return nil, timedOut(inv.id, timeout)
	}
}

// release makes the process idle once it polls again: one that reported a
// panic exits instead and must not be given work.
func (s *sandbox) release(timer *time.Timer) {
	select {
	case <-s.polled:
		s.host.mu.Lock()
		s.busy = false
		s.host.mu.Unlock()
	case <-s.exited:
	case <-timer.C:
		s.kill()
	}
}

func (s *sandbox) poll(w http.ResponseWriter, r *http.Request) {
	if !s.polls() {
		select {
		case s.polled <- struct{}{}:
		default:
		}
	}
	var t *task
	select {
	case t = <-s.next:
	case <-r.Context().Done():
		return
	case <-s.exited:
		return
	}
	s.mu.Lock()
	s.current = t
	s.mu.Unlock()
	header := w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("Lambda-Runtime-Aws-Request-Id", t.id)
	header.Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(t.deadline.UnixMilli(), 10))
	header.Set("Lambda-Runtime-Invoked-Function-Arn", t.arn)
	header.Set("Lambda-Runtime-Trace-Id", "Root=1-00000000-000000000000000000000000;Parent=0000000000000000;Sampled=0")
	_, _ = w.Write(t.payload)
}

// named returns the invocation that the path names, if it is the current one.
func (s *sandbox) named(w http.ResponseWriter, r *http.Request) *task {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current == nil || s.current.id != r.PathValue("id") {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"errorMessage":"Invalid request ID","errorType":"InvalidRequestID"}`)
		return nil
	}
	return s.current
}

func (s *sandbox) response(w http.ResponseWriter, r *http.Request) {
	t := s.named(w, r)
	if t == nil {
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxResponse+1))
	if err != nil {
		return
	}
	w.WriteHeader(http.StatusAccepted)
	if len(body) > maxResponse {
		t.answer(nil, &Failed{Type: "Function.ResponseSizeTooLarge", Message: fmt.Sprintf("Response payload size exceeded maximum allowed payload size (%d bytes).", maxResponse)})
		return
	}
	t.answer(body, nil)
}

func (s *sandbox) failure(w http.ResponseWriter, r *http.Request) {
	t := s.named(w, r)
	if t == nil {
		return
	}
	f := failureOf(r)
	w.WriteHeader(http.StatusAccepted)
	t.answer(nil, f)
}

func (s *sandbox) initError(w http.ResponseWriter, r *http.Request) {
	f := failureOf(r)
	s.mu.Lock()
	s.initFail = f
	s.mu.Unlock()
	w.WriteHeader(http.StatusAccepted)
}

// failureOf reads the error document that a runtime reports.
func failureOf(r *http.Request) *Failed {
	f := &Failed{}
	body, _ := io.ReadAll(io.LimitReader(r.Body, maxResponse))
	if json.Unmarshal(body, f) != nil || f.Type == "" {
		f.Type = r.Header.Get("Lambda-Runtime-Function-Error-Type")
	}
	if f.Type == "" {
		f.Type = "Runtime.Unknown"
	}
	return f
}
