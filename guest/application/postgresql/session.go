package postgresql

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/quiesce/quiesce/shared/fault"
)

// session is one connection, which is never opened again.
type session struct {
	conn     *pgconn.PgConn
	version  string
	major    int
	standby  bool
	backup   string // where the backup began; empty: none is in progress
	identity identity
}

// open connects as the server's own account by its socket, which needs no
// secret, or as the option file says.
func (a *Adapter) open(ctx context.Context) (*session, error) {
	ctx, cancel := context.WithTimeout(ctx, proofLimit)
	defer cancel()
	config, err := a.config()
	if err != nil {
		return nil, err
	}
	conn, err := pgconn.ConnectConfig(ctx, config)
	if err != nil {
		return nil, unreachable(err, net.JoinHostPort(config.Host, fmt.Sprint(config.Port)))
	}
	s := &session{conn: conn}
	if err := s.greet(ctx); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// greet learns what the server is, and refuses a pooler: behind one a session
// is not held by its connection.
func (s *session) greet(ctx context.Context) error {
	got, err := s.row(ctx, proofLimit, `SELECT pg_backend_pid(), pg_is_in_recovery(), current_setting('server_version_num'),
		current_setting('server_version')`)
	if err != nil {
		return refused(err, "asking for the version")
	}
	if got[0] != strconv.FormatUint(uint64(s.conn.PID()), 10) {
		return fault.New(fault.ApplicationRefused, "a pooler answers for the server: name the server's own socket")
	}
	number, _ := strconv.Atoi(got[2])
	s.major, s.standby = number/10000, got[1] == "t"
	s.version, _, _ = strings.Cut(got[3], " ")
	// Whatever the account's settings are, a session that waits is not ended.
	_, err = s.row(ctx, proofLimit, `SELECT count(set_config(name, '0', false)) FROM pg_settings
		WHERE name IN ('idle_session_timeout', 'idle_in_transaction_session_timeout')`)
	return refused(err, "keeping the session")
}

// row asks for one row of texts, NULL as empty, within a limit that the server
// keeps too: nothing that was given up goes on there.
func (s *session) row(ctx context.Context, limit time.Duration, sql string, args ...string) ([]string, error) {
	// The server's own limit comes first, so that the connection survives it.
	ctx, cancel := context.WithTimeout(ctx, limit+time.Second)
	defer cancel()
	ms := strconv.FormatInt(max(1, limit.Milliseconds()), 10)
	if err := s.conn.Exec(ctx, "SET statement_timeout = "+ms+"; SET lock_timeout = "+ms).Close(); err != nil {
		return nil, err
	}
	params := make([][]byte, len(args))
	for i, a := range args {
		params[i] = []byte(a)
	}
	result := s.conn.ExecParams(ctx, sql, params, nil, nil, nil).Read()
	if result.Err != nil || len(result.Rows) == 0 {
		return nil, result.Err
	}
	row := make([]string, len(result.Rows[0]))
	for i, field := range result.Rows[0] {
		row[i] = string(field)
	}
	return row, nil
}

func (s *session) lives() bool { return !s.conn.IsClosed() }

// close ends the session, and with it what it holds.
func (s *session) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = s.conn.Close(ctx) // its socket is closed in any case
}

// Conditions that pass by themselves, by SQLSTATE.
var passing = []string{
	"57014", // query_canceled: by statement_timeout
	"55P03", // lock_not_available
	"57P03", // cannot_connect_now: it starts, stops or recovers
	"53300", // too_many_connections
}

// unreachable tells why there is no connection.
func unreachable(err error, where string) error {
	var said *pgconn.PgError
	var code fault.Code
	switch {
	case errors.As(err, &said) && slices.Contains(passing, said.Code):
		code = fault.ApplicationBusy
	case errors.As(err, &said), errors.Is(err, fs.ErrPermission):
		code = fault.ApplicationRefused
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, syscall.EAGAIN):
		code = fault.ApplicationBusy
	default:
		code = fault.ApplicationNotFound
	}
	return fault.Wrap(code, err, "connecting to %s", where)
}

// refused translates what went wrong on a connection; nil stays nil.
func refused(err error, format string, args ...any) error {
	var said *pgconn.PgError
	code := fault.ApplicationRefused
	switch {
	case errors.As(err, &said) && slices.Contains(passing, said.Code), pgconn.Timeout(err), errors.Is(err, context.Canceled):
		code = fault.ApplicationBusy
	case said == nil:
		code = fault.ApplicationNotFound // the connection broke: it is no more
	}
	return fault.Wrap(code, err, format, args...)
}
