// Command quiesce takes consistent snapshots of cloud disks: against a cloud,
// or from end to end on this machine.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/mattn/go-isatty"

	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/policy"
)

func main() {
	if os.Getenv("NO_COLOR") != "" || !isatty.IsTerminal(os.Stdout.Fd()) {
		text.DisableColors()
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := Run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// Exit codes.
const (
	exitDone  = 0 // what was asked for was proved
	exitLess  = 1 // it ended otherwise; the output says how
	exitUsage = 2 // bad input: nothing was touched
)

// line is the command line.
type line struct {
	Run     runCmd     `cmd:"" help:"Run the whole workflow on this machine: emulated cloud, real disks, restore and check."`
	Start   startCmd   `cmd:"" help:"Start a run in the cloud."`
	Status  statusCmd  `cmd:"" help:"Show how far a run is, or how it ended."`
	Show    showCmd    `cmd:"" help:"Show one run: what happened when, what was held, what was proved."`
	List    listCmd    `cmd:"" help:"List the latest runs."`
	Stop    stopCmd    `cmd:"" help:"Stop a run; the instance is let go by the janitor, or by its own deadline."`
	Sets    setsCmd    `cmd:"" help:"List the sets that there are, and why each is kept."`
	Prune   pruneCmd   `cmd:"" help:"Delete the sets that a policy's retention does not keep, once the plan was shown."`
	Restore restoreCmd `cmd:"" help:"Restore a whole set beside an instance's disks or in their place; go back, confirm, clean up."`
	Verify  verifyCmd  `cmd:"" help:"Test whether a set can be restored: bring copies of it to life on a test instance, and take them away."`
	Disk    diskCmd    `cmd:"" help:"Single disks on Alibaba Cloud: snapshot, list, policy, rollback, image."`
	Policy  policyCmd  `cmd:"" help:"Check a policy file, or show what it means."`
	Ledger  ledgerCmd  `cmd:"" hidden:""`
}

// streams are where a command's answer and its progress go.
type streams struct {
	out, progress io.Writer
}

// errLess ends a command whose answer was printed and is not what was asked.
var errLess = errors.New("the verdict is not what the policy asked for")

// Run does what one command line says and returns the exit code.
func Run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var l line
	exit := -1
	parser, err := kong.New(&l,
		kong.Name("quiesce"),
		kong.Description("Application-consistent snapshots of cloud disks, with proof."),
		kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { exit = code; panic(helped{}) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(&streams{stdout, stderr}),
	)
	if err != nil {
		panic(err) // the line above is wrong, whatever was typed
	}
	defer func() {
		if p := recover(); p != nil {
			if _, ok := p.(helped); !ok {
				panic(p)
			}
		}
	}()
	if len(args) == 0 {
		args = []string{"--help"}
	}
	parsed, err := parse(parser, args)
	if exit >= 0 {
		return exit
	}
	if err != nil {
		fmt.Fprintf(stderr, "quiesce: %v\n", err)
		return exitUsage
	}
	var problems policy.Problems
	switch err := parsed.Run(); {
	case err == nil:
		return exitDone
	case errors.As(err, &problems):
		fmt.Fprintln(stderr, problems) // as they are: editors find file, line and column
		return exitUsage
	case errors.Is(err, errLess):
		return exitLess
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		fmt.Fprintln(stderr, "quiesce: interrupted; what the run had made was taken away again")
		return exitLess
	case fault.CodeOf(err) == fault.InvalidInput:
		fmt.Fprintf(stderr, "quiesce: %v\n", err)
		return exitUsage
	default:
		fmt.Fprintf(stderr, "quiesce: %v\n", err)
		if code := fault.CodeOf(err); code != fault.Internal {
			fmt.Fprintf(stderr, "%s: %s\n", code, code.NextMove())
		}
		return exitLess
	}
}

// helped unwinds from kong's own exit, after help was printed.
type helped struct{}

func parse(parser *kong.Kong, args []string) (parsed *kong.Context, err error) {
	defer func() {
		if p := recover(); p != nil {
			if _, ok := p.(helped); !ok {
				panic(p)
			}
		}
	}()
	return parser.Parse(args)
}
