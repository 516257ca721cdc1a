//go:build linux

package recovery

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/quiesce/quiesce/guest/application"
	"github.com/quiesce/quiesce/guest/application/mariadb"
	"github.com/quiesce/quiesce/guest/application/postgresql"
	"github.com/quiesce/quiesce/guest/application/redis"
	"github.com/quiesce/quiesce/local/database"
	maria "github.com/quiesce/quiesce/local/database/mariadb"
	postgres "github.com/quiesce/quiesce/local/database/postgresql"
	keys "github.com/quiesce/quiesce/local/database/redis"
	"github.com/quiesce/quiesce/shared/label"
	"github.com/quiesce/quiesce/shared/protocol"
)

// stand is a server on two volumes that runs while its copies recover.
type stand struct {
	*lab
	files  [2]string
	mounts [2]string
}

func newStand(t *testing.T, kinds [2]string) *stand {
	l := newLab(t)
	s := &stand{lab: l}
	for i, name := range []string{"a", "b"} {
		s.files[i], s.mounts[i] = l.original(kinds[i], name, 512<<20)
		must(t, os.Chmod(s.mounts[i], 0o755))
	}
	return s
}

// copies are the disks at this moment, while nobody writes; harm is done to
// their files before they are handed over.
func (s *stand) copies(kinds [2]string, harm func(a, b string)) []protocol.RestoredDisk {
	s.t.Helper()
	var disks []protocol.RestoredDisk
	for _, m := range s.mounts {
		sync(s.t, m)
	}
	images := [2]string{s.copy(s.files[0]), s.copy(s.files[1])}
	if harm != nil {
		var at [2]string
		for i, image := range images {
			at[i] = filepath.Join(s.dir, "harm"+filepath.Base(image))
			must(s.t, os.Mkdir(at[i], 0o755))
			sh(s.t, "mount", "-o", map[bool]string{true: "loop,nouuid", false: "loop"}[kinds[i] == "xfs"], image, at[i])
		}
		harm(at[0], at[1])
		sh(s.t, "umount", at[0], at[1])
	}
	for i, image := range images {
		disks = append(disks, s.restored(image, "vol-"+filepath.Base(s.mounts[i]), protocol.Place{Type: kinds[i], Path: s.mounts[i]}))
	}
	return disks
}

// spoil overwrites some of a file's pages, of which not all may be in use.
func spoil(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	must(t, err)
	fi, err := f.Stat()
	must(t, err)
	if fi.Size() == 0 {
		t.Fatalf("%s is empty", path)
	}
	for i := int64(1); i < 8; i++ {
		_, err = f.WriteAt([]byte(strings.Repeat("spoiled ", 64)), fi.Size()*i/8/8192*8192+100)
		must(t, err)
	}
	must(t, f.Close())
}

func found(t *testing.T, pattern string) string {
	t.Helper()
	all, err := filepath.Glob(pattern)
	if err != nil || len(all) != 1 {
		t.Fatalf("%s: %v, %v", pattern, all, err)
	}
	return all[0]
}

// verdict asks for a recovery and compares its problems, "" for none; each case
// leaves the machine as it was.
func (s *stand) verdict(q *protocol.RecoverRequest, want string) *protocol.RecoverReply {
	s.t.Helper()
	same := s.untouched()
	reply := s.ask(protocol.Recover, q, "").Recover
	s.ask(protocol.Unmount, nil, "")
	same()
	got := strings.Join(reply.Problems, "\n")
	if got == "" != (want == "") || !strings.Contains(got, want) {
		s.t.Errorf("got the problems %q, want %q; server %+v", got, want, reply.Server)
	}
	return reply
}

