package postgresql

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/quiesce/quiesce/guest/application/applicationtest"
	server "github.com/quiesce/quiesce/local/database/postgresql"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/protocol"
)

func TestRealSuite(t *testing.T) {
	servers(t, func(t *testing.T, s *server.Server) {
		for _, mode := range []string{Checkpoint, Backup} {
			t.Run(mode, func(t *testing.T) {
				good := protocol.Application{Kind: Kind, Socket: s.Socket(), Mode: mode, TimeoutSeconds: 1}
				none, text := good, filepath.Join(t.TempDir(), "text")
				none.Socket = t.TempDir()
				must(t, os.WriteFile(text, nil, 0o644))
				applicationtest.Run(t, applicationtest.Rig{
					New: New, Options: good,
					Write: func(ctx context.Context) error { return s.Exec(ctx, "INSERT INTO t VALUES (0)") },
					Kill: func(t *testing.T, session string) {
						must(t, s.Exec(t.Context(), fmt.Sprintf("SELECT pg_terminate_backend(%d)", PID(session))))
					},
					Occupy: func(t *testing.T) (func() bool, func()) { return occupy(t, s) },
					Settings: func(t *testing.T) string {
						rows, err := s.Query(t.Context(), "SELECT string_agg(name || '=' || setting, ' ' ORDER BY name) FROM pg_settings")
						must(t, err)
						return rows[0][0]
					},
					Bad: map[string]protocol.Application{
						"mode":           {Mode: "x"},
						"timeoutSeconds": {TimeoutSeconds: -1},
						"socket":         {Socket: "x"},
						"optionFile":     {OptionFile: "x"},
					},
					Wrong: map[fault.Code]protocol.Application{
						fault.ApplicationNotFound: none,
						fault.ApplicationRefused:  {OptionFile: text},
					},
				})
			})
		}
	})
}

// occupy stops the process that makes the checkpoints.
func occupy(t *testing.T, s *server.Server) (func() bool, func()) {
	t.Helper()
	pid := checkpointer(t, s)
	must(t, syscall.Kill(pid, syscall.SIGSTOP))
	going := func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		must(t, err)
		return strings.Contains(string(stat), ") T ")
	}
	return going, func() { must(t, syscall.Kill(pid, syscall.SIGCONT)) }
}

func checkpointer(t *testing.T, s *server.Server) (pid int) {
	t.Helper()
	rows, err := s.Query(t.Context(), "SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'")
	must(t, err)
	_, err = fmt.Sscan(rows[0][0], &pid)
	must(t, err)
	return pid
}
