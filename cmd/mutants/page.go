package main

import (
	"fmt"
	"strings"
)

// page renders what came of every bug. No times: they are a machine's.
func page(ends []end) string {
	var b strings.Builder
	caught := 0
	for _, e := range ends {
		if e.broken == nil && e.found.Violation != "" {
			caught++
		}
	}
	fmt.Fprintf(&b, `# Planted bugs

Written by `+"`make mutants`"+`, which plants each of these bugs into a copy that only the compiler sees and lets the
simulation look for it: where nothing goes wrong, at every single fault, at pairs of faults and in random
schedules, until the first violation. The unchanged tree is searched first and has none. The bugs are
declared in cmd/mutants; a test holds every entry to the text that it replaces.

%d of %d were caught.

| bug | what it would do | shown by | violation |
|---|---|---|---|
`, caught, len(ends))
	for _, e := range ends {
		how, what := e.found.Schedule, clip(e.found.Violation, 120)
		if e.broken != nil || what == "" {
			how, what = "", "**survived**"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", e.Name, cell(e.Danger), cell(how), cell(what))
	}
	return b.String()
}

func cell(s string) string {
	return strings.NewReplacer("|", "\\|", "\n", " ", "{", "\\{").Replace(s)
}