// PostgreSQL with its WAL and a tablespace on a second volume, whose links are
// absolute: they lead to the copies, though the original runs at their end.
func TestRealPostgreSQL(t *testing.T) {
	if why := postgres.Missing(); why != "" {
		t.Skip("SKIP needs " + why)
	}
	kinds := [2]string{"ext4", "xfs"}
	s := newStand(t, kinds)
	s.Recoverers = map[string]application.Recoverer{"postgresql": postgresql.Recoverer{}}
	server := &postgres.Server{Bin: postgres.Find(), Data: s.mounts[0] + "/data", Log: s.mounts[1] + "/wal", Dir: s.dir + "/run",
		Settings: []string{"shared_buffers=16MB", "max_connections=20"}}
	must(t, server.Init(t.Context()))
	must(t, server.Start(t.Context()))
	t.Cleanup(func() { must(t, server.Stop(context.WithoutCancel(t.Context()))) })
	must(t, server.Admit(t.Context()))
	must(t, server.GiveFolder(s.mounts[1]+"/space"))
	for _, sql := range []string{
		"CREATE TABLESPACE far LOCATION '" + s.mounts[1] + "/space'",
		"CREATE TABLE t AS SELECT n, repeat('x', 500) AS s FROM generate_series(1, 5000) n", "CREATE INDEX ON t (n)",
		"CREATE TABLE u TABLESPACE far AS SELECT n FROM generate_series(1, 1000) n", "CHECKPOINT", "INSERT INTO t SELECT n, 'late' FROM generate_series(5001, 5100) n",
	} {
		must(t, server.Exec(t.Context(), sql))
	}
	table := func(name string) string {
		rows, err := server.Query(t.Context(), "SELECT pg_relation_filepath('"+name+"')")
		must(t, err)
		return rows[0][0]
	}
	file, far := table("t"), table("u")
	check := s.dir + "/check"
	write(t, check, "#!/bin/sh\n"+postgres.Find()+"/psql -X -At -h $(dirname $QUIESCE_SOCKET) -U postgres -c 'SELECT count(*) FROM t' postgres\n")
	must(t, os.Chmod(check, 0o755))

	ask := func(disks []protocol.RestoredDisk) *protocol.RecoverRequest {
		q := s.request(disks...)
		q.Application.Kind = "postgresql"
		return q
	}
	q := ask(s.copies(kinds, nil))
	q.Check = check
	reply := s.verdict(q, "")
	if r := reply.Server; !r.Started || r.RecoveryMs <= 0 || r.Data != server.Data || !strings.Contains(r.Checked, "pg_checksums") {
		t.Errorf("got %+v", r)
	}
	if c := reply.Script; c == nil || c.Output != "5100" {
		t.Errorf("got the check %+v", c)
	}
	t.Logf("recovered in %.0f ms of %.1f s: %s", reply.Server.RecoveryMs, reply.Seconds, reply.Server.Checked)

	q = ask(s.copies(kinds, nil))
	q.Files = protocol.Files{"backup_label": "START WAL LOCATION: 0/0 (file 0)\n"}
	if r := s.verdict(q, ""); len(r.Notes) != 1 || !strings.Contains(r.Notes[0], "no restore_command") {
		t.Errorf("got the notes %q", r.Notes)
	}
	s.verdict(ask(s.copies(kinds, func(a, _ string) { spoil(t, a+"/data/"+file) })), "invalid page")
	kept := ask(s.copies(kinds, nil))
	kept.Keep = true
	if r := s.ask(protocol.Recover, kept, "").Recover; !r.Server.Started || len(r.Problems) > 0 {
		t.Errorf("kept: %+v", r)
	}
	if control := sh(t, postgres.Find()+"/pg_controldata", "-D", kept.At+server.Data); !strings.Contains(control, "shut down") {
		t.Errorf("the kept cluster was not stopped:\n%s", control)
	}
	s.ask(protocol.Unmount, nil, "")
	s.verdict(ask(s.copies(kinds, func(_, b string) { must(t, os.RemoveAll(b+"/space")) })), "lies on no copy")
	s.verdict(ask(s.copies(kinds, func(_, b string) { must(t, os.Remove(found(t, b+"/space/PG_*/*/"+filepath.Base(far)))) })), "could not open file")
	s.verdict(ask(s.copies(kinds, func(a, _ string) { must(t, os.Truncate(a+"/data/global/pg_control", 0)) })), "pg_controldata")
	s.verdict(ask(s.copies(kinds, nil)[:1]), "lies on no copy") // a set without the WAL's volume: the link must not lead to the original's
	s.verdict(ask(s.copies(kinds, func(a, _ string) { must(t, os.RemoveAll(a+"/data")) })), "no data folder")

	rows, err := server.Query(t.Context(), "SELECT count(*) FROM t")
	if err != nil || rows[0][0] != "5100" {
		t.Errorf("the original has %v rows, %v", rows, err)
	}
}

