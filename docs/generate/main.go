// Command generate writes into the pages of docs what the code knows better
// than any page: events, metrics, fault codes, alarms, cost. A page has each
// between two comments:
//
//	<!-- generated: metrics -->
//	<!-- end of metrics -->
//
// Run it as `go run ./docs/generate`. Its test fails when a page is stale.
package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
)

func main() {
	pages, err := generate(".")
	for path, text := range pages {
		if err == nil {
			err = os.WriteFile(path, text, 0o644)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

// sections are what can be generated, by name.
var sections = map[string]func(root string) (string, error){
	"events": eventTypes, "metrics": metrics, "faults": faults, "alarms": alarms, "cost": cost,
}

var mark = regexp.MustCompile(`(?s)(<!-- generated: ([a-z]+) -->\n).*?(<!-- end of ([a-z]+) -->)`)

// generate returns the pages that have marks, filled in, by their paths.
func generate(root string) (map[string][]byte, error) {
	paths, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		return nil, err
	}
	pages, used := map[string][]byte{}, map[string]bool{}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		if !bytes.Contains(text, []byte("<!-- generated:")) {
			continue
		}
		var wrong error
		pages[path] = mark.ReplaceAllFunc(text, func(old []byte) []byte {
			m := mark.FindSubmatch(old)
			name := string(m[2])
			section, known := sections[name]
			if !known || string(m[4]) != name {
				wrong = fmt.Errorf("%s: the mark %s is none, or ends as %s", path, name, m[4])
				return old
			}
			used[name] = true
			body, err := section(root)
			if err != nil {
				wrong = fmt.Errorf("%s: %s: %w", path, name, err)
			}
			return fmt.Appendf(nil, "%s%s%s", m[1], body, m[3])
		})
		if wrong != nil {
			return nil, wrong
		}
	}
	for name := range sections {
		if !used[name] {
			return nil, fmt.Errorf("no page has a mark for %s", name)
		}
	}
	return pages, nil
}
