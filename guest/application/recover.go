package application

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/quiesce/quiesce/guest/process"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/protocol"
)

// Recoverer starts a server of its kind on copies of its files, as it would
// start after a power cut, and lets it check them. It has no state. The server
// that it starts is a second one: beside the machine's own it has a socket, a
// pid file and a log in a room of its own, listens on no network, follows
// nobody, and runs nothing by itself.
type Recoverer interface {
	// Find reports whether a folder looks like a data folder of this kind. It
	// only reads.
	Find(folder string) bool

	// Recover starts the server, waits until it has recovered, checks what it
	// holds, calls Visit, and stops it. What is wrong with the copies is a
	// finding of the reply; an error means that it could not be tried. When it
	// returns no process of it is left. Codes: ApplicationNotFound when its
	// programs are not installed, ApplicationRefused for what it must not touch.
	Recover(ctx context.Context, c Copy) (protocol.SecondServer, error)
}

// Copy is what a second server is started on.
type Copy struct {
	Data   string                 // its data folder, where the server it was taken of had it
	Look   []string               // folders that the copies are mounted at, for what lies outside of Data
	Room   string                 // a short private path outside of the copies
	Files  protocol.Files         // what the run kept for a restore
	Keep   bool                   // the copies are somebody's: nothing more is changed than recovery does
	Copied func(path string) bool // a path, all links followed, leads onto a copy
	Note   func(format string, args ...any)

	// Visit is called while the server runs and answers at the socket.
	Visit func(ctx context.Context, socket string) error
}

// Second is the account and the folder of a second server: it runs as the owner
// of its data, who alone has the folder.
type Second struct {
	As  process.Account
	Dir string
}

// Settle makes the second server's folder.
func (c Copy) Settle() (Second, error) {
	as, err := process.Owner(c.Data)
	if err != nil {
		return Second{}, fault.Wrap(fault.Internal, err, "the owner of %s", c.Data)
	}
	s := Second{as, filepath.Join(c.Room, "s")}
	if err := os.Mkdir(s.Dir, 0o700); err != nil {
		return s, fault.Wrap(fault.Internal, err, "making the second server's folder")
	}
	return s, fault.Wrap(fault.Internal, os.Chown(s.Dir, int(as.UID), int(as.GID)), "giving the second server its folder")
}

// Spec is one of the server's programs, which dies with this process.
func (s Second) Spec(path string, args ...string) process.Spec {
	enabled, _ := os.ReadFile("/sys/module/apparmor/parameters/enabled")
	if _, err := os.Stat(unconfine); err == nil && strings.HasPrefix(string(enabled), "Y") {
		path, args = unconfined(path, args)
	}
	return process.Spec{Account: s.As, Path: path, Args: args, Dir: s.Dir, Env: []string{"TMPDIR=" + s.Dir}, Dies: true}
}

// unconfine starts a program without the profile that its path has.
const unconfine = "/usr/bin/aa-exec"

// unconfined starts a program past AppArmor's profile for it: that is written
// for the folders of the first server, and forbids a second one its own.
func unconfined(path string, args []string) (string, []string) {
	return unconfine, append([]string{"-p", "unconfined", "--", path}, args...)
}

// Log is where its server writes.
func (s Second) Log() string { return filepath.Join(filepath.Dir(s.Dir), "server.log") }

// StopLimit is how long a second server may take to stop.
const StopLimit = time.Minute

// Blame is what a server's log says of its end: the first line that has one of
// the words, or its last line. What the server tells those who ask too early,
// and that it gives up, explain nothing.
func Blame(log string, words ...string) string {
	last := ""
	for line := range strings.Lines(log) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		last = line
		if strings.Contains(line, "starting up") || strings.HasSuffix(line, "Aborting") {
			continue
		}
		for _, w := range words {
			if strings.Contains(line, w) {
				return line
			}
		}
	}
	return last
}