// A backup's label is put into place where the cluster knows its archive, and
// brings it to the end of the backup.
func TestRealBackupLabel(t *testing.T) {
	if why := postgres.Missing(); why != "" {
		t.Skip("SKIP needs " + why)
	}
	kinds := [2]string{"ext4", "ext4"}
	s := newStand(t, kinds)
	s.Recoverers = map[string]application.Recoverer{"postgresql": postgresql.Recoverer{}}
	server := &postgres.Server{Bin: postgres.Find(), Data: s.mounts[0] + "/data", Dir: s.dir + "/run", Settings: []string{"shared_buffers=16MB", "max_connections=20"}}
	must(t, server.Init(t.Context()))
	archive := s.dir + "/archive"
	must(t, server.GiveFolder(archive))
	write(t, server.Data+"/postgresql.auto.conf", "restore_command = 'cp "+archive+"/%f %p' # ''quoted''\narchive_command = 'touch "+archive+"/wrong'\n")
	must(t, server.Start(t.Context()))
	t.Cleanup(func() { must(t, server.Stop(context.WithoutCancel(t.Context()))) })
	must(t, server.Admit(t.Context()))
	must(t, server.GiveFolder(s.mounts[1]+"/space"))
	must(t, server.Exec(t.Context(), "CREATE TABLESPACE far LOCATION '"+s.mounts[1]+"/space'"))
	must(t, server.Exec(t.Context(), "CREATE TABLE t TABLESPACE far AS SELECT n FROM generate_series(1, 100) n"))
	hold, err := postgresql.New(protocol.Application{Socket: server.Socket(), Mode: postgresql.Backup}, nil)
	must(t, err)
	_, err = hold.Quiesce(t.Context())
	must(t, err)
	disks, again := s.copies(kinds, nil), s.copies(kinds, nil)
	must(t, server.Exec(t.Context(), "INSERT INTO t VALUES (101)"))
	files, err := hold.Release(t.Context())
	must(t, err)
	must(t, server.Exec(t.Context(), "INSERT INTO t VALUES (102)"))
	must(t, server.Exec(t.Context(), "SELECT pg_switch_wal()"))
	segments, err := filepath.Glob(server.Data + "/pg_wal/0*")
	must(t, err)
	for _, segment := range segments {
		sh(t, "cp", segment, archive)
		must(t, os.Chmod(archive+"/"+filepath.Base(segment), 0o644))
	}
	check := s.dir + "/check"
	write(t, check, "#!/bin/sh\n"+postgres.Find()+"/psql -X -At -h $(dirname $QUIESCE_SOCKET) -U postgres -c 'SELECT max(n) FROM t' postgres\n")
	must(t, os.Chmod(check, 0o755))
	text, spaces, ok := label.Tags(files, 128) // as they come with the set's snapshots
	if !ok || spaces == "" {
		t.Errorf("the backup left %v", files)
	}
	q := s.request(disks...)
	q.Application.Kind, q.Files, q.Check = "postgresql", label.Files(text, spaces), check
	reply := s.verdict(q, "")
	if c := reply.Script; c == nil || c.Output != "101" || !strings.Contains(reply.Server.Checked, "pg_amcheck") || len(reply.Notes) != 1 || !strings.Contains(reply.Notes[0], "up to the end of the backup") {
		t.Errorf("got %+v, notes %q", c, reply.Notes)
	}
	if _, err := os.Stat(archive + "/wrong"); err == nil {
		t.Error("the second server archived")
	}
	for _, segment := range segments {
		os.Remove(archive + "/" + filepath.Base(segment))
	}
	q.Disks = again
	s.verdict(q, "does not start")
}

