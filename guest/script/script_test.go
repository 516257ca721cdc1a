//go:build linux

package script

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/quiesce/quiesce/shared/fault"
)

// folder is a safe folder of the tester's own, and rules that know it.
func folder(t *testing.T) (string, Rules) {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir, Rules{Owner: os.Geteuid(), Base: dir}
}

func put(t *testing.T, path, body string, mode os.FileMode) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+body+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCheck(t *testing.T) {
	dir, rules := folder(t)
	good := put(t, dir+"/bin/good", "", 0o755)
	allow := func(path string) {
		t.Helper()
		if err := rules.Check(path); err != nil {
			t.Errorf("%s refused: %v", path, err)
		}
	}
	deny := func(path, why string) {
		t.Helper()
		err := rules.Check(path)
		if fault.CodeOf(err) != fault.ScriptUnsafe || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: got %v, want it refused: %s", path, err, why)
		}
	}
	link := func(to, at string) string {
		t.Helper()
		os.MkdirAll(filepath.Dir(at), 0o755)
		if err := os.Symlink(to, at); err != nil {
			t.Fatal(err)
		}
		return at
	}

	allow(good)
	allow(put(t, dir+"/bin/private", "", 0o700))
	allow(link("good", dir+"/bin/relative"))
	allow(link(good, dir+"/other/absolute"))
	allow(link(dir+"/bin", dir+"/folder") + "/good")

	deny("bin/good", "absolute")
	deny(dir+"/bin/../bin/good", "clean")
	deny(dir+"/bin/none", "no such file")
	deny(dir+"/bin", "no regular file")
	deny(good+"/more", "no folder")
	deny(put(t, dir+"/bin/plain", "", 0o644), "not executable")
	deny(put(t, dir+"/bin/group", "", 0o775), "written by others")
	deny(put(t, dir+"/bin/other", "", 0o757), "written by others")
	deny(dir+"/bin/a;b", "shell")
	deny(dir+"/bin/a b", "shell")
	deny(dir+"/bin/$(a)", "shell")
	deny(link(dir+"/bin/loop", dir+"/bin/loop"), "too many links")

	put(t, dir+"/open/script", "", 0o755)
	os.Chmod(dir+"/open", 0o777|os.ModeSticky)
	deny(dir+"/open/script", "written by others")
	deny(link(dir+"/open/script", dir+"/bin/into-open"), "written by others")
	deny(link(dir+"/open", dir+"/bin/open")+"/script", "written by others")

	rules.Owner++
	deny(good, "not root's")
}

func call(path, dir string, timeout time.Duration) Call {
	return Call{Path: path, RunID: "run-1", Stage: "pre", Timeout: timeout, Output: filepath.Join(dir, "output")}
}

func TestRun(t *testing.T) {
	dir, rules := folder(t)
	s := put(t, dir+"/s", `pwd; env | sort; read line && echo input; [ "$0" = `+dir+`/s ] && echo named; echo problem >&2`, 0o755)
	t.Setenv("SECRET", "x")
	res, err := rules.Run(t.Context(), call(s, dir, 10*time.Second))
	if err != nil || res.ExitCode != 0 || res.TimedOut {
		t.Fatalf("got %+v, %v", res, err)
	}
	var raw []byte
	for !strings.Contains(string(raw), "problem") {
		raw, _ = os.ReadFile(res.Output)
	}
	got := string(raw)
	for _, want := range []string{"/\n", "QUIESCE_RUN_ID=run-1\n", "QUIESCE_STAGE=pre\n", "QUIESCE_TIMEOUT_SECONDS=10\n", "named\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("output lacks %q: %s", want, got)
		}
	}
	for _, not := range []string{"SECRET", "input"} {
		if strings.Contains(got, not) {
			t.Errorf("output has %q: %s", not, got)
		}
	}
}

func TestRunFails(t *testing.T) {
	dir, rules := folder(t)
	res, err := rules.Run(t.Context(), call(put(t, dir+"/s", "exit 7", 0o755), dir, time.Minute))
	if fault.CodeOf(err) != fault.ScriptFailed || res.ExitCode != 7 {
		t.Errorf("got %+v, %v", res, err)
	}
	_, err = rules.Run(t.Context(), call(put(t, dir+"/open", "", 0o777), dir, time.Minute))
	if fault.CodeOf(err) != fault.ScriptUnsafe {
		t.Errorf("got %v", err)
	}
}

// The whole group dies: a child that goes on would hold what the script took.
func TestRunTimesOut(t *testing.T) {
	dir, rules := folder(t)
	s := put(t, dir+"/s", "sleep 60 & echo $! >"+dir+"/pid; trap '' TERM; sleep 60", 0o755)
	began := time.Now()
	res, err := rules.Run(t.Context(), call(s, dir, 300*time.Millisecond))
	if fault.CodeOf(err) != fault.ScriptTimedOut || !res.TimedOut || time.Since(began) > 5*time.Second {
		t.Errorf("got %+v, %v after %v", res, err, time.Since(began))
	}
	gone(t, dir+"/pid")
}

func TestRunStopped(t *testing.T) {
	dir, rules := folder(t)
	s := put(t, dir+"/s", "sleep 60 & echo $! >"+dir+"/pid; echo >"+dir+"/ready; sleep 60", 0o755)
	why := errors.New("asked to")
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		for {
			if _, err := os.Stat(dir + "/ready"); err == nil {
				cancel(why)
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	_, err := rules.Run(ctx, call(s, dir, time.Minute))
	if fault.CodeOf(err) != fault.ScriptFailed || !errors.Is(err, why) {
		t.Errorf("got %v", err)
	}
	gone(t, dir+"/pid")
}

// A client that holds a lock for the window outlives the script that began it.
func TestRunLeavesBackground(t *testing.T) {
	dir, rules := folder(t)
	s := put(t, dir+"/s", "sleep 60 & echo $! >"+dir+"/pid", 0o755)
	if _, err := rules.Run(t.Context(), call(s, dir, 5*time.Second)); err != nil {
		t.Fatal(err)
	}
	pid := number(t, dir+"/pid")
	if err := syscall.Kill(pid, 0); err != nil {
		t.Errorf("the background process is gone: %v", err)
	}
	syscall.Kill(pid, syscall.SIGKILL)
}

func TestRunBoundsOutput(t *testing.T) {
	dir, rules := folder(t)
	s := put(t, dir+"/s", "head -c 1000000 /dev/zero", 0o755)
	for range 2 {
		if _, err := rules.Run(t.Context(), call(s, dir, 10*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	if fi, err := os.Stat(dir + "/output"); err != nil || fi.Size() > MaxOutput || fi.Mode().Perm() != 0o600 {
		t.Errorf("output: %v %v", fi, err)
	}
}

func number(t *testing.T, path string) int {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(raw)))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func gone(t *testing.T, path string) {
	t.Helper()
	pid := number(t, path)
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil || strings.Contains(string(raw), ") Z ") {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("process %d still runs", pid)
		}
	}
}
