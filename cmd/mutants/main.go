// Command mutants plants bugs, one at a time, and has the simulation look for
// them: a property that finds none of them proves nothing. The tree is never
// changed; each bug is an overlay that the compiler sees.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := Run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// settings are the command line.
type settings struct {
	Root    string        `default:"." help:"The module's folder."`
	Only    string        `placeholder:"REGEXP" help:"Plant only the bugs of these names."`
	Jobs    int           `default:"2" help:"How many at a time."`
	Others  int           `default:"5000" help:"Single faults to try that are not near a bug."`
	Random  int           `default:"600" help:"Random schedules to look in, after all that."`
	Timeout time.Duration `default:"15m" help:"Of one bug, compiling included."`
	Page    string        `placeholder:"FILE" help:"Write what came of it here, as a page."`
	List    bool          `help:"Print the table and plant nothing."`
}

// Summary is the last line.
type Summary struct {
	Caught    int      `json:"caught"`
	Survived  int      `json:"survived"`
	Survivors []string `json:"survivors"`
	Broken    []string `json:"broken,omitempty"` // could not be planted, or broke the simulation itself
	Seconds   int      `json:"seconds"`
}

// Run is the command. Its exit code is 0 if every bug was caught.
func Run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var s settings
	helped := false
	parser := kong.Must(&s, kong.Name("mutants"), kong.Writers(stdout, stderr), kong.Exit(func(int) { helped = true }),
		kong.Description("Plants bugs and has the simulation find them."))
	_, err := parser.Parse(args)
	if helped {
		return 0
	}
	var only *regexp.Regexp
	if err == nil {
		only, err = regexp.Compile(s.Only)
	}
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 2
	}
	chosen := slices.DeleteFunc(Table(), func(m Mutant) bool { return !only.MatchString(m.Name) })
	if s.List {
		for _, m := range chosen {
			fmt.Fprintf(stdout, "%-34s %s\n", m.Name, m.Danger)
		}
		return 0
	}
	ends, err := plantAll(ctx, s, chosen, stderr)
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	if s.Page != "" {
		if err := os.WriteFile(s.Page, []byte(page(ends)), 0o644); err != nil {
			fmt.Fprintln(stderr, err)
			return 1
		}
	}
	return conclude(stdout, ends)
}

// end is what came of one bug.
type end struct {
	Mutant
	found  found
	broken error
	took   time.Duration
}

var errFound = errors.New("the unchanged tree has a violation, so that finding one shows nothing")

// plantAll first looks at the unchanged tree, then plants the bugs.
func plantAll(ctx context.Context, s settings, chosen []Mutant, stderr io.Writer) ([]end, error) {
	f, err := newField(s)
	if err != nil {
		return nil, err
	}
	defer f.close()
	nothing := Mutant{Name: "nothing"}
	for _, m := range Table() {
		nothing.Try += m.Try + ";"
	}
	calm := f.try(ctx, nothing)
	switch {
	case calm.broken != nil:
		return nil, calm.broken
	case calm.found.Violation != "":
		return nil, fmt.Errorf("%w: %s: %s", errFound, calm.found.Schedule, calm.found.Violation)
	}
	fmt.Fprintf(stderr, "nothing planted: %d runs, no violation, %s\n", calm.found.Runs, calm.took.Round(time.Second))
	ends := make([]end, len(chosen))
	turn := make(chan struct{}, s.Jobs)
	var all sync.WaitGroup
	for i, m := range chosen {
		turn <- struct{}{}
		all.Go(func() {
			ends[i] = f.try(ctx, m)
			fmt.Fprintln(stderr, ends[i])
			<-turn
		})
	}
	all.Wait()
	return ends, ctx.Err()
}

func (e end) String() string {
	switch {
	case e.broken != nil:
		return fmt.Sprintf("BROKEN    %s: %v", e.Name, e.broken)
	case e.found.Violation == "":
		return fmt.Sprintf("SURVIVED  %s: %d runs, %s", e.Name, e.found.Runs, e.took.Round(time.Second))
	}
	return fmt.Sprintf("caught    %s after %d runs: %s: %s", e.Name, e.found.Runs, e.found.Schedule, clip(e.found.Violation, 160))
}

func conclude(stdout io.Writer, ends []end) (code int) {
	sum := Summary{Survivors: []string{}}
	for _, e := range ends {
		sum.Seconds += int(e.took.Seconds())
		switch {
		case e.broken != nil:
			sum.Broken = append(sum.Broken, e.Name)
		case e.found.Violation == "":
			sum.Survived++
			sum.Survivors = append(sum.Survivors, e.Name)
		default:
			sum.Caught++
		}
	}
	line, _ := json.Marshal(sum)
	fmt.Fprintln(stdout, string(line))
	if sum.Survived > 0 || len(sum.Broken) > 0 || sum.Caught == 0 {
		return 1
	}
	return 0
}

func clip(s string, n int) string {
	if len(s) > n {
		return s[:n] + "…"
	}
	return s
}
