package main

import (
	"regexp"
	"strings"
	"testing"
)

// The table must not rot: every bug can still be planted, exactly once, and the
// file is still one with it.
func TestTheTableFitsTheTree(t *testing.T) {
	all := Table()
	if len(all) < 25 {
		t.Errorf("got %d bugs, want at least 25", len(all))
	}
	seen := map[string]bool{}
	name := regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`)
	for _, m := range all {
		if _, err := m.apply("../.."); err != nil {
			t.Error(err)
		}
		if seen[m.Name] || !name.MatchString(m.Name) {
			t.Errorf("%q: wants a name of its own, in small letters", m.Name)
		}
		seen[m.Name] = true
		if m.Danger == "" || strings.Contains(m.Danger, "\n") {
			t.Errorf("%s: wants one line that tells its danger", m.Name)
		}
	}
}

func TestAMutantThatDoesNotFitIsRefused(t *testing.T) {
	good := Mutant{Name: "m", File: "cmd/mutants/mutant.go", Old: "package main\n", New: "package other\n"}
	if _, err := good.apply("../.."); err != nil {
		t.Error(err)
	}
	for want, change := range map[string]func(*Mutant){
		"0 times":         func(m *Mutant) { m.Old = "no such " + "text" },
		"changes nothing": func(m *Mutant) { m.New = m.Old },
		"expected":        func(m *Mutant) { m.New = "pack age main\n" },
		"no such file":    func(m *Mutant) { m.File = "cmd/mutants/none.go" },
	} {
		m := good
		change(&m)
		if _, err := m.apply("../.."); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
