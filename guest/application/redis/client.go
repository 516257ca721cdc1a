package redis

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/quiesce/quiesce/shared/fault"
)

// Where distributions have the socket; few servers have one.
var sockets = []string{"/run/redis/redis-server.sock", "/run/redis/redis.sock", "/run/valkey/valkey.sock"}

const defaultPort = "6379"

// client is one connection, which is never opened again.
type client struct {
	pool *redis.Client
	conn *redis.Conn
}

// address is how a server is reached.
type address struct{ network, at, username, password string }

func (a *Adapter) address() (address, error) {
	if a.optionFile != "" {
		found, err := readOptions(a.optionFile)
		if a.socket != "" {
			found.network, found.at = "unix", a.socket
		}
		return found, err
	}
	for _, socket := range append([]string{a.socket}, sockets...) {
		if socket != "" && (socket == a.socket || isSocket(socket)) {
			return address{network: "unix", at: socket}, nil
		}
	}
	return address{network: "tcp", at: net.JoinHostPort("127.0.0.1", defaultPort)}, nil
}

func isSocket(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().Type() == fs.ModeSocket
}

// readOptions reads what this needs of an option file, and skips the rest: it
// may be the server's own.
func readOptions(path string) (address, error) {
	field := func(err error, message string) error {
		return &fault.Error{Code: fault.ApplicationRefused, Field: "optionFile", Message: message, Cause: err}
	}
	file, err := os.Open(path)
	if err != nil {
		return address{}, field(err, "cannot be read")
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil || info.Mode().Perm()&0o027 != 0 {
		return address{}, field(err, path+" may be read or written by others, and may hold a password: chmod 640")
	}
	port, found := defaultPort, address{network: "tcp"}
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		key, value, _ := strings.Cut(strings.TrimSpace(lines.Text()), " ")
		value = strings.Trim(strings.TrimSpace(value), `"'`)
		switch strings.ToLower(key) {
		case "unixsocket":
			found.network, found.at = "unix", value
		case "port":
			port = value
		case "username":
			found.username = value
		case "requirepass":
			found.password = value
		}
	}
	if found.network == "tcp" {
		found.at = net.JoinHostPort("127.0.0.1", port)
	}
	if err := lines.Err(); err != nil {
		return address{}, field(err, "cannot be read")
	}
	return found, nil
}

// errAgain is what a connection that was lost comes to.
var errAgain = errors.New("the connection was lost and is not opened again")

var silence sync.Once

// mute keeps the library from writing to the process's standard error, which
// nobody may be reading.
type mute struct{}

func (mute) Printf(context.Context, string, ...any) {}

func (a *Adapter) connect(ctx context.Context) (*client, error) {
	silence.Do(func() { redis.SetLogger(mute{}) })
	to, err := a.address()
	if err != nil {
		return nil, err
	}
	pool := redis.NewClient(once(to))
	c := &client{pool: pool, conn: pool.Conn()}
	ctx, cancel := context.WithTimeout(ctx, proofLimit)
	defer cancel()
	if _, err := c.do(ctx, "PING"); err != nil {
		c.close()
		return nil, fault.Wrap(fault.CodeOf(err), err, "connecting to %s", to.at)
	}
	return c, nil
}

// once are the library's options for one connection to a server.
func once(to address) *redis.Options {
	var dialled atomic.Bool
	return &redis.Options{
		Network: to.network, Addr: to.at, Username: to.username, Password: to.password, ClientName: "quiesce",
		Dialer: func(ctx context.Context, network, at string) (net.Conn, error) {
			if dialled.Swap(true) {
				return nil, errAgain
			}
			var d net.Dialer
			return d.DialContext(ctx, network, at)
		},
		Protocol: 2, DisableIdentity: true, MaxRetries: -1, DialerRetries: 1, PoolSize: 1,
		ReadTimeout: proofLimit, WriteTimeout: proofLimit, DialTimeout: proofLimit, ContextTimeoutEnabled: true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
}

func (c *client) close() {
	_ = c.conn.Close() // what it holds is the server's, and was taken back before
	_ = c.pool.Close()
}

// do sends one command on the connection.
func (c *client) do(ctx context.Context, words ...any) (*redis.Cmd, error) {
	cmd := c.conn.Do(ctx, words...)
	if err := cmd.Err(); err != nil && !errors.Is(err, redis.Nil) {
		return nil, fault.Wrap(codeOf(err), err, "%s", strings.Join(strings.Fields(fmt.Sprintln(words[:min(2, len(words))]...)), " "))
	}
	return cmd, nil
}

// setting is the value of one; empty if the server does not know it.
func (c *client) setting(ctx context.Context, name string) (string, error) {
	cmd, err := c.do(ctx, "CONFIG", "GET", name)
	if err != nil {
		return "", err
	}
	pair, err := cmd.StringSlice()
	if err != nil || len(pair) < 2 {
		return "", err
	}
	return pair[1], nil
}

// codeOf goes by the first word of what the server says, which is its code.
func codeOf(err error) fault.Code {
	var said redis.Error
	switch {
	case errors.As(err, &said):
		switch word, _, _ := strings.Cut(err.Error(), " "); word {
		case "LOADING", "BUSY", "MASTERDOWN", "TRYAGAIN":
			return fault.ApplicationBusy
		}
		return fault.ApplicationRefused
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled), errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, syscall.EAGAIN):
		return fault.ApplicationBusy
	case errors.Is(err, fs.ErrPermission):
		return fault.ApplicationRefused
	}
	return fault.ApplicationNotFound
}
