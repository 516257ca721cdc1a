package main

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/quiesce/quiesce/functions"
	account "github.com/quiesce/quiesce/local/aws"
	"github.com/quiesce/quiesce/local/aws/ec2"
	"github.com/quiesce/quiesce/local/aws/kms"
	"github.com/quiesce/quiesce/local/engine"
	"github.com/quiesce/quiesce/local/runtimeapi"
	"github.com/quiesce/quiesce/local/sim"
	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/cloud/awscloud"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/workflow"
)

// guarded takes a set in an emulated account in which every function has the
// rights of the table and no others, and returns what was denied and how the
// execution ended.
func guarded(t *testing.T, rights map[string][]grant) (denied []string, end engine.Execution) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	machines, disks := engine.New(engine.Config{}), sim.New(sim.Config{})
	a := account.New(account.Config{Disks: disks, Engine: machines, EC2: ec2.Config{
		Completion: time.Minute, Provision: -1, Stopped: func(string) { _ = disks.Unmount("/data") }, // once: what is restored is not mounted
	}})
	defer func() {
		a.Close()
		machines.Close()
		_ = disks.Close()
	}()
	operator := awsec2.NewFromConfig(a.Client("operator"))
	tags := func(id string) map[string]string {
		list, err := operator.DescribeTags(context.WithoutCancel(t.Context()), &awsec2.DescribeTagsInput{})
		must(err)
		found := map[string]string{}
		for _, tag := range list.Tags {
			if sdk.ToString(tag.ResourceId) == id {
				found[sdk.ToString(tag.Key)] = sdk.ToString(tag.Value)
			}
		}
		return found
	}
	a.S3.Put(bucket, "helper", []byte("the helper"))
	must(a.SSM.RegisterDocument("quiesce-helper", []byte(awscloud.Document())))
	local := &runtimeapi.Local{Handlers: map[string]runtimeapi.Handler{}, Timeouts: functions.Timeouts}
	var mu sync.Mutex
	for _, name := range functions.Names {
		cfg := a.Client(name)
		cfg.HTTPClient = &http.Client{Transport: guard{rights[name], a.Transport(), tags, func(x ask) {
			mu.Lock()
			defer mu.Unlock()
			denied = append(denied, name+" "+x.action)
		}}}
		provider := awscloud.New(cfg, awscloud.Options{
			AssetBucket: bucket, Document: "quiesce-helper", Machines: []string{machines.MachineARN("quiesce-snapshot")},
			Helpers: map[string]awscloud.Helper{"amd64": {Key: "helper", SHA256: checksum([]byte("the helper"))}},
		})
		local.Handlers[name] = runtimeapi.Handler(functions.Table(functions.Deps{Cloud: provider, Keeper: provider})[name])
	}
	m, err := workflow.Machine("default", a.FunctionARN)
	must(err)
	machines.Deploy("quiesce-snapshot", []byte(workflow.Snapshot()), m, a.Tasks(local))
	m, err = workflow.RestoreMachine(a.FunctionARN)
	must(err)
	machines.Deploy("quiesce-restore", []byte(workflow.Restore()), m, a.Tasks(local))
	m, err = workflow.VerifyMachine(a.FunctionARN)
	must(err)
	machines.Deploy("quiesce-verify", []byte(workflow.Verify()), m, a.Tasks(local))
	must(disks.Create(t.Context(), "vol-0da7a000000000001", 1<<30, ""))
	device, err := disks.Attach(t.Context(), "vol-0da7a000000000001")
	must(err)
	_, err = a.Rent(t.Context(), ec2.Instance{ID: "i-0abc12345678def90", RootDevice: "/dev/xvda", Tags: map[string]string{cloud.TagOptIn: "true"}}, disks,
		ec2.Volume{ID: "vol-0b007000000000001", Device: "/dev/xvda", Bytes: 8 << 30, Hollow: true},
		ec2.Volume{ID: "vol-0da7a000000000001", Device: device, Bytes: 1 << 30, Made: true, Path: device})
	must(err)
	a.EC2.Encrypt("vol-0da7a000000000001", a.KMS.AddKey(kms.Key{ID: "1234abcd-12ab-34cd-56ef-1234567890ab"}))
	must(disks.Format(t.Context(), device, "ext4"))
	must(disks.Mount(device, "/data"))
	a.EC2.AddSubnet(ec2.Subnet{ID: "subnet-0123456789abcdef0", VPC: "vpc-1"})
	for _, one := range []struct{ machine, name, input string }{
		{"snapshot", "run-1", `{"instanceId":"i-0abc12345678def90"}`},
		{"restore", "restore-1", `{"runId":"run-1","mode":"in-place","acceptCrashConsistent":true}`},
		{"restore", "restore-2", `{"runId":"restore-1","action":"rollback"}`},
		{"restore", "restore-3", `{"runId":"restore-1","action":"cleanup"}`},
		{"restore", "restore-4", `{"runId":"run-1","mode":"volumes","acceptCrashConsistent":true}`},
		{"restore", "restore-5", `{"runId":"restore-4","action":"cleanup"}`},
		{"restore", "restore-alive", `{"runId":"run-1","mode":"volumes","acceptCrashConsistent":true,"recover":{"at":"/mnt/restored"}}`},
		{"restore", "restore-unmount", `{"runId":"restore-alive","action":"cleanup"}`},
		{"restore", "restore-6", `{"runId":"run-1","mode":"in-place","acceptCrashConsistent":true}`},
		{"restore", "restore-7", `{"runId":"restore-6","action":"confirm"}`},
		{"verify", "verify-1", `{"policy":{"restoreTest":{"instance":"i-0abc12345678def90"}}}`},
		{"snapshot", "run-2", `{"instanceId":"i-0abc12345678def90","policy":{"volumes":{"excludeBoot":false}}}`},
		{"restore", "restore-8", `{"runId":"run-2","mode":"image","acceptCrashConsistent":true,"launch":{"type":"m7i.large","subnet":"subnet-0123456789abcdef0"}}`},
		{"restore", "restore-9", `{"runId":"restore-8","action":"confirm"}`},
		{"restore", "restore-10", `{"runId":"run-2","mode":"image","acceptCrashConsistent":true,"launch":{"type":"m7i.large","subnet":"subnet-0123456789abcdef0"}}`},
		{"restore", "restore-11", `{"runId":"restore-10","action":"cleanup"}`},
	} {
		x, err := machines.Start("quiesce-"+one.machine, one.name, json.RawMessage(one.input))
		must(err)
		end, err = machines.Wait(t.Context(), x.ARN)
		must(err)
		if end.Status != engine.Succeeded {
			break
		}
	}
	local.Wait()
	return denied, end
}

