package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"

	"github.com/goccy/go-yaml"
)

// Mutant is one deliberately planted bug: in one file, one piece of text in
// place of another.
type Mutant struct {
	Name   string
	File   string // from the module's folder
	Old    string // stands there exactly once
	New    string
	And    []Edit // where one place alone is made good by another
	Danger string // what the bug would do to somebody
	Near   string // where it shows: words of faults, with commas between
	Try    string // a schedule that one fault or a pair does not make: faults with blanks between
}

// Edit is one more place of the same file.
type Edit struct{ Old, New string }

// apply returns the file with the bug in it. It refuses an entry that no longer
// fits the file, or after which the file would not be one.
func (m Mutant) apply(root string) ([]byte, error) {
	text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(m.File)))
	if err != nil {
		return nil, err
	}
	planted := text
	for _, e := range append([]Edit{{m.Old, m.New}}, m.And...) {
		if n := bytes.Count(planted, []byte(e.Old)); n != 1 {
			return nil, fmt.Errorf("%s: %s has the text to replace %d times, not once:\n%s", m.Name, m.File, n, e.Old)
		}
		if e.Old == e.New {
			return nil, fmt.Errorf("%s: changes nothing", m.Name)
		}
		planted = bytes.Replace(planted, []byte(e.Old), []byte(e.New), 1)
	}
	switch {
	case strings.HasSuffix(m.File, ".go"):
		_, err = parser.ParseFile(token.NewFileSet(), m.File, planted, parser.SkipObjectResolution)
	case strings.HasSuffix(m.File, ".json"):
		var any json.RawMessage
		err = json.Unmarshal(planted, &any)
	case strings.HasSuffix(m.File, ".yaml"):
		var any any
		err = yaml.Unmarshal(planted, &any)
	default:
		err = fmt.Errorf("%s: nobody knows how to check it", m.File)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: after it %w", m.Name, err)
	}
	return planted, nil
}

// Table is every bug, the helper's first.
func Table() []Mutant {
	var all []Mutant
	for _, part := range [][]Mutant{ofHelper, ofSteps, ofVerdict, ofDefinition} {
		all = append(all, part...)
	}
	return all
}
