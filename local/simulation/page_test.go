package simulation

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/quiesce/quiesce/local/fault"
)

var mark = regexp.MustCompile(`(?s)(<!-- written by make simulate -->\n).*?(<!-- end of what it wrote -->)`)

// write puts what a run showed into the page, between its marks.
func write(path string, s Summary) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if !mark.Match(text) {
		return fmt.Errorf("%s has no place for it", path)
	}
	return os.WriteFile(path, mark.ReplaceAllFunc(text, func(old []byte) []byte {
		m := mark.FindSubmatch(old)
		return bytes.Join([][]byte{m[1], []byte(page(s)), m[2]}, nil)
	}), 0o644)
}

// page renders what a run showed.
func page(s Summary) string {
	var b strings.Builder
	b.WriteString("| what | runs | violations |\n|---|--:|--:|\n")
	for _, p := range s.Parts {
		name := p.Name
		if name == "random" {
			name = fmt.Sprintf("random schedules, from seed %d on", s.Seed)
		}
		fmt.Fprintf(&b, "| %s | %d | %d |\n", name, p.Runs, p.Violations)
	}
	b.WriteString("\nHow often each kind of fault struck at each step, with the runs' violations after a stroke where there are any.\n`0`: it was planned there, and what came before it kept it from happening. `·`: there is no such thing, see below.\n\n")
	fmt.Fprintf(&b, "| kind | %s |\n|---|%s\n", strings.Join(fault.Steps, " | "), strings.Repeat("--:|", len(fault.Steps)))
	for _, k := range s.Coverage.kinds() {
		row := []string{string(k)}
		for _, step := range fault.Steps {
			cell := s.Coverage[step][k]
			switch {
			case cell == nil:
				row = append(row, "·")
			case cell.Violations > 0:
				row = append(row, fmt.Sprintf("%d / **%d**", cell.Runs, cell.Violations))
			default:
				row = append(row, fmt.Sprint(cell.Runs))
			}
		}
		fmt.Fprintf(&b, "| %s |\n", strings.Join(row, " | "))
	}
	b.WriteString("\n")
	return b.String()
}

// known are the reasons that the page gives for the fields that stay empty.
func known(text string, step string, kind fault.Kind) bool {
	return slices.ContainsFunc(strings.Split(text, "\n"), func(line string) bool {
		return strings.HasPrefix(line, "|") && strings.Contains(line, "`"+string(kind)+"`") && (strings.Contains(line, "`"+step+"`") || strings.Contains(line, "every other step"))
	})
}
