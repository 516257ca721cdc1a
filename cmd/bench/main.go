// Command bench prints what Quiesce is measured by: its frozen window beside
// two other ways over the same emulated account, real servers by their adapters
// and the same servers held by nobody, the freeze with and without the flush
// before it, and what the Lambda binary weighs and takes to start.
// Nothing is asserted: every figure is printed with the settings it came of.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
	"golang.org/x/sys/unix"

	"github.com/quiesce/quiesce/guest/linux"
	"github.com/quiesce/quiesce/local"
	"github.com/quiesce/quiesce/local/disk"
	"github.com/quiesce/quiesce/local/ledger"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := Run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// roles are the processes that a measurement starts of this program.
var roles = map[string]func(ctx context.Context, args []string, stdout io.Writer) error{
	"ledger": func(ctx context.Context, args []string, stdout io.Writer) error {
		if len(args) > 0 && args[0] == "serve" {
			return ledger.Serve(ctx, args[1:], os.Stdin, stdout)
		}
		return ledger.Client(ctx, args, stdout)
	},
	"call":            callOnce,
	linux.GuardRole:   func(context.Context, []string, io.Writer) error { return ended(linux.Guard()) },
	linux.WitnessRole: func(context.Context, []string, io.Writer) error { return ended(linux.Witness()) },
}

func ended(code int) error {
	if code != 0 {
		return fmt.Errorf("exit code %d", code)
	}
	return nil
}

// settings are the command line.
type settings struct {
	N            int           `default:"5" help:"Tries of each measurement."`
	Only         []string      `placeholder:"PART" help:"Only these parts: window, servers, control, freeze, call, lambda."`
	Volumes      int           `default:"2" help:"Data volumes of the instance."`
	FS           string        `name:"fs" enum:"ext4,xfs" default:"ext4" help:"Filesystem in the window's part: ext4 or xfs."`
	AgentLatency time.Duration `default:"400ms" help:"From a command's acceptance to its start on the instance."`
	APILatency   []string      `name:"api-latency" default:"800ms" placeholder:"[API=]DURATION" help:"Latency of each EC2 call, or of one API or service; repeatable."`
	Dirty        int           `default:"600" help:"MiB that are dirty when the freeze begins."`
	Output       string        `short:"o" enum:"text,json" default:"text" help:"text, or one JSON document."`

	latency map[string]time.Duration
}

var parts = []string{"window", "servers", "control", "freeze", "call", "lambda"}

func (s *settings) check() (err error) {
	for _, p := range s.Only {
		if !slices.Contains(parts, p) {
			return fmt.Errorf("--only: wants %s, got %q", strings.Join(parts, ", "), p)
		}
	}
	if s.N < 1 || s.N > 1000 {
		return fmt.Errorf("--n: wants 1-1000, got %d", s.N)
	}
	if s.Dirty < 1 || s.Dirty > 1500 {
		return fmt.Errorf("--dirty: wants 1-1500, got %d", s.Dirty)
	}
	if s.latency, err = local.ParseLatency(s.APILatency); err != nil {
		return err
	}
	return s.options("").Check()
}

func (s *settings) wants(part string) bool { return len(s.Only) == 0 || slices.Contains(s.Only, part) }

// Report is all that was measured. Times are in milliseconds.
type Report struct {
	Host     Host           `json:"host"`
	Settings Settings       `json:"settings"`
	Window   []Shape        `json:"window,omitempty"`
	Servers  []Server       `json:"servers,omitempty"`
	Control  []Control      `json:"control,omitempty"`
	Freeze   []Freeze       `json:"freeze,omitempty"`
	Call     []SnapshotCall `json:"call,omitempty"`
	Lambda   []Binary       `json:"lambda,omitempty"`
	Starts   []Start        `json:"starts,omitempty"`
	Skipped  []string       `json:"skipped,omitempty"`
	TookS    float64        `json:"tookSeconds"`
}

// Settings are what the figures came of.
type Settings struct {
	N              int      `json:"n"`
	Volumes        int      `json:"volumes"`
	FS             string   `json:"fs"`
	AgentLatencyMs float64  `json:"agentLatencyMs"`
	APILatency     []string `json:"apiLatency"`
	DirtyMiB       int      `json:"dirtyMiB"`
}

// Host is where it was measured.
type Host struct {
	Kernel string `json:"kernel"`
	Arch   string `json:"arch"`
	CPUs   int    `json:"cpus"`
	Go     string `json:"go"`
}

// Run measures what one command line asks for and returns the exit code.
func Run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	err := run(ctx, args, stdout, stderr)
	if err != nil {
		fmt.Fprintf(stderr, "bench: %v\n", err)
		return 1
	}
	return 0
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) > 0 && roles[args[0]] != nil {
		return roles[args[0]](ctx, args[1:], stdout)
	}
	var s settings
	helped := false
	parser := kong.Must(&s, kong.Name("bench"), kong.Writers(stdout, stderr), kong.Exit(func(int) { helped = true }),
		kong.Description("What Quiesce is measured by. The disks need root."))
	if _, err := parser.Parse(args); helped || err != nil {
		return err
	}
	if err := s.check(); err != nil {
		return err
	}
	began := time.Now()
	b := &bench{settings: s, say: func(format string, args ...any) { fmt.Fprintf(stderr, "bench: "+format+"\n", args...) }}
	report := Report{Host: here(), Settings: Settings{s.N, s.Volumes, s.FS, ms(s.AgentLatency), s.APILatency, s.Dirty}}
	if err := b.measure(ctx, &report); err != nil {
		return err
	}
	report.TookS = time.Since(began).Round(100 * time.Millisecond).Seconds()
	if s.Output == "json" {
		e := json.NewEncoder(stdout)
		e.SetIndent("", "  ")
		return e.Encode(report)
	}
	_, err := io.WriteString(stdout, render(s, report))
	return err
}

// bench is one measurement of everything that was asked for.
type bench struct {
	settings
	say  func(format string, args ...any)
	made built
}

func (b *bench) measure(ctx context.Context, r *Report) (err error) {
	dir, err := os.MkdirTemp("", "quiesce-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	b.say("building")
	if b.made, err = build(ctx, dir, b.wants("lambda")); err != nil {
		return err
	}
	why := noDisks()
	for _, part := range []struct {
		name  string
		disks bool
		do    func(context.Context, *Report) error
	}{
		{"window", true, b.window}, {"servers", true, b.servers}, {"control", true, b.control}, {"freeze", true, b.freeze}, {"call", true, b.call}, {"lambda", false, b.lambda},
	} {
		switch {
		case !b.wants(part.name):
		case part.disks && why != "":
			r.Skipped = append(r.Skipped, part.name+": "+why)
		default:
			if err := part.do(ctx, r); err != nil {
				return fmt.Errorf("%s: %w", part.name, err)
			}
		}
	}
	return nil
}

// noDisks tells why there can be no real disks here; empty if there can. What
// a run that was killed had left is taken away first.
func noDisks() string {
	if os.Geteuid() != 0 {
		return "needs root"
	}
	if _, err := os.Stat("/dev/loop-control"); err != nil {
		return "needs loop devices"
	}
	if _, err := disk.Sweep(""); err != nil {
		return err.Error()
	}
	return ""
}

func here() Host {
	var u unix.Utsname
	_ = unix.Uname(&u) // cannot fail
	return Host{unix.ByteSliceToString(u.Release[:]), runtime.GOARCH, runtime.NumCPU(), runtime.Version()}
}