// A whole run's real requests, with their resources and tags, are let through.
func TestRunIsAllowedWhatItAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		denied, end := guarded(t, grants)
		if len(denied) > 0 || end.Status != engine.Succeeded {
			t.Errorf("denied %v; ended %s %s %s", denied, end.Status, end.Error, end.Cause)
		}
	})
}

// Without one of its rights the run is denied exactly that.
func TestRunNeedsItsRights(t *testing.T) {
	for _, c := range []struct{ step, sid string }{
		{"precheck", "CommandOptedIn"}, {"precheck", "ByThisDocument"}, {"freeze", "FollowCommand"},
		{"snapshot", "SnapshotOptedIn"}, {"snapshot", "OfItsVolumes"}, {"snapshot", "AsARun"}, {"snapshot", "TagAtCreation"},
		{"restore-plan", "OfARunsSnapshots"}, {"restore-create", "AsARestore"}, {"restore-plan", "AskAboutKeys"}, {"restore-create", "AskAboutKeys"}, {"restore-plan", "SeeRuns"},
		{"restore-plan", "RegisterAsARestore"}, {"restore-image", "RegisterARunsSnapshots"}, {"restore-image", "LaunchOfOwnImages"}, {"restore-image", "LaunchAsARestore"},
		{"restore-settle", "EndOwnImages"}, {"restore-settle", "EndOwnInstances"}, {"restore-create", "NoteWhatIsReplaced"},
		{"restore-move", "MoveOfOptedIn"}, {"restore-move", "MoveOld"}, {"restore-power", "TurnOptedIn"}, {"restore-settle", "EndOwnDisks"},
		{"restore-plan", "AskAfterAgent"}, {"restore-recover", "CommandOptedIn"}, {"restore-recover", "NoteTheCommand"},
		{"verify-choose", "AskAfterAgent"}, {"verify-mark", "LabelTheRunsOwn"}, {"verify-recover", "CommandOptedIn"}, {"verify-recover", "NoteTheCommand"},
		{"verify-clean", "EndTheTestsOwn"}, {"verify-report", "Publish"},
		{"tag", "LabelTheRunsOwn"}, {"poll-status", "LookAtSnapshots"}, {"thaw", "Publish"},
	} {
		t.Run(c.step+" "+c.sid, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				less := map[string][]grant{}
				for step, list := range grants {
					less[step] = slices.DeleteFunc(slices.Clone(list), func(g grant) bool { return step == c.step && g.sid == c.sid })
				}
				denied, _ := guarded(t, less)
				if len(denied) == 0 || slices.ContainsFunc(denied, func(d string) bool { return !strings.HasPrefix(d, c.step+" ") }) {
					t.Errorf("got %v denied", denied)
				}
			})
		})
	}
}

