package mysqld

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/quiesce/quiesce/guest/application"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/protocol"
)

// Recoverer starts a second server of the family.
type Recoverer struct {
	Kind     string
	Programs []string // the server's, by their names
	MariaDB  bool     // only one that says so; else only one that does not
	Options  []string // further ones of the kind
}

var _ application.Recoverer = Recoverer{}

// Find knows a data folder by the files of the grant tables, which each has.
func (Recoverer) Find(folder string) bool {
	for _, name := range []string{"mysql.ibd", "mysql/global_priv.frm", "mysql/user.frm"} {
		if fi, err := os.Lstat(filepath.Join(folder, name)); err == nil && fi.Mode().IsRegular() {
			return true
		}
	}
	return false
}

const mostFindings = 8

type second struct {
	application.Second
	Recoverer
	c     application.Copy
	known *protocol.SecondServer
}

// Recover lets the server recover as after a power cut, and lets it check every
// table.
func (r Recoverer) Recover(ctx context.Context, c application.Copy) (seen protocol.SecondServer, err error) {
	seen = protocol.SecondServer{Kind: r.Kind, Data: c.Data}
	path, err := r.program(ctx)
	if err != nil {
		return seen, err
	}
	s := &second{Recoverer: r, c: c, known: &seen}
	if s.Second, err = c.Settle(); err != nil {
		return seen, err
	}
	where := s.where(ctx)
	if len(seen.Findings) > 0 {
		return seen, nil
	}
	args := append([]string{"--no-defaults", "--datadir=" + c.Data, "--socket=" + s.socket(), "--pid-file=" + s.Dir + "/pid", "--tmpdir=" + s.Dir,
		"--skip-networking", "--skip-grant-tables", "--loose-skip-slave-start", "--loose-skip-replica-start", "--event-scheduler=DISABLED", "--server-id=1"}, r.Options...)
	if s.As.UID == 0 {
		args = append(args, "--user=root")
	}
	spec := s.Spec(path, append(args, where...)...)
	spec.Log = s.Log()
	began := time.Now()
	server, err := spec.Start()
	if err != nil {
		return seen, fault.Wrap(fault.Internal, err, "starting %s", path)
	}
	db, err := s.open()
	if err != nil {
		return seen, err
	}
	defer func() {
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), application.StopLimit)
		defer cancel()
		db.Close()
		if stopped := server.Stop(ending, syscall.SIGTERM); stopped != nil && err == nil {
			s.finding("%v", stopped)
		}
	}()
	if err := server.Ready(ctx, db.PingContext); err != nil {
		if ctx.Err() != nil {
			return seen, context.Cause(ctx)
		}
		s.finding("it does not start: %s", application.Blame(err.Error(), "[ERROR]"))
		return seen, nil
	}
	seen.Started, seen.RecoveryMs = true, float64(time.Since(began).Microseconds())/1000
	if err := s.look(ctx, db); err != nil {
		return seen, err
	}
	select {
	case <-server.Exited():
		log, _ := os.ReadFile(s.Log())
		s.finding("it ended over its tables: %s", application.Blame(string(log), "[ERROR]"))
		return seen, nil
	default:
	}
	return seen, c.Visit(ctx, s.socket())
}

func (s *second) socket() string { return filepath.Join(s.Dir, "sock") }

func (s *second) finding(format string, args ...any) {
	s.known.Findings = append(s.known.Findings, fmt.Sprintf(format, args...))
}

// program is the server of this kind that is installed here: MariaDB goes by
// the other's name too.
func (r Recoverer) program(ctx context.Context) (string, error) {
	for _, name := range r.Programs {
		for _, path := range []string{"/usr/sbin/" + name, "/usr/libexec/" + name, "/usr/bin/" + name, "/usr/local/mysql/bin/" + name} {
			out, err := exec.CommandContext(ctx, path, "--no-defaults", "--version").Output()
			if err == nil && strings.Contains(string(out), "MariaDB") == r.MariaDB {
				return path, nil
			}
		}
	}
	return "", fault.New(fault.ApplicationNotFound, "%s is not installed here", strings.Join(r.Programs, " or "))
}

func (s *second) open() (*sql.DB, error) {
	cfg := mysql.NewConfig()
	cfg.Net, cfg.Addr, cfg.User = "unix", s.socket(), "root"
	cfg.InterpolateParams, cfg.Logger = true, &mysql.NopLogger{}
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return nil, fault.Wrap(fault.Internal, err, "the second server's socket")
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(1)
	return db, nil
}

// look lets the server check every table, in the form that reads all of it.
func (s *second) look(ctx context.Context, db *sql.DB) error {
	broken := func(what string, err error) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		s.finding("%s: %v", what, err)
		return nil
	}
	if err := db.QueryRowContext(ctx, "SELECT VERSION()").Scan(&s.known.Version); err != nil {
		return broken("its version", err)
	}
	tables, err := tablesOf(ctx, db)
	if err != nil {
		return broken("the list of tables", err)
	}
	checked := 0
	for _, t := range tables {
		wrong, warned, err := CheckTable(ctx, db, t)
		if err != nil {
			return broken(t, err)
		}
		for _, w := range warned {
			s.c.Note("%s: CHECK TABLE warns: %s", t, w)
		}
		for _, w := range wrong {
			if len(s.known.Findings) < mostFindings {
				s.finding("%s: CHECK TABLE says %s", t, w)
			}
		}
		checked++
	}
	s.known.Checked = fmt.Sprintf("CHECK TABLE EXTENDED of %d tables", checked)
	return nil
}

