package mongodb

import (
	"bufio"
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/address"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/quiesce/quiesce/shared/fault"
)

const usual = "127.0.0.1:27017"

// client is one connection. The library may open another when it is lost, which
// then shows by its number.
type client struct {
	driver *mongo.Client
	admin  *mongo.Database
}

// connect opens the connection. What listens in /tmp, where MongoDB has its
// socket, may be anybody's: it has to be named.
func (a *Adapter) connect(ctx context.Context) (*client, error) {
	o, err := a.settings()
	if err != nil {
		return nil, err
	}
	at := address.Address(o.Hosts[0])
	dialer := net.Dialer{Timeout: proofLimit}
	conn, err := dialer.DialContext(ctx, at.Network(), at.String())
	if err != nil {
		return nil, unreachable(err, at.String())
	}
	conn.Close() // the library is slow to say that nobody is there
	// The library looks after its servers by connections of its own: once here,
	// for a server that is frozen does not answer, and the hold would be dropped.
	o.SetDirect(true).SetAppName("quiesce").SetMaxPoolSize(1).SetRetryReads(false).SetRetryWrites(false).
		SetServerMonitoringMode(options.ServerMonitoringModePoll).SetHeartbeatInterval(time.Hour).
		SetServerSelectionTimeout(proofLimit).SetConnectTimeout(proofLimit)
	library, err := mongo.Connect(o)
	if err != nil {
		return nil, fault.Wrap(fault.ApplicationRefused, err, "the connection's settings")
	}
	c := &client{library, library.Database("admin")}
	if err := c.run(ctx, proofLimit, nil, bson.D{{Key: "ping", Value: 1}}); err != nil {
		c.close()
		return nil, fault.Wrap(fault.CodeOf(err), err, "connecting to %s", at)
	}
	return c, nil
}

// settings are how the server is reached.
func (a *Adapter) settings() (*options.ClientOptions, error) {
	o := options.Client().SetHosts([]string{usual})
	if a.optionFile != "" {
		said, err := readOptions(a.optionFile)
		if err != nil {
			return nil, err
		}
		if said["uri"] != "" {
			o = options.Client().ApplyURI(said["uri"])
		}
		if o.Auth != nil && said["password"] != "" {
			o.Auth.Password, o.Auth.PasswordSet = said["password"], true
		}
		err = o.Validate()
		switch {
		case err != nil:
			return nil, refuse(errors.New("its uri is none"), "cannot be used") // the library's words may hold the password
		case len(o.Hosts) != 1 || strings.HasPrefix(said["uri"], "mongodb+srv:"):
			return nil, refuse(nil, "wants the one server of this machine in its uri")
		}
	}
	if a.socket != "" {
		o.SetHosts([]string{a.socket})
	}
	return o, nil
}

func refuse(err error, message string) error {
	return &fault.Error{Code: fault.ApplicationRefused, Field: "application.optionFile", Message: message, Cause: err}
}

// readOptions reads the lines that MongoDB's tools know, and skips the rest.
func readOptions(path string) (map[string]string, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, refuse(err, "cannot be read")
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, refuse(err, "cannot be read")
	}
	if owner := info.Sys().(*syscall.Stat_t).Uid; int(owner) != os.Geteuid() || info.Mode().Perm()&0o077 != 0 {
		return nil, refuse(nil, path+" may be read or written by others, and may hold a password: chmod 600")
	}
	said := map[string]string{}
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		key, value, _ := strings.Cut(lines.Text(), ":")
		said[strings.TrimSpace(key)] = strings.Trim(strings.TrimSpace(value), `"'`)
	}
	if err := lines.Err(); err != nil {
		return nil, refuse(err, "cannot be read")
	}
	return said, nil
}

// close ends the connection, which holds nothing.
func (c *client) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = c.driver.Disconnect(ctx)
}

// run sends one command.
func (c *client) run(ctx context.Context, limit time.Duration, into any, command bson.D) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	result := c.admin.RunCommand(ctx, command)
	err := result.Err()
	if err == nil && into != nil {
		err = result.Decode(into)
	}
	return fault.Wrap(codeOf(err), err, "%s", command[0].Key)
}

// The server's numbers, as far as they mean something else than a refusal.
const illegalOperation = 20

var passing = map[int32]bool{
	24:    true, // LockTimeout
	46:    true, // LockBusy
	50:    true, // MaxTimeMSExpired
	91:    true, // ShutdownInProgress
	262:   true, // ExceededTimeLimit
	11600: true, // InterruptedAtShutdown
	11601: true, // Interrupted
	11602: true, // InterruptedDueToReplStateChange
}

// said is the server's number of an error; 0 if the server did not say it, and
// may do all the same what it was asked.
func said(err error) int32 {
	var e mongo.CommandError
	if errors.As(err, &e) {
		return e.Code
	}
	return 0
}

func codeOf(err error) fault.Code {
	switch {
	case passing[said(err)], mongo.IsTimeout(err), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fault.ApplicationBusy
	case said(err) == 0 && mongo.IsNetworkError(err):
		return fault.ApplicationNotFound
	}
	return fault.ApplicationRefused
}

// unreachable tells why nobody listens.
func unreachable(err error, where string) error {
	code := fault.ApplicationNotFound
	switch {
	case errors.Is(err, fs.ErrPermission):
		code = fault.ApplicationRefused
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled), errors.Is(err, syscall.EAGAIN), os.IsTimeout(err):
		code = fault.ApplicationBusy
	}
	return fault.Wrap(code, err, "connecting to %s", where)
}
