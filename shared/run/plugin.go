package run

import (
	"time"

	"github.com/quiesce/quiesce/shared/fault"
)

// Plugin is how far the provider's own tool is that takes the set by itself,
// and in the end what became of it: in mode plugin Alibaba Cloud's, in mode vss
// AWS's document. In mode diskshadow it makes the shadow copies, and no set.
type Plugin struct {
	State       string        `json:"state"` // running, again, taken, ended
	CommandID   string        `json:"commandId"`
	Windows     bool          `json:"windows,omitempty"`
	Attempt     int           `json:"attempt"` // from 0
	Polls       int           `json:"polls"`
	WaitSeconds int           `json:"waitSeconds"` // before the next look, or the next attempt
	SentAt      time.Time     `json:"sentAt"`
	ExitCode    int           `json:"exitCode"`          // -1: none yet
	GroupID     string        `json:"groupId,omitempty"` // of what it took
	Code        string        `json:"code,omitempty"`    // the fault that the exit code is
	Reason      string        `json:"reason,omitempty"`
	Dirty       bool          `json:"dirty,omitempty"` // it is not known that the instance was let go
	Labels      []PluginLabel `json:"labels,omitempty"`
	Shadows     *Shadows      `json:"shadows,omitempty"` // in mode diskshadow, once they are made
	Set         *Set          `json:"set"`
	Record      Record        `json:"record"`
}

// PluginLabel is what the tool wrote on one snapshot.
type PluginLabel struct {
	SnapshotID  string `json:"snapshotId"`
	Application bool   `json:"application"`
	Filesystem  bool   `json:"filesystem"`
}

// States of a plug-in's command.
const (
	PluginRunning = "running"
	PluginAgain   = "again" // the command is to be sent once more
	PluginTaken   = "taken" // there is a set
	PluginEnded   = "ended" // there is none
	PluginLost    = "lost"  // there is none yet, and the command may still make one
	PluginMade    = "made"  // the shadow copies are there
)

// Shadows are the shadow copies of one run, which lie on the volumes that they
// are of, and so in the set.
type Shadows struct {
	SetID  string       `json:"setId"`
	Copies []ShadowCopy `json:"copies"`
	Disks  []ShadowDisk `json:"disks"`
}

// ShadowCopy is one of them: of a filesystem, on a volume of the set.
type ShadowCopy struct {
	ID       string `json:"id"`
	VolumeID string `json:"volumeId"`
	Path     string `json:"path"` // where it is mounted
}

// ShadowDisk is a disk of the set as Windows knows it: by a signature, which a
// disk that is made of its snapshot may lose.
type ShadowDisk struct {
	VolumeID  string `json:"volumeId"`
	Style     string `json:"style"`     // MBR, GPT
	Signature string `json:"signature"` // eight hexadecimal digits, or a GUID
}

// Watched is what a step is given that looks once at the command in which another's
// tool takes the set.
type Watched struct {
	Plan   Plan    `json:"plan"`
	Plugin *Plugin `json:"plugin"`
}

// Check refuses an input without a plan or a command.
func (w Watched) Check() error {
	if w.Plugin == nil || w.Plugin.CommandID == "" {
		return fault.Input("plugin.commandId", "is missing")
	}
	return w.Plan.Check()
}

// Patience is how long such a command is waited for past its own limit, and
// longest the longest wait between two looks, in seconds.
const (
	Patience = 5 * time.Minute
	longest  = 60
)

// Waits notes that the command goes on, and that the next look comes later than
// this one did.
func (p *Plugin) Waits(looked time.Time) {
	p.State, p.WaitSeconds = PluginRunning, min(2*p.WaitSeconds, longest)
	p.Record = Record{StartedAt: looked, EndedAt: time.Now()}
}
