package redis

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/quiesce/quiesce/guest/application"
	server "github.com/quiesce/quiesce/local/database/redis"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/protocol"
)

// Ways in which a server keeps its data.
var ways = map[string][]string{
	"everysec": {"appendonly yes", "appendfsync everysec"},
	"always":   {"appendonly yes", "appendfsync always"},
	"never":    {"appendonly yes", "appendfsync no", "save 60 10000"},
	"rdb":      {"appendonly no", "save 3600 1"},
}

// servers runs a test on every server that is here: this system's, and those of
// the other systems whose roots are named in QUIESCE_ROOTS. A root must see
// /tmp and know this system's accounts.
func servers(t *testing.T, ways []string, do func(*testing.T, *server.Server)) {
	t.Helper()
	if why := server.Missing(); why != "" {
		t.Skip("SKIP needs " + why)
	}
	for _, root := range append([]string{""}, filepath.SplitList(os.Getenv("QUIESCE_ROOTS"))...) {
		t.Run("of "+filepath.Base("/"+root), func(t *testing.T) { do(t, start(t, root, ways)) })
	}
}

func start(t *testing.T, root string, settings []string) *server.Server {
	t.Helper()
	dir, err := os.MkdirTemp("", "rd")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &server.Server{Root: root, Data: dir + "/data", Dir: dir + "/run", Settings: settings}
	if root != "" {
		s.Path = "/usr/bin/redis-server"
	}
	run(t, s)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	return s
}

func run(t *testing.T, s *server.Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	must(t, s.Start(ctx))
}

// tell sends a command as another client of the server's.
func tell(t *testing.T, s *server.Server, words ...any) string {
	t.Helper()
	got, err := s.Client().Do(t.Context(), words...).Result()
	must(t, err)
	return fmt.Sprint(got)
}

type kept struct{ entries [][]byte }

func (k *kept) journal(entry []byte) error {
	k.entries = append(k.entries, entry)
	return nil
}

func adapter(t *testing.T, s *server.Server, k *kept) application.Adapter {
	t.Helper()
	a, err := New(protocol.Application{Kind: Kind, Socket: s.Socket(), TimeoutSeconds: 5}, k.journal)
	must(t, err)
	t.Cleanup(func() { a.Release(context.Background()) })
	return a
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func code(t *testing.T, err error, want fault.Code) {
	t.Helper()
	if fault.CodeOf(err) != want {
		t.Fatalf("got %v (%s), want %s", err, fault.CodeOf(err), want)
	}
	if err != nil {
		t.Logf("%s: %v", want, err)
	}
}

// settings are all of the server's, in order.
func settings(t *testing.T, s *server.Server) string {
	t.Helper()
	pairs, err := s.Client().ConfigGet(t.Context(), "*").Result()
	must(t, err)
	return fmt.Sprint(pairs)
}

// writable tells whether a write goes through at once.
func writable(t *testing.T, s *server.Server) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	err := s.Client().Do(ctx, "INCR", "n").Err()
	if err != nil && !errors.Is(err, context.DeadlineExceeded) && !os.IsTimeout(err) {
		t.Fatal(err)
	}
	return err == nil
}

// unsupported are versions that cannot be held; they are refused untouched.
func unsupported(t *testing.T, s *server.Server, k *kept) bool {
	t.Helper()
	if !strings.Contains(tell(t, s, "INFO", "server"), "redis_version:6.0") {
		return false
	}
	_, err := adapter(t, s, k).Quiesce(t.Context())
	code(t, err, fault.ApplicationRefused)
	if len(k.entries) > 0 || !writable(t, s) {
		t.Error("it was touched")
	}
	return true
}

func TestRealHold(t *testing.T) {
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			servers(t, way, func(t *testing.T, s *server.Server) {
				var k kept
				if unsupported(t, s, &k) {
					return
				}
				for i := range 2000 {
					tell(t, s, "SET", "key"+strconv.Itoa(i), strings.Repeat("x", 1000))
				}
				tell(t, s, "CONFIG", "SET", "timeout", "100")
				before := settings(t, s)
				a := adapter(t, s, &k)
				began := time.Now()
				held, err := a.Quiesce(t.Context())
				must(t, err)
				quiesced := time.Now()
				if writable(t, s) {
					t.Error("a write went through")
				}
				if got := tell(t, s, "GET", "key7"); len(got) != 1000 {
					t.Error("reads do not go on")
				}
				must(t, a.StillHeld(t.Context()))
				must(t, a.StillHeld(t.Context()))
				let := time.Now()
				_, err = a.Release(t.Context())
				must(t, err)
				t.Logf("version %s: quiesce %v, release %v, session %s", held.Version, quiesced.Sub(began), time.Since(let), held.SessionID)
				if !writable(t, s) {
					t.Error("writes do not go on")
				}
				if after := settings(t, s); after != before {
					t.Errorf("settings were %s and are %s", before, after)
				}
				code(t, a.StillHeld(t.Context()), fault.HoldLost)
				_, err = a.Release(t.Context())
				must(t, err)
				if ID(held.SessionID) == "" || len(k.entries) != 1 {
					t.Errorf("session %q, journal %q", held.SessionID, k.entries)
				}
			})
		})
	}
}

