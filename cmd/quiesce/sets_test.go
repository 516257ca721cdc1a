package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/quiesce/quiesce/functions/curate"
	"github.com/quiesce/quiesce/functions/prune"
	"github.com/quiesce/quiesce/local/aws"
	"github.com/quiesce/quiesce/local/aws/ec2"
	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/cloud/awscloud"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/run"
)

const stockedID = "i-0abc12345678def90"

// stocked is an account with sets of one volume under the policy db: three that
// are good, of which the first is locked, and one of another policy.
func stocked(t *testing.T) (account *aws.Cloud, address string) {
	t.Helper()
	account = aws.New(aws.Config{Latency: map[string]time.Duration{"CreateSnapshots": 5 * time.Millisecond, "*": 0}, EC2: ec2.Config{Completion: time.Nanosecond, Visible: -1, Spacing: -1}})
	return account, stock(t, account, nil)
}

// stock fills an account and returns its address.
func stock(t *testing.T, account *aws.Cloud, instance map[string]string) (address string) {
	t.Helper()
	address = serve(t, account)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	account.EC2.AddInstance(ec2.Instance{ID: stockedID, Tags: instance})
	_, err := account.EC2.AddVolume(t.Context(), ec2.Volume{ID: "vol-0da7a000000000001", Instance: stockedID, Bytes: 20 << 30, Hollow: true})
	must(err)
	owner := awsec2.NewFromConfig(account.Client("owner"))
	for _, of := range []struct{ run, policy string }{{"db-1", "db"}, {"db-2", "db"}, {"db-3", "db"}, {"web-1", "web"}} {
		var tags []types.Tag
		for key, value := range map[string]string{
			cloud.TagRun: of.run, cloud.TagPolicy: of.policy, cloud.TagInstance: stockedID, cloud.TagMembers: "1",
			cloud.TagConsistency: "application", cloud.TagFrozenMs: "812", cloud.TagTest: map[string]string{"db-3": "SUCCESSFUL"}[of.run],
		} {
			tags = append(tags, types.Tag{Key: sdk.String(key), Value: sdk.String(value)})
		}
		out, err := owner.CreateSnapshots(t.Context(), &awsec2.CreateSnapshotsInput{
			InstanceSpecification: &types.InstanceSpecification{InstanceId: sdk.String(stockedID)},
			TagSpecifications:     []types.TagSpecification{{ResourceType: types.ResourceTypeSnapshot, Tags: tags}},
		})
		must(err)
		for id := *out.Snapshots[0].SnapshotId; ; {
			now, err := owner.DescribeSnapshots(t.Context(), &awsec2.DescribeSnapshotsInput{SnapshotIds: []string{id}})
			must(err)
			if now.Snapshots[0].State == types.SnapshotStateCompleted {
				break
			}
		}
		if of.run == "db-1" {
			_, err = owner.LockSnapshot(t.Context(), &awsec2.LockSnapshotInput{SnapshotId: out.Snapshots[0].SnapshotId, LockMode: types.LockModeGovernance, LockDuration: sdk.Int32(1)})
			must(err)
		}
	}
	return address
}

// listed are the sets as `quiesce sets -o json` has them, by run.
func listed(t *testing.T, args ...string) map[string]storedSet {
	t.Helper()
	code, out, err := quiesce(t, append([]string{"sets", "-o", "json"}, args...)...)
	var list []storedSet
	if code != exitDone || json.Unmarshal([]byte(out), &list) != nil {
		t.Fatalf("%d %s%s", code, out, err)
	}
	sets := map[string]storedSet{}
	for _, s := range list {
		sets[s.RunID] = s
	}
	return sets
}

func TestSets(t *testing.T) {
	_, address := stocked(t)
	code, out, err := quiesce(t, "sets")
	for _, want := range []string{"db-1", "db-2", "db-3", "web-1", stockedID, "application", "812", "successful", "20", "0m"} {
		if code != exitDone || !strings.Contains(out, want) {
			t.Errorf("%d %s: it does not say %q\n%s", code, err, want, out)
		}
	}
	all := listed(t)
	if s := all["web-1"]; len(all) != 4 || s.Keep != nil || len(s.Why) != 0 || s.Policy != "web" || s.SizeGiB != 20 || len(s.SnapshotIDs) != 1 || s.Expected != 1 {
		t.Errorf("got %+v", all)
	}
	file := write(t, "db.yaml", "name: db\nretention: {last: 1}\n")
	of := listed(t, file)
	if len(of) != 3 || !*of["db-3"].Keep || *of["db-2"].Keep || !slices.Contains(of["db-3"].Why, "last 1 of 1") || of["db-3"].Verified != "SUCCESSFUL" {
		t.Errorf("got %+v", of)
	}
	if _, out, _ := quiesce(t, "sets", file); !strings.Contains(out, "to be removed: 1 newer ones are there") {
		t.Errorf("got %s", out)
	}
	t.Setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
	if code, out, err := quiesce(t, "sets", "--endpoint-url", address); code != exitDone || !strings.Contains(out, "db-1") {
		t.Errorf("at another endpoint: %d %s%s", code, out, err)
	}
}

