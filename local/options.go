// Package local runs the whole workflow on this machine: an emulated cloud on
// loopback, the deployable functions, volumes with real filesystems, and a
// restore that is checked. Without root it uses a simulated machine behind the
// same protocols, and says so.
package local

import (
	"fmt"
	"strings"
	"time"

	"github.com/quiesce/quiesce/local/database"
	"github.com/quiesce/quiesce/local/disk"
	"github.com/quiesce/quiesce/local/fault"
	problem "github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/policy"
)

// Applications of a local run. The ledger writes in each of these, because it
// is what the oracle checks; they differ in who brings it to rest. Besides them
// there are the servers, whose own tables take the ledger's place.
const (
	Ledger = "ledger" // its own pre- and post-script
	None   = "none"   // nobody
	Script = "script" // the user's scripts

	Document = "document" // a command document, through the provider's agent
)

// Options of a local run. The zero value of a field takes the default that
// Defaults gives it.
type Options struct {
	Cloud        string // AWS or Aliyun
	Mode         string // who takes the set: orchestrated, vss, diskshadow or plugin
	App          string
	PreScript    string
	PostScript   string
	Timeout      int // seconds, of each script
	Retries      int
	FS           string
	Volumes      int
	NoFreeze     bool
	Deadline     int // seconds, of the freeze
	OnFailure    string
	Latency      map[string]time.Duration // by API, by service, or "*"
	AgentLatency time.Duration
	Completion   time.Duration // until a set is complete
	Faults       []string
	Binaries     string                    // folder of bootstrap and quiesce-guest; empty: beside this program, or built
	Logs         database.Logs             // of a server
	Tune         func(*policy.Application) // changes what the policy says of a server; may be nil
	Simulate     bool
	Keep         bool
	RestoreTest  bool // test the set by the restore test's workflow, before the run's own restore
}

// ReportLatency is how long a command's result travels back: one call of the
// agent's, where dispatch is a queue, a poll and a process.
const ReportLatency = 20 * time.Millisecond

// orNone turns a latency of zero into what the emulator takes for none.
func orNone(d time.Duration) time.Duration {
	if d == 0 {
		return -1
	}
	return d
}

// completion outlasts the window, as that of every real set does: what its
// event starts is not to take the processor from what is measured.
const completion = 2 * time.Second

// Defaults are the options of a run that asks for nothing special.
func Defaults() Options {
	p := policy.Default()
	return Options{
		Cloud: AWS, Mode: string(p.Mode), App: Ledger, Timeout: p.Application.TimeoutSeconds, FS: disk.Ext4, Volumes: 2,
		Deadline: p.Freeze.DeadlineSeconds, OnFailure: string(p.OnFailure),
		AgentLatency: 50 * time.Millisecond, Completion: completion,
	}
}

