package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/quiesce/quiesce/local"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/retention"
	"github.com/quiesce/quiesce/shared/run"
)

type runCmd struct {
	Output       string        `short:"o" enum:"text,json" default:"text" help:"text, or one JSON document."`
	Cloud        string        `enum:"aws,aliyun" default:"aws" help:"The emulated cloud: aws or aliyun."`
	Mode         string        `enum:"orchestrated,vss,diskshadow,plugin" default:"orchestrated" help:"Who takes the set: the workflow (orchestrated); on a simulated Windows instance AWS's document (vss), or the workflow after shadow copies (diskshadow); with --cloud aliyun a stand-in for Alibaba Cloud's own plug-in (plugin)."`
	App          string        `default:"ledger" help:"What writes, and who brings it to rest: the ledger by its own scripts (ledger), by nobody (none), by yours (script) or by a command document (document); or a real server by its adapter (mariadb, postgresql, redis)."`
	PreScript    string        `placeholder:"PATH" help:"With --app script: absolute path, root's own."`
	PostScript   string        `placeholder:"PATH" help:"With --app script: absolute path, root's own."`
	Timeout      int           `default:"10" help:"Seconds for each script, 10-120."`
	Retries      int           `default:"0" help:"Further attempts of each script, 0-3."`
	FS           string        `name:"fs" default:"ext4" help:"Filesystem of the volumes: ext4 or xfs."`
	Volumes      int           `default:"2" help:"Number of volumes, 1-16."`
	APILatency   []string      `name:"api-latency" placeholder:"[API=]DURATION" help:"Latency of each EC2 call, or of one API or service; repeatable."`
	AgentLatency time.Duration `default:"50ms" help:"From a command's acceptance to its start on the instance."`
	Completion   time.Duration `default:"2s" help:"Until the set is complete; an event then ends the wait for it."`
	Fault        []string      `placeholder:"STEP:KIND[@N]" help:"Something that goes wrong; repeatable."`
	NoFreeze     bool          `help:"Do not freeze the filesystems."`
	Deadline     int           `default:"60" help:"Seconds after which the instance lets go by itself, 5-300."`
	OnFailure    string        `default:"degrade" help:"degrade: take the set anyway; fail: take none."`
	Simulate     bool          `help:"Use a simulated machine: no root, no loop devices."`
	Keep         bool          `help:"Leave the volumes, the mounts and the logs in place."`
	RestoreTest  bool          `help:"Test the set by the restore test's workflow: restored beside, brought to life by the helper, taken away."`

	fleetFlags
}

func (c *runCmd) Run(ctx context.Context, s *streams) error {
	if err := c.check(c.Fault); err != nil {
		return err
	}
	if c.Fleet != 0 {
		return c.run(ctx, s, c.Output)
	}
	latency, err := local.ParseLatency(c.APILatency)
	if err != nil {
		return err
	}
	options := local.Defaults()
	options.Cloud, options.Mode = c.Cloud, c.Mode
	options.App, options.PreScript, options.PostScript = c.App, c.PreScript, c.PostScript
	options.Timeout, options.Retries, options.Deadline = c.Timeout, c.Retries, c.Deadline
	options.FS, options.Volumes, options.NoFreeze, options.OnFailure = c.FS, c.Volumes, c.NoFreeze, c.OnFailure
	options.Latency, options.AgentLatency, options.Completion = latency, c.AgentLatency, c.Completion
	options.Faults, options.Simulate, options.Keep, options.RestoreTest = c.Fault, c.Simulate, c.Keep, c.RestoreTest
	if err := options.Check(); err != nil {
		return err
	}
	log := s.out
	if c.Output == "json" {
		log = s.progress
	}
	watch := &scribe{Progress: &live{out: log}}
	report, err := local.Run(ctx, options, watch)
	if err != nil {
		return err
	}
	if err := watch.write(report); err != nil {
		fmt.Fprintf(s.progress, "quiesce: the run was not written down, `quiesce show` does not know it: %v\n", err)
	}
	if c.Output == "json" {
		if err := writeJSON(s.out, report); err != nil {
			return err
		}
	} else {
		fmt.Fprintln(s.out, verdict(report))
	}
	if !report.Good() {
		return errLess
	}
	return nil
}

