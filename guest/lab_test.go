//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quiesce/quiesce/guest/session"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/protocol"
)

// TestMain lets the test binary be the helper's own processes, for the tests
// that run a session in this process: they are started from /proc/self/exe.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && strings.HasPrefix(os.Args[1], "_") {
		os.Exit(Run(context.Background(), os.Getenv("QUIESCE_RUN_DIR"), os.Args[1:], os.Stdin, os.Stdout))
	}
	code := m.Run()
	if binary.dir != "" {
		os.RemoveAll(binary.dir)
	}
	os.Exit(code)
}

// binary is the helper as it is shipped, built once.
var binary struct {
	sync.Once
	dir string
	err error
}

func helperBinary(t testing.TB) string {
	t.Helper()
	binary.Do(func() {
		if binary.dir, binary.err = os.MkdirTemp("", "quiesce-guest-"); binary.err != nil {
			return
		}
		c := exec.Command("go", "build", "-o", filepath.Join(binary.dir, "quiesce-guest"), ".")
		c.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := c.CombinedOutput(); err != nil {
			binary.err = fmt.Errorf("%w: %s", err, out)
		}
	})
	if binary.err != nil {
		t.Fatal(binary.err)
	}
	return filepath.Join(binary.dir, "quiesce-guest")
}

// lab is a state folder in memory and filesystems on loop devices.
type lab struct {
	t     testing.TB
	dir   string
	run   string
	extra *os.File // one more descriptor for the command
}

func newLab(t testing.TB) *lab {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("SKIP needs root and loop devices: not root")
	}
	if _, err := os.Stat("/dev/loop-control"); err != nil {
		t.Skip("SKIP needs root and loop devices: no /dev/loop-control")
	}
	base := t.TempDir()
	var st unix.Statfs_t
	if unix.Statfs("/dev/shm", &st) == nil && st.Type == unix.TMPFS_MAGIC {
		dir, err := os.MkdirTemp("/dev/shm", "quiesce-test-")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(dir) })
		base = dir
	}
	return &lab{t: t, dir: filepath.Join(base, "state"), run: "run-1"}
}

func sh(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v: %s", name, args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// disk makes a filesystem in a file under dir and mounts it. A safety thaw
// stands behind it for as long as the test runs.
func (l *lab) disk(kind, dir string, size int64) protocol.Filesystem {
	l.t.Helper()
	if _, err := exec.LookPath("mkfs." + kind); err != nil {
		l.t.Skip("SKIP needs mkfs." + kind)
	}
	img := filepath.Join(dir, "disk.img")
	mount := filepath.Join(l.t.TempDir(), "mnt")
	f, err := os.Create(img)
	if err != nil {
		l.t.Fatal(err)
	}
	f.Truncate(size)
	f.Close()
	sh(l.t, "mkfs."+kind, "-q", img)
	if err := os.Mkdir(mount, 0o755); err != nil {
		l.t.Fatal(err)
	}
	loop := sh(l.t, "losetup", "-f", "--show", img)
	l.t.Cleanup(func() { sh(l.t, "losetup", "-d", loop) })
	sh(l.t, "mount", loop, mount)
	l.t.Cleanup(func() {
		for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			out, err := exec.Command("umount", mount).CombinedOutput()
			if err == nil {
				return
			}
			if time.Now().After(end) {
				l.t.Errorf("unmounting: %s", out)
				return
			}
		}
	})
	l.safetyThaw(mount, 40)
	return protocol.Filesystem{Mount: mount, Device: sh(l.t, "findmnt", "-no", "MAJ:MIN", mount)}
}

// safetyThaw frees a filesystem should the test fail to; it is cancelled when
// the test ends, because nobody owns a freeze.
func (l *lab) safetyThaw(mount string, seconds int) {
	c := exec.Command("sh", "-c", fmt.Sprintf("sleep %d; fsfreeze -u %s", seconds, mount))
	c.SysProcAttr = &unix.SysProcAttr{Setsid: true}
	if err := c.Start(); err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() {
		unix.Kill(-c.Process.Pid, unix.SIGKILL)
		c.Wait()
		exec.Command("fsfreeze", "-u", mount).Run()
	})
}

// ask runs the helper's command as an agent would.
func (l *lab) ask(req protocol.Request, want fault.Code) protocol.Reply {
	l.t.Helper()
	reply, code := l.command(req)
	var got fault.Code
	if reply.Error != nil {
		got = reply.Error.Code
	}
	if got != want {
		l.t.Fatalf("%s: got %q (%+v), want %q", req.Verb, got, reply.Error, want)
	}
	if code != session.ExitCode(reply) {
		l.t.Errorf("%s: exit code %d, want %d", req.Verb, code, session.ExitCode(reply))
	}
	return reply
}

