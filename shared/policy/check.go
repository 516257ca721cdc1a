package policy

import (
	"fmt"
	"path"
	"regexp"
	"strings"
	"unicode"

	"github.com/quiesce/quiesce/shared/fault"
)

var (
	name   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
	volume = regexp.MustCompile(`^(vol|d)-[0-9a-z]{8,32}$`)
)

// Check refuses the first field that is out of its range, by its path from
// the policy's root, so that nothing is touched on a policy's account that
// could not be carried out.
func (p Policy) Check() error {
	if all := p.complaints(); len(all) > 0 {
		return fault.Input("policy."+all[0].Field, "%s", all[0].Message)
	}
	return nil
}

// complaints is all that is wrong, in the order of the fields.
func (p Policy) complaints() (c complaints) {
	if !name.MatchString(p.Name) {
		c.add("name", "wants 1-64 letters, digits, dots, dashes or underscores, got %q", p.Name)
	}
	c.mode(p)
	c.optIn(p.OptIn)
	c.application(p.Application)
	c.freeze(p)
	if len(p.Volumes.ExcludeIDs) > 40 {
		c.add("volumes.excludeIds", "wants at most 40 volumes, got %d", len(p.Volumes.ExcludeIDs))
	}
	for i, v := range p.Volumes.ExcludeIDs {
		if !volume.MatchString(v) {
			c.add(fmt.Sprintf("volumes.excludeIds[%d]", i), "wants a volume id, got %q", v)
		}
	}
	c.sought("volumes.excludeTags", p.Volumes.ExcludeTags, false)
	if p.OnFailure != Degrade && p.OnFailure != Fail {
		c.add("onFailure", "wants degrade or fail, got %q", p.OnFailure)
	}
	c.within("completion.timeoutMinutes", p.Completion.TimeoutMinutes, 1, 1440)
	c.written("tags", p.Tags)
	return c
}

var role = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// mode checks what only one of them can do.
func (c *complaints) mode(p Policy) {
	switch p.Mode {
	case Orchestrated:
		if p.Application.Kind == VSS {
			c.add("application.kind", "is vss, but in mode orchestrated the helper holds an application, and it is for Linux: wants mode vss or diskshadow on AWS, or plugin on Alibaba Cloud")
		}
	case Plugin:
		c.plugin(p)
	case ByVSS, ByDiskshadow:
		c.windows(p)
	default:
		c.add("mode", "wants orchestrated, vss, diskshadow or plugin, got %q", string(p.Mode))
		return
	}
	if p.RamRole != "" && p.Mode != Plugin {
		c.add("ramRole", "is given, but mode is %s", p.Mode)
	}
	if p.Shadow != (Shadow{}) && p.Mode != ByVSS {
		c.add("vss", "is given, but mode is %s", p.Mode)
	}
}

// plugin checks the mode in which the provider's tool quiesces by scripts or by
// Windows' own writers, and freezes all that is mounted.
func (c *complaints) plugin(p Policy) {
	if !role.MatchString(p.RamRole) {
		c.add("ramRole", "wants the name of the instance's RAM role, 1-64 letters, digits, dots, dashes or underscores, got %q", p.RamRole)
	}
	if kind := p.Application.Kind; kind != None && kind != Script && kind != VSS {
		c.add("application.kind", "is %s, but in mode plugin wants script, vss or none", kind)
	}
	if p.Application.Retries > 0 {
		c.add("application.retries", "is given, but in mode plugin a script runs once")
	}
	if len(p.Freeze.Mounts) > 0 {
		c.add("freeze.mounts", "is given, but in mode plugin every mounted filesystem is frozen")
	}
}

func (c *complaints) within(field string, got, least, most int) {
	if got < least || got > most {
		c.add(field, "wants %d-%d, got %d", least, most, got)
	}
}

func (c *complaints) freeze(p Policy) {
	f := p.Freeze
	c.within("freeze.deadlineSeconds", f.DeadlineSeconds, 5, 300)
	if f.Root != Refuse && f.Root != Allow {
		c.add("freeze.root", "wants refuse or allow, got %q", f.Root)
	}
	if !f.Enabled && p.Application.NeedsFreeze() {
		who := p.Application.Kind
		if who == Auto {
			who = "the server that is found"
		}
		c.add("freeze.enabled", "is false, but what %s wrote is sure to be on its volumes only by a freeze", who)
	}
	switch {
	case len(f.Mounts) > 64:
		c.add("freeze.mounts", "wants at most 64 mounts, got %d", len(f.Mounts))
	case len(f.Mounts) > 0 && (p.Application.Kind == VSS || p.Mode.Windows()):
		c.add("freeze.mounts", "is given, but on Windows it is Windows that holds the filesystems")
	case !f.Enabled && p.Mode.Windows():
		c.add("freeze.enabled", "is false, but in mode %s Windows holds the filesystems, whatever is asked", p.Mode)
	}
	for i, m := range f.Mounts {
		if err := Path(fmt.Sprintf("freeze.mounts[%d]", i), m); err != nil {
			*c = append(*c, err.(*fault.Error))
		}
	}
}

// Path refuses what is not an absolute, clean path of harmless characters:
// paths travel to a machine, where no shell may ever find a meaning in them.
func Path(field, p string) error {
	switch {
	case !strings.HasPrefix(p, "/"):
		return fault.Input(field, "wants an absolute path, got %q", p)
	case len(p) > 1024:
		return fault.Input(field, "wants at most 1024 bytes, got %d", len(p))
	case path.Clean(p) != p:
		return fault.Input(field, "wants a path without . or .. or doubled slashes, got %q", p)
	}
	for _, r := range p {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("/._-+@:, ", r) {
			return fault.Input(field, "has the character %q, which is not allowed in a path", r)
		}
	}
	return nil
}
