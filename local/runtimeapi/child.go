package runtimeapi

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// child is one process with a Runtime API of its own, whichever cloud's that is.
type child struct {
	function string
	cmd      *exec.Cmd
	listener net.Listener
	server   *http.Server
	log      func(function string, line []byte)
	forget   func()
	ready    chan struct{} // closed at the first poll
	exited   chan struct{} // closed when the process has ended
	once     sync.Once

	mu     sync.Mutex
	status string // how the process ended
}

// newChild opens the address on which api answers the process, which has no
// environment but its own.
func newChild(function, binary string, api http.Handler, log func(string, []byte)) (*child, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	c := &child{
		function: function, listener: l, log: log, cmd: exec.Command(binary), ready: make(chan struct{}), exited: make(chan struct{}),
		server: &http.Server{Handler: api, ReadHeaderTimeout: 10 * time.Second},
	}
	separate(c.cmd)
	return c, nil
}

func (c *child) address() string { return c.listener.Addr().String() }

func (c *child) name() string { return c.function }

func (c *child) base() *child { return c }

// start runs the process, serves it, and forgets it once it has ended; refused is
// the failure's type where it does not even run.
func (p *pool[P]) start(one P, refused string) error {
	c := one.base()
	c.forget = func() { p.forget(one) }
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		_ = c.listener.Close()
		return err
	}
	errs, err := c.cmd.StderrPipe()
	if err != nil {
		_ = c.listener.Close()
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		_ = c.listener.Close()
		return errClosed
	}
	if err := c.cmd.Start(); err != nil {
		_ = c.listener.Close()
		return &Failed{Type: refused, Message: "Error: " + err.Error()}
	}
	p.up = append(p.up, one)
	p.wg.Go(func() { _ = c.server.Serve(c.listener) })
	p.wg.Go(func() { c.reap(out, errs) })
	return nil
}

// reap reads what the process writes until it has ended, then forgets it.
func (c *child) reap(streams ...io.Reader) {
	readLines(func(line []byte) { c.log(c.function, line) }, streams...)
	_ = c.cmd.Wait()
	c.mu.Lock()
	c.status = c.cmd.ProcessState.String()
	c.mu.Unlock()
	c.forget()
	close(c.exited)
	_ = c.server.Close()
}

// readLines hands every line of the streams on until all have ended.
func readLines(to func([]byte), streams ...io.Reader) {
	var all sync.WaitGroup
	for _, stream := range streams {
		all.Go(func() {
			r := bufio.NewReader(stream)
			for {
				line, err := r.ReadBytes('\n')
				if line = []byte(strings.TrimRight(string(line), "\r\n")); len(line) > 0 {
					to(line)
				}
				if err != nil {
					return
				}
			}
		})
	}
	all.Wait()
}

// kill ends the process, by its own id, with all that it has started and all
// that it works on. It must not be left to poll a server that is gone: a
// runtime's library would do so without a pause.
func (c *child) kill() {
	c.forget()
	end(c.cmd)
	<-c.exited
}

// polls tells whether this is the process's first poll.
func (c *child) polls() (first bool) {
	c.once.Do(func() { close(c.ready); first = true })
	return first
}

// wait waits for the first poll: late and died are told where it does not come.
func (c *child) wait(limit time.Duration, died func() *Failed, late *Failed) error {
	t := time.NewTimer(limit)
	defer t.Stop()
	select {
	case <-c.ready:
		return nil
	case <-c.exited:
		return died()
	case <-t.C:
		return late
	}
}
