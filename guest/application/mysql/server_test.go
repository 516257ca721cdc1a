package mysql

import (
	"fmt"
	"maps"
	"net"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	wire "github.com/go-mysql-org/go-mysql/mysql"
	"github.com/go-mysql-org/go-mysql/server"
)

// fake answers as MySQL is documented to, for the statements that are used here
// and no others, over the real protocol on a real socket.
type fake struct {
	socket, datadir, version string

	mu        sync.Mutex
	replica   bool
	trxCommit int
	accounts  map[string]account
	changed   chan struct{} // closed at every change of what follows
	conns     map[int64]*client
	aged      time.Duration // by which every statement has run for longer
	locks
}

// account is a password and global rights.
type account struct {
	password string
	rights   []string
}

// client is one connection.
type client struct {
	*fake
	server.EmptyHandler
	wire *server.Conn
	raw  net.Conn
	id   int64
	user string

	// Guarded by the server's mutex.
	statement, state string
	since            time.Time
	killed           bool          // the statement
	gone             bool          // the connection
	lockWait         time.Duration // lock_wait_timeout
}

// serve starts a server of that version, with the root account alone.
func serve(t *testing.T, version string) *fake {
	t.Helper()
	dir := t.TempDir()
	s := &fake{
		socket: filepath.Join(dir, "s"), datadir: filepath.Join(dir, "data"), version: version, trxCommit: 1,
		accounts: map[string]account{"root": {"", []string{"RELOAD", "PROCESS", "BACKUP_ADMIN", "CONNECTION_ADMIN"}}},
		changed:  make(chan struct{}), conns: map[int64]*client{}, locks: newLocks(),
	}
	listener, err := net.Listen("unix", s.socket)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			all.Go(func() { s.accept(conn) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		s.mu.Lock()
		for _, c := range s.conns {
			c.end()
		}
		s.mu.Unlock()
		all.Wait()
	})
	return s
}

func (s *fake) accept(conn net.Conn) {
	defer conn.Close()
	passwords := server.NewInMemoryProvider()
	s.mu.Lock()
	for name, a := range s.accounts {
		passwords.AddUser(name, a.password)
	}
	s.mu.Unlock()
	c := &client{fake: s, raw: conn, lockWait: 365 * 24 * time.Hour}
	settings := server.NewServer(s.version, wire.DEFAULT_COLLATION_ID, wire.AUTH_NATIVE_PASSWORD, nil, nil)
	var err error
	if c.wire, err = settings.NewCustomizedConn(conn, passwords, c); err != nil {
		return
	}
	c.id, c.user = int64(c.wire.ConnectionID()), c.wire.GetUser()
	s.mu.Lock()
	s.conns[c.id] = c
	s.mu.Unlock()
	for c.wire.HandleCommand() == nil {
	}
	s.mu.Lock()
	delete(s.conns, c.id)
	s.forget(c)
	s.mu.Unlock()
}

// end is KILL CONNECTION.
func (c *client) end() {
	c.gone, c.killed = true, true
	c.change()
	c.raw.Close()
}

// change wakes all who wait.
func (s *fake) change() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// wait waits under the mutex until what is waited for is so, the statement is
// killed, or its limit has passed.
func (c *client) wait(state string, limit time.Duration, so func() bool) error {
	defer func() { c.state = "" }()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for !so() {
		if c.killed {
			return wire.NewDefaultError(wire.ER_QUERY_INTERRUPTED)
		}
		c.state = state
		changed := c.changed
		c.mu.Unlock()
		select {
		case <-changed:
			c.mu.Lock()
		case <-timer.C:
			c.mu.Lock()
			return wire.NewDefaultError(wire.ER_LOCK_WAIT_TIMEOUT)
		}
	}
	return nil
}

// HandleQuery is a statement.
func (c *client) HandleQuery(text string) (*wire.Result, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.statement, c.since, c.killed = strings.Clone(text), time.Now(), c.gone
	defer func() { c.statement = "" }()
	for _, s := range statements {
		if match := s.is.FindStringSubmatch(text); match != nil {
			return s.do(c, match)
		}
	}
	return nil, wire.NewError(wire.ER_PARSE_ERROR, "this server does not know: "+text)
}

// HandleOtherCommand refuses what nobody here sends.
func (c *client) HandleOtherCommand(cmd byte, _ []byte) error {
	return wire.NewError(wire.ER_UNKNOWN_COM_ERROR, fmt.Sprintf("command %d", cmd))
}

type statement struct {
	is *regexp.Regexp
	do func(*client, []string) (*wire.Result, error)
}

// on declares a statement by a pattern of all of its text.
func on(pattern string, do func(*client, []string) (*wire.Result, error)) statement {
	return statement{regexp.MustCompile(`(?s)^` + pattern + `$`), do}
}

