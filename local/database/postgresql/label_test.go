package postgresql

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	adapter "github.com/quiesce/quiesce/guest/application/postgresql"
	"github.com/quiesce/quiesce/local/database"
	"github.com/quiesce/quiesce/local/disk"
	"github.com/quiesce/quiesce/shared/protocol"
	"github.com/quiesce/quiesce/shared/run"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// lab is a server on two volumes of its own.
type lab struct {
	pool *disk.Pool
	d    *Database
	n    int
}

func open(t *testing.T) *lab {
	t.Helper()
	if why := Missing(); why != "" {
		t.Skip("SKIP needs " + why)
	}
	if _, err := os.Stat("/dev/loop-control"); err != nil {
		t.Skip("SKIP needs loop devices")
	}
	pool, err := disk.Open(t.Context(), disk.Config{})
	must(t, err)
	t.Cleanup(func() {
		if err := pool.Close(); err != nil {
			t.Error(err)
		}
	})
	l := &lab{pool: pool, d: New(database.Brief)}
	must(t, l.d.Start(t.Context(), l.place(t, "a", "b", "")))
	t.Cleanup(func() {
		if err := l.d.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return l
}

// place mounts two volumes, empty or of snapshots.
func (l *lab) place(t *testing.T, data, wal, of string) database.Place {
	t.Helper()
	l.n++
	at := filepath.Join(l.pool.Room().Dir(), fmt.Sprint("place", l.n))
	p := database.Place{Room: filepath.Join(at, "room"), Env: []string{l.pool.Room().Mark()}, Own: l.pool.Room().Own}
	must(t, os.MkdirAll(p.Room, 0o700))
	for i, name := range []string{data, wal} {
		snapshot := ""
		if of != "" {
			snapshot = fmt.Sprint(of, i)
		}
		volume := fmt.Sprint(name, l.n)
		must(t, l.pool.Create(t.Context(), volume, 512<<20, snapshot))
		device, err := l.pool.Attach(t.Context(), volume)
		must(t, err)
		if of == "" {
			must(t, disk.Format(t.Context(), device, disk.Ext4))
		}
		folder := filepath.Join(at, fmt.Sprintf("volume-%c", 'a'+i))
		must(t, l.pool.Mount(device, folder))
		p.Folders = append(p.Folders, folder)
	}
	return p
}

// What the backup's label is for, and what it is not: a set recovers without
// it; with it only where the WAL comes from that was written up to the
// backup's end, after the set was taken.
func TestRealBackupLabel(t *testing.T) {
	l := open(t)
	must(t, l.d.Load(t.Context()))
	a, err := adapter.New(protocol.Application{Socket: l.d.server.Socket(), Mode: adapter.Backup}, nil)
	must(t, err)
	_, err = a.Quiesce(t.Context())
	must(t, err)
	must(t, l.pool.Snapshot(t.Context(), map[string]string{"a1": "set0", "b1": "set1"}))
	must(t, a.StillHeld(t.Context()))
	files, err := a.Release(t.Context())
	must(t, err)
	time.Sleep(100 * time.Millisecond)
	acks, err := l.d.Acks(t.Context())
	must(t, err)
	archive := t.TempDir()
	segments, err := filepath.Glob(filepath.Join(l.d.server.Log, "0*"))
	must(t, err)
	must(t, l.d.server.GiveFolder(archive))
	for _, s := range segments {
		data, err := os.ReadFile(s)
		must(t, err)
		must(t, os.WriteFile(filepath.Join(archive, filepath.Base(s)), data, 0o644))
	}
	must(t, os.Chmod(archive, 0o755))
	for _, c := range []struct {
		name            string
		label, archived bool
		starts          bool
	}{
		{"without the label", false, false, true},
		{"with the label and an archive", true, true, true},
		{"with the label alone", true, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := l.place(t, "a", "b", "set")
			data := filepath.Join(p.Folders[0], "postgresql")
			write := func(name, text string) {
				at := filepath.Join(data, name)
				must(t, os.WriteFile(at, []byte(text), 0o600))
				must(t, os.Chown(at, int(l.d.server.as.UID), int(l.d.server.as.GID)))
			}
			second := New(database.Brief)
			if c.label {
				for name, text := range files {
					write(name, text)
				}
			}
			if c.archived {
				write("recovery.signal", "")
				second.Sizes = append(second.Sizes, "restore_command=cp "+archive+"/%f %p",
					"recovery_target=immediate", "recovery_target_action=promote", "hot_standby=off")
			}
			checked, err := second.Check(t.Context(), p, run.Application)
			must(t, err)
			broken := strings.Join(checked.Findings, "\n")
			if c.starts != (broken == "") {
				t.Fatalf("findings: %s", broken)
			}
			if !c.starts {
				if !strings.Contains(broken, "WAL ends before end of online backup") {
					t.Errorf("it does not start for another reason: %s", broken)
				}
				return
			}
			n := len(checked.Tables[0].Contents.Records)
			if n == 0 || n > len(acks) {
				t.Errorf("%d records of %d", n, len(acks))
			}
			t.Logf("%d records of %d acknowledged in all, recovered in %.0f ms", n, len(acks), checked.RecoveryMs)
		})
	}
}
