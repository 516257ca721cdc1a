package postgresql

import (
	"context"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sys/unix"

	"github.com/quiesce/quiesce/shared/fault"
)

const (
	// folder is where distributions keep the sockets. The other usual place is
	// /tmp, where anybody could put one; it has to be named.
	folder      = "/var/run/postgresql"
	defaultPort = ".s.PGSQL.5432"
	section     = "quiesce"
)

var socketName = regexp.MustCompile(`^\.s\.PGSQL\.(\d+)$`)

// config is how to reach the server. What the environment of the helper says
// to other clients counts for nothing here.
func (a *Adapter) config() (*pgconn.Config, error) {
	if a.optionFile != "" {
		return a.fileConfig()
	}
	socket, err := a.find()
	if err != nil {
		return nil, err
	}
	uid, name, err := owner(socket)
	if err != nil {
		return nil, err
	}
	config, err := pgconn.ParseConfig("sslmode=disable passfile=/dev/null host=" + quote(filepath.Dir(socket)) +
		" port=" + socketName.FindStringSubmatch(filepath.Base(socket))[1] + " user=" + quote(name) + " dbname=postgres")
	if err != nil {
		return nil, fault.Wrap(fault.ApplicationRefused, err, "socket %s", socket)
	}
	config.Password = ""
	config.DialFunc = func(ctx context.Context, _, address string) (net.Conn, error) { return dialAs(ctx, address, uid) }
	return settle(config), nil
}

// fileConfig takes the section of the option file, and connects as this process:
// the file names the role, and a password or a map for root if one is needed.
func (a *Adapter) fileConfig() (*pgconn.Config, error) {
	info, err := os.Stat(a.optionFile)
	if err != nil {
		return nil, &fault.Error{Code: fault.ApplicationRefused, Field: "optionFile", Message: "cannot be read", Cause: err}
	}
	if info.Mode().Perm()&0o037 != 0 {
		return nil, &fault.Error{Code: fault.ApplicationRefused, Field: "optionFile",
			Message: a.optionFile + " may be read or written by others, and may hold a password: chmod 600"}
	}
	config, err := pgconn.ParseConfig("passfile=/dev/null service=" + section + " servicefile=" + quote(a.optionFile))
	if err != nil {
		return nil, &fault.Error{Code: fault.ApplicationRefused, Field: "optionFile", Message: "section [" + section + "]", Cause: err}
	}
	return settle(config), nil
}

// settle fixes what the session must not inherit.
func settle(config *pgconn.Config) *pgconn.Config {
	config.RuntimeParams = map[string]string{"application_name": "quiesce", "search_path": "pg_catalog"}
	config.ConnectTimeout, config.ValidateConnect = proofLimit, nil
	return config
}

// find is the socket that is meant. Where several servers have theirs in the
// usual folder one has to be named: a guess would hold the wrong one.
func (a *Adapter) find() (string, error) {
	if a.socket != "" {
		if socketName.MatchString(filepath.Base(a.socket)) {
			return a.socket, nil
		}
		return filepath.Join(a.socket, defaultPort), nil
	}
	entries, err := os.ReadDir(folder)
	if err != nil && !os.IsNotExist(err) {
		return "", fault.Wrap(fault.ApplicationRefused, err, "looking for sockets")
	}
	var found []string
	for _, e := range entries {
		if socketName.MatchString(e.Name()) {
			found = append(found, filepath.Join(folder, e.Name()))
		}
	}
	switch len(found) {
	case 0:
		return "", fault.New(fault.ApplicationNotFound, "no server has a socket in %s", folder)
	case 1:
		return found[0], nil
	}
	return "", &fault.Error{Code: fault.ApplicationRefused, Field: "socket",
		Message: "several servers run here, name one of " + strings.Join(found, ", ")}
}

// owner is the account that the server runs as, for it made the socket; the
// server's first role is called the same unless somebody chose otherwise.
func owner(socket string) (uid int, name string, err error) {
	var st unix.Stat_t
	if err := unix.Stat(socket, &st); err != nil {
		return 0, "", fault.Wrap(fault.ApplicationNotFound, err, "socket %s", socket)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFSOCK {
		return 0, "", fault.New(fault.ApplicationNotFound, "%s is not a socket", socket)
	}
	account, err := user.LookupId(strconv.FormatUint(uint64(st.Uid), 10))
	if err != nil {
		return 0, "", fault.Wrap(fault.ApplicationRefused, err, "the account of the server at %s", socket)
	}
	return int(st.Uid), account.Username, nil
}

// quote writes a value as a connection string wants it.
func quote(value string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(value) + "'"
}

// retry is how long to wait for a place in the socket's queue.
const retry = 10 * time.Millisecond
