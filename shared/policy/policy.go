// Package policy is what an operator asks of a run: what to snapshot, how to
// quiesce and freeze it, and what to do when that fails.
package policy

import (
	"bytes"
	"encoding/json"
	"time"
)

// Policy is what one run needs of a policy file. With its zero fields it means
// Default: decode it from JSON, or start from Default, to have them filled in.
type Policy struct {
	Name        string            `json:"name"`              // 1-64 letters, digits, dots, dashes, underscores; default "default"
	Mode        Mode              `json:"mode"`              // orchestrated (default), vss, diskshadow, plugin
	RamRole     string            `json:"ramRole,omitempty"` // with mode plugin, and only then: the role of the instance that the plug-in acts with
	OptIn       OptIn             `json:"optIn"`             // the tag without which an instance is not commanded
	Application Application       `json:"application"`
	Shadow      Shadow            `json:"vss,omitzero"` // with mode vss, and only then
	Freeze      Freeze            `json:"freeze"`
	Volumes     Volumes           `json:"volumes"`
	OnFailure   OnFailure         `json:"onFailure"` // degrade (default), fail
	Completion  Completion        `json:"completion"`
	Tags        map[string]string `json:"tags,omitempty"` // put on every snapshot besides Quiesce's own, variables expanded; empty: none
}

// Mode is who takes the set.
type Mode string

const (
	Orchestrated Mode = "orchestrated" // the workflow, with the helper on the instance (default)
	Plugin       Mode = "plugin"       // Alibaba Cloud's own plug-in, in one command; on Alibaba Cloud alone
	ByVSS        Mode = "vss"          // AWS's own document for Windows, in one command; on AWS alone
	ByDiskshadow Mode = "diskshadow"   // the workflow's one call after Windows' own shadow copies; on AWS alone
)

// Windows reports that the mode is one for Windows on AWS, where no helper is.
func (m Mode) Windows() bool { return m == ByVSS || m == ByDiskshadow }

// OptIn is the tag by which an instance's owner lets it be commanded. Both
// parts must match, and neither may be empty: nobody opts in by accident.
type OptIn struct {
	Key   string `json:"key"`   // default quiesce:opt-in
	Value string `json:"value"` // default true
}

// Application tells how the application is brought to rest. The scripts are
// absolute paths on the instance, owned and writable by root alone. A server is
// reached by its socket as root, or with what an option file there says: no
// secret stands in a policy.
type Application struct {
	Kind           string `json:"kind"`                 // none (default), script, document, auto, or a server's: mariadb, mysql, postgresql, redis, mongodb; vss with mode vss, diskshadow or plugin
	PreScript      string `json:"preScript,omitempty"`  // with kind script, and only then
	PostScript     string `json:"postScript,omitempty"` // with kind script, and only then
	Document       string `json:"document,omitempty"`   // name or ARN; with kind document, and only then
	TimeoutSeconds int    `json:"timeoutSeconds"`       // 10-120 for each script or command of a document, or until a server's lock is had; default 10
	Retries        int    `json:"retries"`              // 0-3, default 0; with kind script or document, and only then

	Socket     string `json:"socket,omitempty"`     // with a server; empty: where the kind usually has it
	OptionFile string `json:"optionFile,omitempty"` // with a server; empty: none is read
	Mode       string `json:"mode,omitempty"`       // one of Modes; empty: the kind's best

	// How long the lock of mariadb and mysql is waited for, as Percona's tool
	// names it. They are zero unless given.
	FTWRLWaitTimeout       int    `json:"ftwrlWaitTimeout,omitempty"`       // 0-180 s to wait for quiet; 0: give up at once if it is not
	FTWRLWaitThreshold     int    `json:"ftwrlWaitThreshold,omitempty"`     // 0-3600 s from which on a query is long; 0: 60
	FTWRLWaitQueryType     string `json:"ftwrlWaitQueryType,omitempty"`     // which are waited for: all (default), update
	KillLongQueriesTimeout int    `json:"killLongQueriesTimeout,omitempty"` // 0-120 s until those that block the lock are killed; 0: never
	KillLongQueryType      string `json:"killLongQueryType,omitempty"`      // which are killed: select (default), all
}

// Limit is the longest that one stage may take: a script with its retries, or
// a server's waits.
func (a Application) Limit() time.Duration {
	switch {
	case a.Kind == Script:
		return time.Duration(a.TimeoutSeconds*(a.Retries+1)) * time.Second
	case a.Kind == ByDocument:
		return time.Duration(a.Retries+1) * (time.Duration(a.TimeoutSeconds)*time.Second + DeliveryLimit)
	case a.holds():
		return time.Duration(a.TimeoutSeconds+a.FTWRLWaitTimeout+a.KillLongQueriesTimeout) * time.Second
	}
	return 0
}

// DeliveryLimit is the shortest time that every provider allows for a command to
// reach its instance, a document's among them.
const DeliveryLimit = 30 * time.Second

// Application kinds.
const (
	None       = "none"
	Script     = "script"
	ByDocument = "document" // the user's own command document
	Auto       = "auto"     // the one server that precheck finds on the set's volumes
	VSS        = "vss"      // Windows' own shadow copies
	MariaDB    = "mariadb"
	MySQL      = "mysql"
	PostgreSQL = "postgresql"
	Redis      = "redis"
	MongoDB    = "mongodb"
)

