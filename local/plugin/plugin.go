// Package plugin is a stand-in for Alibaba Cloud's acs-plugin-manager and its
// app-snapshot-plugin, which are closed and run on ECS alone. It behaves on an
// emulated instance as they are documented: it looks for a role, checks the
// scripts, freezes, has the group made, thaws, writes its tags and ends with
// one of their exit codes. Wherever its work is shown it is to be called what it
// is.
//
// Not documented, and decided here: the pre-script runs before the freeze and
// the post-script after the thaw, because a script that writes would otherwise
// wait for the freeze that waits for it.
package plugin

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/quiesce/quiesce/local/fault"
	"github.com/quiesce/quiesce/local/instance"
)

// Label names the stand-in where a person reads.
const Label = "stand-in for acs-plugin-manager"

// Host is the instance that the stand-in works on.
type Host struct {
	// Mounts are what it freezes, an inner mount before its outer one.
	Mounts func() []string

	// Runs tells of a script whether its owner and mode let it be run.
	Runs func(path string) bool
	// Script runs one as root and returns its exit code.
	Script func(ctx context.Context, path string) int
	// Freeze freezes a mount or thaws it.
	Freeze func(ctx context.Context, mount string, freeze bool) error
	// Stat answers a look at scripts: uid, mode and path a line.
	Stat func(path string) (line string, ok bool)
}

// Account is the instance's own way to the cloud, with its own role.
type Account interface {
	// Role is the one that is attached, empty for none.
	Role(instanceID string) string
	// Group makes a snapshot group and returns its id and its members.
	Group(ctx context.Context, instanceID, name string, exclude []string) (id string, members []string, err error)
	// Write puts a tag on the snapshots.
	Write(ctx context.Context, members []string, key, value string) error
}

// Machine is a machine that has the tool besides what next has.
type Machine struct {
	instance.Machine
	ID      string
	Host    Host
	Account Account
	Faults  *fault.Plan
	Windows bool
}

var _ instance.Machine = (*Machine)(nil)

// Execute takes the tool's command, and the look at its scripts; anything else
// is the machine's own.
func (m *Machine) Execute(ctx context.Context, cmd instance.Command) instance.Result {
	switch {
	case strings.HasPrefix(cmd.Script, "acs-plugin-manager "):
		r := m.manage(ctx, cmd.Script)
		return instance.Result{ExitCode: r.exit, Stdout: []byte(r.log.String())}
	case strings.HasPrefix(cmd.Script, "stat -L ") && m.Host.Stat != nil:
		return m.stat(cmd.Script)
	}
	return m.Machine.Execute(ctx, cmd)
}

var quoted = regexp.MustCompile(`'([^']+)'`)

func (m *Machine) stat(script string) instance.Result {
	_, paths, _ := strings.Cut(script, " -- ")
	var out strings.Builder
	for _, p := range quoted.FindAllStringSubmatch(paths, -1) {
		if line, ok := m.Host.Stat(p[1]); ok {
			out.WriteString(line + "\n")
		}
	}
	return instance.Result{Stdout: []byte(out.String())}
}

// call is one call as the tool reads it.
type call struct {
	windows         bool
	role, name      string
	freeze, writers bool
	seconds         int
	pre, post       string
	exclude         []string
}

var command = regexp.MustCompile(`^acs-plugin-manager --exec --plugin (app-snapshot-plugin|app-snapshot-plugin-win) --params=(\S+)$`)

// read refuses what the tool refuses with 2: a name or a value that it does not
// know.
func read(script string) (c call, err error) {
	m := command.FindStringSubmatch(strings.TrimSpace(script))
	if m == nil {
		return c, errors.New("the command is not in the form that is documented")
	}
	c = call{windows: m[1] == "app-snapshot-plugin-win", freeze: true, seconds: 30, pre: "/tmp/prescript.sh", post: "/tmp/postscript.sh"}
	for _, p := range strings.Split(m[2], ",") {
		name, value, ok := strings.Cut(strings.TrimPrefix(p, "-"), "=")
		value = strings.ReplaceAll(value, `"`, "") // as the shell takes it
		if !ok || !strings.HasPrefix(p, "-") {
			return c, fmt.Errorf("%q is no parameter", p)
		}
		switch {
		case name == "RamRoleName":
			c.role = value
		case name == "Name":
			c.name = value
		case name == "ExcludeDiskId":
			if value != "" {
				c.exclude = []string{value}
			}
		case name == "EnableWriters" && c.windows:
			c.writers, err = strconv.ParseBool(value)
		case name == "Description" && c.windows:
		case name == "EnableFsFreeze" && !c.windows:
			c.freeze, err = strconv.ParseBool(value)
		case name == "TimeoutInSeconds" && !c.windows:
			c.seconds, err = strconv.Atoi(value)
		case name == "PreScriptPath" && !c.windows:
			c.pre = value
		case name == "PostScriptPath" && !c.windows:
			c.post = value
		default:
			err = fmt.Errorf("%q is no parameter of %s", name, m[1])
		}
		if err != nil {
			return c, err
		}
	}
	if len(c.name) < 2 || c.role == "" {
		return c, errors.New("RamRoleName and Name are wanted")
	}
	return c, nil
}

// result is what the tool said and how it ended.
type result struct {
	log  strings.Builder
	exit int
}

func (r *result) say(level, format string, args ...any) {
	fmt.Fprintf(&r.log, "[level=%q][time=%q][message=%q]\n", level, time.Now().UTC().Format(time.RFC3339), fmt.Sprintf(format, args...))
}

func (r *result) end(exit int, format string, args ...any) *result {
	r.say("error", format, args...)
	r.exit = exit
	return r
}
