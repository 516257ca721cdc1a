// Package application declares how the helper brings an application to rest,
// holds it there, proves it, and lets it go. Each kind is a package below;
// all of them pass the suite in applicationtest.
package application

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/protocol"
)

// New makes the adapter of one kind and touches nothing yet. It refuses
// options that the kind cannot have by InvalidInput with the field's name.
type New func(options protocol.Application, journal Journal) (Adapter, error)

// Make makes the adapter of the kind that the options name, out of a table of
// kinds.
func Make(kinds map[string]New, options protocol.Application, journal Journal) (Adapter, error) {
	make, ok := kinds[options.Kind]
	if !ok {
		known := slices.Sorted(maps.Keys(kinds))
		return nil, fault.Input("application.kind", "is %s, and this helper knows none, script, %s", options.Kind, strings.Join(known, ", "))
	}
	return make(options, journal)
}

// Adapter is one application on this machine for one session. Its methods are
// called one at a time, in the order Quiesce, StillHeld, Release, and never
// while a filesystem is frozen: even a read may hang then. Only a Release comes
// all the same after a thaw that failed. Each returns soon after its ctx has
// ended.
type Adapter interface {
	// Look finds the server and reports it. It changes nothing and is called
	// outside of any session, when a run is planned. Codes:
	// ApplicationNotFound, ApplicationRefused.
	Look(ctx context.Context) (protocol.Server, error)

	// Quiesce brings the application to rest and holds it. It first waits for
	// a quiet moment and gives up by its own limits: a lock that cannot be had
	// must never make production queue behind it. After an error Release is
	// called at once. Not idempotent. Codes: ApplicationNotFound,
	// ApplicationRefused, ApplicationBusy.
	Quiesce(ctx context.Context) (Held, error)

	// StillHeld proves the hold without a break since Quiesce, by the session
	// itself where a session holds it: the same connection answers under the
	// same id, without having been opened again. Code: HoldLost.
	StillHeld(ctx context.Context) error

	// Release lets the application go and restores every setting that was
	// changed; what a lost hold has let go already is released. Idempotent, and
	// harmless when nothing is held. It returns what a restore needs besides
	// the volumes, by file name, such as a backup label; usually nothing.
	Release(ctx context.Context) (files map[string]string, err error)

	// Undo takes back what a session that died may have left in the instance
	// (not what dies with a connection), from the journal's last entry; nil if
	// there was none. It is called without a Quiesce before it. Idempotent.
	Undo(ctx context.Context, journal []byte) error
}

// Held is what a hold is known by.
type Held struct {
	SessionID string // of the connection that holds it; empty if none does
	Version   string // of the server
	Mode      string // in which it is held, where the kind has several
	Killed    int    // queries that the policy let be killed to get the lock
}

// Journal keeps, in memory-backed storage, what Undo will need; it is written
// before the change that it is about, and replaces the entry before it.
type Journal func(entry []byte) error
