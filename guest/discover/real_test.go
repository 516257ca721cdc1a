package discover_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/quiesce/quiesce/guest/discover"
	"github.com/quiesce/quiesce/local/database"
	"github.com/quiesce/quiesce/local/database/mariadb"
	"github.com/quiesce/quiesce/local/database/postgresql"
	"github.com/quiesce/quiesce/local/database/redis"
	"github.com/quiesce/quiesce/shared/protocol"
)

// Real servers are found where they were put, each once, its log beside its
// data, and by the socket that it answers at.
func TestRealServers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIP needs root: servers run under accounts of their own")
	}
	for _, c := range []struct {
		kind    string
		missing func() string
		server  database.Database
		folders int // that it names; its data and its log, where they are kept apart
	}{
		{"mariadb", mariadb.Missing, mariadb.New(database.Brief), 2},
		{"postgresql", postgresql.Missing, postgresql.New(database.Brief), 2},
		{"redis", redis.Missing, redis.New(), 1},
	} {
		t.Run(c.kind, func(t *testing.T) {
			if missing := c.missing(); missing != "" {
				t.Skip("SKIP needs " + missing)
			}
			t.Parallel()
			room, err := os.MkdirTemp("", "quiesce-found-")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.RemoveAll(room) })
			p := database.Place{Room: room, Folders: []string{filepath.Join(room, "a"), filepath.Join(room, "b")}}
			for _, f := range p.Folders {
				if err := os.Mkdir(f, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			if err := c.server.Start(t.Context(), p); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := c.server.Stop(context.WithoutCancel(t.Context())); err != nil {
					t.Error(err)
				}
			})
			all, err := discover.Read("/")
			if err != nil {
				t.Fatal(err)
			}
			ours := slices.DeleteFunc(all, func(f protocol.Found) bool {
				return len(f.Folders) == 0 || filepath.Dir(f.Folders[0].Path) != p.Folders[0] && f.Folders[0].Path != p.Folders[0]
			})
			if len(ours) != 1 {
				t.Fatalf("got %+v, want one server in %s", ours, p.Folders[0])
			}
			got, want := ours[0], c.server.Application()
			if got.Kind != c.kind || got.Socket != want.Socket || got.Apart != "" || got.PID == 0 {
				t.Errorf("got %+v, want %s at %s", got, c.kind, want.Socket)
			}
			if len(got.Folders) != c.folders {
				t.Errorf("got the folders %+v, want %d", got.Folders, c.folders)
			}
			for i, f := range got.Folders {
				if f.Device == "" || i == 1 && filepath.Dir(f.Path) != p.Folders[1] && f.Path != p.Folders[1] {
					t.Errorf("folder %d is %+v", i, f)
				}
			}
			t.Logf("%+v", got)
		})
	}
}
