package postgresql

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/quiesce/quiesce/guest/application"
	server "github.com/quiesce/quiesce/local/database/postgresql"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/protocol"
)

// servers runs a test on every server that is here: this system's, and those
// of the other systems whose roots are named in QUIESCE_ROOTS. A root must see
// /tmp and know this system's accounts.
func servers(t *testing.T, do func(*testing.T, *server.Server)) {
	t.Helper()
	if why := server.Missing(); why != "" {
		t.Skip("SKIP needs " + why)
	}
	roots := append([]string{""}, filepath.SplitList(os.Getenv("QUIESCE_ROOTS"))...)
	for _, root := range roots {
		found, _ := filepath.Glob(root + "/usr/lib/postgresql/*/bin")
		for _, bin := range found {
			version := filepath.Base(filepath.Dir(bin))
			t.Run(version, func(t *testing.T) { do(t, start(t, root, strings.TrimPrefix(bin, root))) })
		}
	}
}

// start starts a new server in a folder of its own, with a short path: a
// socket's has little room.
func start(t *testing.T, root, bin string) *server.Server {
	t.Helper()
	dir, err := os.MkdirTemp("", "pg")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &server.Server{Bin: bin, Root: root, Data: dir + "/data", Log: dir + "/wal", Dir: dir + "/run", Settings: small}
	must(t, s.Init(t.Context()))
	run(t, s)
	must(t, s.Admit(t.Context()))
	must(t, s.Exec(t.Context(), "CREATE TABLE t (n bigint)"))
	return s
}

var small = []string{"shared_buffers=16MB", "max_connections=20", "fsync=off"}

func run(t *testing.T, s *server.Server) {
	t.Helper()
	must(t, s.Start(t.Context()))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := s.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
}

