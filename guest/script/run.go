package script

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/protocol"
)

// MaxOutput is how much of a script's output is kept.
const MaxOutput = 64 << 10

// Call is one run of a script.
type Call struct {
	Path    string
	RunID   string
	Stage   string // pre or post; check of a recovery
	Timeout time.Duration
	Output  string // file that keeps the output's beginning
	Env     []string
	Alone   bool // nothing that it starts outlives it, or this process
}

// Run checks the script and runs it. When it does not end in time, or ctx
// ends, its whole process group is killed. What a successful script leaves
// running in the background, such as a client that holds a lock, is left.
func (r Rules) Run(ctx context.Context, c Call) (protocol.ScriptResult, error) {
	res := protocol.ScriptResult{Path: c.Path, ExitCode: -1}
	file, err := r.Resolve(c.Path)
	if err != nil {
		return res, err
	}
	out, done, err := drain(c.Output)
	if err != nil {
		return res, fault.Wrap(fault.ScriptFailed, err, "keeping the output of %s", c.Path)
	}
	res.Output = c.Output
	cmd := &exec.Cmd{Path: file, Args: []string{c.Path}, Dir: "/", Stdout: out, Stderr: out, Env: append([]string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"QUIESCE_RUN_ID=" + c.RunID,
		"QUIESCE_STAGE=" + c.Stage,
		fmt.Sprintf("QUIESCE_TIMEOUT_SECONDS=%d", int(c.Timeout.Seconds())),
	}, c.Env...)}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if c.Alone {
		alone(cmd.SysProcAttr)
	}
	began := time.Now()
	err = cmd.Start()
	out.Close()
	if err != nil {
		return res, fault.Wrap(fault.ScriptFailed, err, "starting %s", c.Path)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	limit := time.NewTimer(c.Timeout)
	defer limit.Stop()
	var cut error
	select {
	case err = <-ended:
	case <-limit.C:
		cut = fault.New(fault.ScriptTimedOut, "%s did not end in %v; its processes were killed", c.Path, c.Timeout)
		res.TimedOut = true
	case <-ctx.Done():
		cut = fault.Wrap(fault.ScriptFailed, context.Cause(ctx), "%s was stopped", c.Path)
	}
	if cut != nil {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		err = <-ended
	}
	res.Ms = float64(time.Since(began).Microseconds()) / 1000
	res.ExitCode = cmd.ProcessState.ExitCode()
	switch {
	case cut != nil:
		err = cut
	case err != nil:
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		err = fault.New(fault.ScriptFailed, "%s ended with %s", c.Path, cmd.ProcessState)
	case !c.Alone:
		return res, nil // what it has left running may write on for as long as it likes
	}
	select {
	case <-done: // so that the output is whole when its reader comes
	case <-time.After(time.Second):
	}
	return res, err
}

// drain returns a pipe's writing end whose reader keeps the beginning of what
// comes and swallows the rest, so that a chatty script never blocks.
func drain(path string) (*os.File, <-chan struct{}, error) {
	keep, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, nil, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, nil, errors.Join(err, keep.Close())
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		room := int64(MaxOutput)
		if fi, err := keep.Stat(); err == nil {
			room = max(0, room-fi.Size())
		}
		io.CopyN(keep, r, room)
		keep.Close()
		io.Copy(io.Discard, r)
		r.Close()
	}()
	return w, done, nil
}
