package local

import (
	"context"

	"github.com/quiesce/quiesce/local/aws/wire"
	"github.com/quiesce/quiesce/shared/history"
)

// Clouds of a local run.
const (
	AWS    = "aws"
	Aliyun = "aliyun"
)

// site is the emulated cloud of a run with the workflow deployed in it, reached
// as a real one is: over its wire protocols, by SDK clients.
type site interface {
	// rent puts the machine with n data volumes into the account.
	rent(ctx context.Context, s stage, n int) ([]member, error)

	// execute starts one execution by the service's own API and follows it.
	execute(ctx context.Context, o Options, s stage, tell Progress) (*history.Record, error)

	// released waits until the instance was let go, where the execution ended
	// without a thaw.
	released(ctx context.Context, o Options, record *history.Record) error

	// restore makes new volumes of a whole set and attaches them, in the order
	// of the volumes that the set was taken of.
	restore(ctx context.Context, runID string, of []member) ([]member, error)

	// test lets the restore test's workflow test a run's set.
	test(ctx context.Context, o Options, s stage, runID string, tell Progress) (*RestoreTest, error)

	// told is what reached the account, its bus and the functions' log.
	told() telling

	close()
}

// telling is what a run left in the account besides its set.
type telling struct {
	calls     []wire.Record
	events    map[string]int // by type
	metrics   []string
	unreached []string // faults that never happened
}

// openSite deploys everything into a new account of the cloud that was asked
// for.
func openSite(ctx context.Context, o Options, s stage, b binaries) (site, error) {
	if o.Cloud == Aliyun {
		return openAlibaba(ctx, o, s, b)
	}
	return openAccount(ctx, o, s, b)
}

// account counts what reached the bus and the log.
func (r *Report) account(t telling) {
	if began := opened(r.Evidence); !began.IsZero() {
		r.InWindow = InWindow(t.calls, began, r.FrozenMs)
	}
	r.Events, r.Metrics, r.Unreached = t.events, t.metrics, t.unreached
}
