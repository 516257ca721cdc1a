package main

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/quiesce/quiesce/functions"
	"github.com/quiesce/quiesce/functions/curate"
	"github.com/quiesce/quiesce/functions/prune"
	account "github.com/quiesce/quiesce/local/aws"
	"github.com/quiesce/quiesce/local/aws/ec2"
	"github.com/quiesce/quiesce/local/aws/kms"
	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/cloud/awscloud"
	"github.com/quiesce/quiesce/shared/step"
)

// input is what a rule's target hands over, with what only EventBridge and
// CloudFormation know filled in.
func input(target any) string {
	template := at(target, "InputTransformer", "InputTemplate")
	text, plain := template.(string)
	if parts, joined := at(template, "Fn::Join", 1).([]any); !plain && joined {
		for _, part := range parts {
			if s, ok := part.(string); ok {
				text += s
			} else {
				text += region
			}
		}
	}
	for name, path := range at(target, "InputTransformer", "InputPathsMap").(map[string]any) {
		value := map[any]string{"$.id": `"c0ffee"`, "$.time": `"2026-11-20T05:15:00Z"`}[path]
		text = strings.ReplaceAll(text, "<"+name+">", value)
	}
	return text
}

// The one policy that says what becomes of its sets is looked after every quarter
// of an hour, and its copies are gone through by their own retention.
func TestCurationIsLookedAfter(t *testing.T) {
	_, tmpl := synthesised(t)
	looked, pruned := 0, 0
	for id, r := range tmpl.of("AWS::Events::Rule") {
		target := at(r.Properties, "Targets", 0)
		switch arn := flat(at(target, "Arn")); {
		case strings.Contains(arn, "Curate"):
			looked++
			var in curate.Input
			if err := step.Decode([]byte(input(target)), &in); err != nil {
				t.Fatalf("%s: %v", id, err)
			}
			d := in.Request.Policy
			if err := in.Check(); err != nil || d.Name != "monthly" || len(d.Copies) != 2 || d.Lock.Days != 30 || d.Retention.Monthly != 24 || r.Properties["ScheduleExpression"] != looking {
				t.Errorf("got %+v, %v", in, err)
			}
		case strings.Contains(arn, "Prune"):
			var in prune.Input
			if err := step.Decode([]byte(input(target)), &in); err != nil {
				t.Fatalf("%s: %v", id, err)
			}
			if in.Request.Copies == nil {
				continue
			}
			pruned++
			rule, from := in.Request.Rule()
			if err := in.Check(); err != nil || in.Request.Copies.Region != "eu-west-1" || from != region || rule.Monthly != 12 {
				t.Errorf("got %+v, %v", in, err)
			}
		case strings.Contains(flat(target), "copies"):
			t.Errorf("%s is told what becomes of a set", id)
		}
	}
	if looked != 1 || pruned != 1 {
		t.Errorf("%d policies are looked after and %d Regions gone through, want 1 and 1", looked, pruned)
	}
}

// What is granted elsewhere is granted in the policies' Regions alone.
func TestCopiesGoNowhereElse(t *testing.T) {
	_, tmpl := synthesised(t)
	regions := map[string]int{}
	for id, r := range tmpl.of("AWS::IAM::Policy") {
		if !strings.Contains(id, "Curate") && !strings.Contains(id, "Prune") {
			continue
		}
		text := flat(r.Properties)
		if strings.Contains(text, "copy-region") {
			t.Errorf("%s: %s", id, text)
		}
		for _, other := range []string{"eu-west-1", "us-east-1", "eu-west-2"} {
			regions[other] += strings.Count(text, other)
		}
	}
	if regions["eu-west-1"] == 0 || regions["us-east-1"] == 0 || regions["eu-west-2"] > 0 {
		t.Errorf("got %v", regions)
	}
}

