package local

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// command is the built command inside its window.
type command struct {
	*exec.Cmd
	room string
	rest chan string // what it said from then on, once it has ended
}

// intoTheWindow starts a run whose window is long and returns when it is open.
func intoTheWindow(t *testing.T, flags ...string) *command {
	t.Helper()
	flags = append([]string{"run", "--api-latency", "CreateSnapshots=20s"}, flags...)
	c := &command{Cmd: exec.Command(filepath.Join(binariesOf(t), "quiesce"), flags...), rest: make(chan string, 1)}
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.Stderr = c.Stdout
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill() }) // it has ended before, if all went well
	lines := bufio.NewReader(out)
	for said := ""; ; {
		line, err := lines.ReadString('\n')
		if said += line; err != nil {
			t.Fatalf("it ended before its window: %v\n%s", err, said)
		}
		if strings.HasPrefix(strings.TrimSpace(line), "Freeze ") {
			break
		}
	}
	go func() {
		rest, _ := io.ReadAll(lines)
		c.rest <- string(rest)
	}()
	for _, room := range rooms(t) {
		if owner(room) == c.Process.Pid {
			c.room = room
		}
	}
	if c.room == "" {
		t.Fatal("it has no room")
	}
	return c
}

// gone wants nothing left of a room.
func gone(t *testing.T, room string) {
	t.Helper()
	if left := remains(room); len(left) > 0 {
		t.Errorf("left behind:\n%s", strings.Join(left, "\n"))
	}
}

// What Ctrl-C ends is taken away before the command ends.
func TestRealInterrupted(t *testing.T) {
	real(t)
	t.Parallel()
	c := intoTheWindow(t)
	began := time.Now()
	if err := c.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	said := <-c.rest
	var exit *exec.ExitError
	if err := c.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("got %v, want exit code 1", err)
	}
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("it took %s to end", took)
	}
	if !strings.Contains(said, "interrupted") {
		t.Errorf("it said %q", said)
	}
	gone(t, c.room)
}

// What a run leaves that was killed, frozen filesystems included, the next one
// takes away, whoever starts that.
func TestRealKilled(t *testing.T) {
	real(t)
	t.Parallel()
	c := intoTheWindow(t)
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-c.rest
	_ = c.Wait()
	next := exec.Command(filepath.Join(binariesOf(t), "quiesce"), "run", "--app", "none", "--volumes", "1", "-o", "json")
	var report Report
	if out, err := next.Output(); err != nil {
		t.Errorf("the next run: %v", err)
	} else if err := json.Unmarshal(out, &report); err != nil || !report.Good() {
		t.Errorf("the next run: %v, %+v", err, report)
	}
	gone(t, c.room)
}

// Without root there is a simulated machine, and the report says so.
func TestRealWithoutRoot(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIP the run that looks for no races does it")
	}
	if os.Geteuid() != 0 {
		t.Skip("SKIP needs root and loop devices: to give it up")
	}
	for _, cloud := range []string{AWS, Aliyun} {
		t.Run(cloud, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(filepath.Join(binariesOf(t), "quiesce"), "run", "--cloud", cloud, "--restore-test", "-o", "json")
			cmd.Dir, cmd.Env = "/", []string{"PATH=/usr/bin:/bin", "TMPDIR=/tmp"}
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
			var said strings.Builder
			cmd.Stderr = &said
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("%v\n%s%s", err, out, said.String())
			}
			var r Report
			if err := json.Unmarshal(out, &r); err != nil {
				t.Fatal(err)
			}
			if r.Mode != Simulated || r.ModeReason == "" || !r.Good() || !strings.Contains(said.String(), "simulated machine: ") {
				t.Errorf("mode %s (%s), %s because %s; it said %q", r.Mode, r.ModeReason, r.Outcome, r.Reason, said.String())
			}
			if rt := r.RestoreTest; rt == nil || rt.Verdict != "SUCCESSFUL" || rt.RecoverySeconds <= 0 || !strings.Contains(string(out), `"restoreTest"`) {
				t.Errorf("the restore test: %+v", rt)
			}
		})
	}
}
