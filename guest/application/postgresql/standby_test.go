package postgresql

import (
	"path/filepath"
	"strings"
	"testing"

	server "github.com/quiesce/quiesce/local/database/postgresql"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/protocol"
)

// A standby is told for what it is, makes a restart point, and is refused as
// the source of a backup.
func TestRealStandby(t *testing.T) {
	servers(t, func(t *testing.T, primary *server.Server) {
		dir := filepath.Dir(primary.Data)
		standby := &server.Server{
			Bin: primary.Bin, Root: primary.Root, Data: dir + "/standby", Log: dir + "/standby-wal", Dir: dir + "/standby-run", Settings: small,
		}
		must(t, standby.Follow(t.Context(), primary))
		run(t, standby)
		a := adapter(t, standby, Checkpoint)
		seen, err := a.Look(t.Context())
		must(t, err)
		if !seen.Replica || !strings.Contains(strings.Join(seen.Warnings, "\n"), "standby") {
			t.Errorf("got %+v", seen)
		}
		_, err = a.Quiesce(t.Context())
		must(t, err)
		must(t, a.StillHeld(t.Context()))
		_, err = a.Release(t.Context())
		must(t, err)

		b, err := New(protocol.Application{Socket: standby.Socket(), Mode: Backup}, nil)
		must(t, err)
		_, err = b.Look(t.Context())
		code(t, err, fault.ApplicationRefused)
		_, err = b.Quiesce(t.Context())
		code(t, err, fault.ApplicationRefused)
		_, err = b.Release(t.Context())
		must(t, err)
	})
}
