//go:build linux

package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quiesce/quiesce/guest/linux"
	"github.com/quiesce/quiesce/guest/session"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/protocol"
)

var noApplication = protocol.Application{Kind: "none"}

func TestRealCycle(t *testing.T) {
	for _, kind := range []string{"ext4", "xfs", "btrfs"} {
		t.Run(kind, func(t *testing.T) {
			l := newLab(t)
			fs := l.disk(kind, t.TempDir(), 320<<20)
			l.begin(noApplication, "", fs)
			froze := l.verb(protocol.Freeze, "")
			if !frozen(t, fs.Mount) {
				t.Fatal("not frozen")
			}
			wrote := make(chan time.Time, 1)
			go func() {
				exec.Command("touch", filepath.Join(fs.Mount, "x")).Run()
				wrote <- time.Now()
			}()
			l.verb(protocol.Probe, "")
			again := l.verb(protocol.Freeze, "")
			if !again.Replayed || again.Evidence.Hold != froze.Evidence.Hold {
				t.Errorf("replayed: %+v", again)
			}
			before := time.Now()
			reply := l.ask(protocol.Request{Version: 1, Verb: protocol.Thaw, RunID: l.run,
				Thaw: &protocol.ThawRequest{Reason: "snapshot-taken", CallEnded: froze.Evidence.Hold}}, "")
			if at := <-wrote; at.Before(before) {
				t.Error("a write got through while it was frozen")
			}
			e := reply.Evidence
			f := e.Filesystems[0]
			if f.Thaw != "ok" || f.Type != kind || f.FreezeAt.Mono >= f.FrozenAt.Mono || f.FrozenAt.Mono > f.BlockedAt.Mono ||
				f.BlockedAt.Mono >= f.HeldAt.Mono || f.HeldAt.Mono > f.ThawAt.Mono || f.ThawAt.Mono > f.ThawedAt.Mono {
				t.Errorf("evidence: %+v", f)
			}
			if e.Thaw.CallEnded != e.Hold || e.Hold == "" || e.FrozenMs <= 0 || len(e.Lost) > 0 || e.AutoThawed {
				t.Errorf("evidence: %+v", e)
			}
			if !l.verb(protocol.Thaw, "").Replayed {
				t.Error("thaw not replayed")
			}
			eventually(t, "all processes end", func() bool { return len(l.processes("_daemon"))+len(l.processes("_keeper")) == 0 })
			if frozen(t, fs.Mount) {
				t.Error("left frozen")
			}
			t.Logf("freeze call %.1f ms, seen blocked %.1f ms later, thaw call %.2f ms, window %.1f ms",
				ms(f.FreezeAt, f.FrozenAt), ms(f.FrozenAt, f.BlockedAt), ms(f.ThawAt, f.ThawedAt), e.FrozenMs)
		})
	}
}

func ms(a, b protocol.Stamp) float64 { return float64(b.Mono-a.Mono) / 1e6 }

func TestRealNested(t *testing.T) {
	l := newLab(t)
	outer := l.disk("ext4", t.TempDir(), 256<<20)
	inner := l.disk("ext4", outer.Mount, 64<<20)
	other := l.disk("ext4", t.TempDir(), 64<<20)
	l.begin(noApplication, "", outer, other, inner)
	l.verb(protocol.Freeze, "")
	e := l.verb(protocol.Thaw, "").Evidence
	if e.Filesystems[0].Mount != inner.Mount {
		t.Fatalf("%s froze first", e.Filesystems[0].Mount)
	}
	for _, f := range e.Filesystems[1:] {
		if f.FreezeAt.Mono < e.Filesystems[0].FrozenAt.Mono {
			t.Errorf("%s froze before the one that stands on a file was frozen", f.Mount)
		}
		if f.ThawAt.Mono > e.Filesystems[0].ThawAt.Mono {
			t.Errorf("%s thawed after the one that stands on a file", f.Mount)
		}
	}
	t.Logf("three filesystems, two layers: window %.1f ms", e.FrozenMs)
}

func TestRealThawAndFreezeAgain(t *testing.T) {
	l := newLab(t)
	fs := l.disk("ext4", t.TempDir(), 64<<20)
	l.begin(noApplication, "", fs)
	l.verb(protocol.Freeze, "")
	sh(t, "fsfreeze", "-u", fs.Mount)
	sh(t, "fsfreeze", "-f", fs.Mount)
	l.verb(protocol.Probe, fault.HoldLost)
	e := l.verb(protocol.Thaw, fault.HoldLost).Evidence
	if !e.Filesystems[0].HeldAt.IsZero() || len(e.Lost) == 0 {
		t.Errorf("evidence: %+v", e)
	}
	if !frozen(t, fs.Mount) {
		t.Error("thawed what it had not frozen")
	}
	sh(t, "fsfreeze", "-u", fs.Mount)
}