// tablesOf are all tables with rows of their own, quoted.
func tablesOf(ctx context.Context, db *sql.DB) (tables []string, err error) {
	rows, err := db.QueryContext(ctx, `SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES
		WHERE TABLE_TYPE = 'BASE TABLE' AND TABLE_SCHEMA NOT IN ('information_schema', 'performance_schema') ORDER BY 1, 2`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var schema, table string
		if err := rows.Scan(&schema, &table); err != nil {
			return nil, err
		}
		tables = append(tables, quoted(schema)+"."+quoted(table))
	}
	return tables, rows.Err()
}

func quoted(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }

// CheckTable is the server's own check of a table, by its quoted name: what is
// wrong, and what is only remarked. A table that nobody can check is neither.
func CheckTable(ctx context.Context, db *sql.DB, table string) (wrong, warned []string, err error) {
	rows, err := db.QueryContext(ctx, "CHECK TABLE "+table+" EXTENDED")
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var name, op, kind, text sql.NullString
		if err := rows.Scan(&name, &op, &kind, &text); err != nil {
			return nil, nil, err
		}
		said := kind.String + ": " + text.String
		switch strings.ToLower(kind.String) {
		case "status":
			if text.String != "OK" {
				wrong = append(wrong, said)
			}
		case "note":
		case "warning", "info":
			warned = append(warned, said)
		default:
			wrong = append(wrong, said)
		}
	}
	return wrong, warned, rows.Err()
}

// where tells the server what lies outside of its data folder: as the machine's
// own configuration says, if that is of this folder, else where it is found.
func (s *second) where(ctx context.Context) (args []string) {
	configured := s.configured(ctx)
	for _, f := range []struct{ option, file, within string }{
		{"innodb-log-group-home-dir", "ib_logfile0", "#innodb_redo"},
		{"innodb-data-home-dir", "ibdata1", ""},
		{"innodb-undo-directory", "undo001", "undo_001"},
		{"aria-log-dir-path", "aria_log_control", ""},
	} {
		if !s.MariaDB && f.option == "aria-log-dir-path" || configured[f.option] != "" {
			continue
		}
		at := s.outside(f.file, f.within)
		if at != "" {
			args = append(args, "--"+f.option+"="+at)
		}
	}
	for option, value := range configured {
		args = append(args, "--"+option+"="+value)
	}
	slices.Sort(args)
	return append(args, s.binlog(configured["log-bin"])...)
}

// outside is the folder with a file that is not in the data folder; empty where
// it is there or nowhere.
func (s *second) outside(file, inside string) string {
	for _, name := range []string{file, inside} {
		if _, err := os.Lstat(filepath.Join(s.c.Data, name)); name != "" && err == nil {
			return ""
		}
	}
	var all []string
	for _, root := range s.c.Look {
		filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			rel, _ := filepath.Rel(root, path)
			switch {
			case err != nil:
			case d.IsDir() && (strings.Count(rel, "/") >= 4 || path != root && slices.Contains(s.c.Look, path)):
				return fs.SkipDir
			case !d.IsDir() && d.Name() == file && !slices.Contains(all, filepath.Dir(path)):
				all = append(all, filepath.Dir(path))
			}
			return nil
		})
	}
	switch len(all) {
	case 0:
		return ""
	case 1:
		return all[0]
	}
	s.finding("%s is not in the data folder, and lies in several others: %s", file, strings.Join(all, ", "))
	return ""
}

// kept are the options of a configuration without which the files cannot be
// read. None of them makes the server reach out; those of a place count only if
// that lies on a copy.
var kept = map[string]bool{ // and whether it is a place
	"innodb-page-size": false, "innodb-data-file-path": false, "innodb-undo-tablespaces": false, "lower-case-table-names": false,
	"innodb-checksum-algorithm": false, "innodb-log-files-in-group": false, "innodb-log-file-size": false, "aria-block-size": false,
	"innodb-log-group-home-dir": true, "innodb-data-home-dir": true, "innodb-undo-directory": true, "aria-log-dir-path": true, "log-bin": true,
}

// configured are those options, if the machine's configuration is of this data
// folder.
func (s *second) configured(ctx context.Context) map[string]string {
	out, err := exec.CommandContext(ctx, "/usr/bin/my_print_defaults", "mysqld", "server", "mariadb", "mariadbd").Output()
	if err != nil {
		return nil
	}
	all, data := map[string]string{}, ""
	for line := range strings.Lines(string(out)) {
		name, value, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "--"), "=")
		name = strings.ReplaceAll(name, "_", "-")
		if name == "datadir" {
			data = filepath.Clean(value)
		}
		place, known := kept[name]
		if !known || value == "" {
			continue
		}
		if place {
			if !filepath.IsAbs(value) {
				value = filepath.Join(s.c.Data, value)
			}
			folder := value
			if name == "log-bin" {
				folder = filepath.Dir(value)
			}
			if !s.c.Copied(folder) {
				continue
			}
		}
		all[name] = value
	}
	if data != s.c.Data {
		return nil
	}
	return all
}

// binlog names the binary log, in which the fate of prepared transactions is
// written: without it the server would not start over one.
func (s *second) binlog(configured string) []string {
	if configured != "" {
		return nil
	}
	all, _ := filepath.Glob(filepath.Join(s.c.Data, "*.index"))
	all = slices.DeleteFunc(all, func(path string) bool { return strings.Contains(filepath.Base(path), "relay") })
	if len(all) != 1 {
		return []string{"--skip-log-bin"}
	}
	return []string{"--log-bin=" + strings.TrimSuffix(all[0], ".index")}
}