// curated looks after a set by the rights of the table, and deletes an old copy.
func curated(t *testing.T, rights map[string][]grant) (denied []string, copies int) {
	t.Helper()
	a := account.New(account.Config{Unthrottled: true, Regions: []string{copyRegion}})
	defer a.Close()
	key := a.KMS.AddKey(kms.Key{ID: "1"})
	a.EC2.AddInstance(ec2.Instance{ID: "i-0abc12345678def90"})
	if _, err := a.EC2.AddVolume(t.Context(), ec2.Volume{ID: "vol-0da7a000000000001", Instance: "i-0abc12345678def90", Bytes: 1 << 30, Hollow: true, Key: key}); err != nil {
		t.Fatal(err)
	}
	owner := awsec2.NewFromConfig(a.Client("owner"))
	tag := func(key, value string) types.Tag { return types.Tag{Key: sdk.String(key), Value: sdk.String(value)} }
	tags := func(id string) map[string]string {
		if of := a.EC2.Tags(id); of != nil {
			return of
		}
		return a.In(copyRegion).Tags(id)
	}
	handlers := map[string]step.Handler{}
	for _, name := range []string{"curate", "prune"} {
		cfg := a.Client(name)
		cfg.HTTPClient = &http.Client{Transport: guard{rights[name], a.Transport(), tags, func(x ask) { denied = append(denied, x.action) }}}
		provider := awscloud.New(cfg, awscloud.Options{})
		handlers[name] = functions.Table(functions.Deps{Cloud: provider, Keeper: provider, Regions: func(region string) cloud.Region { return provider.In(region) }})[name]
	}
	call := func(name, request string) {
		_, _ = handlers[name](context.WithoutCancel(t.Context()), json.RawMessage(`{"run":{"id":"r"},"request":`+request+`}`))
		time.Sleep(15 * time.Minute)
	}
	const policy = `{"name":"nightly","copies":[{"region":"eu-west-1","retention":{"last":1}}],"retention":{"monthly":3,"last":1},"lock":{"mode":"governance","days":30},
		"share":{"accounts":["210987654321"],"unshareAfter":"1d"},"fastRestore":{"zones":["eu-central-1a"],"count":1},"archive":{"after":"30d"}}`
	for i, runID := range []string{"run-1", "run-2", "run-3", "run-4"} {
		_, err := owner.CreateSnapshots(t.Context(), &awsec2.CreateSnapshotsInput{
			InstanceSpecification: &types.InstanceSpecification{InstanceId: sdk.String("i-0abc12345678def90")},
			TagSpecifications: []types.TagSpecification{{ResourceType: types.ResourceTypeSnapshot, Tags: []types.Tag{
				tag(cloud.TagRun, runID), tag(cloud.TagPolicy, "nightly"), tag(cloud.TagInstance, "i-0abc12345678def90"), tag(cloud.TagMembers, "1"), tag(cloud.TagConsistency, "application"),
			}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		for range 3 {
			call("curate", `{"policy":`+policy+`}`)
		}
		if i > 0 {
			call("prune", `{"policy":{"name":"nightly","copies":[{"region":"eu-west-1","retention":{"last":1}}]},"copies":{"region":"eu-west-1","from":"eu-central-1"}}`)
		}
		time.Sleep(31 * 24 * time.Hour)
	}
	call("curate", `{"policy":`+policy+`}`)
	there := a.Client("owner")
	there.Region = copyRegion
	out, err := awsec2.NewFromConfig(there).DescribeSnapshots(t.Context(), &awsec2.DescribeSnapshotsInput{})
	if err != nil {
		t.Fatal(err)
	}
	for _, action := range []string{"ModifySnapshotTier", "EnableFastSnapshotRestores", "DisableFastSnapshotRestores", "LockSnapshot", "DeleteSnapshot"} {
		if len(denied) == 0 && a.Count(action) == 0 {
			t.Errorf("nothing asked for %s", action)
		}
	}
	return denied, len(out.Snapshots)
}

func TestCurateIsAllowedWhatItAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if denied, copies := curated(t, grants); len(denied) > 0 || copies != 1 {
			t.Errorf("denied %v, and %d copies are there", denied, copies)
		}
	})
}

// Without one of its rights it is denied exactly that.
func TestCurateNeedsItsRights(t *testing.T) {
	for _, c := range []struct{ step, sid, action string }{
		{"curate", "CopyRuns", "ec2:CopySnapshot"}, {"curate", "AsACopyAbroad", "ec2:CopySnapshot"}, {"curate", "TagAtCreationAbroad", "ec2:CreateTags"},
		{"curate", "LabelTheRunsOwnAbroad", "ec2:CreateTags"}, {"curate", "LookAtSnapshotsAbroad", "ec2:DescribeSnapshots"}, {"curate", "LockRuns", "ec2:LockSnapshot"},
		{"curate", "ShareRuns", "ec2:ModifySnapshotAttribute"}, {"curate", "LookWhoseKey", "kms:DescribeKey"},
		{"prune", "DeleteMarkedAbroad", "ec2:DeleteSnapshot"}, {"prune", "LookForHoldsAbroad", "ec2:DescribeLockedSnapshots"},
	} {
		t.Run(c.step+" "+c.sid, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				less := map[string][]grant{}
				for step, list := range grants {
					less[step] = slices.DeleteFunc(slices.Clone(list), func(g grant) bool { return step == c.step && g.sid == c.sid })
				}
				denied, _ := curated(t, less)
				if len(denied) == 0 || slices.ContainsFunc(denied, func(d string) bool { return d != c.action }) {
					t.Errorf("denied %v, want %s", denied, c.action)
				}
			})
		})
	}
}
