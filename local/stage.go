package local

import (
	"context"
	"time"

	"github.com/quiesce/quiesce/local/fault"
	"github.com/quiesce/quiesce/local/instance"
	"github.com/quiesce/quiesce/local/ledger"
)

// stage is the machine of a run with its application: this host, or a
// simulated one. Both are driven by the same agent and kept by the same disks.
type stage interface {
	machine() instance.Machine
	disks() instance.Disks

	// furnish makes filesystems on the volumes, in the writing order of the
	// ledger, and starts it.
	furnish(ctx context.Context, volumes []member) error

	// scripts bring the ledger to rest and let it go.
	scripts() (pre, post string)

	// hooks are what the faults of the world do here.
	hooks() map[fault.Kind]func(context.Context)

	// acks stops the ledger and returns what it was acknowledged.
	acks(ctx context.Context) ([]ledger.Ack, error)

	// read checks and reads restored volumes, in writing order.
	read(ctx context.Context, volumes []member) ([]ledger.Volume, error)

	// leftFrozen counts the filesystems that are frozen now, and thaws them.
	leftFrozen() int

	// mono is a moment of the wall clock on the machine's monotonic clock.
	mono(time.Time) int64

	// dir is a private directory for what is built and kept.
	dir() string

	// close takes everything away, whatever state it is in.
	close() error
}

// member is one volume of the stage: its id, its device on the machine.
type member struct {
	id     string
	device string
}

// foreignHold is how long a planned foreign freeze stands before its owner
// takes it back, as the owner of one must.
const foreignHold = 5 * time.Second
