package redis

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/quiesce/quiesce/guest/application/applicationtest"
	server "github.com/quiesce/quiesce/local/database/redis"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/protocol"
)

func TestRealSuite(t *testing.T) {
	for _, name := range []string{"everysec", "rdb"} {
		t.Run(name, func(t *testing.T) {
			servers(t, ways[name], func(t *testing.T, s *server.Server) {
				if unsupported(t, s, &kept{}) {
					return
				}
				options := func(o protocol.Application) protocol.Application {
					o.Kind, o.Socket, o.TimeoutSeconds, o.HoldSeconds = Kind, s.Socket(), 1, 30
					return o
				}
				none, text := options(protocol.Application{}), filepath.Join(t.TempDir(), "text")
				none.Socket = filepath.Join(t.TempDir(), "none")
				must(t, os.WriteFile(text, nil, 0o644))
				applicationtest.Run(t, applicationtest.Rig{
					New: New, Options: options(protocol.Application{}), Holds: true, Outlives: true,
					Write: func(ctx context.Context) error { return s.Client().Do(ctx, "INCR", "n").Err() },
					Kill: func(t *testing.T, session string) {
						tell(t, s, "CLIENT", "KILL", "ID", ID(session))
					},
					Occupy:   func(t *testing.T) (func() bool, func()) { return occupy(t, s) },
					Settings: func(t *testing.T) string { return settings(t, s) },
					Bad: map[string]protocol.Application{
						"mode":           options(protocol.Application{Mode: "x"}),
						"timeoutSeconds": {TimeoutSeconds: -1},
						"holdSeconds":    {HoldSeconds: -1},
						"socket":         {Socket: "x"},
						"optionFile":     {OptionFile: "x"},
					},
					Wrong: map[fault.Code]protocol.Application{
						fault.ApplicationNotFound: none,
						fault.ApplicationRefused:  {OptionFile: text},
					},
				})
			})
		})
	}
}

// occupy has the server write one of its files so slowly that it does not end.
func occupy(t *testing.T, s *server.Server) (func() bool, func()) {
	t.Helper()
	command := "BGSAVE"
	if strings.Contains(tell(t, s, "INFO", "persistence"), "aof_enabled:1") {
		command = "BGREWRITEAOF"
	}
	tell(t, s, "SET", "a", "1")
	const slow = "rdb-key-save-delay"
	tell(t, s, "CONFIG", "SET", slow, "600000000")
	tell(t, s, command)
	tell(t, s, "CONFIG", "SET", slow, "0") // the child has its own by now
	var children []int
	going := func() bool {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", s.PID(), s.PID()))
		must(t, err)
		children = nil
		for _, word := range strings.Fields(string(data)) {
			pid, err := strconv.Atoi(word)
			must(t, err)
			children = append(children, pid)
		}
		return len(children) > 0
	}
	return going, func() {
		if going() {
			must(t, syscall.Kill(children[0], syscall.SIGUSR1)) // by which the server ends its children itself
		}
		for going() {
			time.Sleep(time.Millisecond)
		}
		tell(t, s, command) // a quick one, since the next is judged by how long the last one took
		for going() {
			time.Sleep(time.Millisecond)
		}
	}
}
