package redis

import (
	"net"
	"strings"
	"testing"
	"time"

	server "github.com/quiesce/quiesce/local/database/redis"
)

// A replica that is held takes nothing from its primary either.
func TestRealReplica(t *testing.T) {
	servers(t, ways["everysec"], func(t *testing.T, replica *server.Server) {
		var k kept
		if unsupported(t, replica, &k) {
			return
		}
		primary := start(t, replica.Root, []string{"save ", "appendonly no", "repl-diskless-sync-delay 0", "bind 127.0.0.1", "port 0"})
		free, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		_, port, _ := net.SplitHostPort(free.Addr().String())
		must(t, free.Close())
		tell(t, primary, "CONFIG", "SET", "port", port)
		tell(t, replica, "REPLICAOF", "127.0.0.1", port)
		eventually(t, func() bool { return strings.Contains(tell(t, replica, "INFO", "replication"), "master_link_status:up") })
		tell(t, primary, "SET", "a", "1")
		eventually(t, func() bool { return tell(t, replica, "EXISTS", "a") == "1" })
		a := adapter(t, replica, &k)
		seen, err := a.Look(t.Context())
		must(t, err)
		if !seen.Replica || len(seen.Warnings) == 0 {
			t.Errorf("got %+v", seen)
		}
		_, err = a.Quiesce(t.Context())
		must(t, err)
		tell(t, primary, "SET", "b", "1")
		time.Sleep(200 * time.Millisecond)
		if tell(t, replica, "EXISTS", "b") != "0" {
			t.Error("it took a write from its primary")
		}
		must(t, a.StillHeld(t.Context()))
		_, err = a.Release(t.Context())
		must(t, err)
		eventually(t, func() bool { return tell(t, replica, "EXISTS", "b") == "1" })
	})
}

func eventually(t *testing.T, so func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !so(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it does not come")
		}
	}
}