func TestRealDaemonKilled(t *testing.T) {
	l := newLab(t)
	fs := l.disk("ext4", t.TempDir(), 64<<20)
	app, ran := l.scripts()
	l.begin(app, "", fs)
	l.verb(protocol.Freeze, "")
	began := time.Now()
	l.kill("_daemon")
	eventually(t, "the post script ran", func() bool { return ran() == "pre post " })
	t.Logf("daemon killed: thawed and released in %v", time.Since(began).Round(time.Millisecond))
	if frozen(t, fs.Mount) {
		t.Error("left frozen")
	}
	e := l.verb(protocol.Thaw, fault.HoldLost).Evidence
	if !e.AutoThawed || e.Application.Held || e.Phase != protocol.Released || e.Filesystems[0].Thaw != "ok" || !e.Filesystems[0].GuardFired {
		t.Errorf("evidence: %+v", e)
	}
	if ran() != "pre post " {
		t.Errorf("scripts: %s", ran())
	}
}

func TestRealDaemonAndKeeperKilled(t *testing.T) {
	l := newLab(t)
	fs := l.disk("ext4", t.TempDir(), 64<<20)
	app, ran := l.scripts()
	l.begin(app, "", fs)
	l.verb(protocol.Freeze, "")
	l.kill("_keeper", "_daemon")
	eventually(t, "the guard thawed", func() bool { return !frozen(t, fs.Mount) })
	l.verb(protocol.Status, "")
	l.verb(protocol.Thaw, fault.HoldLost)
	if ran() != "pre post " {
		t.Errorf("scripts: %s", ran())
	}
	l.run = "run-2"
	l.begin(noApplication, "", fs)
	l.verb(protocol.Freeze, "")
	l.verb(protocol.Thaw, "")
}

func TestRealGuardKilled(t *testing.T) {
	l := newLab(t)
	fs := l.disk("ext4", t.TempDir(), 64<<20)
	l.begin(noApplication, "", fs)
	l.verb(protocol.Freeze, "")
	l.kill("_guard")
	eventually(t, "the daemon thawed", func() bool { return !frozen(t, fs.Mount) })
	e := l.verb(protocol.Thaw, fault.HoldLost).Evidence
	if e.Thaw.Reason != "guard" {
		t.Errorf("evidence: %+v", e.Thaw)
	}
}

func TestRealEverybodyButTheKeeperKilled(t *testing.T) {
	l := newLab(t)
	fs := l.disk("ext4", t.TempDir(), 64<<20)
	l.begin(noApplication, "", fs)
	l.verb(protocol.Freeze, "")
	daemon, guard := l.processes("_daemon"), l.processes("_guard")
	unix.Kill(daemon[0], unix.SIGSTOP) // so that it cannot help
	unix.Kill(guard[0], unix.SIGKILL)
	unix.Kill(daemon[0], unix.SIGKILL)
	eventually(t, "the keeper thawed", func() bool { return !frozen(t, fs.Mount) })
	l.verb(protocol.Thaw, fault.HoldLost)
}

func TestRealSecondRun(t *testing.T) {
	l := newLab(t)
	fs := l.disk("ext4", t.TempDir(), 64<<20)
	l.begin(noApplication, "", fs)
	l.verb(protocol.Freeze, "")
	l.run = "run-2"
	if r := l.begin(noApplication, fault.RunInProgress, fs); r.Error.Field != "run-1" {
		t.Errorf("names %q", r.Error.Field)
	}
	l.verb(protocol.Thaw, fault.NoSession)
	l.run = "run-1"
	l.verb(protocol.Probe, "")
	l.verb(protocol.Thaw, "")
	for i := range 5 { // one run right after the other
		l.run = fmt.Sprintf("next-%d", i)
		l.begin(noApplication, "", fs)
		l.verb(protocol.Thaw, "")
	}
}

func TestRealForeignFreeze(t *testing.T) {
	l := newLab(t)
	free := l.disk("ext4", t.TempDir(), 64<<20)
	taken := l.disk("ext4", t.TempDir(), 64<<20)
	l.begin(noApplication, "", free, taken)
	sh(t, "fsfreeze", "-f", taken.Mount)
	l.verb(protocol.Freeze, fault.ForeignFreeze)
	if frozen(t, free.Mount) || !frozen(t, taken.Mount) {
		t.Error("the undo is not of what was frozen here alone")
	}
	l.verb(protocol.Thaw, "")
	if !frozen(t, taken.Mount) {
		t.Error("thawed what it had not frozen")
	}
	sh(t, "fsfreeze", "-u", taken.Mount)
}

