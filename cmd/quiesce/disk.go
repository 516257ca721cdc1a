package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/cloud/alicloud"
	"github.com/quiesce/quiesce/shared/cloud/alicloud/disks"
)

// diskCmd is what people do with single disks on Alibaba Cloud.
type diskCmd struct {
	Snapshot diskSnapshotCmd `cmd:"" help:"Snapshot one disk, as it is: nothing is brought to rest."`
	List     diskListCmd     `cmd:"" help:"List snapshots, the newest first."`
	Policy   diskPolicyCmd   `cmd:"" help:"Automatic snapshots: make a policy, let disks follow it, show it."`
	Rollback diskRollbackCmd `cmd:"" help:"Set a disk back to a snapshot of its own, after a snapshot of what is on it."`
	Image    diskImageCmd    `cmd:"" help:"Make a custom image of snapshots."`
}

// alibaba is how the account is reached, by the variables that Alibaba Cloud's
// own tools read.
type alibaba struct {
	Region      string `required:"" env:"ALIBABA_CLOUD_REGION_ID,ALICLOUD_REGION" help:"Region."`
	KeyID       string `required:"" env:"ALIBABA_CLOUD_ACCESS_KEY_ID" placeholder:"ID" help:"Access key id; better from the environment."`
	KeySecret   string `required:"" env:"ALIBABA_CLOUD_ACCESS_KEY_SECRET" placeholder:"SECRET" help:"Access key secret; only from the environment, if others see your command line."`
	Token       string `env:"ALIBABA_CLOUD_SECURITY_TOKEN" help:"Security token of STS."`
	EndpointURL string `env:"QUIESCE_ENDPOINT" placeholder:"URL" help:"Another endpoint, such as an emulator's."`
}

func (a alibaba) provider() *alicloud.Provider {
	cfg := alicloud.Config{Region: a.Region, Credentials: func(context.Context) (alicloud.Keys, error) {
		return alicloud.Keys{ID: a.KeyID, Secret: a.KeySecret, Token: a.Token}, nil
	}}
	if a.EndpointURL != "" {
		cfg.Endpoints = map[string]string{"*": a.EndpointURL}
	}
	return alicloud.New(cfg, alicloud.Options{})
}

type diskSnapshotCmd struct {
	alibaba
	Disk          string            `arg:"" help:"Disk id."`
	Name          string            `help:"Its name, 2-128 characters, not beginning with auto."`
	Description   string            `help:"Its description."`
	RetentionDays int               `help:"Days after which it is deleted, 1-65536; without it it is kept."`
	Tag           map[string]string `placeholder:"KEY=VALUE" help:"A tag; repeatable."`
}

func (c *diskSnapshotCmd) Run(ctx context.Context, s *streams) error {
	id, err := disks.Take(ctx, c.provider(), disks.Snapshot{
		Disk: c.Disk, Name: c.Name, Description: c.Description, RetentionDays: c.RetentionDays, Tags: c.Tag,
	})
	if err != nil {
		return err
	}
	fmt.Fprintln(s.out, id)
	fmt.Fprintln(s.progress, "it is crash-consistent: for more, take a set with quiesce start")
	return nil
}

type diskListCmd struct {
	alibaba
	Disk     string            `help:"Only of this disk."`
	Instance string            `help:"Only of this instance's disks."`
	Status   string            `enum:"all,progressing,accomplished,failed" default:"all" help:"Only in this status."`
	Tag      map[string]string `placeholder:"KEY=VALUE" help:"Only with this tag; repeatable."`
	Output   string            `short:"o" enum:"text,json" default:"text" help:"text or json."`
}

func (c *diskListCmd) Run(ctx context.Context, s *streams) error {
	status := c.Status
	if status == "all" {
		status = ""
	}
	all, err := disks.List(ctx, c.provider(), alicloud.Wanted{DiskID: c.Disk, InstanceID: c.Instance, Status: status, Tags: c.Tag})
	if err != nil {
		return err
	}
	if c.Output == "json" {
		return writeJSON(s.out, all)
	}
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.AppendHeader(table.Row{"snapshot", "disk", "GiB", "status", "made", "kept", "consistency", "run"})
	for _, one := range all {
		kept := "until deleted"
		if one.RetentionDays > 0 {
			kept = fmt.Sprintf("%d days", one.RetentionDays)
		}
		t.AppendRow(table.Row{
			one.ID, one.DiskID, one.SizeGiB, one.Status + " " + one.Progress, one.CreatedAt.Local().Format(time.DateTime), kept,
			one.Tags[cloud.TagConsistency], one.Tags[cloud.TagRun],
		})
	}
	fmt.Fprintln(s.out, t.Render())
	return nil
}

type diskPolicyCmd struct {
	Create diskPolicyCreateCmd `cmd:"" help:"Make a policy."`
	Apply  diskPolicyApplyCmd  `cmd:"" help:"Let disks follow a policy."`
	Show   diskPolicyShowCmd   `cmd:"" help:"Show one policy, or all."`
}

