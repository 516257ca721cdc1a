package host

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/quiesce/quiesce/local/instance"
)

func execute(t *testing.T, m *Machine, script string) instance.Result {
	t.Helper()
	return m.Execute(t.Context(), instance.Command{Script: script})
}

func TestACommandReportsWhatItDid(t *testing.T) {
	m := &Machine{Env: []string{"QUIESCE_RUN_DIR=/private"}}
	for _, c := range []struct {
		script, stdout, stderr string
		exit                   int
	}{
		{"echo out; echo err >&2; exit 3", "out\n", "err\n", 3},
		{"echo $QUIESCE_RUN_DIR; pwd", "/private\n/\n", "", 0},
		{"kill -TERM $$", "", "", 143},
		{"env | grep -v -e ^PATH= -e ^QUIESCE_ -e ^PWD= -e ^_= -e ^SHLVL= -e ^OLDPWD=; true", "", "", 0},
	} {
		got := execute(t, m, c.script)
		if got.ExitCode != c.exit || string(got.Stdout) != c.stdout || string(got.Stderr) != c.stderr {
			t.Errorf("%s: %d %q %q", c.script, got.ExitCode, got.Stdout, got.Stderr)
		}
	}
}

func TestMuchOutputIsDrainedAndCut(t *testing.T) {
	got := execute(t, &Machine{}, "head -c 3000000 /dev/zero; head -c 3000000 /dev/zero >&2; echo")
	if got.ExitCode != 0 || len(got.Stdout) != MaxOutput || len(got.Stderr) != MaxOutput {
		t.Errorf("exit %d, %d and %d bytes", got.ExitCode, len(got.Stdout), len(got.Stderr))
	}
}

func TestAChildThatHoldsTheOutputKeepsTheCommandGoing(t *testing.T) {
	began := time.Now()
	got := execute(t, &Machine{}, "sleep 0.3 & echo started")
	if took := time.Since(began); took < 300*time.Millisecond || string(got.Stdout) != "started\n" {
		t.Errorf("ended after %v with %q", took, got.Stdout)
	}
	began = time.Now()
	got = execute(t, &Machine{}, "sleep 30 >/dev/null 2>&1 </dev/null & echo $!")
	var pid int
	fmt.Sscan(string(got.Stdout), &pid)
	syscall.Kill(pid, syscall.SIGKILL)
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("a child with its output elsewhere held the command for %v", took)
	}
}

func TestTheWholeGroupIsKilledWhenTheTimeIsOver(t *testing.T) {
	pids := filepath.Join(t.TempDir(), "pids")
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer cancel()
		for range 1000 {
			if data, _ := os.ReadFile(pids); strings.Count(string(data), "\n") == 2 {
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
	got := (&Machine{}).Execute(ctx, instance.Command{Script: "echo before; sleep 60 & echo $! > " + pids + "; echo $$ >> " + pids + "; wait"})
	if got.ExitCode != 137 || string(got.Stdout) != "before\n" {
		t.Errorf("%d %q", got.ExitCode, got.Stdout)
	}
	data, err := os.ReadFile(pids)
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range strings.Fields(string(data)) {
		var pid int
		fmt.Sscan(word, &pid)
		for try := 0; syscall.Kill(pid, 0) == nil && !zombie(pid); try++ {
			if try == 400 {
				t.Fatalf("process %d lives", pid)
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
}

func zombie(pid int) bool {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(data), ") Z ")
}

func TestWhatCannotBeStartedSaysSo(t *testing.T) {
	if got := execute(t, &Machine{Dir: "/nowhere"}, "true"); got.ExitCode != -1 || len(got.Stderr) == 0 {
		t.Errorf("%d %q", got.ExitCode, got.Stderr)
	}
}
