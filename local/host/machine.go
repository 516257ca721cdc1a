// Package host lets this computer be the machine that the emulated clouds
// rent out: commands run here, as root, as a provider's agent runs them.
package host

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/quiesce/quiesce/local/instance"
)

// MaxOutput is how much of each output is kept; the rest is read and dropped,
// so that a command that talks much is not held up.
const MaxOutput = 256 << 10

const path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Machine is this host. The zero value is ready.
type Machine struct {
	Env []string // given to every command besides PATH, such as the room's mark
	Dir string   // where commands run; empty means /
}

var _ instance.Machine = (*Machine)(nil)

// Arch is amd64 or arm64.
func (m *Machine) Arch() string { return runtime.GOARCH }

// Execute runs the command's script by /bin/sh in a session of its own, which
// is killed as a whole when ctx ends. As with the providers' agents the command
// is not over while anybody holds its standard output, be it a process that
// has left the session: then only ctx ends it.
func (m *Machine) Execute(ctx context.Context, cmd instance.Command) instance.Result {
	var stdout, stderr output
	outRead, outWrite, err := os.Pipe()
	if err != nil {
		return failed(err)
	}
	errRead, errWrite, err := os.Pipe()
	if err != nil {
		outRead.Close()
		outWrite.Close()
		return failed(err)
	}
	defer outRead.Close()
	defer errRead.Close()
	sh := exec.Command("/bin/sh", "-c", cmd.Script)
	sh.Dir, sh.Env = m.Dir, append([]string{path}, m.Env...)
	if sh.Dir == "" {
		sh.Dir = "/"
	}
	sh.Stdout, sh.Stderr = outWrite, errWrite
	sh.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = sh.Start()
	outWrite.Close()
	errWrite.Close()
	if err != nil {
		return failed(err)
	}
	ended := after(func() { _ = sh.Wait() }) // its state says it all
	closed := after(func() { stdout.drain(outRead) })
	told := after(func() { stderr.drain(errRead) })

	for _, over := range []<-chan struct{}{ended, closed} {
		select {
		case <-over:
			continue
		case <-ctx.Done():
		}
		_ = syscall.Kill(-sh.Process.Pid, syscall.SIGKILL)
		// One that is blocked by a freeze dies only at the thaw: not waited for.
		await(ended, time.Second)
		await(told, settle)
		return instance.Result{ExitCode: 137, Stdout: stdout.bytes(), Stderr: stderr.bytes()}
	}
	await(told, settle) // but a daemon may keep its standard error for ever
	return instance.Result{ExitCode: exitCode(sh.ProcessState), Stdout: stdout.bytes(), Stderr: stderr.bytes()}
}

// settle is how long the rest of what was said on standard error is awaited.
const settle = 200 * time.Millisecond

func after(do func()) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		do()
	}()
	return done
}

func await(done <-chan struct{}, limit time.Duration) {
	select {
	case <-done:
	case <-time.After(limit):
	}
}

func exitCode(s *os.ProcessState) int {
	if status, ok := s.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return s.ExitCode()
}

func failed(err error) instance.Result {
	return instance.Result{ExitCode: -1, Stderr: []byte(err.Error())}
}

// output keeps the beginning of what is read into it.
type output struct {
	mu   sync.Mutex
	kept bytes.Buffer
}

// drain reads to the end or until from is closed, whatever is kept of it.
func (o *output) drain(from *os.File) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		o.mu.Lock()
		o.kept.Write(buf[:min(n, MaxOutput-o.kept.Len())])
		o.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (o *output) bytes() []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	return bytes.Clone(o.kept.Bytes())
}
