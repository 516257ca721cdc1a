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

// worker is one process of Function Compute with a Runtime API of its own.
type worker struct {
	*child
	host *Compute
	load int // invocations it was given; guarded by the host's lock

	next chan *order
	open map[string]*order // by request id; guarded by the child's lock
}

// order is an invocation on its way through one process.
type order struct {
	*invocation
	header   http.Header
	answered chan struct{}
	once     sync.Once
}

func (o *order) answer(output json.RawMessage, err error) {
	o.once.Do(func() {
		o.output, o.err = output, err
		close(o.answered)
	})
}

const computeVersion = "/2020-11-11/runtime"

// spawn starts a process with no environment but its own.
func (c *Compute) spawn(function string, f Function) (*worker, error) {
	w := &worker{host: c, load: 1, open: map[string]*order{}, next: make(chan *order)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+computeVersion+"/invocation/next", w.poll)
	mux.HandleFunc("POST "+computeVersion+"/invocation/{id}/response", w.response)
	mux.HandleFunc("POST "+computeVersion+"/invocation/{id}/error", w.failure)
	var err error
	if w.child, err = newChild(function, c.cfg.Binary, mux, c.cfg.Log); err != nil {
		return nil, err
	}
	w.cmd.Env = append([]string{
		"FC_RUNTIME_API=" + w.address(),
		"FC_FUNCTION_NAME=" + function,
		"FC_FUNCTION_HANDLER=" + f.Handler,
		"FC_FUNCTION_MEMORY_SIZE=" + strconv.Itoa(cmp.Or(f.MemoryMB, 512)),
		"FC_REGION=" + c.cfg.Region,
		"FC_ACCOUNT_ID=" + c.cfg.Account,
		"PATH=/usr/local/bin:/usr/bin:/bin",
		"TZ=UTC",
	}, f.Environment...)
	return w, c.start(w, Unhandled)
}

// started waits for the first poll.
func (w *worker) started(limit time.Duration) error {
	return w.wait(limit, func() *Failed { return w.died("") },
		&Failed{Type: Unhandled, Message: fmt.Sprintf("the process did not ask for work within %v", limit)})
}

func (w *worker) died(id string) *Failed {
	w.mu.Lock()
	defer w.mu.Unlock()
	return &Failed{Type: Unhandled, Message: fmt.Sprintf("RequestId: %s Error: the process ended: %s", id, w.status)}
}

// serve hands one invocation to the process and waits for its answer, its
// death or the function's timeout, which kills it.
func (w *worker) serve(inv *invocation, f Function) (json.RawMessage, error) {
	o := &order{invocation: &invocation{id: inv.id, payload: inv.payload}, header: w.header(inv.id, f), answered: make(chan struct{})}
	timer := time.NewTimer(f.Timeout)
	defer timer.Stop()
	late := &Failed{Type: Unhandled, Message: fmt.Sprintf("RequestId: %s Function timed out after %v", inv.id, f.Timeout)}
	select {
	case w.next <- o:
	case <-w.exited:
		return nil, w.died(inv.id)
	case <-timer.C:
		w.kill()
		return nil, late
	}
	select {
	case <-o.answered:
		return o.output, o.err
	case <-w.exited:
		return nil, w.died(inv.id)
	case <-timer.C:
		w.kill()
		return nil, late
	}
}

func (w *worker) header(id string, f Function) http.Header {
	secrets, cfg := w.host.cfg.Secrets(), w.host.cfg
	header := http.Header{}
	for name, value := range map[string]string{
		"Content-Type":           "application/octet-stream",
		"x-fc-request-id":        id,
		"x-fc-function-type":     "0",
		"x-fc-function-deadline": strconv.FormatInt(time.Now().Add(f.Timeout).UnixMilli(), 10),
		"x-fc-function-timeout":  strconv.Itoa(int(f.Timeout.Seconds())),
		"x-fc-function-name":     w.function, "x-fc-function-handler": f.Handler,
		"x-fc-function-memory": strconv.Itoa(cmp.Or(f.MemoryMB, 512)),
		"x-fc-access-key-id":   secrets.ID, "x-fc-access-key-secret": secrets.Secret, "x-fc-security-token": secrets.Token,
		"x-fc-region": cfg.Region, "x-fc-account-id": cfg.Account,
		"x-fc-qualifier": "LATEST", "x-fc-version-id": "", "x-fc-retry-count": "0",
	} {
		header.Set(name, value)
	}
	return header
}

// poll holds the request until there is work: the library polls again at once.
func (w *worker) poll(rw http.ResponseWriter, r *http.Request) {
	w.polls()
	var o *order
	select {
	case o = <-w.next:
	case <-r.Context().Done():
		return
	case <-w.exited:
		return
	}
	w.mu.Lock()
	w.open[o.id] = o
	w.mu.Unlock()
	for name, values := range o.header {
		rw.Header()[name] = values
	}
	_, _ = rw.Write(o.payload)
}

// named takes the invocation that the path names out of those that are open.
func (w *worker) named(rw http.ResponseWriter, r *http.Request) *order {
	w.mu.Lock()
	defer w.mu.Unlock()
	o := w.open[r.PathValue("id")]
	if o == nil {
		rw.WriteHeader(http.StatusBadRequest)
		return nil
	}
	delete(w.open, o.id)
	return o
}

func (w *worker) response(rw http.ResponseWriter, r *http.Request) {
	if o := w.named(rw, r); o != nil {
		body, err := io.ReadAll(io.LimitReader(r.Body, maxResponse))
		if err != nil {
			return
		}
		o.answer(body, nil)
	}
}

func (w *worker) failure(rw http.ResponseWriter, r *http.Request) {
	if o := w.named(rw, r); o != nil {
		f := &Failed{}
		body, _ := io.ReadAll(io.LimitReader(r.Body, maxResponse))
		if json.Unmarshal(body, f) != nil || f.Type == "" {
			f.Type = Unhandled
		}
		o.answer(nil, f)
	}
}
