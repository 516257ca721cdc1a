package policy

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Written are the tags that AWS's document writes by itself: it ends with an
// error if it is given one of them.
var Written = []string{"Device", "AppConsistent", "AwsVssConfig"}

var (
	components = regexp.MustCompile(`^[0-9]{1,3}(\.[0-9]{1,5}){1,3}$`)
	plainText  = regexp.MustCompile(`^[A-Za-z0-9 _.:/=+@-]*$`)
)

// savesMetadata is the first version of the components that can.
var savesMetadata = []int{2, 4, 0}

// windows checks the modes for Windows on AWS: whatever their documents would
// refuse, or would do without saying so.
func (c *complaints) windows(p Policy) {
	kind := p.Application.Kind
	switch {
	case p.Mode == ByVSS && kind != VSS && kind != None:
		c.add("application.kind", "is %s, but in mode vss wants vss, or none to leave the applications' writers out", kind)
	case p.Mode == ByDiskshadow && kind != VSS:
		c.add("application.kind", "is %s, but in mode diskshadow wants vss", kind)
	}
	if p.Application.Retries > 0 {
		c.add("application.retries", "is given, but in mode %s the workflow decides what is tried again", p.Mode)
	}
	if p.Mode == ByDiskshadow {
		if !p.Volumes.ExcludeBoot {
			c.add("volumes.excludeBoot", "is false, but Windows goes back to no shadow copy of its own system volume: wants true, or mode vss")
		}
		return
	}
	c.shadow(p)
	for _, field := range []struct {
		name  string
		given bool
	}{{"volumes.excludeIds", len(p.Volumes.ExcludeIDs) > 0}, {"volumes.excludeTags", len(p.Volumes.ExcludeTags) > 0}} {
		if field.given {
			c.add(field.name, "is given, but AWS's document snapshots every data volume: leave it out, or take mode diskshadow")
		}
	}
	for _, key := range slices.Sorted(maps.Keys(p.Tags)) {
		switch value := variable.ReplaceAllString(p.Tags[key], ""); {
		case slices.Contains(Written, key):
			c.add("tags."+key, "is what AWS's document writes by itself: wants another key")
		case !plainText.MatchString(key) || !plainText.MatchString(value):
			c.add("tags."+key, "wants letters of English, digits, spaces or _.:/=+-@, which is all that AWS's document takes, got %q", p.Tags[key])
		}
	}
}

// shadow checks what the document is told besides.
func (c *complaints) shadow(p Policy) {
	s := p.Shadow
	switch {
	case s.Version != "" && !components.MatchString(s.Version):
		c.add("vss.version", "wants a version of AwsVssComponents such as 2.5.1, got %q", s.Version)
	case s.Version != "" && s.SaveMetadata && older(s.Version, savesMetadata):
		c.add("vss.version", "is %s, but vss.saveMetadata needs 2.4.0 or later", s.Version)
	}
	if s.SaveMetadata && p.Application.Kind == None {
		c.add("vss.saveMetadata", "is true, but application.kind is none, which leaves the writers out: the document refuses both at once")
	}
	if len(s.Description) > 255 || !plainText.MatchString(s.Description) {
		c.add("vss.description", "wants at most 255 letters of English, digits, spaces or _.:/=+-@, got %q", s.Description)
	}
	if s.TimeoutSeconds != 0 {
		c.within("vss.timeoutSeconds", s.TimeoutSeconds, 60, 3600)
	}
}

// older compares a version that has been checked with one that is known.
func older(version string, than []int) bool {
	var got []int
	for part := range strings.SplitSeq(version, ".") {
		n, err := strconv.Atoi(part)
		if err != nil {
			return true
		}
		got = append(got, n)
	}
	return slices.Compare(got, than) < 0
}
