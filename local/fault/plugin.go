package fault

import (
	"slices"
	"strconv"
	"strings"
)

// PluginTarget is the stand-in for the provider's own tool on the instance.
const PluginTarget = "plugin"

// Of the tool: its documented exit codes as exit-N, and a set of lower
// consistency of which it says nothing.
const Degrade Kind = "degrade"

const exit = "exit-"

var ofPlugin = func() []Kind {
	kinds := []Kind{Degrade, Kind(exit + "255")}
	for n := 1; n <= 16; n++ {
		kinds = append(kinds, Kind(exit+strconv.Itoa(n)))
	}
	return kinds
}()

// ofTool are the kinds of a call that the tool makes: how it takes a reply that
// does not come is its own.
func ofTool(api string) []Kind {
	kinds := append([]Kind{Throttle, Deny, Slow}, hooks()...)
	if slices.Contains(mainCalls["snapshot"], api) {
		kinds = append(kinds, ofSet...)
	}
	return kinds
}

// Plugin is asked by the tool once a call: the code that it is to end with, 0
// for none, and whether it is to run no script.
func (p *Plan) Plugin() (code int, degrade bool) {
	if p == nil {
		return 0, false
	}
	p.see(PluginTarget)
	for _, k := range p.reach(func(f *planned) bool { return f.Target == PluginTarget }) {
		if k == Degrade {
			degrade = true
		} else if n, err := strconv.Atoi(strings.TrimPrefix(string(k), exit)); err == nil {
			code = n
		}
	}
	return code, degrade
}
