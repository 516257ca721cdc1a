package policy

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/quiesce/quiesce/shared/fault"
)

// Variables is what the variable tags of one run stand for.
type Variables struct {
	InstanceID, RunID, Policy string
	Time                      time.Time // when the run began, so that every attempt writes the same
}

// variables are the ones that a tag's value may name, with the most bytes
// that each can become.
var variables = map[string]int{
	"$(instance-id)": 34,
	"$(timestamp)":   len(time.RFC3339) - len("07:00"),
	"$(run-id)":      80,
	"$(policy)":      64,
}

// Expand writes out the variables in the values of tags, in a new map: the
// set then carries what the plan in the execution's history says.
func Expand(tags map[string]string, v Variables) map[string]string {
	if tags == nil {
		return nil
	}
	replace := strings.NewReplacer(
		"$(instance-id)", v.InstanceID,
		"$(timestamp)", v.Time.UTC().Format(time.RFC3339),
		"$(run-id)", v.RunID,
		"$(policy)", v.Policy,
	)
	expanded := make(map[string]string, len(tags))
	for key, value := range tags {
		expanded[key] = replace.Replace(value)
	}
	return expanded
}

// Tags of a snapshot besides ours: the provider allows 50 in all.
const maxTags = 40

var (
	tagText  = regexp.MustCompile(`^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$`)
	variable = regexp.MustCompile(`\$\([^)]*\)`)
)

func reserved(key string) bool {
	return strings.HasPrefix(key, "quiesce:") || strings.HasPrefix(key, "aws:") || strings.HasPrefix(key, "acs:")
}

// written checks tags that are put on snapshots.
func (c *complaints) written(field string, tags map[string]string) {
	c.sought(field, tags, true)
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		if reserved(key) {
			c.add(field+"."+key, "is reserved: wants a key that does not begin with quiesce:, aws: or acs:")
		}
	}
}

// sought checks tags that are looked for; only those that are written may
// hold variables.
func (c *complaints) sought(field string, tags map[string]string, expands bool) {
	if len(tags) > maxTags {
		c.add(field, "wants at most %d tags, got %d", maxTags, len(tags))
	}
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		if !tagKey(key) {
			c.add(field+"."+key, "wants a key of 1-128 letters, digits, spaces or _.:/=+-@, got %q", key)
		}
		value, length := tags[key], 0
		if expands {
			value = variable.ReplaceAllStringFunc(value, func(name string) string {
				most, known := variables[name]
				if !known {
					c.add(field+"."+key, "has the variable %s: wants %s", name, strings.Join(slices.Sorted(maps.Keys(variables)), ", "))
				}
				length += most
				return ""
			})
		}
		switch length += len(value); {
		case !tagText.MatchString(value):
			c.add(field+"."+key, "wants a value of letters, digits, spaces or _.:/=+-@, got %q", tags[key])
		case length > 256:
			c.add(field+"."+key, "wants a value of at most 256 bytes, its variables written out, got up to %d", length)
		}
	}
}

func tagKey(key string) bool { return key != "" && len(key) <= 128 && tagText.MatchString(key) }

// optIn checks the tag that instances are commanded by.
func (c *complaints) optIn(o OptIn) {
	if !tagKey(o.Key) {
		c.add("optIn.key", "wants a tag key of 1-128 letters, digits, spaces or _.:/=+-@, got %q", o.Key)
	}
	if o.Value == "" || len(o.Value) > 256 || !tagText.MatchString(o.Value) {
		c.add("optIn.value", "wants a tag value of 1-256 letters, digits, spaces or _.:/=+-@, got %q", o.Value)
	}
}

// complaints gathers what is wrong, by the field's path in the policy.
type complaints []*fault.Error

func (c *complaints) add(field, format string, args ...any) {
	*c = append(*c, fault.Input(field, format, args...))
}
