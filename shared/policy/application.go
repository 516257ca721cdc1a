package policy

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/quiesce/quiesce/shared/fault"
)

// documentName is what Data Lifecycle Manager takes for a script's handler.
var documentName = regexp.MustCompile(`^[a-zA-Z0-9_\-.:/]{3,200}$`)

func (c *complaints) application(a Application) {
	switch {
	case a.Kind == None, a.Kind == Script, a.Kind == ByDocument, a.Kind == VSS, a.holds():
	default:
		c.add("application.kind", "wants none, script, document, auto, vss, %s, got %q", strings.Join(slices.Sorted(maps.Keys(Modes)), ", "), a.Kind)
		return
	}
	for _, s := range []struct{ field, path, missing string }{
		{"application.preScript", a.PreScript, "is missing: kind script needs it"},
		{"application.postScript", a.PostScript, "is missing: without it nothing releases the application"},
	} {
		switch {
		case a.Kind == Script && s.path == "":
			c.add(s.field, "%s", s.missing)
		case a.Kind == Script:
			c.path(s.field, s.path)
		case s.path != "":
			c.add(s.field, "is given, but kind is %s", a.Kind)
		}
	}
	switch {
	case a.Kind == ByDocument && a.Document == "":
		c.add("application.document", "is missing: kind document needs its name or ARN")
	case a.Kind == ByDocument && !documentName.MatchString(a.Document):
		c.add("application.document", "wants a document's name or ARN: 3-200 letters, digits or _-.:/, got %q", a.Document)
	case a.Kind != ByDocument && a.Document != "":
		c.add("application.document", "is given, but kind is %s", a.Kind)
	}
	c.within("application.timeoutSeconds", a.TimeoutSeconds, 10, 120)
	c.within("application.retries", a.Retries, 0, 3)
	if a.Retries > 0 && a.holds() {
		c.add("application.retries", "is given, but kind is %s, which tries until timeoutSeconds", a.Kind)
	}
	c.server(a)
}

// server checks what only servers have.
func (c *complaints) server(a Application) {
	for _, s := range []struct{ field, path string }{{"application.socket", a.Socket}, {"application.optionFile", a.OptionFile}} {
		switch {
		case s.path == "":
		case a.holds():
			c.path(s.field, s.path)
		default:
			c.add(s.field, "is given, but kind is %s", a.Kind)
		}
	}
	c.among("application.mode", a.Mode, Modes[a.Kind], a.Kind)
	locks := a.Kind == MariaDB || a.Kind == MySQL || a.Kind == Auto
	for _, n := range []struct {
		field     string
		got, most int
	}{
		{"application.ftwrlWaitTimeout", a.FTWRLWaitTimeout, 180},
		{"application.ftwrlWaitThreshold", a.FTWRLWaitThreshold, 3600},
		{"application.killLongQueriesTimeout", a.KillLongQueriesTimeout, 120},
	} {
		if n.got != 0 && !locks {
			c.add(n.field, "is given, but kind is %s", a.Kind)
			continue
		}
		c.within(n.field, n.got, 0, n.most)
	}
	var waits, kills []string
	if locks {
		waits, kills = []string{"all", "update"}, []string{"select", "all"}
	}
	c.among("application.ftwrlWaitQueryType", a.FTWRLWaitQueryType, waits, a.Kind)
	c.among("application.killLongQueryType", a.KillLongQueryType, kills, a.Kind)
}

// among wants one of the words that a kind allows; empty is its default.
func (c *complaints) among(field, got string, allowed []string, kind string) {
	switch {
	case got == "" || slices.Contains(allowed, got):
	case len(allowed) == 0:
		c.add(field, "is given, but kind is %s", kind)
	default:
		c.add(field, "wants %s, got %q", strings.Join(allowed, " or "), got)
	}
}

func (c *complaints) path(field, p string) {
	if err := Path(field, p); err != nil {
		*c = append(*c, err.(*fault.Error))
	}
}
