// Package windows is a simulated Windows instance: it plays what AWS and
// Microsoft document of AWS's VSS document and of diskshadow, their outputs,
// errors and time limits, on the filesystems of a simulated machine. No PowerShell
// runs in it. Wherever its work is shown it is to be called what it is.
//
// Not documented, and decided here: the name of the step that installs the
// components, and the wording of what ends well. Nobody may depend on them.
package windows

import (
	"context"
	"sync"
	"time"

	"github.com/quiesce/quiesce/local/fault"
	"github.com/quiesce/quiesce/local/instance"
	"github.com/quiesce/quiesce/shared/run"
	"github.com/quiesce/quiesce/shared/vss"
)

// Label names the simulation where a person reads.
const Label = "simulated Windows instance"

// Profile is the instance profile with which it calls EC2.
const Profile = "quiesce-windows"

// Host is what stands for Windows' own work on the machine.
type Host struct {
	// Mounts are the filesystems, an inner mount before its outer one.
	Mounts func() []string
	// Rest brings the writers' applications to rest, or lets them go.
	Rest func(ctx context.Context, rest bool) error
	// Freeze stops writes to a mount, or lets them go on.
	Freeze func(ctx context.Context, mount string, freeze bool) error
	// Copy makes shadow copies of volumes, each by its name, at one moment.
	Copy func(ctx context.Context, set map[string]string) error
	// Revert puts a shadow copy in the place of what is on a volume, which
	// nobody may have mounted.
	Revert func(ctx context.Context, volume, copied string) error
}

// Machine is the instance. Its own commands are none but the documents'.
type Machine struct {
	instance.Machine
	ID       string
	Host     Host
	Account  Account
	Faults   *fault.Plan
	Reported instance.System // what the agent says of it; empty: a Windows Server 2022

	mu      sync.Mutex         // never held while anything waits
	turn    chan struct{}      // whose request for shadow copies it is
	records map[string]*record // of shadow copies, by run
	sets    int
	signed  map[string]string // signatures of disks that are other than their origin's, by volume
}

// alone waits for the turn of a request, as the document does by a mutex.
func (m *Machine) alone() (done func()) {
	m.mu.Lock()
	if m.turn == nil {
		m.turn = make(chan struct{}, 1)
	}
	turn := m.turn
	m.mu.Unlock()
	turn <- struct{}{}
	return func() { <-turn }
}

// of is a run's record, nil for none; keep makes it.
func (m *Machine) of(runID string) *record {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.records[runID]
}

func (m *Machine) keep(runID string, r *record) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.records == nil {
		m.records = map[string]*record{}
	}
	m.records[runID] = r
}

// next numbers the sets of shadow copies.
func (m *Machine) next() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sets++
	return m.sets
}

// record is what is kept of a run, and of its copies once they are dropped: those
// that lie in snapshots are there.
type record struct {
	shadows *run.Shadows // nil if none were made
	made    time.Time
	dropped time.Time // zero: they are on the instance
}

// on reports that the copies are on the instance.
func (r *record) on() bool { return r.shadows != nil && r.dropped.IsZero() }

var (
	_ instance.Machine   = (*Machine)(nil)
	_ instance.Described = (*Machine)(nil)
)

// System is what its agent reports.
func (m *Machine) System() instance.System {
	if m.Reported != (instance.System{}) {
		return m.Reported
	}
	return instance.System{Platform: "Windows", Name: "Microsoft Windows Server 2022 Datacenter", Version: "10.0.20348", Agent: "3.3.40.0"}
}

// Execute plays a step of a document.
func (m *Machine) Execute(ctx context.Context, cmd instance.Command) instance.Result {
	switch {
	case cmd.Document == vss.Document && cmd.Step == installStep:
		return m.install()
	case cmd.Document == vss.Document && cmd.Step == vss.Step:
		return m.snapshot(ctx, cmd.Parameters)
	case cmd.Step == "quiesceShadow":
		return m.shadow(ctx, cmd.Parameters["Request"])
	case cmd.Step == "quiesceRevert":
		return m.revert(ctx, cmd.Parameters["Request"])
	}
	return failed("%s is not played here", cmd.Document)
}
