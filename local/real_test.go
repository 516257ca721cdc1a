package local

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quiesce/quiesce/events"
	"github.com/quiesce/quiesce/local/disk"
	"github.com/quiesce/quiesce/shared/cloud/awscloud/history"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/run"
)

// real skips a test on a machine that cannot be the instance.
func real(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("SKIP real machines are tried without looking for races")
	}
	if why := impossible(); why != "" {
		t.Skip("SKIP needs root and loop devices: " + why)
	}
	for _, tool := range []string{"mkfs.ext4", "mkfs.xfs"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("SKIP needs root and loop devices: and %s: %v", tool, err)
		}
	}
}

// built is a folder with what is deployed and the command, readable by all.
var built = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "quiesce-built-")
	if err != nil {
		return "", err
	}
	builtIn = dir
	if err := os.Chmod(dir, 0o755); err != nil {
		return "", err
	}
	for _, b := range []struct{ name, pkg string }{{"quiesce", "cmd/quiesce"}, {"bootstrap", "functions/lambda"}, {"main", "functions/fc"}, {"quiesce-guest", "guest"}} {
		cmd := exec.Command("go", "build", "-tags", "lambda.norpc", "-o", filepath.Join(dir, b.name), "../"+b.pkg)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+runtime.GOARCH)
		if out, err := cmd.CombinedOutput(); err != nil {
			return dir, fmt.Errorf("build %s: %w\n%s", b.name, err, out)
		}
	}
	return dir, nil
})

// builtIn is that folder once somebody wanted it.
var builtIn string

func binariesOf(t *testing.T) string {
	t.Helper()
	dir, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// quiet hears what happens and keeps it for a test that fails.
type quiet struct{ *testing.T }

func (q quiet) Say(format string, args ...any) { q.Logf(format, args...) }
func (q quiet) Passage(p history.Passage) {
	if p.Failed != "" {
		q.Logf("%s failed: %s", p.State, p.Failed)
	}
}

// runs runs the whole chain here, as the command does.
func runs(t *testing.T, with func(*Options)) *Report {
	t.Helper()
	o := Defaults()
	o.Binaries = binariesOf(t)
	with(&o)
	r, err := Run(t.Context(), o, quiet{t})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s, %s: %s; frozen %.0f ms for a call of %.0f ms", r.Outcome, r.Consistency, r.Reason, r.FrozenMs, r.SnapshotCallMs)
	if r.Mode != Real || r.LeftFrozen != 0 || len(r.Unreached) > 0 {
		t.Errorf("mode %s (%s), %d left frozen, %v never happened", r.Mode, r.ModeReason, r.LeftFrozen, r.Unreached)
	}
	if r.Consistency != "" && (r.Oracle == nil || !r.Oracle.Verified || r.Oracle.Records == 0) {
		t.Errorf("the set is called %s, and the oracle finds %+v", r.Consistency, r.Oracle)
	}
	return r
}

func TestReal(t *testing.T) {
	real(t)
	t.Run("runs", func(t *testing.T) {
		for _, c := range []struct {
			name        string
			with        func(*Options)
			outcome     run.Outcome
			consistency run.Consistency
			code        string
		}{
			{"ext4", func(*Options) {}, run.OutcomeCompleted, run.Application, ""},
			{"xfs on three volumes", func(o *Options) { o.FS, o.Volumes = disk.XFS, 3 }, run.OutcomeCompleted, run.Application, ""},
			{"nobody brings the application to rest", func(o *Options) { o.App = None }, run.OutcomeCompleted, run.Filesystem, ""},
			{"nothing is held", func(o *Options) { o.App, o.NoFreeze = None, true }, run.OutcomeCompleted, run.Crash, ""},
			{"the helper is killed", faulty("snapshot:kill-helper"), run.OutcomeDegraded, run.Crash, "HoldLost"},
			{"somebody else thaws and freezes", faulty("snapshot:foreign-thaw"), run.OutcomeDegraded, run.Crash, "HoldLost"},
			{"the set's reply is lost", faulty("snapshot:lost-reply"), run.OutcomeCompleted, run.Application, ""},
			{"the execution is stopped", faulty("snapshot:stop-execution"), run.OutcomeFailedDirty, "", ""},
		} {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				r := runs(t, c.with)
				if r.Outcome != c.outcome || r.Consistency != c.consistency || r.Code != c.code {
					t.Errorf("got %s, %q %q, want %s, %q %q", r.Outcome, r.Consistency, r.Code, c.outcome, c.consistency, c.code)
				}
				o := Defaults()
				c.with(&o)
				if n := len(r.Set); n != 0 && n != o.Volumes {
					t.Errorf("%d snapshots of %d volumes", n, o.Volumes)
				}
				want := map[run.Outcome]string{run.OutcomeCompleted: events.TypeCompleted, run.OutcomeDegraded: events.TypeDegraded}[c.outcome]
				if finals := r.Events[events.TypeCompleted] + r.Events[events.TypeDegraded] + r.Events[events.TypeFailed]; want != "" && (finals != 1 || r.Events[want] != 1) {
					t.Errorf("published %v, want one %q", r.Events, want)
				}
			})
		}
	})
	for _, room := range rooms(t) {
		if owner(room) == os.Getpid() {
			t.Errorf("%s was left behind: %v", room, remains(room))
		}
	}
}

