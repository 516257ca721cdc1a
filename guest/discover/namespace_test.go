package discover_test

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/quiesce/quiesce/guest/discover"
	"github.com/quiesce/quiesce/shared/protocol"
)

// The kernel's own mount namespaces: a process that only has one of its own is
// no stranger, one that has something else mounted where its data is, is.
func TestRealNamespaces(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIP needs root: mount namespaces")
	}
	for _, tool := range []string{"unshare", "cat"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("SKIP needs %s", tool)
		}
	}
	cat, err := exec.LookPath("cat")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, first string // what is done in the namespace before the server starts
		apart       bool
	}{
		{"a namespace, and nothing else", "true", false},
		{"another filesystem at the same path", `mount -t tmpfs tmpfs "$1"`, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			// It goes by its file's name, and lives until its input is closed.
			program := filepath.Join(t.TempDir(), "redis-server")
			text, err := os.ReadFile(cat)
			if err == nil {
				err = os.WriteFile(program, text, 0o755)
			}
			if err != nil {
				t.Fatal(err)
			}
			server := exec.Command("unshare", "-m", "sh", "-c", c.first+` && cd "$1" && echo ready && exec "$2"`, "sh", dir, program)
			input, err := server.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			output, err := server.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := server.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				input.Close()
				_ = server.Wait() // cat ends with its input
			})
			if _, err := io.ReadFull(output, make([]byte, len("ready\n"))); err != nil {
				t.Skipf("SKIP needs mount namespaces: %v", err)
			}
			if _, err := input.Write([]byte("x")); err != nil { // echoed once the program runs
				t.Fatal(err)
			}
			if _, err := io.ReadFull(output, make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
			all, err := discover.Read("/")
			if err != nil {
				t.Fatal(err)
			}
			var got *protocol.Found
			for i := range all {
				if all[i].PID == server.Process.Pid {
					got = &all[i]
				}
			}
			if got == nil {
				t.Fatalf("process %d is not among %+v", server.Process.Pid, all)
			}
			if apart := got.Apart != ""; apart != c.apart || len(got.Folders) != 1 || got.Folders[0].Path != dir || got.Folders[0].Device == "" {
				t.Errorf("got %+v, want apart %t", *got, c.apart)
			}
		})
	}
}
