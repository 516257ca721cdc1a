package main

import (
	"context"
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/quiesce/quiesce/functions"
	"github.com/quiesce/quiesce/functions/prune"
	account "github.com/quiesce/quiesce/local/aws"
	"github.com/quiesce/quiesce/local/aws/ec2"
	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/cloud/awscloud"
	"github.com/quiesce/quiesce/shared/step"
)

var atNight = regexp.MustCompile(`^cron\((0|15|30|45) (1?[0-9]|2[0-3]) \* \* \? \*\)$`)

// Of the policies, the one that says what it keeps is gone through daily, by an
// input that the function takes; the fleets are told nothing of it.
func TestRetentionIsAppliedDaily(t *testing.T) {
	_, tmpl := synthesised(t)
	n := 0
	for id, r := range tmpl.of("AWS::Events::Rule") {
		target := at(r.Properties, "Targets", 0)
		if !strings.Contains(flat(at(target, "Arn")), "Prune") {
			if strings.Contains(flat(target), "retention") && !strings.Contains(flat(at(target, "Arn")), "Curate") {
				t.Errorf("%s is told what is kept", id)
			}
			continue
		}
		text, plain := at(target, "InputTransformer", "InputTemplate").(string)
		if !plain {
			continue // of copies: it names the stack's Region
		}
		n++
		if expression, _ := r.Properties["ScheduleExpression"].(string); !atNight.MatchString(expression) {
			t.Errorf("got %s", expression)
		}
		for name, path := range at(target, "InputTransformer", "InputPathsMap").(map[string]any) {
			value := map[any]string{"$.id": `"c0ffee"`, "$.time": `"2026-11-20T05:15:00Z"`}[path]
			text = strings.ReplaceAll(text, "<"+name+">", value)
		}
		var in prune.Input
		if err := step.Decode([]byte(text), &in); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if err := in.Check(); err != nil || in.Request.Policy.Name != "monthly" || in.Request.Policy.Retention.Monthly != 24 || in.Run.ID != "c0ffee" || in.Request.DryRun {
			t.Errorf("got %+v, %v", in, err)
		}
	}
	if n != 1 {
		t.Errorf("%d policies are gone through, want 1", n)
	}
}

func TestPoliciesShareTheDay(t *testing.T) {
	times := map[string]bool{}
	for _, name := range []string{"nightly", "monthly", "a-b", "a.b", "orders", "default"} {
		times[daily(name)] = true
	}
	if len(times) < 5 {
		t.Errorf("got %v", times)
	}
}

// pruned deletes two of three sets by the rights of the table.
func pruned(t *testing.T, rights []grant) (denied []string, left int) {
	t.Helper()
	a := account.New(account.Config{Unthrottled: true})
	defer a.Close()
	a.EC2.AddInstance(ec2.Instance{ID: "i-0abc12345678def90"})
	if _, err := a.EC2.AddVolume(t.Context(), ec2.Volume{ID: "vol-0da7a000000000001", Instance: "i-0abc12345678def90", Bytes: 1 << 30, Hollow: true}); err != nil {
		t.Fatal(err)
	}
	owner := awsec2.NewFromConfig(a.Client("owner"))
	tag := func(key, value string) types.Tag { return types.Tag{Key: sdk.String(key), Value: sdk.String(value)} }
	for _, runID := range []string{"run-1", "run-2", "run-3"} {
		_, err := owner.CreateSnapshots(t.Context(), &awsec2.CreateSnapshotsInput{
			InstanceSpecification: &types.InstanceSpecification{InstanceId: sdk.String("i-0abc12345678def90")},
			TagSpecifications: []types.TagSpecification{{ResourceType: types.ResourceTypeSnapshot, Tags: []types.Tag{
				tag(cloud.TagRun, runID), tag(cloud.TagPolicy, "nightly"), tag(cloud.TagInstance, "i-0abc12345678def90"), tag(cloud.TagMembers, "1"), tag(cloud.TagConsistency, "application"),
			}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
	}
	cfg := a.Client("prune")
	cfg.HTTPClient = &http.Client{Transport: guard{rights, a.Transport(), a.EC2.Tags, func(x ask) { denied = append(denied, x.action) }}}
	provider := awscloud.New(cfg, awscloud.Options{})
	handler := functions.Table(functions.Deps{Cloud: provider, Keeper: provider})["prune"]
	_, _ = handler(context.WithoutCancel(t.Context()), json.RawMessage(`{"run":{"id":"r"},"request":{"policy":{"name":"nightly","retention":{"last":1}}}}`))
	out, err := owner.DescribeSnapshots(t.Context(), &awsec2.DescribeSnapshotsInput{})
	if err != nil {
		t.Fatal(err)
	}
	return denied, len(out.Snapshots)
}

func TestPruneIsAllowedWhatItAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if denied, left := pruned(t, grants["prune"]); len(denied) > 0 || left != 1 {
			t.Errorf("denied %v, and %d are left", denied, left)
		}
	})
}

// Without one of its rights it is denied exactly that, and deletes nothing.
func TestPruneNeedsItsRights(t *testing.T) {
	for sid, action := range map[string]string{
		"LookAtSnapshots": "ec2:DescribeSnapshots", "LookForHolds": "ec2:DescribeLockedSnapshots", "LookWhoShares": "ec2:DescribeSnapshotAttribute",
		"LabelTheRunsOwn": "ec2:CreateTags", "DeleteMarked": "ec2:DeleteSnapshot",
	} {
		t.Run(sid, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				less := slices.DeleteFunc(slices.Clone(grants["prune"]), func(g grant) bool { return g.sid == sid })
				denied, left := pruned(t, less)
				if len(denied) == 0 || slices.ContainsFunc(denied, func(d string) bool { return d != action }) || left != 3 {
					t.Errorf("denied %v, want %s, and %d are left", denied, action, left)
				}
			})
		})
	}
}