func TestPruneShowsThenDeletes(t *testing.T) {
	account, _ := stocked(t)
	file := write(t, "db.yaml", "name: db\nretention: {last: 1}\n")
	code, out, err := quiesce(t, "prune", file, "--dry-run")
	for _, want := range []string{"kept: last 1 of 1", "removed: 1 newer ones are there", "is locked until", "2 of 3 sets kept, 1 to be deleted (1 snapshots)"} {
		if code != exitDone || !strings.Contains(out, want) {
			t.Errorf("%d %s: it does not say %q\n%s", code, err, want, out)
		}
	}
	code, out, err = quiesce(t, "prune", file)
	if code != exitUsage || !strings.Contains(err, "--yes: is missing: 1 sets of 1 snapshots would be deleted for good") || !strings.Contains(out, "removed:") {
		t.Errorf("without a yes: %d %s%s", code, out, err)
	}
	if n := account.Count("DeleteSnapshot") + account.Count("CreateTags"); n > 0 || len(listed(t)) != 4 {
		t.Fatalf("%d things were changed before there was a yes", n)
	}
	code, out, err = quiesce(t, "prune", file, "--yes", "-o", "json")
	var r prune.Report
	if code != exitDone || json.Unmarshal([]byte(out), &r) != nil || r.Deleted != 1 || r.Kept != 2 || r.Failed+r.Left != 0 {
		t.Errorf("%d %s%s", code, out, err)
	}
	left := listed(t)
	if _, there := left["db-2"]; there || len(left) != 3 {
		t.Errorf("got %+v", left)
	}
	if code, out, _ = quiesce(t, "prune", file, "--yes"); code != exitDone || !strings.Contains(out, "2 of 2 sets kept, 0 deleted") {
		t.Errorf("once more: %d %s", code, out)
	}
}

func TestAge(t *testing.T) {
	for d, want := range map[time.Duration]string{0: "0m", 59 * time.Minute: "59m", 90 * time.Minute: "1h", 36 * time.Hour: "1d", -time.Hour: "0m"} {
		if got := age(d); got != want {
			t.Errorf("%s: got %s, want %s", d, got, want)
		}
	}
}

// A set and its copy are two, each with its own rule, in its own Region.
func TestCopiesAreShownAndPruned(t *testing.T) {
	account := aws.New(aws.Config{Regions: []string{"eu-west-1"}, Latency: map[string]time.Duration{"CreateSnapshots": 5 * time.Millisecond, "*": 0},
		EC2: ec2.Config{Completion: time.Nanosecond, Copying: time.Nanosecond, Visible: -1, Spacing: -1}})
	stock(t, account, nil)
	t.Setenv("AWS_REGION", "eu-central-1")
	file := write(t, "db.yaml", "name: db\nretention: {last: 9}\ncopies: [{region: eu-west-1, retention: {last: 1}}]\nlock: {mode: governance, days: 3}\n")
	d, err := readPolicy(file)
	if err != nil {
		t.Fatal(err)
	}
	provider := awscloud.New(account.Client("curate"), awscloud.Options{})
	every := d
	every.Copies = []policy.Copy{{Region: "eu-west-1"}} // before there was a retention
	for range 4 {
		if _, err := curate.Do(t.Context(), func(name string) cloud.Curator { return provider.In(name) }, provider, nil,
			curate.Input{Run: run.Run{ID: "c"}, Request: curate.Request{Policy: every}}); err != nil {
			t.Fatal(err)
		}
	}
	here := listed(t, file)
	if s := here["db-3"]; len(here) != 3 || !slices.Equal(s.CopiedTo, []string{"eu-west-1"}) || s.LockedUntil.IsZero() || s.CopyOf != "" {
		t.Errorf("got %+v", s)
	}
	if _, out, _ := quiesce(t, "sets", file); !strings.Contains(out, "copied to eu-west-1") || !strings.Contains(out, "locked until") {
		t.Errorf("got %s", out)
	}
	there := listed(t, file, "--region", "eu-west-1")
	if s := there["db-3"]; len(there) != 3 || s.CopyOf != "eu-central-1" || !*s.Keep || *there["db-2"].Keep || s.Consistency != "application" {
		t.Errorf("got %+v", there)
	}
	code, out, stderr := quiesce(t, "prune", file, "--copies", "eu-west-1", "--yes")
	if code != exitDone || !strings.Contains(out, "1 of 3 sets kept, 2 deleted") {
		t.Errorf("%d %s%s", code, out, stderr)
	}
	if got := listed(t, file, "--region", "eu-west-1"); len(got) != 1 || len(listed(t, file)) != 3 {
		t.Errorf("got %+v", got)
	}
	if code, _, stderr := quiesce(t, "prune", file, "--copies", "eu-west-2"); code != exitUsage || !strings.Contains(stderr, "--copies: wants a Region of copies") {
		t.Errorf("%d %s", code, stderr)
	}
	if code, _, stderr := quiesce(t, "prune", file, "--copies", "eu-west-1", "--cloud", "aliyun"); code != exitUsage || !strings.Contains(stderr, "nothing is copied on Alibaba Cloud") {
		t.Errorf("%d %s", code, stderr)
	}
	if code, out, _ := quiesce(t, "policy", "explain", file); code != exitDone || !strings.Contains(out, "every good set is copied to eu-west-1") || !strings.Contains(out, "locked for 3 days") {
		t.Errorf("%d %s", code, out)
	}
}
