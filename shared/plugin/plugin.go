// Package plugin knows Alibaba Cloud's own tool for application-consistent
// snapshots, the app-snapshot-plugin that acs-plugin-manager runs on an
// instance: how it is called, what it needs, and what its answers mean. It
// freezes, snapshots and thaws in one command, and what it proves is what it
// writes on the snapshots.
package plugin

import (
	"crypto/sha256"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/run"
)

// Limit is how long the command may run: the longest that the plug-in's own
// scripts may take.
const Limit = 30 * time.Minute

// Spec is one call of the plug-in. Every field of it is held to characters that
// have a meaning neither to a shell nor to the plug-in's own list of
// parameters, which a comma ends.
type Spec struct {
	Windows   bool
	Name      string // of the snapshot group
	RamRole   string
	Freeze    bool // Linux: the filesystems; Windows: its writers, which make the set application-consistent
	Seconds   int  // of the freeze, on Linux
	PreScript string
	Post      string
	Exclude   []string
}

// Of makes the call of a plan, its attempts numbered from 0.
func Of(plan run.Plan, windows bool, attempt int) Spec {
	p := plan.Policy
	s := Spec{
		Windows: windows, Name: Name(plan.RunID, attempt), RamRole: p.RamRole,
		Freeze: p.Freeze.Enabled, Seconds: p.Freeze.DeadlineSeconds, Exclude: plan.Excluded,
	}
	if windows {
		s.Freeze = p.Application.Kind == policy.VSS
	}
	if p.Application.Kind == policy.Script {
		s.PreScript, s.Post = p.Application.PreScript, p.Application.PostScript
	}
	return s
}

// Name is that of an attempt's group, by which a group is found whose id was
// never read.
func Name(runID string, attempt int) string {
	if attempt > 0 {
		return fmt.Sprintf("quiesce-%s-%d", runID, attempt)
	}
	return "quiesce-" + runID
}

// Token makes a repeated call of one attempt the same command.
func Token(runID string, attempt int) string {
	return fmt.Sprintf("%x", sha256.Sum256(fmt.Appendf(nil, "plugin %s %d", runID, attempt)))[:64]
}

var (
	name = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.-]{1,127}$`)
	role = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)
	path = regexp.MustCompile(`^/[A-Za-z0-9_./-]{1,255}$`)
	disk = regexp.MustCompile(`^d-[a-z0-9]{4,40}$`)
)

// Check refuses, by the field that a user wrote it in, what must not reach a
// shell.
func (s Spec) Check() error {
	switch {
	case !name.MatchString(s.Name):
		return fault.Input("run.id", "makes the group's name %q, which wants 2-128 letters, digits, dots, dashes or underscores", s.Name)
	case !role.MatchString(s.RamRole):
		return fault.Input("policy.ramRole", "wants 1-64 letters, digits, dots, dashes or underscores, got %q", s.RamRole)
	case !s.Windows && (s.Seconds < 1 || s.Seconds > 300):
		return fault.Input("policy.freeze.deadlineSeconds", "wants 1-300, got %d", s.Seconds)
	case len(s.Exclude) > 1:
		return fault.Input("policy.volumes", "leaves out %d disks; how the plug-in is told of more than one is not documented", len(s.Exclude))
	case s.Windows && (s.PreScript != "" || s.Post != ""):
		return fault.Input("policy.application.kind", "is script, but the plug-in runs none on Windows: wants vss or none")
	}
	for _, p := range []struct{ field, path string }{{"policy.application.preScript", s.PreScript}, {"policy.application.postScript", s.Post}} {
		if p.path != "" && !path.MatchString(p.path) {
			return fault.Input(p.field, "wants an absolute path of letters, digits, dots, dashes and underscores, got %q", p.path)
		}
	}
	for _, id := range s.Exclude {
		if !disk.MatchString(id) {
			return fault.Input("policy.volumes", "leaves out %q, which is no disk's id", id)
		}
	}
	return nil
}

// Command is the text that Cloud Assistant runs. What was checked holds no
// character that the quotes would have to keep from a shell; they stand as the
// plug-in's pages write them.
func (s Spec) Command() (string, error) {
	if err := s.Check(); err != nil {
		return "", err
	}
	tool, parameters := "app-snapshot-plugin", []string{
		text("RamRoleName", s.RamRole), fmt.Sprintf("-EnableFsFreeze=%t", s.Freeze), fmt.Sprintf("-TimeoutInSeconds=%d", s.Seconds),
	}
	if s.Windows {
		tool, parameters = "app-snapshot-plugin-win", []string{
			text("RamRoleName", s.RamRole), fmt.Sprintf("-EnableWriters=%t", s.Freeze), text("Description", "Quiesce"),
		}
	}
	if s.PreScript != "" {
		parameters = append(parameters, text("PreScriptPath", s.PreScript), text("PostScriptPath", s.Post))
	}
	parameters = append(parameters, text("ExcludeDiskId", strings.Join(s.Exclude, "")), text("Name", s.Name))
	return "acs-plugin-manager --exec --plugin " + tool + " --params=" + strings.Join(parameters, ","), nil
}

func text(name, value string) string { return "-" + name + `="` + value + `"` }

// Look is the text that tells of each script whether the plug-in would run it:
// its owner and its mode, or that it is not there.
func (s Spec) Look() (string, error) {
	if err := s.Check(); err != nil || s.PreScript == "" {
		return "", err
	}
	return fmt.Sprintf("stat -L -c '%%u %%a %%n' -- '%s' '%s' 2>/dev/null; true", s.PreScript, s.Post), nil
}

// Warnings read the answer of Look: each is a reason for which the plug-in
// would take a lesser set and say nothing.
func (s Spec) Warnings(answer string) (list []string) {
	if s.PreScript == "" {
		return nil
	}
	seen := map[string][]string{}
	for line := range strings.Lines(answer) {
		if fields := strings.Fields(line); len(fields) == 3 {
			seen[fields[2]] = fields
		}
	}
	for _, script := range slices.Compact([]string{s.PreScript, s.Post}) {
		const then = ": the plug-in would take a set of lower consistency without failing"
		switch fields := seen[script]; {
		case fields == nil:
			list = append(list, script+" is missing"+then)
		case fields[0] != "0":
			list = append(list, script+" is owned by the user "+fields[0]+", wants root"+then)
		case fields[1] != "700":
			list = append(list, script+" has the mode "+fields[1]+", wants 700"+then)
		}
	}
	return list
}
