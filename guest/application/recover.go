package application

import (
	"context"

	"github.com/quiesce/quiesce/shared/protocol"
)

// Recoverer starts a server of its kind on copies of its files, as it would
// start after a power cut, and lets it check them. It has no state. The server
// that it starts is a second one: beside the machine's own it has a socket, a
// pid file and a log in a room of its own, listens on no network, follows
// nobody, and runs nothing by itself.
type Recoverer interface {
	// Find returns the folders directly below or at the given one that look
	// like a data folder of this kind. It only reads.
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
	Data   string         // its data folder, where the server it was taken of had it
	Look   []string       // folders that the copies are mounted at, for what lies outside of Data
	Room   string         // a short private path outside of the copies
	Files  protocol.Files // what the run kept for a restore
	Keep   bool           // the copies are somebody's: nothing more is changed than recovery does
	Copied func(path string) bool
	Note   func(format string, args ...any)

	// Visit is called while the server runs and answers at the socket.
	Visit func(ctx context.Context, socket string) error
}