type diskPolicyCreateCmd struct {
	alibaba
	Name          string `required:"" help:"Its name, 2-128 characters."`
	At            []int  `required:"" placeholder:"HOUR" help:"Hours of the day, 0-23, in the Region's own time zone: --at 2,14."`
	Weekdays      []int  `default:"1,2,3,4,5,6,7" help:"Days of the week; 1 is Monday."`
	RetentionDays int    `required:"" help:"Days for which each is kept, or -1 for ever."`
}

func (c *diskPolicyCreateCmd) Run(ctx context.Context, s *streams) error {
	id, err := disks.Create(ctx, c.provider(), disks.Policy{Name: c.Name, Hours: c.At, Weekdays: c.Weekdays, RetentionDays: c.RetentionDays})
	if err != nil {
		return err
	}
	fmt.Fprintln(s.out, id)
	fmt.Fprintf(s.progress, "no disk follows it yet: quiesce disk policy apply %s DISK\n", id)
	return nil
}

type diskPolicyApplyCmd struct {
	alibaba
	Policy string   `arg:"" help:"Policy id."`
	Disks  []string `arg:"" help:"Disk ids."`
}

func (c *diskPolicyApplyCmd) Run(ctx context.Context, s *streams) error {
	before, err := disks.Apply(ctx, c.provider(), c.Policy, c.Disks)
	if err != nil {
		return err
	}
	for _, id := range slices.Sorted(maps.Keys(before)) {
		fmt.Fprintf(s.progress, "%s followed %s until now\n", id, before[id])
	}
	fmt.Fprintf(s.out, "%d disks follow %s\n", len(c.Disks), c.Policy)
	return nil
}

type diskPolicyShowCmd struct {
	alibaba
	Policy string `arg:"" optional:"" help:"Policy id."`
	Output string `short:"o" enum:"text,json" default:"text" help:"text or json."`
}

func (c *diskPolicyShowCmd) Run(ctx context.Context, s *streams) error {
	all, err := disks.Describe(ctx, c.provider(), c.Policy)
	if err != nil {
		return err
	}
	if c.Output == "json" {
		return writeJSON(s.out, all)
	}
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.AppendHeader(table.Row{"policy", "name", "hours", "weekdays", "kept", "disks", "status"})
	for _, p := range all {
		kept := fmt.Sprintf("%d days", p.RetentionDays)
		if p.RetentionDays < 0 {
			kept = "for ever"
		}
		t.AppendRow(table.Row{p.ID, p.Name, strings.Join(p.Hours, " "), strings.Join(p.Weekdays, " "), kept, p.Disks, p.Status})
	}
	fmt.Fprintln(s.out, t.Render())
	return nil
}

type diskRollbackCmd struct {
	alibaba
	Disk     string `arg:"" help:"Disk id."`
	Snapshot string `arg:"" help:"Snapshot of that very disk."`
	DryRun   bool   `help:"Say what would be done, and have the service check it."`
	Alone    bool   `help:"Set one disk of a set back without the others."`
	Confirm  string `placeholder:"DISK" help:"The disk's id once more: what was written since the snapshot is replaced."`
}

func (c *diskRollbackCmd) Run(ctx context.Context, s *streams) error {
	done, err := disks.Back(ctx, c.provider(), disks.Rollback{
		Disk: c.Disk, Snapshot: c.Snapshot, DryRun: c.DryRun, Alone: c.Alone, Confirm: c.Confirm,
	}, func(format string, args ...any) { fmt.Fprintf(s.progress, format+"\n", args...) })
	if err != nil {
		if done != nil && done.Safety != "" {
			fmt.Fprintf(s.progress, "what was on the disk is in %s\n", done.Safety)
		}
		return err
	}
	made := done.Snapshot.CreatedAt.Local().Format(time.DateTime)
	if c.DryRun {
		fmt.Fprintf(s.out, "would snapshot %s, then set it back to %s of %s; what was written since would be in that first snapshot alone\n", c.Disk, c.Snapshot, made)
		return nil
	}
	fmt.Fprintf(s.out, "%s is as it was at %s; what was on it is in %s\n", c.Disk, made, done.Safety)
	if done.Instance != nil {
		fmt.Fprintf(s.progress, "next: start %s; to undo, stop it and set the disk back to %s\n", done.Instance.ID, done.Safety)
	}
	return nil
}

type diskImageCmd struct {
	alibaba
	Snapshots   []string `arg:"" help:"Snapshot of a system disk, and those of data disks that instances of the image are to have."`
	Name        string   `required:"" help:"Its name, 2-128 characters, not beginning with acs: or aliyun."`
	Description string   `help:"Its description."`
}

func (c *diskImageCmd) Run(ctx context.Context, s *streams) error {
	id, warnings, err := disks.Make(ctx, c.provider(), disks.Image{Name: c.Name, Description: c.Description, Snapshots: c.Snapshots})
	if err != nil {
		return err
	}
	for _, w := range warnings {
		fmt.Fprintf(s.progress, "warning: %s\n", w)
	}
	fmt.Fprintln(s.out, id)
	fmt.Fprintf(s.progress, "next: wait until it is Available, then start an instance of it (ImageId=%s); its snapshots cannot be deleted before it\n", id)
	return nil
}