// A standby's copy stays one: it recovers to what it had replayed, follows
// nobody, and is read as it is.
func TestRealStandby(t *testing.T) {
	if why := postgres.Missing(); why != "" {
		t.Skip("SKIP needs " + why)
	}
	kinds := [2]string{"ext4", "xfs"}
	s := newStand(t, kinds)
	s.Recoverers = map[string]application.Recoverer{"postgresql": postgresql.Recoverer{}}
	started := func(p *postgres.Server) *postgres.Server {
		must(t, p.Start(t.Context()))
		t.Cleanup(func() { must(t, p.Stop(context.WithoutCancel(t.Context()))) })
		return p
	}
	sizes := []string{"shared_buffers=16MB", "max_connections=20"}
	primary := &postgres.Server{Bin: postgres.Find(), Data: s.dir + "/primary", Dir: s.dir + "/p", Settings: sizes}
	must(t, primary.Init(t.Context()))
	started(primary)
	must(t, primary.Admit(t.Context()))
	must(t, primary.Exec(t.Context(), "CREATE TABLE t AS SELECT n FROM generate_series(1, 100) n"))
	standby := &postgres.Server{Bin: postgres.Find(), Data: s.mounts[0] + "/data", Log: s.mounts[1] + "/wal", Dir: s.dir + "/s", Settings: sizes}
	must(t, standby.Follow(t.Context(), primary))
	started(standby)
	q := s.request(s.copies(kinds, nil)...)
	q.Application.Kind = "postgresql"
	if r := s.verdict(q, "").Server; !r.Started || !strings.Contains(r.Checked, "pg_checksums") {
		t.Errorf("got %+v", r)
	}
	rows, err := primary.Query(t.Context(), "SELECT count(*) FROM pg_stat_replication")
	if err != nil || rows[0][0] != "1" {
		t.Errorf("%v follow the primary, %v", rows, err)
	}
}

