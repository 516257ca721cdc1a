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

	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/verify"
)

// verifyCmd starts the workflow of a restore test and follows it. Without a yes
// it is a dry run: choice and plan are shown before anything is touched.
type verifyCmd struct {
	Machine string `name:"verify-machine" env:"QUIESCE_VERIFY_MACHINE" placeholder:"ARN" help:"State machine of the restore test, on AWS."`
	Flow    string `name:"verify-flow" env:"QUIESCE_VERIFY_FLOW" default:"quiesce-verify" placeholder:"NAME" help:"Flow of the restore test, on Alibaba Cloud."`
	where
	RunID string `arg:"" optional:"" name:"run" help:"Id of the run whose set is tested; without it the newest good set of the policy."`

	Policy   string `type:"existingfile" help:"Policy file, whose restoreTest says where and how; without one the flags below do."`
	Of       string `placeholder:"ID" help:"Test the newest good set of this instance; by default of the one of which none was tested for longest."`
	Instance string `placeholder:"ID" help:"Test instance, in place of the policy's."`
	App      string `help:"Server that is started on the copies, or none, in place of the policy's."`
	Check    string `placeholder:"PATH" help:"Your own check on the test instance, in place of the policy's."`
	Minutes  int    `placeholder:"N" help:"Time limit, 5-360, in place of the policy's."`

	DryRun bool   `help:"Show the choice and the plan and touch nothing, which is what happens without --yes."`
	Yes    bool   `help:"Do it."`
	Output string `short:"o" enum:"text,json" default:"text" help:"text or json."`
}

func (c *verifyCmd) request() (verify.Request, error) {
	r := verify.Request{RunID: c.RunID, InstanceID: c.Of, Policy: policy.DefaultDocument(), DryRun: c.DryRun || !c.Yes}
	if c.RunID == "" && c.Policy == "" {
		return r, fault.Input("--policy", "is missing: without a run's id its name finds the sets")
	}
	if c.Policy != "" {
		var err error
		if r.Policy, err = readPolicy(c.Policy); err != nil {
			return r, err
		}
	}
	t := &r.Policy.RestoreTest
	for _, f := range []struct {
		flag string
		into *string
	}{{c.Instance, &t.Instance}, {c.App, &t.Application}, {c.Check, &t.Check}} {
		if f.flag != "" {
			*f.into = f.flag
		}
	}
	if c.Minutes != 0 {
		t.TimeLimitMinutes = c.Minutes
	}
	if t.Instance == "" {
		return r, fault.Input("--instance", "is missing, and so is the policy's restoreTest.instance: the set is brought to life on an instance that is named")
	}
	r.Policy.Schema, r.Policy.Schedules, r.Policy.Notification = "", nil, nil
	return r, r.Check()
}

func (c *verifyCmd) Run(ctx context.Context, s *streams) error {
	asked, err := c.request()
	if err != nil {
		return err
	}
	input, err := json.Marshal(asked)
	if err != nil {
		return err
	}
	name := execution("verify")
	follow, err := c.begin(ctx, workflowOf{"--verify-machine", c.Machine, c.Flow}, name, string(input))
	if err != nil {
		return err
	}
	record, err := s.follow("restore test", name, follow)
	if err != nil {
		return err
	}
	var state verify.State
	if err := json.Unmarshal(record.Document, &state); err != nil || state.Verdict == nil {
		return fmt.Errorf("the restore test %s ended as %s without a verdict: %s %s; look at its history", name, record.Status, record.Error, record.Cause)
	}
	if c.Output == "json" {
		err = writeJSON(s.out, state.Verdict)
	} else {
		err = c.show(s.out, name, state.Verdict)
	}
	if err == nil && state.Verdict.Outcome != verify.Passed && state.Verdict.Outcome != verify.Planned {
		return errLess
	}
	return err
}

// show prints what was tested and what came of it, as a person reads it.
func (c *verifyCmd) show(out io.Writer, name string, v *verify.Verdict) error {
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	row := func(what, format string, args ...any) {
		t.AppendRow(table.Row{what, text.WrapSoft(fmt.Sprintf(format, args...), 100)})
	}
	if v.Outcome == verify.Planned {
		row("outcome", "%s", v.Outcome)
	} else {
		row("verdict", "%s", v.Result)
	}
	row("because", "%s", v.Reason)
	row("test", "%s", name)
	if k := v.Choice; k != nil {
		row("set", "%s of %s, taken at %s, %s-consistent", k.SetID, k.InstanceID, k.TakenAt.UTC().Format(time.DateTime), k.Proved)
		row("picked", "%s", k.Because)
		row("server", "%s", k.Application)
		if k.Script != "" {
			row("check", "%s", k.Script)
		}
		row("at the latest", "%s", k.Deadline.UTC().Format(time.RFC3339))
		row("cost", "%s", k.CostHint)
	}
	if p := v.Plan; p != nil {
		row("instance", "%s in %s", p.Target.InstanceID, p.Zone)
		for i, step := range p.Steps {
			row(fmt.Sprintf("step %d", i+1), "%s", step)
		}
		for _, w := range p.Warnings {
			row("warning", "%s", w)
		}
	}
	if v.RecoverySeconds > 0 {
		row("recovery", "%.1f s", v.RecoverySeconds)
	}
	if r := v.Recovery; r != nil {
		for _, f := range r.Filesystems {
			row("filesystem", "%s", strings.Join(strings.Fields(f.Origin+" "+f.Type+" "+f.Was+" "+f.Checked), " "))
		}
		for _, n := range r.Notes {
			row("note", "%s", n)
		}
	}
	for _, d := range v.Left {
		row("left", "%s", d)
	}
	for _, n := range v.Next {
		row("next", "%s", n)
	}
	if _, err := fmt.Fprintln(out, t.Render()); err != nil {
		return err
	}
	if v.Outcome == verify.Planned && !c.DryRun {
		_, err := fmt.Fprintln(out, "Nothing was touched. The same with --yes does it.")
		return err
	}
	return nil
}