func (l *lab) command(req protocol.Request) (protocol.Reply, int) {
	l.t.Helper()
	raw, _ := json.Marshal(req)
	program := helperBinary(l.t) // built before the clock runs
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	c := exec.CommandContext(ctx, program, string(req.Verb))
	c.Env = []string{"QUIESCE_RUN_DIR=" + l.dir}
	c.Stdin = bytes.NewReader(raw)
	if l.extra != nil {
		c.ExtraFiles = []*os.File{l.extra}
	}
	out, err := c.Output() // waits until everybody has closed the output
	var reply protocol.Reply
	if jerr := json.Unmarshal(out, &reply); jerr != nil {
		l.t.Fatalf("%s: %v %v: %q", req.Verb, err, jerr, out)
	}
	return reply, c.ProcessState.ExitCode()
}

func (l *lab) verb(v protocol.Verb, want fault.Code) protocol.Reply {
	l.t.Helper()
	return l.ask(protocol.Request{Version: protocol.Version, Verb: v, RunID: l.run}, want)
}

func (l *lab) begin(app protocol.Application, want fault.Code, fs ...protocol.Filesystem) protocol.Reply {
	l.t.Helper()
	return l.beginFor(10, app, want, fs...)
}

func (l *lab) beginFor(freeze int, app protocol.Application, want fault.Code, fs ...protocol.Filesystem) protocol.Reply {
	l.t.Helper()
	return l.ask(protocol.Request{Version: protocol.Version, Verb: protocol.Begin, RunID: l.run, Begin: &protocol.BeginRequest{
		SessionSeconds: 20, FreezeSeconds: freeze, Application: app, Filesystems: fs,
	}}, want)
}

// frozen reports whether a write to the filesystem blocks: a freeze call on a
// frozen one says so and changes nothing.
func frozen(t testing.TB, mount string) bool {
	t.Helper()
	raw, err := exec.Command("fsfreeze", "-f", mount).CombinedOutput()
	if err == nil {
		sh(t, "fsfreeze", "-u", mount)
		return false
	}
	return strings.Contains(string(raw), "busy")
}

// processes of this lab's helper by role.
func (l *lab) processes(role string) []int {
	var out []int
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, d := range dirs {
		raw, _ := os.ReadFile(d + "/cmdline")
		if f := strings.Split(string(raw), "\x00"); len(f) < 2 || f[0] != "quiesce-guest" || f[1] != role {
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(d))
		if role == "_guard" || role == "_witness" {
			for _, daemon := range l.processes("_daemon") {
				if parent(pid) == daemon {
					out = append(out, pid)
				}
			}
			continue
		}
		env, _ := os.ReadFile(d + "/environ")
		if strings.Contains(string(env), "QUIESCE_RUN_DIR="+l.dir+"\x00") {
			out = append(out, pid)
		}
	}
	return out
}

func parent(pid int) int {
	raw, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	s := string(raw)
	f := strings.Fields(s[strings.LastIndexByte(s, ')')+1:])
	n, _ := strconv.Atoi(f[1])
	return n
}

func (l *lab) kill(roles ...string) {
	l.t.Helper()
	for _, r := range roles {
		pids := l.processes(r)
		if len(pids) == 0 {
			l.t.Fatalf("no %s runs", r)
		}
		for _, p := range pids {
			unix.Kill(p, unix.SIGKILL)
		}
	}
}

// eventually waits for something that no channel announces.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

// scripts are two that note that they ran.
func (l *lab) scripts() (protocol.Application, func() string) {
	l.t.Helper()
	dir := "/root"
	if fi, err := os.Stat(dir); err != nil || fi.Mode().Perm()&0o022 != 0 {
		l.t.Skip("SKIP needs a folder that is root's alone")
	}
	dir, err := os.MkdirTemp(dir, "quiesce-test-")
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { os.RemoveAll(dir) })
	log := filepath.Join(dir, "log")
	for _, s := range []string{"pre", "post"} {
		body := "#!/bin/sh\necho $QUIESCE_STAGE >>" + log + "\n"
		if err := os.WriteFile(filepath.Join(dir, s), []byte(body), 0o700); err != nil {
			l.t.Fatal(err)
		}
	}
	return protocol.Application{Kind: "script", PreScript: filepath.Join(dir, "pre"), PostScript: filepath.Join(dir, "post"), TimeoutSeconds: 10},
		func() string { raw, _ := os.ReadFile(log); return strings.ReplaceAll(string(raw), "\n", " ") }
}
