package mysqld

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/go-sql-driver/mysql"

	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/protocol"
)

// sockets are where distributions put the server's.
var sockets = []string{"/run/mysqld/mysqld.sock", "/var/lib/mysql/mysql.sock", "/tmp/mysql.sock"}

// Open opens the one connection and learns its id.
func (s *Session) Open(ctx context.Context) (err error) {
	if s.db, s.conn, err = connect(ctx, s.options, s.brand); err != nil {
		return err
	}
	if err := s.conn.QueryRowContext(ctx, "SELECT CONNECTION_ID(), VERSION()").Scan(&s.id, &s.Version); err != nil {
		return Translate(err)
	}
	return s.brand.Is(s.Version)
}

// connect opens one connection by the server's socket, as root or as the
// option file says. Its pool never opens a second one.
func connect(ctx context.Context, o protocol.Application, b Brand) (*sql.DB, *sql.Conn, error) {
	cfg := mysql.NewConfig()
	cfg.Net, cfg.User, cfg.Addr = "unix", "root", o.Socket
	cfg.InterpolateParams, cfg.Logger = true, &mysql.NopLogger{}
	if o.OptionFile != "" {
		said, err := readOptions(o.OptionFile, b.Groups)
		if err != nil {
			return nil, nil, err
		}
		if said["user"] != "" {
			cfg.User = said["user"]
		}
		cfg.Passwd = said["password"]
		if cfg.Addr == "" {
			cfg.Addr = said["socket"]
		}
	}
	for _, s := range sockets {
		if _, err := os.Stat(s); cfg.Addr == "" && err == nil {
			cfg.Addr = s
		}
	}
	if cfg.Addr == "" {
		return nil, nil, fault.New(fault.ApplicationNotFound, "no server has a socket at %s: name it", strings.Join(sockets, ", "))
	}
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return nil, nil, fault.Wrap(fault.ApplicationRefused, err, "the connection's settings")
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(1)
	conn, err := db.Conn(ctx)
	if err != nil {
		db.Close()
		return nil, nil, reached(cfg.Addr, err)
	}
	return db, conn, nil
}

func reached(socket string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return fault.Wrap(fault.ApplicationNotFound, err, "no server answers at %s", socket)
	case errors.Is(err, context.DeadlineExceeded):
		return fault.Wrap(fault.ApplicationBusy, err, "the server at %s does not answer", socket)
	}
	return Translate(err)
}

// codes are the server's own error numbers, as far as they mean something else
// than a refusal.
var codes = map[uint16]fault.Code{
	1040: fault.ApplicationBusy, // too many connections
	1053: fault.ApplicationBusy, // shutdown in progress
	1203: fault.ApplicationBusy, // too many connections of this account
	1205: fault.ApplicationBusy, // lock wait timeout
	1213: fault.ApplicationBusy, // deadlock
	3024: fault.ApplicationBusy, // a statement's own time limit
}

// Translate gives a server's error its code.
func Translate(err error) error {
	var said *mysql.MySQLError
	var known *fault.Error
	switch {
	case err == nil || errors.As(err, &known):
		return err
	case errors.As(err, &said) && codes[said.Number] != "":
		return fault.Wrap(codes[said.Number], err, "the server")
	case errors.As(err, &said):
		return fault.Wrap(fault.ApplicationRefused, err, "the server")
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return fault.Wrap(fault.ApplicationBusy, err, "the server does not answer")
	}
	return fault.Wrap(fault.ApplicationRefused, err, "the connection")
}

// end ends the session from a second connection. A server that is gone, or does
// not know the session, has let go.
func (s *Session) end(ctx context.Context) error {
	db, conn, err := connect(ctx, s.options, s.brand)
	if fault.CodeOf(err) == fault.ApplicationNotFound {
		return nil
	}
	if err != nil {
		return err
	}
	defer db.Close()
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, fmt.Sprintf("KILL CONNECTION %d", s.id)); err != nil && Number(err) != unknownThread {
		return Translate(err)
	}
	return nil
}

const unknownThread = 1094

// Number is the server's own of an error; 0 if the server did not say it.
func Number(err error) uint16 {
	var said *mysql.MySQLError
	if errors.As(err, &said) {
		return said.Number
	}
	return 0
}

// readOptions reads user, password and socket, a later group over an earlier
// one. Only root may be able to write the file, for it decides who is held.
func readOptions(path string, groups []string) (map[string]string, error) {
	refuse := func(format string, args ...any) error {
		return &fault.Error{Code: fault.ApplicationRefused, Field: "application.optionFile", Message: fmt.Sprintf(format, args...)}
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, refuse("%v", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, refuse("%v", err)
	}
	owner := info.Sys().(*syscall.Stat_t).Uid
	switch {
	case !info.Mode().IsRegular():
		return nil, refuse("%s is no regular file", filepath.Base(path))
	case int(owner) != os.Geteuid() || info.Mode().Perm()&0o022 != 0:
		return nil, refuse("%s can be written by others than root", filepath.Base(path))
	}
	said, group := map[string]string{}, ""
	for lines := bufio.NewScanner(file); lines.Scan(); {
		line := strings.TrimSpace(lines.Text())
		if name, ok := strings.CutPrefix(line, "["); ok {
			group = strings.TrimSuffix(name, "]")
			continue
		}
		key, value, _ := strings.Cut(line, "=")
		for _, g := range groups {
			if g == group {
				said[strings.TrimSpace(key)] = strings.Trim(strings.TrimSpace(value), `"'`)
			}
		}
	}
	return said, nil
}