// Every way to lose the hold is seen, and the server is let go in each.
func TestRealLost(t *testing.T) {
	lose := map[string]func(*testing.T, *server.Server, application.Held){
		"session killed": func(t *testing.T, s *server.Server, h application.Held) {
			tell(t, s, "CLIENT", "KILL", "ID", ID(h.SessionID))
		},
		"unpaused and written": func(t *testing.T, s *server.Server, _ application.Held) {
			tell(t, s, "CLIENT", "UNPAUSE")
			tell(t, s, "SET", "a", "b")
			tell(t, s, "CLIENT", "PAUSE", "100000", "WRITE")
		},
		"rewritten": func(t *testing.T, s *server.Server, _ application.Held) {
			if strings.Contains(tell(t, s, "INFO", "persistence"), "aof_enabled:1") {
				tell(t, s, "BGREWRITEAOF")
			} else {
				tell(t, s, "CONFIG", "SET", "appendonly", "yes") // which begins a file
			}
		},
		"restarted": func(t *testing.T, s *server.Server, _ application.Held) {
			must(t, s.Stop(t.Context()))
			run(t, s)
		},
	}
	for _, way := range []string{"everysec", "rdb"} {
		for name, lose := range lose {
			t.Run(way+" "+name, func(t *testing.T) {
				servers(t, ways[way], func(t *testing.T, s *server.Server) {
					var k kept
					if unsupported(t, s, &k) {
						return
					}
					tell(t, s, "SET", "a", "1")
					a := adapter(t, s, &k)
					held, err := a.Quiesce(t.Context())
					must(t, err)
					lose(t, s, held)
					code(t, a.StillHeld(t.Context()), fault.HoldLost)
					_, err = a.Release(t.Context())
					must(t, err)
					if !writable(t, s) {
						t.Error("it was not let go")
					}
					for !strings.Contains(tell(t, s, "INFO", "persistence"), "aof_rewrite_in_progress:0") {
						time.Sleep(time.Millisecond) // a server that makes its first file does not let itself be stopped
					}
				})
			})
		}
	}
}

// A session that died is taken back from its journal, once or more often; a
// server that was restarted since is left alone.
func TestRealUndo(t *testing.T) {
	servers(t, ways["everysec"], func(t *testing.T, s *server.Server) {
		var k kept
		if unsupported(t, s, &k) {
			return
		}
		before := settings(t, s)
		_, err := adapter(t, s, &k).Quiesce(t.Context())
		must(t, err)
		other := adapter(t, s, &kept{})
		must(t, other.Undo(t.Context(), nil))
		if writable(t, s) {
			t.Error("without a journal it was let go")
		}
		for range 2 {
			must(t, other.Undo(t.Context(), k.entries[0]))
			if after := settings(t, s); after != before || !writable(t, s) {
				t.Errorf("settings were %s and are %s", before, after)
			}
		}
		tell(t, s, "CONFIG", "SET", "auto-aof-rewrite-percentage", "0")
		must(t, s.Stop(t.Context()))
		must(t, other.Undo(t.Context(), k.entries[0])) // gone
		run(t, s)
		tell(t, s, "CONFIG", "SET", "auto-aof-rewrite-percentage", "0")
		must(t, other.Undo(t.Context(), k.entries[0]))
		if got := tell(t, s, "CONFIG", "GET", "auto-aof-rewrite-percentage"); !strings.Contains(got, " 0]") && !strings.Contains(got, ":0]") {
			t.Errorf("another server's setting was changed: %s", got)
		}
	})
}

func TestRealRefusals(t *testing.T) {
	cases := []struct {
		name     string
		settings []string
		want     fault.Code
	}{
		{"nothing kept", []string{"appendonly no", "save "}, fault.ApplicationRefused},
		{"password", []string{"appendonly yes", "requirepass secret"}, fault.ApplicationRefused},
	}
	if why := server.Missing(); why != "" {
		t.Skip("SKIP needs " + why)
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := start(t, "", c.settings)
			var k kept
			_, err := adapter(t, s, &k).Quiesce(t.Context())
			code(t, err, c.want)
			if len(k.entries) > 0 {
				t.Error("it was touched")
			}
			if c.name != "password" {
				return
			}
			file := filepath.Join(t.TempDir(), "redis.conf")
			must(t, os.WriteFile(file, []byte("# by hand\nunixsocket \""+s.Socket()+"\"\nrequirepass secret\n"), 0o644))
			a, err := New(protocol.Application{OptionFile: file}, k.journal)
			must(t, err)
			_, err = a.Quiesce(t.Context())
			code(t, err, fault.ApplicationRefused) // others may read it
			must(t, os.Chmod(file, 0o600))
			_, err = a.Quiesce(t.Context())
			must(t, err)
			must(t, a.StillHeld(t.Context()))
			_, err = a.Release(t.Context())
			must(t, err)
		})
	}
	t.Run("not there", func(t *testing.T) {
		a, err := New(protocol.Application{Socket: filepath.Join(t.TempDir(), "none")}, nil)
		must(t, err)
		_, err = a.Quiesce(t.Context())
		code(t, err, fault.ApplicationNotFound)
		_, err = a.Release(t.Context())
		must(t, err)
	})
}