// A guard whose own freeze was refused leaves alone what another has frozen,
// though its deadline comes before it is disarmed.
func TestRealRefusedFreezeIsNotThawed(t *testing.T) {
	l := newLab(t)
	fs := l.disk("ext4", t.TempDir(), 64<<20)
	state, err := linux.OpenState(l.dir)
	if err != nil {
		t.Fatal(err)
	}
	host := newHost(state)
	opened, err := host.Open(t.Context(), l.run, []protocol.Filesystem{fs}, false)
	if err != nil {
		t.Fatal(err)
	}
	v := opened[0]
	defer v.Close()
	deadline := host.Stamp()
	deadline.Mono += int64(300 * time.Millisecond)
	if err := v.Arm(t.Context(), deadline); err != nil {
		t.Fatal(err)
	}
	sh(t, "fsfreeze", "-f", fs.Mount)
	defer sh(t, "fsfreeze", "-u", fs.Mount)
	if _, err := v.Freeze(t.Context()); fault.CodeOf(err) != fault.ForeignFreeze {
		t.Fatalf("got %v", err)
	}
	if sign := <-v.Signs(); sign.Kind != session.GuardFired || sign.Thaw.WasFrozen {
		t.Errorf("got %+v", sign)
	}
	if !frozen(t, fs.Mount) {
		t.Error("the guard thawed what it had not frozen")
	}
}

func TestRealDeadline(t *testing.T) {
	for _, stopped := range []bool{false, true} {
		t.Run(fmt.Sprintf("daemon stopped %v", stopped), func(t *testing.T) {
			l := newLab(t)
			fs := l.disk("ext4", t.TempDir(), 64<<20)
			l.beginFor(1, noApplication, "", fs)
			l.verb(protocol.Freeze, "")
			if !frozen(t, fs.Mount) {
				t.Fatal("not frozen")
			}
			if stopped { // then it is the guard's turn
				unix.Kill(l.processes("_daemon")[0], unix.SIGSTOP)
			}
			eventually(t, "thawed at the deadline", func() bool { return !frozen(t, fs.Mount) })
			if stopped {
				unix.Kill(l.processes("_daemon")[0], unix.SIGCONT)
			}
			reply := l.verb(protocol.Thaw, fault.HoldLost)
			if e := reply.Evidence; !e.AutoThawed || e.FrozenMs > 1100 || session.ExitCode(reply) != session.ExitAutoThawed {
				t.Errorf("evidence: %+v", e)
			}
		})
	}
}

func TestRealWrongFilesystem(t *testing.T) {
	l := newLab(t)
	fs := l.disk("ext4", t.TempDir(), 64<<20)
	below := fs
	below.Mount = filepath.Dir(fs.Mount)
	l.begin(noApplication, "", below)
	l.verb(protocol.Freeze, fault.FreezeRefused)
	l.verb(protocol.Thaw, "")
	l.run = "run-2"
	root := protocol.Filesystem{Mount: "/", Device: sh(t, "findmnt", "-no", "MAJ:MIN", "/")}
	l.begin(noApplication, "", root)
	l.verb(protocol.Freeze, fault.FreezeRefused)
	l.verb(protocol.Thaw, "")
}

// An agent waits until everybody has closed its command's output, also where
// a wrapper left a copy of it open under another number.
func TestRealBeginHoldsNothing(t *testing.T) {
	l := newLab(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	l.extra = w
	l.begin(noApplication, "")
	l.extra = nil
	w.Close()
	r.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := r.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("got %v: the daemon holds the command's descriptor", err)
	}
	l.verb(protocol.Thaw, "")
}

func TestRealStateOnTheFilesystem(t *testing.T) {
	l := newLab(t)
	fs := l.disk("ext4", t.TempDir(), 64<<20)
	l.dir = filepath.Join(fs.Mount, "state")
	l.begin(noApplication, "", fs)
	l.verb(protocol.Freeze, fault.FreezeRefused)
	l.verb(protocol.Thaw, "")
	eventually(t, "all processes end", func() bool { return len(l.processes("_daemon"))+len(l.processes("_keeper")) == 0 })
}

