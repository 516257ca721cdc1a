package sim

import "time"

// Event is what happened on the machine, as nobody on it could deny.
type Event struct {
	Kind  Kind
	At    time.Duration     // since the machine was made
	Mount string            // of the filesystem
	Run   string            // that froze it, or that a command is for; empty: somebody else
	By    string            // who thawed, who died, or which other program froze
	Set   map[string]string // of volumes to their snapshots
	Text  string
}

// Kind of event.
type Kind string

const (
	Guarded   Kind = "guarded"      // a guard stands behind a freeze to come
	Froze     Kind = "frozen"       // a filesystem stands from here on
	Thawed    Kind = "thawed"       // and from here on it does not
	Copied    Kind = "copied"       // the point in time of a set
	Told      Kind = "told"         // a command reached the helper
	Answered  Kind = "answered"     // the helper answered a command
	Died      Kind = "died"         // a process was killed
	Recovered Kind = "recovered"    // the keeper looked after what a dead helper left
	Went      Kind = "power"        // the machine was turned off or on
	Scripted  Kind = "script"       // a script ended
	Rested    Kind = "at rest"      // the ledger, held by a run or by a server's session
	Resumed   Kind = "resumed"      // it goes on, as far as that one is concerned
	Changed   Kind = "set"          // a setting of the server was changed
	Jumped    Kind = "clock jumped" // the wall clock
)

// somebody is who thaws when it is none of Quiesce's processes.
const somebody = "somebody else"

// tell lets the observer know; its caller holds the lock where the order counts.
func (m *Machine) tell(e Event) {
	if m.config.Observe == nil {
		return
	}
	e.At = time.Since(m.began)
	m.config.Observe(e)
}

// disturb asks what befalls an operation.
func (m *Machine) disturb(step, operation string) (refused bool, stall time.Duration) {
	if m.config.Disturb == nil {
		return false, 0
	}
	return m.config.Disturb(step, operation)
}