func faulty(faults ...string) func(*Options) {
	return func(o *Options) { o.Faults = faults }
}

// A script that somebody else could change would run as root.
func TestRealScriptOfAnybody(t *testing.T) {
	real(t)
	dir, err := os.MkdirTemp("/var/lib", "quiesce-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	pre, post, ran := filepath.Join(dir, "pre"), filepath.Join(dir, "post"), filepath.Join(dir, "ran")
	for _, script := range []string{pre, post} {
		if err := os.WriteFile(script, []byte("#!/bin/sh\ntouch "+ran+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(pre, 0o777); err != nil {
		t.Fatal(err)
	}
	r := runs(t, func(o *Options) { o.App, o.PreScript, o.PostScript = Script, pre, post })
	if got := strings.Join(r.States, " "); got != refused {
		t.Errorf("got the path %s, want %s", got, refused)
	}
	if r.Outcome != run.OutcomeFailedClean || r.Code != "ScriptUnsafe" || !strings.Contains(r.Reason, "policy.application.preScript") {
		t.Errorf("got %s %s because %q", r.Outcome, r.Code, r.Reason)
	}
	if _, err := os.Stat(ran); err == nil {
		t.Error("a script was run")
	}
}

func TestRelativeScriptIsRefused(t *testing.T) {
	o := Defaults()
	o.App, o.PreScript, o.PostScript = Script, "pre.sh", "/opt/post.sh"
	_, err := Run(t.Context(), o, quiet{t})
	if fault.CodeOf(err) != fault.InvalidInput || !strings.Contains(err.Error(), "policy.application.preScript") {
		t.Errorf("got %v", err)
	}
}

// The window is the snapshot call and one command, whose answer is waited for:
// whatever else was called in it would lengthen it. How long that takes is for the
// benchmark to say.
func TestRealWindowIsCallAndCommand(t *testing.T) {
	real(t)
	r := runs(t, func(o *Options) {
		o.AgentLatency = 400 * time.Millisecond
		o.Latency = map[string]time.Duration{"CreateSnapshots": 800 * time.Millisecond}
	})
	if r.Outcome != run.OutcomeCompleted {
		t.Fatalf("got %s: %s", r.Outcome, r.Reason)
	}
	calls := map[string]int{}
	for _, c := range r.InWindow {
		calls[c.Action]++
	}
	if calls["CreateSnapshots"] != 1 || calls["SendCommand"] != 1 {
		t.Errorf("the window has %v", calls)
	}
	delete(calls, "GetCommandInvocation")
	if len(calls) != 2 {
		t.Errorf("the window has %v besides", calls)
	}
	if own := r.FrozenMs - r.SnapshotCallMs; own < 400 {
		t.Errorf("frozen for %.0f ms, %.0f ms of them the call's: the agent's way is not in it", r.FrozenMs, r.SnapshotCallMs)
	}
}

// rooms are those of all local runs on this machine, others' included.
func rooms(t *testing.T) []string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(disk.DefaultParent, "room-*"))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// owner is the process that a room belongs to, 0 for none.
func owner(room string) (pid int) {
	journal, _ := os.ReadFile(filepath.Join(room, "journal"))
	if _, rest, ok := strings.Cut(string(journal), `"pid":`); ok {
		_, _ = fmt.Sscan(strings.FieldsFunc(rest, func(r rune) bool { return r == ',' || r == '}' })[0], &pid)
	}
	return pid
}

// remains are the room itself, its mounts, its loop devices and its processes.
func remains(room string) (list []string) {
	if _, err := os.Stat(room); err == nil {
		list = append(list, room)
	}
	table, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(table)) {
		if strings.Contains(line, room+"/") {
			list = append(list, "mounted: "+strings.Fields(line)[4])
		}
	}
	for _, pattern := range []string{"/sys/block/loop*/loop/backing_file", "/proc/[0-9]*/environ"} {
		files, _ := filepath.Glob(pattern)
		for _, f := range files {
			if text, err := os.ReadFile(f); err == nil && strings.Contains(string(text), room) {
				list = append(list, f)
			}
		}
	}
	slices.Sort(list)
	return list
}

// spared tells of all but one of many that a short run leaves it out: it looks for
// races and would take ten times as long.
func spared(i int) bool { return testing.Short() && i%12 > 0 }

// thinned is what a short run tries of many.
func thinned[T any](all []T) (some []T) {
	for i, one := range all {
		if !spared(i) {
			some = append(some, one)
		}
	}
	return some
}
