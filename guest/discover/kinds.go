package discover

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
)

// kind is one sort of server.
type kind struct {
	name   string
	data   func(p process) string                                // the folder of its data
	also   func(p process, root, data string) (folders []string) // others that it needs; nil for none
	socket func(name string) bool                                // by which clients reach it; nil: any that it has
}

// kinds is the one table of the programs that are known, by their names. What
// is called mysqld may be a MariaDB of old: the server itself tells when it is
// asked.
var kinds = map[string]kind{
	"mariadbd":      {"mariadb", tables, logs, notX},
	"mysqld":        {"mysql", tables, logs, notX},
	"postgres":      {"postgresql", standing("-D"), linked, postgres},
	"postmaster":    {"postgresql", standing("-D"), linked, postgres},
	"redis-server":  {"redis", standing(), nil, nil},
	"valkey-server": {"redis", standing(), nil, nil},
	"mongod":        {"mongodb", documents, journal, nil},
}

// manyNames are files that do by the name they are called by what they do.
var manyNames = map[string]bool{"redis-check-rdb": true, "redis-check-aof": true, "valkey-check-rdb": true, "valkey-check-aof": true}

// standing is for servers that stand in the folder of their data.
func standing(options ...string) func(process) string {
	return func(p process) string {
		if at := p.link("cwd"); at != "" && (at != "/" || len(options) == 0) {
			return at
		}
		return p.option(options...)
	}
}

// tables is the folder of MariaDB's and MySQL's: that of the files which each
// server keeps open, or where it stands.
func tables(p process) string {
	at := p.holding(func(name string) bool { return name == "ibdata1" || name == "aria_log_control" })
	if at != "" {
		return at
	}
	if at := p.option("--datadir", "-h"); path.IsAbs(at) {
		return path.Clean(at)
	}
	if at := p.link("cwd"); at != "/" {
		return at
	}
	return ""
}

var logFile = regexp.MustCompile(`^(ib_logfile\d+|#ib_redo\d+.*|undo_?\d+|aria_log\.\d+|.*-bin\.\d{6,})$`)

func logs(p process, _, _ string) []string { return p.holdings(logFile.MatchString) }

// notX leaves out MySQL's second socket, which speaks another protocol.
func notX(name string) bool { return !strings.HasPrefix(name, "mysqlx") }

var postgresSocket = regexp.MustCompile(`^\.s\.PGSQL\.\d+$`)

func postgres(name string) bool { return postgresSocket.MatchString(name) }

// linked are the folders that PostgreSQL's data links to: its log, and table
// spaces.
func linked(_ process, root, data string) (folders []string) {
	links, _ := filepath.Glob(filepath.Join(root, data, "pg_tblspc", "*"))
	for _, at := range append([]string{filepath.Join(root, data, "pg_wal")}, links...) {
		if to, err := os.Readlink(at); err == nil && path.IsAbs(to) {
			folders = append(folders, path.Clean(to))
		}
	}
	return folders
}

// documents is the folder of MongoDB's, which it locks.
func documents(p process) string {
	if at := p.holding(func(name string) bool { return name == "mongod.lock" || name == "WiredTiger.lock" }); at != "" {
		return at
	}
	return p.option("--dbpath")
}

func journal(p process, _, _ string) []string {
	return p.holdings(func(name string) bool { return strings.HasPrefix(name, "WiredTigerLog.") })
}
