//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quiesce/quiesce/guest/linux"
	"github.com/quiesce/quiesce/guest/session"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/protocol"
)

const (
	keeperRole = "_keeper"
	daemonRole = "_daemon"
	lastWords  = 2 * time.Second
)

// startKeeper starts the keeper, which starts the daemon, and returns when
// that listens. Neither holds anything of this process: an agent waits until
// its command's output is closed by everybody.
func startKeeper(state linux.State, req protocol.Request) error {
	raw, err := json.Marshal(req)
	if err != nil {
		return err
	}
	keepToMyself()
	r, w, err := os.Pipe()
	if err != nil {
		return fault.Wrap(fault.Internal, err, "starting the keeper")
	}
	defer r.Close()
	cmd := self(state, keeperRole, base64.StdEncoding.EncodeToString(raw))
	cmd.ExtraFiles = []*os.File{w}
	err = cmd.Start()
	w.Close()
	if err != nil {
		return fault.Wrap(fault.Internal, err, "starting the keeper")
	}
	go cmd.Wait()
	r.SetReadDeadline(time.Now().Add(readyWait))
	if n, err := r.Read(make([]byte, 1)); n == 0 {
		return fault.Wrap(fault.Internal, err, "the daemon did not start")
	}
	return nil
}

// self is another process of this binary, in a session of its own.
func self(state linux.State, role string, args ...string) *exec.Cmd {
	return &exec.Cmd{
		Path: "/proc/self/exe", Args: append([]string{"quiesce-guest", role}, args...), Dir: "/",
		Env:         []string{"QUIESCE_RUN_DIR=" + state.Dir, "PATH=/usr/sbin:/usr/bin:/sbin:/bin"},
		SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}
}

// keepToMyself stops descriptors that were left open in this process from
// being inherited by those it starts.
func keepToMyself() {
	open, _ := os.ReadDir("/proc/self/fd")
	for _, e := range open {
		var fd int
		for _, c := range e.Name() {
			fd = fd*10 + int(c-'0')
		}
		if fd > 2 {
			unix.CloseOnExec(fd)
		}
	}
}

// keeper starts the daemon and outlives it: when that is gone and its session
// is not over, the keeper thaws what is left and releases the application.
func keeper(dir string, args []string) int {
	linux.Harden()
	linux.LeaveGroup()
	signal.Ignore(unix.SIGTERM)
	state, err := linux.OpenState(dir)
	if err != nil || len(args) != 1 {
		return session.ExitFailed
	}
	ready := os.NewFile(3, "ready")
	keepToMyself()
	cmd := self(state, daemonRole, args[0])
	cmd.ExtraFiles = []*os.File{ready}
	if err := cmd.Start(); err != nil {
		return session.ExitFailed
	}
	ready.Close()
	cmd.Wait()
	var req protocol.Request
	raw, err := base64.StdEncoding.DecodeString(args[0])
	if err != nil || json.Unmarshal(raw, &req) != nil {
		return session.ExitFailed
	}
	unlock, err := state.Lock(linux.Opening, time.Hour)
	if err != nil {
		return session.ExitFailed
	}
	defer unlock()
	helper := session.New(newHost(state), session.Options{})
	for range 60 {
		if err = helper.Recover(context.Background(), req.RunID); err == nil {
			return session.ExitDone
		}
		time.Sleep(time.Second)
	}
	return session.ExitFailed
}

// daemon holds one session: it begins it, answers for it on the socket, and
// goes when it is over.
func daemon(dir string, args []string) int {
	linux.Harden()
	state, err := linux.OpenState(dir)
	if err != nil || len(args) != 1 {
		return session.ExitFailed
	}
	raw, err := base64.StdEncoding.DecodeString(args[0])
	var req protocol.Request
	if err != nil || json.Unmarshal(raw, &req) != nil {
		return session.ExitFailed
	}
	path, done, err := socketPath(state)
	if err != nil {
		return session.ExitFailed
	}
	defer done()
	dead, err := state.Lock(linux.Living, readyWait)
	if err != nil {
		return session.ExitFailed
	}
	defer dead()
	os.Remove(filepath.Join(state.Dir, "socket"))
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return session.ExitFailed
	}
	// The name may belong to the next run's daemon by the time this one ends.
	listener.SetUnlinkOnClose(false)
	helper := session.New(newHost(state), session.Options{})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	began := make(chan protocol.Reply, 1)
	opened := make(chan struct{})
	go func() { began <- helper.Handle(ctx, req) }()
	var open sync.WaitGroup
	go serve(ctx, listener, helper, req.RunID, &open)
	go func() {
		stop := make(chan os.Signal, 1)
		signal.Notify(stop, unix.SIGTERM)
		<-stop
		helper.End(context.Background(), "terminated")
	}()
	ready := os.NewFile(3, "ready")
	ready.Write([]byte("r"))
	ready.Close()
	close(opened)
	over := helper.Ended(ctx, req.RunID)
	for over == nil {
		select {
		case <-began: // it could not be opened, or it is over already
			if over = helper.Ended(ctx, req.RunID); over == nil {
				over = opened
			}
		case <-time.After(time.Millisecond):
			over = helper.Ended(ctx, req.RunID)
		}
	}
	<-over
	listener.Close()
	dead()
	answered := make(chan struct{})
	go func() { open.Wait(); close(answered) }()
	select {
	case <-answered:
	case <-time.After(lastWords):
	}
	return session.ExitDone
}

func serve(ctx context.Context, l net.Listener, helper *session.Helper, run string, open *sync.WaitGroup) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		open.Add(1)
		go func() {
			defer open.Done()
			defer conn.Close()
			line, err := bufio.NewReader(conn).ReadBytes('\n')
			if err != nil {
				return
			}
			var req protocol.Request
			if json.Unmarshal(line, &req) != nil {
				return
			}
			if req.Verb == protocol.Begin && req.RunID != run && helper.Ended(ctx, run) == nil {
				return // a daemon holds one session; this one is about to go
			}
			raw, err := json.Marshal(helper.Handle(ctx, req))
			if err == nil {
				conn.Write(raw)
			}
		}()
	}
}
