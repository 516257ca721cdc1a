package simulation

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/quiesce/quiesce/local/fault"
	"github.com/quiesce/quiesce/shared/policy"
)

// Schedule is all that decides a history: what is asked for, in what world, and
// what goes wrong.
type Schedule struct {
	Seed  uint64
	Setup Setup

	Faults   []fault.Fault
	Strikes  []Strike
	Slowness time.Duration // of the faults of these kinds
	Lateness time.Duration
}

// Strike is something that happens to the world at a time, counted from the
// run's start.
type Strike struct {
	At   time.Duration
	Kind fault.Kind
}

// Setup is a policy and the account that it meets. The zero Setup is a ledger
// held by its scripts on two volumes that are frozen.
type Setup struct {
	Cloud      Cloud
	Name       string
	Server     bool // the ledger is held by a server's lock, not by scripts
	Bare       bool // nothing is quiesced
	Plugin     bool // the set is taken by the provider's own tool
	Unfrozen   bool // and no freeze asked for
	Fail       bool // onFailure: fail
	Deadline   int  // of the freeze, in seconds; 0: 60
	Retries    int  // of the scripts
	Completion time.Duration
	Unlisted   time.Duration // how long a new set is missing from lists
	Skew       time.Duration // of the instance's wall clock
	Dirty      int64         // bytes on each filesystem
	Stacked    bool          // the second volume's filesystem lies on the first one's
	Second     time.Duration // when a second run of the same instance is started; 0: never
	Returns    bool          // what goes away comes back: the instance, the agent
	Twice      bool          // every event is delivered twice
	Deaf       bool          // no event of the services is delivered at all
	Jump       time.Duration // of the wall clock, when it jumps
	Victim     int           // the volume that strangers and killers choose
}

// Setups are those whose every point is tried with every kind of fault.
var Setups = []Setup{
	{Name: "scripts", Dirty: 64 << 20},
	{Name: "server", Server: true, Completion: 25 * time.Second, Victim: 1},
	{Name: "fail", Fail: true, Deadline: 10, Returns: true},

	// What is done only when something has gone wrong already.
	{Name: "stopped", Server: true, Deadline: 20},
	{Name: "lost", Unlisted: 3 * time.Second},
	{Name: "killed", Server: true, Deadline: 20},
	{Name: "killed with scripts", Victim: 1},
	{Name: "given up", Deadline: 20},
}

// AlibabaSetups are the same in an account of the other cloud, which gives a
// command up by itself before anybody here does; and the provider's own tool.
var AlibabaSetups = func() []Setup {
	all := slices.DeleteFunc(slices.Clone(Setups), func(s Setup) bool { return s.Name == "given up" })
	for i := range all {
		all[i].Cloud = Alibaba
	}
	return append(all, Setup{Cloud: Alibaba, Name: "plugin", Plugin: true, Deadline: 15})
}()

// premise is what has gone wrong already in a setup, and at which steps and
// calls that shows: the others are tried where nothing has.
type premise struct {
	fault fault.Fault
	at    []string
}

var premises = map[string]premise{
	"stopped":             {fault.Fault{Target: "snapshot/CreateSnapshots", Kind: fault.StopExecution, N: 1}, []string{"janitor", "thaw", "wake", "sweep"}},
	"lost":                {fault.Fault{Target: "snapshot/CreateSnapshots", Kind: fault.LostReply, N: 1}, []string{"snapshot"}},
	"killed":              {fault.Fault{Target: "snapshot/CreateSnapshots", Kind: fault.KillHelper, N: 1}, []string{"thaw"}},
	"killed with scripts": {fault.Fault{Target: "snapshot/CreateSnapshots", Kind: fault.KillHelper, N: 1}, []string{"thaw"}},
	"given up":            {fault.Fault{Target: "freeze/SendCommand", Kind: fault.Late, N: 1}, []string{"freeze/CancelCommand"}},
}

// always are the faults that belong to a setup.
func (s Setup) always() []fault.Fault {
	p, ok := premises[s.Name]
	if !ok {
		return nil
	}
	p.fault.Target = s.Cloud.point(p.fault.Target)
	return []fault.Fault{p.fault}
}

// concerns tells whether a point is one to try in this setup.
func (s Setup) concerns(point string) bool {
	p, has := premises[s.Name]
	step, _, _ := strings.Cut(point, "/")
	return !has || slices.ContainsFunc(p.at, func(at string) bool { return at == step || s.Cloud.point(at) == point })
}

// policy is what the setup asks of the workflow.
func (s Setup) policy(pre, post string) policy.Policy {
	p := policy.Default()
	p.Name = "simulated"
	switch {
	case s.Server:
		p.Application.Kind = policy.MariaDB
	case !s.Bare:
		p.Application.Kind, p.Application.PreScript, p.Application.PostScript = policy.Script, pre, post
		p.Application.Retries = s.Retries
	}
	p.Freeze.Enabled = !s.Unfrozen
	if s.Deadline > 0 {
		p.Freeze.DeadlineSeconds = s.Deadline
	}
	if s.Fail {
		p.OnFailure = policy.Fail
	}
	if s.Plugin {
		p.Mode, p.RamRole = policy.Plugin, pluginRole
	}
	p.Completion.TimeoutMinutes = 60
	return p
}

func (s Setup) String() string {
	var parts []string
	add := func(when bool, format string, args ...any) {
		if when {
			parts = append(parts, fmt.Sprintf(format, args...))
		}
	}
	add(s.Cloud != AWS, "%s", s.Cloud)
	add(s.Plugin, "by the provider's own tool")
	add(s.Server, "server")
	add(s.Bare, "nothing to quiesce")
	add(!s.Bare && !s.Server, "scripts")
	add(s.Unfrozen, "no freeze")
	add(s.Fail, "or nothing")
	add(s.Deadline > 0, "deadline %ds", s.Deadline)
	add(s.Retries > 0, "retries %d", s.Retries)
	add(s.Completion > 0, "complete after %s", s.Completion)
	add(s.Unlisted > 0, "unlisted for %s", s.Unlisted)
	add(s.Skew != 0, "clock off by %s", s.Skew)
	add(s.Dirty > 0, "%d MiB dirty", s.Dirty>>20)
	add(s.Stacked, "stacked")
	add(s.Second > 0, "second run after %s", s.Second)
	add(s.Returns, "what goes away comes back")
	add(s.Twice, "events come twice")
	add(s.Deaf, "events are lost")
	return strings.Join(parts, ", ")
}

// String tells the schedule in one line.
func (s Schedule) String() string {
	text := fmt.Sprintf("seed %d (%s)", s.Seed, s.Setup)
	for _, f := range s.Faults {
		text += " " + f.String()
	}
	for _, x := range s.Strikes {
		text += fmt.Sprintf(" %s@%s", x.Kind, x.At)
	}
	return text
}
