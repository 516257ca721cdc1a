package run

import "time"

// Plugin is how far the provider's own tool is that takes the set by itself,
// and in the end what became of it.
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
)
