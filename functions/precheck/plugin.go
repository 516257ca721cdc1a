package precheck

import (
	"context"
	"errors"
	"time"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/plugin"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/run"
)

// tool looks at what the provider's plug-in needs, and has the provider check
// its command without running it. The disks' kinds and what is in progress on
// them were looked at before.
func tool(ctx context.Context, c Cloud, plan *run.Plan, instance cloud.Instance) error {
	p, ok := c.(cloud.Plugin)
	if !ok {
		return fault.Input("policy.mode", "is plugin, which Alibaba Cloud alone has")
	}
	if err := plugin.Fits(*plan); err != nil {
		return err
	}
	ping, err := c.Ping(ctx, instance.ID)
	if err != nil {
		return err
	}
	if !ping.Online || time.Since(ping.Last) > stale {
		return fault.New(fault.AgentOffline, "Cloud Assistant of %s was last heard of at %s; where it was never installed, `aliyun ecs InstallCloudAssistant --InstanceId.1 %s` and a reboot do it",
			instance.ID, ping.Last.UTC().Format(time.RFC3339), instance.ID)
	}
	spec := plugin.Of(*plan, !ping.Linux, 0)
	text, err := spec.Command()
	if err != nil {
		return err
	}
	switch why := plugin.System(instance.System); {
	case instance.System == "":
		plan.Warnings = append(plan.Warnings, "the provider does not say which system the instance runs")
	case why != "":
		return fault.New(fault.PluginRefused, "%s", why)
	}
	if err := role(ctx, p, plan.Policy.RamRole, instance.ID); err != nil {
		return err
	}
	shell := cloud.Shell{InstanceID: instance.ID, Windows: !ping.Linux, Content: text, Name: spec.Name, TimeoutSecs: int(plugin.Limit.Seconds()), DryRun: true}
	if _, err := p.Run(ctx, shell); err != nil {
		return err
	}
	if !ping.Linux {
		return nil
	}
	plan.Warnings = append(plan.Warnings, "the plug-in freezes every mounted filesystem, those on disks that the set leaves out too")
	if plan.Policy.Application.Kind == policy.None {
		plan.Warnings = append(plan.Warnings, "the policy names no scripts, and the plug-in runs /tmp/prescript.sh and /tmp/postscript.sh where root has put them")
	}
	if plan.Policy.Freeze.Enabled && plan.Policy.Freeze.DeadlineSeconds > slowFreeze {
		plan.Warnings = append(plan.Warnings, "policy.freeze.deadlineSeconds is more than 16, past which the plug-in's makers warn of freezes that fail")
	}
	return scripts(ctx, c, p, plan, spec)
}

// slowFreeze is what the console warns of.
const slowFreeze = 16

// role refuses an instance on which the plug-in could call nothing.
func role(ctx context.Context, p cloud.Plugin, wanted, instanceID string) error {
	attached, err := p.Role(ctx, instanceID)
	switch {
	case err != nil:
		return err
	case attached == "":
		return fault.New(fault.InstanceRoleMissing, "no RAM role is attached to %s; `aliyun ecs AttachInstanceRamRole --RamRoleName %s --InstanceIds '[\"%s\"]'` does it", instanceID, wanted, instanceID)
	case attached != wanted:
		return fault.Input("policy.ramRole", "is %s, but %s is attached to %s", wanted, attached, instanceID)
	}
	return nil
}

// looking is how long the answer about the scripts is waited for: it decides
// nothing, and without it the run goes on.
const looking = 20 * time.Second

// scripts warns of what would make the plug-in take a lesser set and not say
// so.
func scripts(ctx context.Context, c Cloud, p cloud.Plugin, plan *run.Plan, spec plugin.Spec) error {
	text, err := spec.Look()
	if err != nil || text == "" {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, looking)
	defer cancel()
	answer, err := look(ctx, c, p, cloud.Shell{InstanceID: plan.Target.InstanceID, Content: text, Name: spec.Name + "-look", TimeoutSecs: 60, Token: plugin.Token(plan.RunID, -1)})
	if err != nil {
		plan.Warnings = append(plan.Warnings, "the scripts could not be looked at: "+err.Error())
		return nil
	}
	plan.Warnings = append(plan.Warnings, spec.Warnings(answer)...)
	return nil
}

func look(ctx context.Context, c Cloud, p cloud.Plugin, shell cloud.Shell) (string, error) {
	id, err := p.Run(ctx, shell)
	if err != nil {
		return "", err
	}
	for {
		r, err := c.Result(ctx, shell.InstanceID, id)
		switch {
		case err != nil:
			return "", err
		case r.Done && (r.TimedOut || r.ExitCode != 0):
			return "", errors.New("the command ended as " + r.Status)
		case r.Done:
			return plugin.Decode(r.Stdout) + plugin.Decode(r.Stderr), nil
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}
