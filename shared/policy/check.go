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
	a, f := p.Application, p.Freeze
	switch {
	case !name.MatchString(p.Name):
		return fault.Input("policy.name", "wants 1-64 letters, digits, dots, dashes or underscores, got %q", p.Name)
	case a.Kind != None && a.Kind != Script:
		return fault.Input("policy.application.kind", "wants none or script, got %q", a.Kind)
	case a.Kind == Script && a.PreScript == "":
		return fault.Input("policy.application.preScript", "is missing: kind script needs it")
	case a.Kind == Script && a.PostScript == "":
		return fault.Input("policy.application.postScript", "is missing: without it nothing releases the application")
	case a.Kind == None && a.PreScript != "":
		return fault.Input("policy.application.preScript", "is given, but kind is none")
	case a.Kind == None && a.PostScript != "":
		return fault.Input("policy.application.postScript", "is given, but kind is none")
	case a.TimeoutSeconds < 10 || a.TimeoutSeconds > 120:
		return fault.Input("policy.application.timeoutSeconds", "wants 10-120, got %d", a.TimeoutSeconds)
	case a.Retries < 0 || a.Retries > 3:
		return fault.Input("policy.application.retries", "wants 0-3, got %d", a.Retries)
	case f.DeadlineSeconds < 5 || f.DeadlineSeconds > 300:
		return fault.Input("policy.freeze.deadlineSeconds", "wants 5-300, got %d", f.DeadlineSeconds)
	case f.Root != Refuse && f.Root != Allow:
		return fault.Input("policy.freeze.root", "wants refuse or allow, got %q", f.Root)
	case len(f.Mounts) > 64:
		return fault.Input("policy.freeze.mounts", "wants at most 64 mounts, got %d", len(f.Mounts))
	case p.OnFailure != Degrade && p.OnFailure != Fail:
		return fault.Input("policy.onFailure", "wants degrade or fail, got %q", p.OnFailure)
	case p.Completion.TimeoutMinutes < 1 || p.Completion.TimeoutMinutes > 1440:
		return fault.Input("policy.completion.timeoutMinutes", "wants 1-1440, got %d", p.Completion.TimeoutMinutes)
	case len(p.Volumes.ExcludeIDs) > 40:
		return fault.Input("policy.volumes.excludeIds", "wants at most 40 volumes, got %d", len(p.Volumes.ExcludeIDs))
	}
	if a.Kind == Script {
		for field, script := range map[string]string{"preScript": a.PreScript, "postScript": a.PostScript} {
			if err := Path("policy.application."+field, script); err != nil {
				return err
			}
		}
	}
	for i, m := range f.Mounts {
		if err := Path(fmt.Sprintf("policy.freeze.mounts[%d]", i), m); err != nil {
			return err
		}
	}
	for i, v := range p.Volumes.ExcludeIDs {
		if !volume.MatchString(v) {
			return fault.Input(fmt.Sprintf("policy.volumes.excludeIds[%d]", i), "wants a volume id, got %q", v)
		}
	}
	if err := tags("policy.volumes.excludeTags", p.Volumes.ExcludeTags); err != nil {
		return err
	}
	return tags("policy.tags", p.Tags)
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

// Tags of a snapshot besides ours: the provider allows 50 in all.
const maxTags = 40

var tagText = regexp.MustCompile(`^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$`)

func tags(field string, m map[string]string) error {
	if len(m) > maxTags {
		return fault.Input(field, "wants at most %d tags, got %d", maxTags, len(m))
	}
	for k, v := range m {
		switch {
		case k == "" || len(k) > 128 || !tagText.MatchString(k):
			return fault.Input(field, "has the key %q, which is not a tag key", k)
		case len(v) > 256 || !tagText.MatchString(v):
			return fault.Input(field+"."+k, "has the value %q, which is not a tag value", v)
		case strings.HasPrefix(k, "quiesce:") || strings.HasPrefix(k, "aws:") || strings.HasPrefix(k, "acs:"):
			return fault.Input(field, "has the key %q, which is reserved", k)
		}
	}
	return nil
}