func TestRealDryRun(t *testing.T) {
	l := newLab(t)
	fs := l.disk("ext4", t.TempDir(), 64<<20)
	req := protocol.Request{Version: 1, Verb: protocol.DryRun, RunID: l.run, DryRun: &protocol.DryRunRequest{Scripts: []string{"/bin/sh", "/tmp/x"}}}
	if r := l.ask(req, fault.ScriptUnsafe); r.Error.Field != "scripts[1]" {
		t.Errorf("names %q: %s", r.Error.Field, r.Error.Message)
	}
	req.DryRun.Scripts = nil
	found := false
	for _, m := range l.ask(req, "").DryRun.Mounts {
		if m.Mount == fs.Mount {
			found = m.Device == fs.Device && m.Refused == "" && len(m.Disks) == 1 && strings.HasPrefix(m.Disks[0].Name, "loop")
		}
		if m.Mount == "/" && m.Refused == "" {
			t.Error("root may be frozen")
		}
	}
	if !found {
		t.Error("the mount is not resolved")
	}
}

func TestRealDaemonTerminated(t *testing.T) {
	l := newLab(t)
	fs := l.disk("ext4", t.TempDir(), 64<<20)
	app, ran := l.scripts()
	l.begin(app, "", fs)
	l.verb(protocol.Freeze, "")
	unix.Kill(l.processes("_daemon")[0], unix.SIGTERM)
	eventually(t, "the post script ran", func() bool { return ran() == "pre post " })
	if frozen(t, fs.Mount) {
		t.Error("left frozen")
	}
	l.verb(protocol.Thaw, fault.HoldLost)
}

// A freeze call that hangs in the kernel, as on a device that does not answer:
// whoever is left undoes it when it comes to its end at last.
func TestRealFreezeHangs(t *testing.T) {
	for name, victims := range map[string][]string{
		"nobody dies": nil, "daemon and keeper die": {"_keeper", "_daemon"}, "guard, daemon and keeper die": {"_keeper", "_guard", "_daemon"},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			outer := l.disk("ext4", t.TempDir(), 256<<20)
			inner := l.disk("ext4", outer.Mount, 64<<20)
			l.beginFor(1, noApplication, "", inner)
			sh(t, "fsfreeze", "-f", outer.Mount)
			done := make(chan protocol.Reply, 1)
			go func() {
				r, _ := l.command(protocol.Request{Version: 1, Verb: protocol.Freeze, RunID: l.run})
				done <- r
			}()
			eventually(t, "the call hangs", func() bool {
				for _, w := range l.processes("_witness") {
					for _, f := range globs(fmt.Sprintf("/proc/%d/task/*/stat", w)) {
						raw, _ := os.ReadFile(f)
						if strings.Contains(string(raw), ") D ") {
							return true
						}
					}
				}
				return false
			})
			if victims == nil {
				if r := <-done; r.Error == nil || r.Error.Code != fault.ThawFailed || r.Error.Field != inner.Mount {
					t.Errorf("got %+v", r.Error)
				}
			} else {
				pids := l.processes("_guard")
				l.kill(victims...)
				if len(victims) == 3 {
					for _, p := range pids {
						unix.Kill(p, unix.SIGKILL)
					}
				}
			}
			sh(t, "fsfreeze", "-u", outer.Mount)
			if victims == nil {
				l.verb(protocol.Thaw, "")
			} else {
				<-done
				l.ask(protocol.Request{Version: 1, Verb: protocol.Thaw, RunID: l.run}, fault.HoldLost)
			}
			time.Sleep(100 * time.Millisecond) // the kernel's call may outlast them all
			if frozen(t, inner.Mount) {
				t.Error("left frozen")
			}
		})
	}
}

func globs(pattern string) []string {
	found, _ := filepath.Glob(pattern)
	return found
}

// TestRealInProcess runs the session here, so that the race detector sees it.
func TestRealInProcess(t *testing.T) {
	l := newLab(t)
	fs := l.disk("ext4", t.TempDir(), 64<<20)
	state, err := linux.OpenState(l.dir)
	if err != nil {
		t.Fatal(err)
	}
	helper := session.New(newHost(state), session.Options{})
	for _, req := range []protocol.Request{
		{Verb: protocol.Begin, Begin: &protocol.BeginRequest{SessionSeconds: 20, FreezeSeconds: 10, Application: noApplication, Filesystems: []protocol.Filesystem{fs}}},
		{Verb: protocol.Freeze}, {Verb: protocol.Probe}, {Verb: protocol.Thaw}, {Verb: protocol.Status},
	} {
		req.Version, req.RunID = protocol.Version, l.run
		if r := helper.Handle(t.Context(), req); r.Error != nil {
			t.Fatalf("%s: %+v", req.Verb, r.Error)
		}
	}
}

func BenchmarkFreezeDirty(b *testing.B) {
	for _, skip := range []bool{false, true} {
		b.Run(fmt.Sprintf("presync=%v", !skip), func(b *testing.B) { benchmarkFreeze(b, session.Options{SkipFlush: skip}) })
	}
}