// doomedTags are those of a snapshot that is marked as being deleted; an empty
// one is not there.
func doomedTags(run, marked string) map[string]string {
	tags := map[string]string{}
	for key, value := range map[string]string{cloud.TagRun: run, cloud.TagDeleting: marked} {
		if value != "" {
			tags["aws:ResourceTag/"+key] = value
		}
	}
	return tags
}

func TestWhatNobodyMayDo(t *testing.T) {
	instance, snapshot := instanceARN("i-1"), "arn:aws:ec2:"+region+"::snapshot/snap-1"
	optIn := map[string]string{"ssm:resourceTag/quiesce:opt-in": "true", "aws:ResourceTag/quiesce:opt-in": "true"}
	theirs, script := "arn:aws:ssm:"+region+":"+number+":document/Ledger", map[string]string{"aws:ResourceTag/DLMScriptsAccess": "true"}
	of := func(run, named string) map[string]string {
		return map[string]string{"aws:ResourceTag/quiesce:run": run, "aws:RequestTag/quiesce:run": named}
	}
	for _, c := range []struct {
		step  string
		ask   ask
		allow bool
	}{
		{"freeze", ask{"ssm:SendCommand", instance, optIn}, true},
		{"freeze", ask{"ssm:SendCommand", instance, map[string]string{"ssm:resourceTag/quiesce:opt-in": "false"}}, false},
		{"freeze", ask{"ssm:SendCommand", instance, nil}, false},
		{"freeze", ask{"ssm:SendCommand", "arn:aws:ssm:" + region + "::document/AWS-RunShellScript", optIn}, false},
		{"run-prescript", ask{"ssm:SendCommand", theirs, script}, true},
		{"thaw", ask{"ssm:SendCommand", theirs, script}, true},
		{"precheck", ask{"ssm:GetDocument", theirs, script}, true},
		{"run-prescript", ask{"ssm:SendCommand", theirs, nil}, false},
		{"run-prescript", ask{"ssm:SendCommand", theirs, map[string]string{"aws:ResourceTag/DLMScriptsAccess": "false"}}, false},
		{"run-prescript", ask{"ssm:SendCommand", "arn:aws:ssm:" + region + "::document/AWS-RunShellScript", script}, false},
		{"run-prescript", ask{"ssm:SendCommand", instance, script}, false},
		{"freeze", ask{"ssm:SendCommand", theirs, script}, false},
		{"thaw", ask{"ssm:GetDocument", theirs, script}, false},
		{"snapshot", ask{"ssm:SendCommand", instance, optIn}, false},
		{"start-vss", ask{"ssm:SendCommand", instance, optIn}, true},
		{"start-vss", ask{"ssm:SendCommand", instance, nil}, false},
		{"start-vss", ask{"ssm:SendCommand", "arn:aws:ssm:" + region + "::document/AWSEC2-VssInstallAndSnapshot", nil}, true},
		{"start-vss", ask{"ssm:SendCommand", "arn:aws:ssm:" + region + "::document/AWS-RunPowerShellScript", nil}, false},
		{"start-vss", ask{"ssm:SendCommand", theirs, script}, false},
		{"freeze", ask{"ssm:SendCommand", "arn:aws:ssm:" + region + "::document/AWSEC2-VssInstallAndSnapshot", nil}, false},
		{"watch-vss", ask{"ssm:SendCommand", instance, optIn}, false},
		{"watch-vss", ask{"ec2:CreateTags", snapshot, of("r", "r")}, false},
		{"make-shadows", ask{"ssm:SendCommand", "arn:aws:ssm:" + region + ":" + number + ":document/quiesce-shadow", nil}, true},
		{"make-shadows", ask{"ssm:SendCommand", "arn:aws:ssm:" + region + "::document/AWSEC2-VssInstallAndSnapshot", nil}, false},
		{"drop-shadows", ask{"ssm:SendCommand", "arn:aws:ssm:" + region + ":" + number + ":document/quiesce-helper", nil}, false},
		{"thaw", ask{"ssm:SendCommand", "arn:aws:ssm:" + region + ":" + number + ":document/quiesce-shadow", nil}, true},
		{"freeze", ask{"ssm:SendCommand", "arn:aws:ssm:" + region + ":" + number + ":document/quiesce-shadow", nil}, false},
		{"snapshot", ask{"ec2:CreateSnapshots", instance, optIn}, true},
		{"snapshot", ask{"ec2:CreateSnapshots", instance, nil}, false},
		{"snapshot", ask{"ec2:CreateSnapshots", snapshot, map[string]string{"aws:RequestTag/quiesce:run": "r"}}, true},
		{"snapshot", ask{"ec2:CreateSnapshots", snapshot, map[string]string{"aws:RequestTag/Name": "r"}}, false},
		{"snapshot", ask{"ec2:CreateTags", snapshot, of("r", "r")}, false},
		{"tag", ask{"ec2:CreateTags", snapshot, of("r", "r")}, true},
		{"tag", ask{"ec2:CreateTags", snapshot, of("r", "another")}, false},
		{"tag", ask{"ec2:CreateTags", snapshot, map[string]string{"aws:RequestTag/quiesce:run": "r"}}, false},
		{"tag", ask{"ec2:CreateTags", snapshot, map[string]string{"aws:ResourceTag/quiesce:run": "r"}}, false},
		{"tag", ask{"ec2:CreateTags", instance, of("r", "r")}, false},
		{"restore-settle", ask{"ec2:DeleteVolume", diskARN("vol-1"), map[string]string{"aws:ResourceTag/quiesce:restore": "r"}}, true},
		{"restore-settle", ask{"ec2:DeleteVolume", diskARN("vol-1"), nil}, false},
		{"restore-settle", ask{"ec2:DeleteVolume", diskARN("vol-1"), map[string]string{"aws:ResourceTag/quiesce:replaced-by": "r"}}, false},
		{"restore-recover", ask{"ec2:CreateTags", diskARN("vol-1"), map[string]string{"aws:ResourceTag/quiesce:restore": "r"}}, true},
		{"restore-recover", ask{"ec2:CreateTags", diskARN("vol-1"), nil}, false},
		{"restore-recover", ask{"ec2:DetachVolume", diskARN("vol-1"), map[string]string{"aws:ResourceTag/quiesce:restore": "r"}}, false},
		{"restore-recover", ask{"ssm:SendCommand", instance, nil}, false},
		{"restore-settle", ask{"ssm:SendCommand", instance, optIn}, false},
		{"verify-clean", ask{"ec2:DeleteVolume", diskARN("vol-1"), map[string]string{"aws:ResourceTag/quiesce:scratch": "t"}}, true},
		{"verify-clean", ask{"ec2:DeleteVolume", diskARN("vol-1"), map[string]string{"aws:ResourceTag/quiesce:restore": "r"}}, false},
		{"verify-clean", ask{"ec2:DetachVolume", diskARN("vol-1"), nil}, false},
		{"verify-clean", ask{"ec2:DetachVolume", instance, nil}, false},
		{"verify-recover", ask{"ec2:CreateTags", diskARN("vol-1"), map[string]string{"aws:ResourceTag/quiesce:restore": "r"}}, false},
		{"verify-recover", ask{"ssm:SendCommand", instance, nil}, false},
		{"verify-mark", ask{"ec2:CreateTags", snapshot, of("r", "another")}, false},
		{"verify-report", ask{"ec2:DeleteSnapshot", snapshot, doomedTags("r", "x")}, false},
		{"restore-power", ask{"ec2:StopInstances", instance, nil}, false},
		{"restore-settle", ask{"ec2:TerminateInstances", instance, map[string]string{"aws:ResourceTag/quiesce:restore": "r"}}, true},
		{"restore-settle", ask{"ec2:TerminateInstances", instance, optIn}, false},
		{"restore-settle", ask{"ec2:DeregisterImage", "arn:aws:ec2:" + region + "::image/ami-1", nil}, false},
		{"restore-image", ask{"ec2:RunInstances", "arn:aws:ec2:" + region + "::image/ami-1", nil}, false},
		{"restore-plan", ask{"ec2:RunInstances", instance, map[string]string{"aws:RequestTag/quiesce:restore": "r"}}, false},
		{"restore-move", ask{"ec2:DetachVolume", diskARN("vol-1"), nil}, false},
		{"wake", ask{"s3:GetObject", there["work"] + "/fleet/f/targets.json", nil}, false},
		{"report", ask{"s3:GetObject", there["work"] + "/tokens/snap-1", nil}, false},
		{"prune", ask{"ec2:DeleteSnapshot", snapshot, doomedTags("r", "2026-11-20T05:15:00Z")}, true},
		{"prune", ask{"ec2:DeleteSnapshot", snapshot, doomedTags("r", "")}, false},
		{"prune", ask{"ec2:DeleteSnapshot", snapshot, doomedTags("", "2026-11-20T05:15:00Z")}, false},
		{"prune", ask{"ec2:DeleteSnapshot", snapshot, nil}, false},
		{"prune", ask{"ec2:CreateTags", snapshot, of("r", "r")}, true},
		{"prune", ask{"ec2:CreateTags", snapshot, of("r", "another")}, false},
		{"prune", ask{"ec2:DescribeSnapshotAttribute", snapshot, nil}, false},
		{"prune", ask{"ec2:DeleteVolume", "any", nil}, false},
		{"tag", ask{"ec2:DeleteSnapshot", snapshot, doomedTags("r", "x")}, false},
		{"prune", ask{"ec2:DeleteSnapshot", "arn:aws:ec2:" + copyRegion + "::snapshot/snap-1", doomedTags("r", "x")}, true},
		{"prune", ask{"ec2:DeleteSnapshot", "arn:aws:ec2:us-east-1::snapshot/snap-1", doomedTags("r", "x")}, false},
		{"curate", ask{"ec2:DeleteSnapshot", snapshot, doomedTags("r", "x")}, false},
		{"curate", ask{"ec2:UnlockSnapshot", snapshot, doomedTags("r", "")}, false},
		{"curate", ask{"ec2:ModifySnapshotAttribute", snapshot, doomedTags("r", "")}, true},
		{"curate", ask{"ec2:ModifySnapshotAttribute", snapshot, nil}, false},
		{"curate", ask{"ec2:ModifySnapshotAttribute", snapshot, map[string]string{"aws:ResourceTag/quiesce:run": "r", "ec2:Add/group": "all"}}, false},
		{"curate", ask{"ec2:CopySnapshot", "arn:aws:ec2:us-east-1::snapshot/new", map[string]string{"aws:RequestTag/quiesce:run": "r", "aws:RequestTag/quiesce:copy-of": "x"}}, false},
		{"curate", ask{"kms:Decrypt", "arn:aws:kms:" + region + ":" + number + ":key/1", nil}, false},
		{"tag", ask{"ec2:ModifySnapshotAttribute", snapshot, doomedTags("r", "")}, false},
		{"precheck", ask{"ec2:DescribeInstances", "any", map[string]string{"aws:RequestedRegion": "us-east-1"}}, false},
	} {
		if got := allows(grants[c.step], []policy.OptIn{policy.Default().OptIn}, c.ask); got != c.allow {
			t.Errorf("%s, %s on %s with %v: allowed %t", c.step, c.ask.action, c.ask.resource, c.ask.keys, got)
		}
	}
	ends := map[string][]string{ // what a restore ends is bound to its own marks, and to the opt-in; what a prune ends, to its mark
		"prune": {"ec2:DeleteSnapshot"}, "restore-power": {"ec2:StopInstances"}, "restore-settle": {"ec2:DeleteTags", "ec2:DeleteVolume", "ec2:TerminateInstances"},
		"verify-clean": {"ec2:DeleteVolume"},
	}
	for step, list := range grants {
		for _, g := range list {
			for _, action := range g.actions {
				if slices.Contains(ends[step], action) && len(g.when) > 0 {
					continue
				}
				if strings.Contains(action, "Delete") || strings.Contains(action, "Stop") || strings.Contains(action, "Terminate") || strings.HasPrefix(action, "iam:") {
					t.Errorf("%s may %s", step, action)
				}
			}
		}
	}
}
