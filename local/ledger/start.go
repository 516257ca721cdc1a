package ledger

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Options of a writer's process.
type Options struct {
	Exe    string   // the program that serves; empty means this one
	Verb   []string // the arguments that lead to Serve and Client there, such as "ledger"
	Dir    string   // private, its parents root's own: the scripts are kept in it
	Mounts []string // in writing order
	Pace   time.Duration
	Load   int64           // bytes a second of buffered writes besides
	Env    []string        // of the process
	Own    func(int) error // told the process id as soon as there is one; may be nil
}

// Process is a running writer.
type Process struct {
	options Options
	cmd     *exec.Cmd
	life    io.Closer
	exited  chan struct{}
	failure error
}

// Start starts a writer and returns when it has committed its first record. In
// the directory are then the scripts that quiesce it. Exe is called with Verb
// and then `serve ARGS...` for Serve, `pause|resume SOCKET RUN` for Client.
func Start(ctx context.Context, o Options) (*Process, error) {
	if o.Exe == "" {
		exe, err := os.Executable()
		if err != nil {
			return nil, err
		}
		o.Exe = exe
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, err
	}
	p := &Process{options: o, exited: make(chan struct{})}
	for path, verb := range map[string]string{p.PreScript(): "pause", p.PostScript(): "resume"} {
		if err := p.writeScript(path, verb); err != nil {
			return nil, err
		}
	}
	args := append(append([]string{}, o.Verb...), "serve", "--dir", o.Dir, "--pace", o.Pace.String(), "--load", fmt.Sprint(o.Load))
	p.cmd = exec.Command(o.Exe, append(args, o.Mounts...)...)
	p.cmd.Dir, p.cmd.Env = "/", o.Env
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := p.start(ctx); err != nil {
		return nil, err
	}
	return p, nil
}

func (p *Process) start(ctx context.Context) error {
	log, err := os.OpenFile(filepath.Join(p.options.Dir, logName), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	p.cmd.Stderr = log
	if p.life, err = p.cmd.StdinPipe(); err != nil {
		return err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := p.cmd.Start(); err != nil {
		return err
	}
	up := make(chan bool, 1)
	go func() {
		line, _ := bufio.NewReader(out).ReadString('\n')
		up <- strings.TrimSpace(line) == ready
		_, _ = io.Copy(io.Discard, out)
		p.failure = p.cmd.Wait()
		close(p.exited)
	}()
	if p.options.Own != nil {
		if err := p.options.Own(p.cmd.Process.Pid); err != nil {
			return errors.Join(err, p.Stop(ctx))
		}
	}
	select {
	case ok := <-up:
		if ok {
			return nil
		}
		<-p.exited
		said, _ := os.ReadFile(log.Name())
		return fmt.Errorf("the ledger did not start: %v: %s", p.failure, strings.TrimSpace(string(said)))
	case <-ctx.Done():
		return errors.Join(ctx.Err(), p.Stop(ctx))
	}
}

func (p *Process) writeScript(path, verb string) error {
	words := append(append([]string{p.options.Exe}, p.options.Verb...), verb, p.Socket())
	for i, w := range words {
		words[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
	}
	script := "#!/bin/sh\nexec " + strings.Join(words, " ") + ` "${QUIESCE_RUN_ID:-by-hand}"` + "\n"
	if err := os.WriteFile(path, []byte(script), 0o700); err != nil {
		return err
	}
	return os.Chmod(path, 0o700) // whatever the umask took or a former file had
}

// PreScript pauses the writer at a commit boundary.
func (p *Process) PreScript() string { return filepath.Join(p.options.Dir, "pre-script") }

// PostScript resumes it.
func (p *Process) PostScript() string { return filepath.Join(p.options.Dir, "post-script") }

// Socket is where the writer listens, for root alone.
func (p *Process) Socket() string { return filepath.Join(p.options.Dir, socketName) }

// PID is the writer's process.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Acks reads the acknowledgements noted so far; also after the writer's end.
func (p *Process) Acks() ([]Ack, error) { return readAcks(filepath.Join(p.options.Dir, acksName)) }

// Last is the last acknowledgement.
func (p *Process) Last(ctx context.Context) (Ack, error) {
	a, err := call(ctx, p.Socket(), ask{Verb: "state"})
	return a.Last, err
}

// Stop ends the writer between two records. When ctx ends before, it is
// killed, and if it is blocked by a freeze, left to die at the thaw.
func (p *Process) Stop(ctx context.Context) error {
	p.life.Close()
	select {
	case <-p.exited:
		return p.failure
	case <-ctx.Done():
	}
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return fmt.Errorf("the ledger did not end by itself: %w", ctx.Err())
}
