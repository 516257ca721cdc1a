package main

import (
	"fmt"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// render is the report as a person reads it.
func render(s settings, r Report) string {
	var out strings.Builder
	fmt.Fprintf(&out, "%d CPUs, Linux %s, %s, %s. Every figure is median / max in ms over n tries; nothing is asserted.\n",
		r.Host.CPUs, r.Host.Kernel, r.Host.Arch, r.Host.Go)
	if len(r.Window) > 0 {
		renderWindow(&out, s, r.Window)
	}
	if len(r.Servers) > 0 {
		renderServers(&out, s, r.Servers)
	}
	if len(r.Control) > 0 {
		renderControl(&out, s, r.Control)
	}
	if len(r.Freeze) > 0 {
		renderFreeze(&out, s, r.Freeze)
	}
	if len(r.Call) > 0 {
		renderCall(&out, r.Call)
	}
	if len(r.Lambda) > 0 {
		renderLambda(&out, r)
	}
	for _, skipped := range r.Skipped {
		fmt.Fprintf(&out, "\nnot measured: %s\n", skipped)
	}
	fmt.Fprintf(&out, "\ntook %.0f s\n", r.TookS)
	return out.String()
}

func (f Figure) String() string { return fmt.Sprintf("%.0f / %.0f", f.Median, f.Max) }

// fine is a figure of something quick.
func (f Figure) fine() string { return fmt.Sprintf("%.1f / %.1f", f.Median, f.Max) }

// grid is a table whose columns but the first are figures.
func grid(head ...any) table.Writer {
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.Style().Format.Header = text.FormatDefault
	t.AppendHeader(head)
	columns := make([]table.ColumnConfig, 0, len(head))
	for i := range head[1:] {
		columns = append(columns, table.ColumnConfig{Number: i + 2, Align: text.AlignRight, AlignHeader: text.AlignRight})
	}
	t.SetColumnConfigs(columns)
	return t
}

func renderWindow(out *strings.Builder, s settings, shapes []Shape) {
	fmt.Fprintf(out, "\nThe window: %d volumes of %s, a command reaches the instance after %s, EC2 latency %s, n=%d\n",
		s.Volumes, s.FS, s.AgentLatency, strings.Join(s.APILatency, " "), s.N)
	t := grid("", "frozen window", "x Quiesce", "beyond one call", "application pause")
	for _, w := range shapes {
		t.AppendRow(table.Row{w.Name, w.Window, fmt.Sprintf("%.2f", w.Ratio), w.Beyond, w.Pause})
	}
	fmt.Fprintln(out, t.Render())
	t = grid("inside the window", "freeze to call", "one call", "then to thaw", "EC2 calls", "dispatches", "status polls")
	for _, w := range shapes {
		t.AppendRow(table.Row{w.Name, w.Before, w.Call, w.After, w.EC2, w.Dispatches, w.Polls})
	}
	fmt.Fprintln(out, t.Render())
	fmt.Fprint(out, `The same emulated account, agent, disks and ledger for all. The window is from the first freeze to the last thaw; application
pause is the ledger's longest gap between two acknowledged writes, in which the dispatch of Quiesce's freeze command lies too.
Quiesce runs whole: state machine, a process a step, evidence, restore checked. The others are given the best case and prove
nothing of the hold: the script's client starts in milliseconds, and nothing stands between two calls of DLM's way. How DLM
polls is not published; its two rows are Quiesce's own rhythm and the SDK's CommandExecutedWaiter.
`)
}

func renderServers(out *strings.Builder, s settings, servers []Server) {
	fmt.Fprintf(out, "\nServers by their adapters, under load: %d volumes of %s, a command reaches the instance after %s, EC2 latency %s, n=%d; p50 / p95 / max in ms\n",
		s.Volumes, s.FS, s.AgentLatency, strings.Join(s.APILatency, " "), s.N)
	t := grid("", "verified", "frozen window", "application pause", "pause beyond the window", "recovery")
	for _, v := range servers {
		t.AppendRow(table.Row{v.App, fmt.Sprintf("%d of %d", v.Verified, s.N), v.Window, v.Pause, v.Beyond, v.Recovery})
	}
	fmt.Fprintln(out, t.Render())
}

func renderControl(out *strings.Builder, s settings, controls []Control) {
	fmt.Fprintf(out, "\nThe same servers and load, one call a volume in turn, nothing held: EC2 latency %s, n=%d\n", strings.Join(s.APILatency, " "), s.N)
	t := grid("", "logs", "order of the calls", "whole", "did not start", "other tables damaged", "calls")
	for _, c := range controls {
		other := "-"
		if c.HasOther {
			other = fmt.Sprintf("%d of %d", c.Lossy, c.Tries-c.Dead)
		}
		t.AppendRow(table.Row{c.App, c.Logs, c.Order, fmt.Sprintf("%d of %d", c.Whole, c.Tries), c.Dead, other, c.CallsMs})
	}
	fmt.Fprintln(out, t.Render())
	fmt.Fprint(out, `Whole: a second server started on the restored volumes, all that was committed before the first call was in the tables that have
transactions, and the server's own check was clean. Other tables are MariaDB's without transactions, of the servers that started.
`)
}

func renderFreeze(out *strings.Builder, s settings, freezes []Freeze) {
	fmt.Fprintf(out, "\nThe freeze call with %d MiB dirty: n=%d\n", s.Dirty, s.N)
	t := grid("", "with presync", "without", "without / with", "the presync, before the window")
	for _, f := range freezes {
		t.AppendRow(table.Row{f.FS, f.With, f.Without, fmt.Sprintf("%.1f", f.Ratio), f.Presync})
	}
	fmt.Fprintln(out, t.Render())
}

func renderCall(out *strings.Builder, calls []SnapshotCall) {
	fmt.Fprintf(out, "\nThe emulator's own snapshot call, no latency added: n=%d\n", calls[0].N)
	t := grid("volumes", "copy ("+calls[0].Mode+")", "CreateSnapshots by the SDK")
	for _, c := range calls {
		t.AppendRow(table.Row{c.Volumes, c.Copy.fine(), c.API.fine()})
	}
	fmt.Fprintln(out, t.Render())
}

func renderLambda(out *strings.Builder, r Report) {
	fmt.Fprintf(out, "\nThe Lambda binary, built as it is packaged; start is spawn to first poll, %s, n=%d\n", r.Host.Arch, r.Starts[0].N)
	t := grid("", "arch", "binary", "zip", "start")
	for _, b := range r.Lambda {
		init := "-"
		for _, s := range r.Starts {
			if s.Name == b.Name && b.Arch == r.Host.Arch {
				init = s.Init.fine()
			}
		}
		t.AppendRow(table.Row{b.Name, b.Arch, mib(b.Raw), mib(b.Zip), init})
	}
	fmt.Fprintln(out, t.Render())
}

func mib(bytes int64) string { return fmt.Sprintf("%.2f MiB", float64(bytes)/(1<<20)) }
