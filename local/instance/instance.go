// Package instance is what the emulated clouds rent out: a machine whose
// agent runs commands, and the disks under it. There are two kinds, alike to
// the clouds: this host with loop devices, and one simulated in memory.
package instance

import (
	"context"
	"time"
)

// Machine runs what the provider's agent is told to.
type Machine interface {
	// Execute runs one command as the agent does: as root, in a process
	// group of its own that is killed with SIGKILL when ctx ends. It returns
	// when the command's standard output is closed by all who hold it.
	Execute(ctx context.Context, cmd Command) Result

	// Arch is amd64 or arm64.
	Arch() string
}

// Described is a machine that tells its agent what it is. One that does not is
// taken for a Linux.
type Described interface{ System() System }

// System is what an agent reports of its machine.
type System struct {
	Platform string // Windows, Linux
	Name     string // Microsoft Windows Server 2022 Datacenter
	Version  string // of it: 10.0.20348
	Agent    string // the agent's own version
}

// Command is one document step after its parameters were put in. A simulated
// machine has no shell: it goes by Document and Parameters.
type Command struct {
	ID         string
	Document   string
	Step       string // its name in the document
	Parameters map[string]string
	Script     string // for /bin/sh, or PowerShell
}

// Result is how a command ended. ExitCode is -1 if it could not be started
// and 137 if it was killed.
type Result struct {
	ExitCode       int
	Stdout, Stderr []byte
}

// Disks is the storage under the machines. Names are chosen by the caller.
type Disks interface {
	// Create makes a volume, empty or with the content of a snapshot.
	Create(ctx context.Context, volume string, bytes int64, snapshot string) error

	// Attach makes the volume a block device of the machine and returns the
	// device's path.
	Attach(ctx context.Context, volume string) (device string, err error)

	// Detach takes the device away. It refuses one that is in use.
	Detach(ctx context.Context, volume string) error

	// Delete removes a detached volume.
	Delete(ctx context.Context, volume string) error

	// Snapshot copies the volumes at ONE point in time, however many they
	// are and whether or not anything holds them: set maps volume to
	// snapshot. A write that had been acknowledged to the machine before the
	// call is in the copy; one that began after its return is not.
	Snapshot(ctx context.Context, set map[string]string) error

	// DeleteSnapshot removes a snapshot; volumes made from it stay.
	DeleteSnapshot(ctx context.Context, snapshot string) error

	// Close takes everything away again, whatever state it is in.
	Close() error
}

// Stamp is one moment on a machine's monotonic clock and on the wall.
type Stamp struct {
	Mono int64 // nanoseconds
	Wall time.Time
}
