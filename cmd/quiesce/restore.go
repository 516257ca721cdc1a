package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/quiesce/quiesce/shared/restore"
)

// restoreCmd starts the workflow of a restore and follows it. Without a yes it
// is a dry run: the plan is shown before anything is touched.
type restoreCmd struct {
	Machine string `name:"restore-machine" env:"QUIESCE_RESTORE_MACHINE" placeholder:"ARN" help:"State machine of the restore, on AWS."`
	Flow    string `name:"restore-flow" env:"QUIESCE_RESTORE_FLOW" default:"quiesce-restore" placeholder:"NAME" help:"Flow of the restore, on Alibaba Cloud."`
	where
	RunID string `arg:"" name:"run" help:"Id of the run whose set is restored; with --rollback, --confirm or --cleanup that of the restore."`

	Mode                  string            `enum:",volumes,in-place,image" default:"" help:"volumes: new disks beside an instance's; in-place: instead of those of the set's own instance, which is stopped (on Alibaba Cloud these are set back); image: a machine image, and an instance of it if --launch asks for one."`
	Instance              string            `placeholder:"ID" help:"Where the disks go; by default the set's own instance."`
	Zone                  string            `help:"Refused unless the instance is there."`
	Device                map[string]string `placeholder:"VOLUME=NAME" help:"Name that the disk of a volume gets; repeatable. By default free ones are chosen."`
	AcceptCrashConsistent bool              `help:"Restore a set of which nothing more than crash consistency was proved."`
	AcceptUncheckedKeys   bool              `help:"Restore a set whose keys let nobody but EC2 use them, so that nobody can ask beforehand."`

	imageFlags
	recoverFlags

	Rollback bool `xor:"action" help:"Put the old disks back, or what was on them."`
	Confirm  bool `xor:"action" help:"Let the old disks go, or what was kept of them: nothing goes back any more."`
	Cleanup  bool `xor:"action" help:"Delete what the restore has made or kept; copies that came to life are unmounted first."`

	Unmounted bool `help:"With --cleanup: you have seen that nothing of the copies is mounted, and the helper is not asked."`

	DryRun bool   `help:"Show the plan and touch nothing, which is what happens without --yes."`
	Yes    bool   `help:"Do it."`
	Output string `short:"o" enum:"text,json" default:"text" help:"text or json."`
}

func (c *restoreCmd) request() restore.Request {
	r := restore.Request{
		RunID: c.RunID, Mode: restore.Mode(c.Mode), InstanceID: c.Instance, Zone: c.Zone, Devices: c.Device,
		Image: c.image(), Launch: c.imageFlags.launch(), Recover: c.recovery(), Unmounted: c.Unmounted, AcceptCrashConsistent: c.AcceptCrashConsistent, AcceptUncheckedKeys: c.AcceptUncheckedKeys, DryRun: c.DryRun || !c.Yes,
	}
	switch {
	case c.Rollback:
		r.Action = restore.Rollback
	case c.Confirm:
		r.Action = restore.Confirm
	case c.Cleanup:
		r.Action = restore.Cleanup
	}
	return r
}

func (c *restoreCmd) Run(ctx context.Context, s *streams) error {
	asked := c.request()
	if err := asked.Check(); err != nil {
		return err
	}
	input, err := json.Marshal(asked)
	if err != nil {
		return err
	}
	name := execution("restore")
	follow, err := c.begin(ctx, workflowOf{"--restore-machine", c.Machine, c.Flow}, name, string(input))
	if err != nil {
		return err
	}
	record, err := s.follow("restore", name, follow)
	if err != nil {
		return err
	}
	var state restore.State
	if err := json.Unmarshal(record.Document, &state); err != nil || state.Verdict == nil {
		return fmt.Errorf("the restore %s ended as %s without a verdict: %s %s; look at its history and at the instance", name, record.Status, record.Error, record.Cause)
	}
	if c.Output == "json" {
		err = writeJSON(s.out, state.Verdict)
	} else {
		err = c.show(s.out, name, state.Verdict)
	}
	if err == nil && (state.Verdict.Outcome == restore.FailedClean || state.Verdict.Outcome == restore.FailedDirty) {
		return errLess
	}
	return err
}

// show prints the plan and what became of it, as a person reads it.
func (c *restoreCmd) show(out io.Writer, name string, v *restore.Verdict) error {
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	row := func(what, said string) { t.AppendRow(table.Row{what, text.WrapSoft(said, 100)}) }
	row("outcome", string(v.Outcome))
	row("because", v.Reason)
	if p := v.Plan; p != nil {
		row("restore", p.RestoreID)
		if p.SetID != "" {
			row("set", p.SetID+", "+p.Proved+"-consistent: "+p.Because)
		}
		row("instance", strings.TrimSuffix(p.Target.InstanceID+" in "+p.Zone, " in "))
		for _, d := range p.Disks {
			row("disk", fmt.Sprintf("%s as %s, %d GiB %s, from %s", d.Origin, d.Device, d.SizeGiB, d.Kind, d.Snapshot))
		}
		for i, step := range p.Steps {
			row(fmt.Sprintf("step %d", i+1), step)
		}
		if p.CostHint != "" {
			row("cost", p.CostHint)
		}
		for _, w := range p.Warnings {
			row("warning", w)
		}
	}
	if r := v.Recovery; r != nil {
		showRecovery(row, r)
	}
	for _, m := range v.Created {
		if m.Kind != "" {
			row("made", m.ID+", "+m.State)
			continue
		}
		row("made", strings.Join(strings.Fields(m.ID+" of "+m.Origin+" "+m.Device), " "))
	}
	for _, o := range v.Old {
		row("kept", o.ID+", which was "+o.Device)
	}
	for _, k := range v.Kept {
		row("kept", k.ID+", what was on "+k.Disk)
	}
	for _, n := range v.Next {
		row("next", n)
	}
	if _, err := fmt.Fprintln(out, t.Render()); err != nil {
		return err
	}
	if v.Outcome == restore.Planned && !c.DryRun {
		_, err := fmt.Fprintln(out, "Nothing was touched. The same with --yes does it.")
		return err
	}
	return nil
}