func adapter(t *testing.T, s *server.Server, mode string) application.Adapter {
	t.Helper()
	a, err := New(protocol.Application{Kind: Kind, Socket: s.Socket(), Mode: mode, TimeoutSeconds: 30}, nil)
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

func TestRealHold(t *testing.T) {
	servers(t, func(t *testing.T, s *server.Server) {
		for _, mode := range []string{Checkpoint, Backup} {
			t.Run(mode, func(t *testing.T) {
				a := adapter(t, s, mode)
				before := settings(t, s)
				must(t, s.Exec(t.Context(), "INSERT INTO t SELECT generate_series(1, 100000)"))
				began := time.Now()
				held, err := a.Quiesce(t.Context())
				must(t, err)
				quiesced := time.Now()
				must(t, s.Exec(t.Context(), "INSERT INTO t VALUES (0)")) // no commit waits
				must(t, a.StillHeld(t.Context()))
				let := time.Now()
				files, err := a.Release(t.Context())
				must(t, err)
				t.Logf("version %s: quiesce %v, release %v", held.Version, quiesced.Sub(began), time.Since(let))
				if _, labelled := files["backup_label"]; labelled != (mode == Backup) || PID(held.SessionID) == 0 {
					t.Errorf("session %q, files %q", held.SessionID, files)
				}
				code(t, a.StillHeld(t.Context()), fault.HoldLost)
				again, err := a.Release(t.Context())
				if err != nil || len(again) != len(files) {
					t.Errorf("released again: %q, %v", again, err)
				}
				after := settings(t, s)
				for range 100 { // the server's process for a session ends a moment after it
					if after == before {
						break
					}
					time.Sleep(10 * time.Millisecond)
					after = settings(t, s)
				}
				if after != before {
					t.Errorf("settings were %s and are %s", before, after)
				}
				must(t, a.Undo(t.Context(), nil))
			})
		}
	})
}

// settings are the server's own, with the sessions that are there.
func settings(t *testing.T, s *server.Server) string {
	t.Helper()
	rows, err := s.Query(t.Context(), `SELECT md5(string_agg(name || setting, ',' ORDER BY name)),
		(SELECT count(*) FROM pg_stat_activity WHERE application_name = 'quiesce') FROM pg_settings`)
	must(t, err)
	return fmt.Sprint(rows)
}

func TestRealLook(t *testing.T) {
	servers(t, func(t *testing.T, s *server.Server) {
		space := filepath.Join(filepath.Dir(s.Data), "space")
		must(t, s.GiveFolder(space))
		must(t, s.Exec(t.Context(), "CREATE TABLESPACE other LOCATION '"+space+"'"))
		seen, err := adapter(t, s, "").Look(t.Context())
		must(t, err)
		if got, want := fmt.Sprint(seen.Dirs), fmt.Sprint([]string{s.Data, s.Log, space}); got != want || seen.Replica || seen.Version == "" {
			t.Errorf("got %+v, want the folders %s", seen, want)
		}
		if got := strings.Join(seen.Warnings, "\n"); !strings.Contains(got, "fsync is off") {
			t.Errorf("warnings: %q", got)
		}
	})
}

// Every way to lose the session is seen, and leaves nothing to let go.
func TestRealLost(t *testing.T) {
	ways := map[string]func(*testing.T, *server.Server, application.Held){
		"terminated": func(t *testing.T, s *server.Server, h application.Held) {
			must(t, s.Exec(t.Context(), fmt.Sprintf("SELECT pg_terminate_backend(%d)", PID(h.SessionID))))
		},
		"crashed": func(t *testing.T, s *server.Server, h application.Held) {
			noticed := bystander(t, s)
			must(t, syscall.Kill(PID(h.SessionID), syscall.SIGKILL))
			<-noticed
		},
		"restarted": func(t *testing.T, s *server.Server, _ application.Held) {
			must(t, s.Stop(t.Context()))
			must(t, s.Start(t.Context()))
		},
	}
	servers(t, func(t *testing.T, s *server.Server) {
		for _, mode := range []string{Checkpoint, Backup} {
			for name, lose := range ways {
				t.Run(mode+" "+name, func(t *testing.T) {
					a := adapter(t, s, mode)
					held, err := a.Quiesce(t.Context())
					must(t, err)
					lose(t, s, held)
					code(t, a.StillHeld(t.Context()), fault.HoldLost)
					files, err := a.Release(t.Context())
					if err != nil || len(files) > 0 {
						t.Errorf("released: %q, %v", files, err)
					}
					awake(t, s)
				})
			}
		}
	})
}

// bystander is another session, which ends when the server has noticed that one
// of its processes crashed, and ends all: until then it answers as before.
func bystander(t *testing.T, s *server.Server) (ended chan struct{}) {
	t.Helper()
	ended = make(chan struct{})
	go func() {
		defer close(ended)
		_ = s.Exec(t.Context(), "SELECT pg_sleep(60)")
	}()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		rows, err := s.Query(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'")
		if err == nil && fmt.Sprint(rows) == "[[1]]" {
			return ended
		}
		if time.Now().After(end) {
			t.Fatalf("no other session: %v, %v", rows, err)
		}
	}
}

// awake waits for a server that recovers.
func awake(t *testing.T, s *server.Server) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		err := s.Exec(t.Context(), "SELECT 1")
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

// A checkpoint that does not end is given up by the limit, and the server goes
// on: here the process that makes it is stopped.
func TestRealSlowCheckpoint(t *testing.T) {
	servers(t, func(t *testing.T, s *server.Server) {
		pid := checkpointer(t, s)
		for _, mode := range []string{Checkpoint, Backup} {
			a, err := New(protocol.Application{Socket: s.Socket(), Mode: mode, TimeoutSeconds: 1}, nil)
			must(t, err)
			must(t, syscall.Kill(pid, syscall.SIGSTOP))
			began := time.Now()
			_, err = a.Quiesce(t.Context())
			took := time.Since(began)
			must(t, s.Exec(t.Context(), "INSERT INTO t VALUES (0)"))
			must(t, syscall.Kill(pid, syscall.SIGCONT))
			code(t, err, fault.ApplicationBusy)
			if took < time.Second || took > 3*time.Second {
				t.Errorf("%s: gave up after %v", mode, took)
			}
			if files, err := a.Release(t.Context()); err != nil || len(files) > 0 {
				t.Errorf("released: %q, %v", files, err)
			}
		}
	})
}

func TestRealRefusals(t *testing.T) {
	servers(t, func(t *testing.T, s *server.Server) {
		hba := filepath.Join(s.Data, "pg_hba.conf")
		must(t, os.WriteFile(hba, []byte("local all local trust\nlocal all all reject\n"), 0o600))
		must(t, s.Exec(t.Context(), "SELECT pg_reload_conf()"))
		time.Sleep(100 * time.Millisecond)
		_, err := adapter(t, s, "").Quiesce(t.Context())
		code(t, err, fault.ApplicationRefused)

		// An option file names another role, which may not make a checkpoint.
		must(t, s.Exec(t.Context(), "CREATE ROLE guest LOGIN"))
		must(t, os.WriteFile(hba, []byte("local all local,guest trust\n"), 0o600))
		must(t, s.Exec(t.Context(), "SELECT pg_reload_conf()"))
		time.Sleep(100 * time.Millisecond)
		file := filepath.Join(t.TempDir(), "service")
		text := fmt.Sprintf("[quiesce]\nhost=%s\nport=5432\nuser=guest\ndbname=postgres\n", s.Dir)
		must(t, os.WriteFile(file, []byte(text), 0o644))
		a, err := New(protocol.Application{OptionFile: file}, nil)
		must(t, err)
		_, err = a.Quiesce(t.Context())
		code(t, err, fault.ApplicationRefused) // others may read it
		must(t, os.Chmod(file, 0o600))
		_, err = a.Quiesce(t.Context())
		code(t, err, fault.ApplicationRefused) // no privilege
		_, err = a.Release(t.Context())
		must(t, err)
		must(t, s.Exec(t.Context(), "ALTER ROLE guest SUPERUSER"))
		_, err = a.Quiesce(t.Context())
		must(t, err)
		must(t, a.StillHeld(t.Context()))
		_, err = a.Release(t.Context())
		must(t, err)
	})
}