// LockInstance is the mode of mysql in which writers go on.
const LockInstance = "lock-instance"

// Modes are the ways in which a server can be held, its best first.
var Modes = map[string][]string{
	MariaDB:    {"backup-stage", "ftwrl"},
	MySQL:      {LockInstance, "ftwrl"},
	PostgreSQL: {"checkpoint", "backup"},
	Redis:      nil,
	MongoDB:    nil,
}

// Server reports that the kind is a server with an adapter in the helper.
func (a Application) Server() bool {
	_, ok := Modes[a.Kind]
	return ok
}

// NeedsFreeze reports that a server at rest is not yet on its disks: what it
// wrote to its files may be in the kernel's memory alone until they are frozen.
func (a Application) NeedsFreeze() bool { return a.holds() }

// holds reports that a server is to be held, be it one that is still to be found.
func (a Application) holds() bool { return a.Server() || a.Kind == Auto }

// Shadow is what AWS's document is told besides, under the document's own names
// where they say enough. A set of images is not among them: an image is made of a
// set.
type Shadow struct {
	CopyOnly       bool   `json:"copyOnly"`              // CopyOnly: leaves SQL Server's own chain of differential backups whole; default false
	SaveMetadata   bool   `json:"saveMetadata"`          // SaveVssMetadata: keeps the writers' metadata on the instance; default false
	CollectLogs    bool   `json:"collectLogs"`           // CollectDiagnosticLogs: keeps an archive of logs there; default false
	Version        string `json:"version,omitempty"`     // VssVersion of the components; empty: the recommended one
	Description    string `json:"description,omitempty"` // of the snapshots; empty: the run's
	TimeoutSeconds int    `json:"timeoutSeconds"`        // executionTimeout, 60-3600; 0: 900
}

// shadowSeconds is how long the document may take if nobody says.
const shadowSeconds = 900

// Seconds is how long the document may take.
func (s Shadow) Seconds() int {
	if s.TimeoutSeconds == 0 {
		return shadowSeconds
	}
	return s.TimeoutSeconds
}

// Freeze tells which filesystems are held. DeadlineSeconds is when the
// instance lets go by itself, whatever the workflow does.
type Freeze struct {
	Enabled         bool     `json:"enabled"`          // default true
	Mounts          []string `json:"mounts,omitempty"` // empty: every filesystem on the set's volumes
	DeadlineSeconds int      `json:"deadlineSeconds"`  // 5-300, default 60
	Root            string   `json:"root"`             // refuse (default), allow
}

// Whether the root filesystem may be frozen.
const (
	Refuse = "refuse"
	Allow  = "allow"
)

// Volumes tells which attached volumes the set leaves out.
type Volumes struct {
	ExcludeBoot bool              `json:"excludeBoot"`           // default true
	ExcludeIDs  []string          `json:"excludeIds,omitempty"`  // empty: none by id; each must be attached
	ExcludeTags map[string]string `json:"excludeTags,omitempty"` // any match; an empty value matches every value; empty: none by tag
}

// Asked names what the policy wants proved: application, filesystem or crash.
// What lies in a set as shadow copies is none of it, because nothing proves it
// before somebody has gone back to them.
func (p Policy) Asked() string {
	switch {
	case p.Mode == ByDiskshadow:
		return "crash"
	case p.Application.Kind != None:
		return "application"
	case p.Freeze.Enabled:
		return "filesystem"
	}
	return "crash"
}

// OnFailure tells what a failed quiesce or freeze leads to.
type OnFailure string

const (
	Degrade OnFailure = "degrade" // take the set anyway, labelled with what was proved (default)
	Fail    OnFailure = "fail"    // take nothing
)

// Completion bounds the wait for the set, which may take hours.
type Completion struct {
	TimeoutMinutes int `json:"timeoutMinutes"` // 1-1440, default 1440
}

// Default is the policy of a run that was given none.
func Default() Policy {
	return Policy{
		Name:        "default",
		Mode:        Orchestrated,
		OptIn:       OptIn{Key: "quiesce:opt-in", Value: "true"},
		Application: Application{Kind: None, TimeoutSeconds: 10},
		Freeze:      Freeze{Enabled: true, DeadlineSeconds: 60, Root: Refuse},
		Volumes:     Volumes{ExcludeBoot: true},
		OnFailure:   Degrade,
		Completion:  Completion{TimeoutMinutes: 1440},
	}
}

// IsZero reports that nothing was asked: omitzero leaves such a policy out.
func (p Policy) IsZero() bool { return p.Name == "" && p.OnFailure == "" && p.Application.Kind == "" }

// WithDefaults returns Default for a policy that was never decoded.
func (p Policy) WithDefaults() Policy {
	if p.IsZero() {
		return Default()
	}
	return p
}

// UnmarshalJSON decodes over the defaults and refuses unknown fields: what is
// absent takes its default, what is written is taken as written, 0 included.
func (p *Policy) UnmarshalJSON(data []byte) error {
	type plain Policy
	v := plain(Default())
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		return err
	}
	*p = Policy(v)
	return nil
}
