package postgresql

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/quiesce/quiesce/guest/application"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/protocol"
)

// Recoverer starts a second server of any version whose programs are here.
type Recoverer struct{}

var _ application.Recoverer = Recoverer{}

// Find knows a cluster by its control file.
func (Recoverer) Find(folder string) bool {
	for _, name := range []string{"PG_VERSION", "global/pg_control"} {
		if fi, err := os.Lstat(filepath.Join(folder, name)); err != nil || !fi.Mode().IsRegular() {
			return false
		}
	}
	return true
}

// programs are the folders in which a version's are; the verb is its number.
var programs = []string{"/usr/lib/postgresql/%s/bin", "/usr/pgsql-%s/bin", "/opt/pgsql-%s/bin", "/usr/local/pgsql-%s/bin"}

// second is one cluster on copies, with its server if that runs.
type second struct {
	application.Second
	c     application.Copy
	bin   string
	role  string // the first one, who may do everything
	known *protocol.SecondServer
}

// Recover lets the cluster recover as after a power cut, or by its label where
// that can be, and reads all of it.
func (Recoverer) Recover(ctx context.Context, c application.Copy) (seen protocol.SecondServer, err error) {
	seen = protocol.SecondServer{Kind: Kind, Data: c.Data}
	version, err := os.ReadFile(filepath.Join(c.Data, "PG_VERSION"))
	if err != nil {
		return seen, fault.Wrap(fault.ApplicationRefused, err, "the version of the cluster")
	}
	seen.Version = strings.TrimSpace(string(version))
	s := &second{c: c, known: &seen}
	if s.bin, err = bin(seen.Version); err != nil {
		return seen, err
	}
	if s.Second, err = c.Settle(); err != nil {
		return seen, err
	}
	if s.As.UID == 0 {
		return seen, fault.New(fault.ApplicationRefused, "%s is root's, and PostgreSQL does not run as root", c.Data)
	}
	if s.astray(); len(seen.Findings) > 0 {
		return seen, nil
	}
	if err := s.run(ctx); err != nil || !seen.Started || len(seen.Findings) > 0 {
		return seen, err
	}
	return seen, s.checksums(ctx)
}

func bin(version string) (string, error) {
	for _, folder := range programs {
		if at := fmt.Sprintf(folder, version); executable(at + "/postgres") {
			return at, nil
		}
	}
	if path, err := exec.LookPath("postgres"); err == nil {
		if out, err := exec.Command(path, "--version").Output(); err == nil && strings.Contains(string(out), " "+version+".") {
			return filepath.Dir(path), nil
		}
	}
	return "", fault.New(fault.ApplicationNotFound, "the programs of PostgreSQL %s are not installed here", version)
}

func executable(path string) bool {
	fi, err := os.Stat(path)
	return err == nil && fi.Mode().IsRegular() && fi.Mode().Perm()&0o111 != 0
}

func (s *second) finding(format string, args ...any) {
	s.known.Findings = append(s.known.Findings, fmt.Sprintf(format, args...))
}

// astray finds the links of the cluster that lead off the copies: to nothing,
// or to files of a server that the copies have nothing to do with.
func (s *second) astray() {
	links, _ := filepath.Glob(filepath.Join(s.c.Data, "pg_tblspc", "*"))
	for _, link := range append(links, filepath.Join(s.c.Data, "pg_wal")) {
		to, err := os.Readlink(link)
		if err != nil || s.c.Copied(link) {
			continue // no link
		}
		s.finding("%s leads to %s, which lies on no copy", strings.TrimPrefix(link, s.c.Data+"/"), to)
	}
}

// run starts the server, checks what it holds, lets the visitor in, and stops
// it.
func (s *second) run(ctx context.Context) (err error) {
	control, err := s.Spec(s.bin+"/pg_controldata", "-D", s.c.Data).Run(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		s.finding("%v", err)
		return nil
	}
	settings := s.settings(control)
	byLabel, err := s.label()
	if err != nil {
		return err
	}
	// The pid in it is another server's, who may well run here.
	if err := os.Remove(filepath.Join(s.c.Data, "postmaster.pid")); err != nil && !os.IsNotExist(err) {
		return fault.Wrap(fault.Internal, err, "removing the pid file of the original")
	}
	args := []string{"-D", s.c.Data}
	for _, setting := range append(settings, byLabel...) {
		args = append(args, "-c", setting)
	}
	spec := s.Spec(s.bin+"/postgres", args...)
	spec.Log = s.Log()
	began := time.Now()
	server, err := spec.Start()
	if err != nil {
		return fault.Wrap(fault.Internal, err, "starting PostgreSQL %s", s.known.Version)
	}
	defer func() {
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), application.StopLimit)
		defer cancel()
		if stopped := server.Stop(ending, syscall.SIGINT); stopped != nil && err == nil {
			s.finding("%v", stopped)
		}
	}()
	if err := server.Ready(ctx, s.ready); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		s.finding("it does not start: %s", application.Blame(err.Error(), "FATAL:", "PANIC:"))
		return nil
	}
	s.known.Started, s.known.RecoveryMs = true, float64(time.Since(began).Microseconds())/1000
	if err := s.look(ctx); err != nil {
		return err
	}
	return s.c.Visit(ctx, filepath.Join(s.Dir, ".s.PGSQL.5432"))
}