// Check refuses what cannot be run, by the flag's name, before anything is
// made.
func (o Options) Check() error {
	switch {
	case o.Cloud != AWS && o.Cloud != Aliyun:
		return problem.Input("--cloud", "wants aws or aliyun, got %q", o.Cloud)
	case o.Mode == string(policy.Plugin) && o.Cloud != Aliyun:
		return problem.Input("--mode", "is plugin, which --cloud aliyun alone has")
	case policy.Mode(o.Mode).Windows() && o.Cloud != AWS:
		return problem.Input("--mode", "is %s, which --cloud aws alone has", o.Mode)
	case policy.Mode(o.Mode).Windows() && o.App != Ledger && o.App != None:
		return problem.Input("--app", "wants ledger or none, got %q: in mode %s the instance is a simulated Windows", o.App, o.Mode)
	case o.App != Ledger && o.App != None && o.App != Script && o.App != Document && !isServer(o.App):
		return problem.Input("--app", "wants ledger, none, script, document or %s, got %q", strings.Join(names(servers), " or "), o.App)
	case o.App == Document && o.Cloud != AWS:
		return problem.Input("--app", "document is for --cloud aws, the other cloud has none")
	case o.App != Script && (o.PreScript != "" || o.PostScript != ""):
		return problem.Input("--pre-script", "is for --app script")
	case o.FS != disk.Ext4 && o.FS != disk.XFS:
		return problem.Input("--fs", "wants ext4 or xfs, got %q", o.FS)
	case o.Volumes < 1 || o.Volumes > 16:
		return problem.Input("--volumes", "wants 1-16, got %d", o.Volumes)
	case o.Completion <= 0 || o.Completion > 24*time.Hour:
		return problem.Input("--completion", "wants up to 24h, got %s", o.Completion)
	case o.AgentLatency < 0 || o.AgentLatency > time.Minute:
		return problem.Input("--agent-latency", "wants 0s-1m, got %s", o.AgentLatency)
	}
	for api, d := range o.Latency {
		if d < 0 || d > time.Minute {
			return problem.Input("--api-latency", "wants 0s-1m, got %s for %s", d, api)
		}
	}
	if _, err := fault.New(o.Faults...); err != nil {
		return problem.Input("--fault", "%v", err)
	}
	return o.Policy("/pre", "/post").Check()
}

// Policy is what the run asks of the workflow, given the ledger's scripts.
func (o Options) Policy(pre, post string) policy.Policy {
	p := policy.Default()
	p.Name = "local"
	p.Application.TimeoutSeconds, p.Application.Retries = o.Timeout, o.Retries
	switch {
	case policy.Mode(o.Mode).Windows() && o.App == Ledger:
		p.Application.Kind = policy.VSS
	case o.App == Ledger:
		p.Application.Kind, p.Application.PreScript, p.Application.PostScript = policy.Script, pre, post
	case o.App == Script:
		p.Application.Kind, p.Application.PreScript, p.Application.PostScript = policy.Script, o.PreScript, o.PostScript
	case o.App == Document:
		p.Application.Kind, p.Application.Document = policy.ByDocument, ledgerDocument
	case isServer(o.App):
		p.Application.Kind = o.App
	}
	if p.Mode = policy.Mode(o.Mode); p.Mode == policy.Plugin {
		p.RamRole = pluginRole
	}
	p.Freeze.Enabled, p.Freeze.DeadlineSeconds = !o.NoFreeze, o.Deadline
	p.OnFailure = policy.OnFailure(o.OnFailure)
	return p
}

// diskCalls are the disk services of both clouds and the calls that make a set.
var diskCalls = []string{"ec2", "ecs", "CreateSnapshots", "CreateSnapshotGroup"}

// ParseLatency reads DURATION, which is that of the disk service's calls, or
// NAME=DURATION for an API, a service (ec2, ssm, events, states, s3) or "*".
func ParseLatency(texts []string) (map[string]time.Duration, error) {
	table := map[string]time.Duration{}
	for _, text := range texts {
		name, value, named := strings.Cut(text, "=")
		if !named {
			name, value = diskCalls[0], text
		}
		d, err := time.ParseDuration(value)
		if err != nil {
			return nil, problem.Input("--api-latency", "wants DURATION or API=DURATION, got %q", text)
		}
		table[name] = d
		if !named {
			for _, own := range diskCalls { // some have a default of their own, which would hide this
				table[own] = d
			}
		}
	}
	return table, nil
}

// simulated tells why a run must be on a simulated machine; empty if it need not.
func (o Options) simulated() string {
	switch {
	case policy.Mode(o.Mode).Windows():
		return "there is no Windows here"
	case o.Simulate:
		return "asked for"
	}
	return ""
}

// String names the run in a sentence.
func (o Options) String() string {
	freeze := o.FS
	if o.NoFreeze {
		freeze += ", not frozen"
	}
	return fmt.Sprintf("%d volumes of %s, application %s", o.Volumes, freeze, o.App)
}
