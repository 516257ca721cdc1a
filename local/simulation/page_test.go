package simulation

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

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
		fmt.Fprintf(&b, "| %s | %d | %d |\n", named(p, s.Seed), p.Runs, p.Violations)
	}
	b.WriteString("\nHow often each kind of fault struck at each step, with the runs' violations after a stroke where there are any.\n`0`: it was planned there, and what came before it kept it from happening. `·`: there is no such thing, see below.\n\n")
	if table := s.Coverage[AWS]; table != nil {
		b.WriteString(tabled(table, AWS))
	}
	if table := s.Coverage[Alibaba]; table != nil {
		b.WriteString("The same in an account of Alibaba Cloud:\n\n" + tabled(table, Alibaba))
	}
	return b.String()
}

// named is what a part did, in words.
func named(p part, seed uint64) string {
	kind, cloud, _ := strings.Cut(p.Name, " of ")
	text := map[string]string{"singles": "every single fault at every point", "pairs": "pairs of faults, an even choice of all"}[kind]
	if kind == "random" {
		text = fmt.Sprintf("random schedules, seeds %d to %d", seed, p.Through)
	}
	if cloud != "" {
		text += ", at " + cloud
	}
	return text
}

// stepsOf are the columns of a cloud's table.
func stepsOf(c Cloud) []string {
	if c == Alibaba {
		return slices.Concat(fault.Steps, fault.SweepSteps, fault.PluginSteps, []string{fault.PluginTarget})
	}
	return fault.Steps
}

func tabled(table Coverage, c Cloud) string {
	var b strings.Builder
	steps := stepsOf(c)
	fmt.Fprintf(&b, "| kind | %s |\n|---|%s\n", strings.Join(steps, " | "), strings.Repeat("--:|", len(steps)))
	codes := 0
	for _, k := range table.kinds() {
		row := []string{string(k)}
		if strings.HasPrefix(row[0], "exit-") {
			codes += table[fault.PluginTarget][k].Runs
			continue
		}
		for _, step := range steps {
			cell := table[step][k]
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
	if codes > 0 {
		fmt.Fprintf(&b, "\nThe tool (`plugin`) was made to end with each of its documented exit codes besides, in %d runs.\n", codes)
	}
	return b.String() + "\n"
}

// A field of the table that stays empty has its reason on the page, and a field
// that has one is empty.
func TestEmptyFieldsHaveReasons(t *testing.T) {
	text, err := os.ReadFile("../../docs/simulation.md")
	if err != nil {
		t.Fatal(err)
	}
	s := site(t)
	for cloud, setups := range map[Cloud][]Setup{AWS: Setups, Alibaba: AlibabaSetups} {
		covered := Coverage{}
		for _, c := range calmIn(t, s, setups) {
			for _, f := range Singles(c) {
				covered.Count(&History{Schedule: Schedule{Faults: []fault.Fault{f}}})
			}
		}
		for _, step := range stepsOf(cloud) {
			for _, kind := range covered.kinds() {
				if strings.HasPrefix(string(kind), "exit-") {
					continue // the tool's own
				}
				if empty, why := covered[step][kind] == nil, excused(string(text), step, kind); empty != why {
					t.Errorf("%s at %s %s: covered %v, excused %v", kind, step, cloud, !empty, why)
				}
			}
		}
	}
}

// excused looks for a row of the page that says why a kind is not planned at a
// step.
func excused(text, step string, kind fault.Kind) bool {
	_, text, _ = strings.Cut(text, "## Why some kinds")
	for line := range strings.Lines(text) {
		f := strings.Split(line, "|")
		if len(f) < 4 || !strings.Contains(f[1], "`"+string(kind)+"`") {
			continue
		}
		if other, but := strings.CutPrefix(strings.TrimSpace(f[2]), "every other step than "); but {
			return !slices.Contains(strings.Split(other, " and "), step)
		}
		return strings.Contains(f[2], "`"+step+"`")
	}
	return false
}