// settings make the server a private one that does nothing by itself. Those
// that recovery demands to be at least what they were come from the control
// file. What the cluster's own configuration says besides is not read, but for
// postgresql.auto.conf, which these outdo.
func (s *second) settings(control string) []string {
	slots, _ := filepath.Glob(filepath.Join(s.c.Data, "pg_replslot", "*"))
	list := []string{
		"config_file=" + s.Dir + "/conf", "hba_file=" + s.Dir + "/hba", "ident_file=" + s.Dir + "/ident",
		"listen_addresses=", "unix_socket_directories=" + s.Dir, "port=5432", "external_pid_file=", "ssl=off",
		"logging_collector=off", "log_destination=stderr", "lc_messages=C", "log_min_messages=warning",
		"archive_mode=off", "archive_cleanup_command=", "recovery_end_command=", "primary_conninfo=", "primary_slot_name=",
		"wal_level=logical", "max_replication_slots=" + strconv.Itoa(len(slots)+10), "max_logical_replication_workers=0",
		"autovacuum=off", "shared_preload_libraries=", "session_preload_libraries=", "local_preload_libraries=",
		"hot_standby=on", "huge_pages=off", "shared_buffers=64MB", "jit=off",
	}
	for line := range strings.Lines(control) {
		name, value, _ := strings.Cut(line, ":")
		if setting := demanded[name]; setting != "" {
			list = append(list, setting+"="+strings.TrimSpace(value))
		}
	}
	return list
}

var demanded = map[string]string{
	"max_connections setting":      "max_connections",
	"max_worker_processes setting": "max_worker_processes",
	"max_wal_senders setting":      "max_wal_senders",
	"max_prepared_xacts setting":   "max_prepared_transactions",
	"max_locks_per_xact setting":   "max_locks_per_transaction",
}

// label puts what a backup's Release returned into place, if it can be used: it
// demands the WAL up to the backup's end, which was written after the set was
// taken, hence an archive. Without one the set recovers by itself.
func (s *second) label() (settings []string, err error) {
	files := map[string]string{"conf": "", "hba": "local all all trust\n", "ident": ""}
	for name, text := range files {
		if err := s.put(filepath.Join(s.Dir, name), text); err != nil {
			return nil, err
		}
	}
	text, ok := s.c.Files["backup_label"]
	if !ok {
		return []string{"restore_command="}, nil
	}
	command := s.restoreCommand()
	if command == "" {
		s.c.Note("backup_label was not put into place: it demands WAL from after the set, and the cluster's configuration has no restore_command; the set recovers without it")
		return []string{"restore_command="}, nil
	}
	placed := map[string]string{"backup_label": text, "recovery.signal": ""}
	if spaces := s.c.Files["tablespace_map"]; spaces != "" {
		placed["tablespace_map"] = spaces
	}
	for name, text := range placed {
		if err := s.put(filepath.Join(s.c.Data, name), text); err != nil {
			return nil, err
		}
	}
	s.c.Note("the cluster recovers by its backup_label and restore_command, up to the end of the backup")
	return []string{"restore_command=" + command, "recovery_target=immediate", "recovery_target_action=promote", "hot_standby=off"}, nil
}

// put writes a file of the server's account.
func (s *second) put(path, text string) error {
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) { // never through a link
		return fault.Wrap(fault.Internal, err, "replacing %s", path)
	}
	err := os.WriteFile(path, []byte(text), 0o600)
	if err == nil {
		err = os.Chown(path, int(s.As.UID), int(s.As.GID))
	}
	return fault.Wrap(fault.Internal, err, "writing %s", path)
}

var restoreCommand = regexp.MustCompile(`(?m)^\s*restore_command\s*=?\s*'((?:[^'\n]|'')*)'`)

// restoreCommand is what the cluster's own configuration says; the last word is
// the one of ALTER SYSTEM.
func (s *second) restoreCommand() (command string) {
	for _, path := range []string{"postgresql.conf", "postgresql.auto.conf"} {
		text, err := os.ReadFile(filepath.Join(s.c.Data, path))
		if err != nil {
			continue
		}
		for _, found := range restoreCommand.FindAllStringSubmatch(string(text), -1) {
			command = strings.ReplaceAll(found[1], "''", "'")
		}
	}
	return command
}

// ready finds the role of whoever may do everything, which is called as the
// account is or as it always was.
func (s *second) ready(ctx context.Context) (err error) {
	for _, role := range []string{"postgres", s.account()} {
		s.role = role
		var conn *pgconn.PgConn
		if conn, err = s.connect(ctx, "postgres"); err == nil {
			return conn.Close(ctx)
		}
	}
	return err
}

func (s *second) connect(ctx context.Context, database string) (*pgconn.PgConn, error) {
	config, err := pgconn.ParseConfig("sslmode=disable passfile=/dev/null host=" + quote(s.Dir) + " port=5432 user=" + quote(s.role) + " dbname=" + quote(database))
	if err != nil {
		return nil, err
	}
	return pgconn.ConnectConfig(ctx, settle(config))
}

// checksums lets the cluster's own tool read every page, once the server has
// stopped.
func (s *second) checksums(ctx context.Context) error {
	control, err := s.Spec(s.bin+"/pg_controldata", "-D", s.c.Data).Run(ctx)
	if err == nil && !strings.Contains(control, "Data page checksum version:           0") {
		var said string
		if said, err = s.Spec(s.bin+"/pg_checksums", "--check", "-D", s.c.Data).Run(ctx); err == nil {
			s.known.Checked += ", pg_checksums"
		} else {
			err = errors.New(application.Blame(said, "checksum verification failed", "error"))
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		s.finding("pg_checksums: %v", err)
	}
	return nil
}