// MariaDB with its logs on a second volume: the second server finds them.
func TestRealMariaDB(t *testing.T) {
	if why := maria.Missing(); why != "" {
		t.Skip("SKIP needs " + why)
	}
	kinds := [2]string{"xfs", "ext4"}
	s := newStand(t, kinds)
	s.Recoverers = map[string]application.Recoverer{"mariadb": mariadb.Recoverer()}
	server := maria.New(database.Brief)
	server.Args = append(server.Args, "--log-bin=binlog", "--server-id=7")
	room := s.dir + "/run"
	must(t, os.Mkdir(room, 0o700))
	must(t, server.Start(t.Context(), database.Place{Folders: s.mounts[:], Room: room}))
	t.Cleanup(func() { must(t, server.Stop(context.WithoutCancel(t.Context()))) })
	db, err := sql.Open("mysql", "root@unix("+server.Socket()+")/mysql")
	must(t, err)
	defer db.Close()
	for _, statement := range []string{
		"CREATE DATABASE d", "CREATE TABLE d.t (n INT PRIMARY KEY, s VARCHAR(500), KEY (s)) ENGINE=InnoDB",
		"INSERT INTO d.t SELECT seq, REPEAT('x', 400) FROM seq_1_to_5000", "CREATE TABLE d.u (n INT) ENGINE=Aria",
		"CREATE TABLE d.gone (n INT) ENGINE=InnoDB", "INSERT INTO d.u SELECT seq FROM seq_1_to_1000",
		"FLUSH TABLES d.t FOR EXPORT", "UNLOCK TABLES", "FLUSH TABLES", "SET GLOBAL innodb_max_dirty_pages_pct = 0", "SET GLOBAL innodb_log_checkpoint_now = ON", "INSERT INTO d.t VALUES (5001, 'late')",
	} {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(statement, err)
		}
	}
	check := s.dir + "/check"
	write(t, check, "#!/bin/sh\nmariadb --no-defaults -N -S $QUIESCE_SOCKET -e 'SELECT COUNT(*) FROM d.t'\n")
	must(t, os.Chmod(check, 0o755))
	ask := func(disks []protocol.RestoredDisk) *protocol.RecoverRequest {
		q := s.request(disks...)
		q.Application.Kind = "mariadb"
		return q
	}
	q := ask(s.copies(kinds, nil))
	q.Check = check
	reply := s.verdict(q, "")
	if r := reply.Server; !r.Started || r.RecoveryMs <= 0 || r.Data != s.mounts[0]+"/mariadb" || !strings.Contains(r.Version, "MariaDB") || !strings.Contains(r.Checked, "CHECK TABLE") {
		t.Errorf("got %+v", r)
	}
	if c := reply.Script; c == nil || c.Output != "5001" {
		t.Errorf("got the check %+v", c)
	}
	t.Logf("recovered in %.0f ms of %.1f s: %s; %v", reply.Server.RecoveryMs, reply.Seconds, reply.Server.Checked, reply.Notes)
	s.verdict(ask(s.copies(kinds, func(a, _ string) { spoil(t, a+"/mariadb/d/t.ibd") })), "`d`.`t`")
	s.verdict(ask(s.copies(kinds, func(a, _ string) { spoil(t, a+"/mariadb/d/u.MAD") })), "`d`.`u`")
	s.verdict(ask(s.copies(kinds, func(a, _ string) { must(t, os.Remove(a+"/mariadb/d/gone.ibd")) })), "gone")
	s.verdict(ask(s.copies(kinds, nil)[:1]), "it does not start")

	var n int
	if err := db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM d.t").Scan(&n); err != nil || n != 5001 {
		t.Errorf("the original has %d rows, %v", n, err)
	}
}

func TestRealRedis(t *testing.T) {
	if why := keys.Missing(); why != "" {
		t.Skip("SKIP needs " + why)
	}
	kinds := [2]string{"ext4", "ext4"}
	s := newStand(t, kinds)
	s.Recoverers = map[string]application.Recoverer{"redis": redis.Recoverer{}}
	server := &keys.Server{Data: s.mounts[0] + "/redis", Dir: s.dir + "/run", Settings: []string{"appendonly yes", "appendfsync always", "save "}}
	must(t, server.Start(t.Context()))
	t.Cleanup(func() { must(t, server.Stop(context.WithoutCancel(t.Context()))) })
	for i := range 100 {
		must(t, server.Client().Set(t.Context(), strings.Repeat("k", i+1), "value", 0).Err())
	}
	ask := func(disks []protocol.RestoredDisk) *protocol.RecoverRequest {
		q := s.request(disks...)
		q.Application.Kind = "redis"
		return q
	}
	reply := s.verdict(ask(s.copies(kinds, nil)), "")
	if r := reply.Server; !r.Started || r.Data != server.Data || !strings.Contains(r.Checked, "100 keys") || r.Version == "" {
		t.Errorf("got %+v", r)
	}
	must(t, server.Client().Save(t.Context()).Err())
	s.verdict(ask(s.copies(kinds, func(a, _ string) {
		must(t, os.RemoveAll(a+"/redis/appendonlydir"))
		spoil(t, a+"/redis/dump.rdb")
	})), "redis-check-rdb")
	s.verdict(ask(s.copies(kinds, func(a, _ string) { spoil(t, found(t, a+"/redis/appendonlydir/*.incr.aof")) })), "it does not start")
}