var statements = append(lockStatements,
	on(`SELECT CONNECTION_ID\(\), VERSION\(\)`, func(c *client, _ []string) (*wire.Result, error) {
		return table([]string{"CONNECTION_ID()", "VERSION()"}, []any{c.id, c.version})
	}),
	on(`SELECT CONNECTION_ID\(\)`, func(c *client, _ []string) (*wire.Result, error) {
		return table([]string{"CONNECTION_ID()"}, []any{c.id})
	}),
	on(`SELECT @@datadir`, func(c *client, _ []string) (*wire.Result, error) {
		return table([]string{"@@datadir"}, []any{c.datadir + "/"})
	}),
	on(`SELECT @@datadir, @@innodb_flush_log_at_trx_commit`, func(c *client, _ []string) (*wire.Result, error) {
		return table([]string{"@@datadir", "@@innodb_flush_log_at_trx_commit"}, []any{c.datadir + "/", c.trxCommit})
	}),
	on(`SHOW GLOBAL VARIABLES WHERE Variable_name IN \(.*\)`, func(c *client, _ []string) (*wire.Result, error) {
		return table([]string{"Variable_name", "Value"}, []any{"innodb_data_home_dir", []byte{}}, []any{"innodb_log_group_home_dir", "./"},
			[]any{"innodb_undo_directory", "./"}, []any{"log_bin_basename", c.datadir + "-log/binlog"})
	}),
	on(`SELECT COUNT\(\*\) > 0 FROM information_schema.USER_PRIVILEGES.*PRIVILEGE_TYPE = '(\w+)'`, func(c *client, m []string) (*wire.Result, error) {
		return table([]string{"n"}, []any{c.may(m[1])})
	}),
	on(`SHOW (REPLICA|SLAVE) STATUS`, func(c *client, m []string) (*wire.Result, error) {
		switch {
		case m[1] == "REPLICA" && strings.HasPrefix(c.version, "5."), m[1] == "SLAVE" && !strings.HasPrefix(c.version, "5."):
			return nil, wire.NewError(wire.ER_PARSE_ERROR, "You have an error in your SQL syntax")
		case c.replica:
			return table([]string{"Source_Host"}, []any{"db1"})
		}
		return table([]string{"Source_Host"})
	}),
	on(`SET SESSION lock_wait_timeout=(\d+), wait_timeout=\d+`, func(c *client, m []string) (*wire.Result, error) {
		n, err := strconv.Atoi(m[1])
		c.lockWait = time.Duration(n) * time.Second
		return &wire.Result{}, err
	}),
	on(`SET SESSION max_execution_time=0`, func(*client, []string) (*wire.Result, error) { return &wire.Result{}, nil }),
	on(`SHOW PROCESSLIST`, func(c *client, _ []string) (*wire.Result, error) { return c.processes() }),
	on(`KILL (QUERY|CONNECTION) (\d+)`, func(c *client, m []string) (*wire.Result, error) {
		id, _ := strconv.ParseInt(m[2], 10, 64)
		other := c.conns[id]
		switch {
		case other == nil:
			return nil, wire.NewDefaultError(wire.ER_NO_SUCH_THREAD, id)
		case m[1] == "CONNECTION":
			other.end()
		default:
			other.killed = true
			c.change()
		}
		return &wire.Result{}, nil
	}),
)

// may is 1 if the account has a right.
func (c *client) may(right string) int {
	if slices.Contains(c.accounts[c.user].rights, right) {
		return 1
	}
	return 0
}

// processes lists what runs, of all accounts to one with the right to see them.
func (c *client) processes() (*wire.Result, error) {
	rows := [][]any{{"5", "system user", "", nil, "Query", "9000", "Waiting for an event from Coordinator", "INSERT INTO t VALUES (1)"}}
	for _, id := range slices.Sorted(maps.Keys(c.conns)) {
		other := c.conns[id]
		if c.may("PROCESS") == 0 && other.user != c.user {
			continue
		}
		row := []any{fmt.Sprint(id), other.user, "localhost", nil, "Sleep", "0", nil, nil}
		if other.statement != "" {
			row[4], row[6], row[7] = "Query", other.state, other.statement[:min(100, len(other.statement))]
			row[5] = strconv.Itoa(int((time.Since(other.since) + c.aged).Seconds()))
		}
		rows = append(rows, row)
	}
	return table([]string{"Id", "User", "Host", "db", "Command", "Time", "State", "Info"}, rows...)
}

// table is a result.
func table(names []string, rows ...[]any) (*wire.Result, error) {
	set, err := wire.BuildSimpleTextResultset(names, rows)
	if err != nil {
		return nil, err
	}
	return wire.NewResult(set), nil
}
