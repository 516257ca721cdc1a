package local

import (
	"context"
	"time"

	"github.com/quiesce/quiesce/local/fault"
	"github.com/quiesce/quiesce/local/instance"
	"github.com/quiesce/quiesce/local/ledger"
	"github.com/quiesce/quiesce/local/plugin"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/run"
)

// stage is the machine of a run with its application: this host, or a
// simulated one. Both are driven by the same agent and kept by the same disks.
type stage interface {
	machine() instance.Machine
	disks() instance.Disks

	// furnish makes filesystems on the volumes, in the writing order of the
	// ledger, and starts what writes there.
	furnish(ctx context.Context, volumes []member) error

	// scripts are the ledger's own, once it was furnished.
	scripts() (pre, post string)

	// tool is the machine as the stand-in for the provider's own tool sees it.
	tool() plugin.Host

	// policy is what the run asks of the workflow, for what was furnished.
	policy(o Options) policy.Policy

	// hooks are what the faults of the world do here.
	hooks() map[fault.Kind]func(context.Context)

	// changed tells which settings are not as they were when it was furnished;
	// empty for none.
	changed(ctx context.Context) (string, error)

	// acks stops what writes and returns what it was acknowledged.
	acks(ctx context.Context) ([]ledger.Ack, error)

	// read checks and reads restored volumes, for what was proved of the set.
	read(ctx context.Context, volumes []member, proved run.Consistency) (*restored, error)

	// leftFrozen counts the filesystems that are frozen now, and thaws them.
	leftFrozen() int

	// mono is a moment of the wall clock on the machine's monotonic clock.
	mono(time.Time) int64

	// dir is a private directory for what is built and kept.
	dir() string

	// close takes everything away, whatever state it is in.
	close() error
}

// restored is what new volumes made of a set held.
type restored struct {
	volumes    []ledger.Volume // the records, in writing order
	disks      []ledger.Volume // under them, where they are a server's tables
	served     bool            // a server held the writer, who was not at rest himself
	holds      bool            // that server lets no write through from its quiesce on
	recoveryMs float64         // until the server answered; 0 for none
	findings   []string        // what is broken besides
	notes      []string        // what is not as it was, and was not promised to be
}

// member is one volume of the stage: its id, its device on the machine.
type member struct {
	id     string
	device string
}

// foreignHold is how long a planned foreign freeze stands before its owner
// takes it back, as the owner of one must.
const foreignHold = 5 * time.Second