// verdict is the report as a person reads it.
func verdict(r *local.Report) string {
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.Style().Options.SeparateRows = false
	level := "no set"
	if r.Consistency != "" {
		level = string(r.Consistency) + "-consistent"
	}
	color := text.FgGreen
	switch {
	case r.Outcome == run.OutcomeDegraded:
		color = text.FgYellow
	case r.Outcome != run.OutcomeCompleted:
		color = text.FgRed
	}
	t.AppendRow(table.Row{"verdict", color.Sprint(level) + ", " + string(r.Outcome)})
	t.AppendRow(table.Row{"because", text.WrapSoft(r.Reason, 90)})
	if next := fault.Code(r.Code).NextMove(); next != "" {
		t.AppendRow(table.Row{"next move", text.WrapSoft(next, 90)})
	}
	t.AppendRow(table.Row{"frozen window", window(r)})
	t.AppendRow(table.Row{"application pause", fmt.Sprintf("%.0f ms, as the writer saw it", r.ApplicationPauseMs)})
	if len(r.Set) > 0 {
		t.AppendRow(table.Row{"set", strings.Join(r.Set, " ")})
	}
	if o := r.Oracle; o == nil {
		t.AppendRow(table.Row{"restore", "there was nothing to restore"})
	} else {
		word := text.FgGreen.Sprint("checked")
		if !o.Verified {
			word = text.FgRed.Sprint("FAILED")
		}
		t.AppendRow(table.Row{"restore", fmt.Sprintf("%s: %d records, %d missing, %d extra, %d orphans, %d written while frozen", word, o.Records, o.Missing, o.Extra, o.Orphans, o.AcksInWindow)})
		for _, f := range o.Findings {
			t.AppendRow(table.Row{"", text.WrapSoft(f, 90)})
		}
	}
	if rt := r.RestoreTest; rt != nil {
		word := text.FgRed.Sprint(rt.Verdict)
		if rt.Verdict == retention.Successful {
			word = fmt.Sprintf("%s, recovered in %.1f s, tested in %.1f s", text.FgGreen.Sprint(rt.Verdict), rt.RecoverySeconds, rt.Seconds)
		}
		t.AppendRow(table.Row{"restore test", word})
		t.AppendRow(table.Row{"", text.WrapSoft(rt.Reason, 90)})
	}
	if r.RecoveryMs > 0 {
		t.AppendRow(table.Row{"recovery", fmt.Sprintf("%.0f ms from the restored server's start until it answered", r.RecoveryMs)})
	}
	for _, n := range r.Notes {
		t.AppendRow(table.Row{"not promised", text.WrapSoft(n, 90)})
	}
	if r.Changed != "" {
		t.AppendRow(table.Row{"left changed", text.WrapSoft(r.Changed, 90)})
	}
	t.AppendRow(table.Row{"left frozen", r.LeftFrozen})
	mode := r.Mode
	if r.ModeReason != "" {
		mode += ": " + r.ModeReason
	}
	t.AppendRow(table.Row{"mode", mode})
	if r.Tool != "" {
		t.AppendRow(table.Row{"taken by", r.Tool})
	}
	for _, w := range r.Warnings {
		t.AppendRow(table.Row{"warning", text.WrapSoft(w, 90)})
	}
	for _, f := range r.Unreached {
		t.AppendRow(table.Row{"fault not reached", f})
	}
	if r.Kept != "" {
		t.AppendRow(table.Row{"kept", r.Kept})
	}
	return t.Render()
}

func window(r *local.Report) string {
	switch {
	case r.Tool != "":
		return "the tool's own, of which it tells nothing"
	case r.FrozenMs == 0:
		return "none is known" // nothing was frozen, or the evidence did not come home
	case r.FrozenMs < r.SnapshotCallMs:
		return fmt.Sprintf("%.0f ms, less than the snapshot call of %.0f ms", r.FrozenMs, r.SnapshotCallMs)
	}
	return fmt.Sprintf("%.0f ms, %.0f ms beyond the snapshot call of %.0f ms", r.FrozenMs, r.FrozenMs-r.SnapshotCallMs, r.SnapshotCallMs)
}

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
