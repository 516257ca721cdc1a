// Package process runs a database's programs as the account that they are made
// for, and ends them by their own process id.
package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Account is whom a program runs as.
type Account struct{ UID, GID uint32 }

// Lookup finds an account that a distribution's package makes.
func Lookup(name string) (Account, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return Account{}, err
	}
	uid, uerr := strconv.ParseUint(u.Uid, 10, 32)
	gid, gerr := strconv.ParseUint(u.Gid, 10, 32)
	return Account{uint32(uid), uint32(gid)}, errors.Join(uerr, gerr)
}

// Owner is the account that owns a file.
func Owner(path string) (Account, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return Account{}, err
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return Account{}, fmt.Errorf("%s has no owner", path)
	}
	return Account{st.Uid, st.Gid}, nil
}

// Give makes a folder the account's own, and every folder above it one that it
// can walk through without seeing what else is there.
func (a Account) Give(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for above := filepath.Dir(dir); above != "/"; above = filepath.Dir(above) {
		info, err := os.Stat(above)
		if err != nil {
			return err
		}
		if mode := info.Mode().Perm(); mode&0o001 == 0 {
			if err := os.Chmod(above, mode|0o011); err != nil {
				return err
			}
		}
	}
	return os.Chown(dir, int(a.UID), int(a.GID))
}

// Spec is a program and its surroundings.
type Spec struct {
	Account Account
	Root    string // of another system whose program this is; empty: this one's
	Path    string
	Name    string // that it is called by, where it goes by that; empty: its path
	Args    []string
	Dir     string // where it starts; empty: /
	Env     []string
	Log     string          // file that its output is added to
	Own     func(int) error // told the process id as soon as there is one; may be nil
	Dies    bool            // with the thread that started it, where the system knows how
}

func (s Spec) command(ctx context.Context) *exec.Cmd {
	cmd := exec.CommandContext(ctx, s.Path, s.Args...)
	cmd.Path, cmd.Err = s.Path, nil // as it is found inside of Root
	if s.Name != "" {
		cmd.Args[0] = s.Name
	}
	cmd.Dir = s.Dir
	if cmd.Dir == "" {
		cmd.Dir = "/"
	}
	cmd.Env = append([]string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8"}, s.Env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Chroot: s.Root}
	if s.Dies {
		dies(cmd.SysProcAttr)
	}
	if os.Geteuid() == 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: s.Account.UID, Gid: s.Account.GID}
	}
	return cmd
}

// Run runs a program to its end; what it said is the result, and in the error.
func (s Spec) Run(ctx context.Context) (string, error) {
	out, err := s.command(ctx).CombinedOutput()
	text := strings.TrimSpace(string(out))
	if err != nil {
		return text, fmt.Errorf("%s: %w: %s", filepath.Base(s.Path), err, text)
	}
	return text, nil
}

// Process is a server that runs.
type Process struct {
	PID    int
	spec   Spec
	exited chan struct{}
}

// Start starts a server; whether it is ready is its client's to see.
func (s Spec) Start() (*Process, error) {
	log, err := os.OpenFile(s.Log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := s.command(context.Background())
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &Process{PID: cmd.Process.Pid, spec: s, exited: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // how it ended is in its log
		close(p.exited)
	}()
	if s.Own != nil {
		if err := s.Own(p.PID); err != nil {
			return nil, errors.Join(err, p.Stop(context.Background(), syscall.SIGKILL))
		}
	}
	return p, nil
}

// Ready asks until the server answers, or has ended, or ctx has.
func (p *Process) Ready(ctx context.Context, ask func(context.Context) error) error {
	for {
		err := ask(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.exited:
			return fmt.Errorf("%s ended: %s", filepath.Base(p.spec.Path), p.said())
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// Exited is closed when the server has ended.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// said is the end of the log.
func (p *Process) said() string {
	text, _ := os.ReadFile(p.spec.Log)
	const last = 2000
	return strings.TrimSpace(string(text[max(0, len(text)-last):]))
}

// Stop asks the server to end and waits for it; when ctx ends before, it is
// killed. One that has ended already is stopped.
func (p *Process) Stop(ctx context.Context, by syscall.Signal) error {
	select {
	case <-p.exited:
		return nil
	default:
	}
	if err := syscall.Kill(p.PID, by); err != nil && !errors.Is(err, syscall.ESRCH) {
		return err
	}
	select {
	case <-p.exited:
		return nil
	case <-ctx.Done():
	}
	_ = syscall.Kill(p.PID, syscall.SIGKILL) // it may have just ended
	return fmt.Errorf("%s did not end by itself: %w", filepath.Base(p.spec.Path), ctx.Err())
}
