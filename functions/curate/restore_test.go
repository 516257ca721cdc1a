package curate_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/quiesce/quiesce/functions"
	"github.com/quiesce/quiesce/local/aws/ec2"
	"github.com/quiesce/quiesce/local/engine"
	"github.com/quiesce/quiesce/local/runtimeapi"
	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/cloud/awscloud"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/restore"
	"github.com/quiesce/quiesce/workflow"
)

const standIn = "i-0123456789abcdef7" // in the west

// restores runs the very definition that is deployed, as a deployment in a
// Region does.
func (w *world) restores(region, name, request string) (v *restore.Verdict, refusal string) {
	w.t.Helper()
	machines := engine.New(engine.Config{})
	defer machines.Close()
	lambda := &runtimeapi.Local{Handlers: map[string]runtimeapi.Handler{}, Timeouts: functions.Timeouts}
	cfg := w.Client("restore")
	cfg.Region = region
	provider := awscloud.New(cfg, awscloud.Options{})
	for _, step := range functions.RestoreSteps {
		lambda.Handlers[step] = runtimeapi.Handler(functions.Table(functions.Deps{Cloud: provider})[step])
	}
	m, err := workflow.RestoreMachine(w.FunctionARN)
	w.must(err)
	machines.Deploy("restore", []byte(workflow.Restore()), m, w.Tasks(lambda))
	x, err := machines.Start("restore", name, json.RawMessage(request))
	w.must(err)
	end, err := machines.Wait(w.t.Context(), x.ARN)
	w.must(err)
	lambda.Wait()
	if end.Status != engine.Succeeded {
		return nil, end.Error + " " + end.Cause
	}
	v = new(restore.Verdict)
	w.must(json.Unmarshal(end.Output, v))
	return v, ""
}

// A copied set is restored by its run's id in its Region, and half of one is not.
func TestACopiedSetIsRestored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		d := document(func(d *policy.Document) { d.Copies = []policy.Copy{{Region: west}} })
		w.In(west).AddInstance(ec2.Instance{ID: standIn, RootDevice: "/dev/xvda", Tags: map[string]string{cloud.TagOptIn: "true"}})
		_, err := w.In(west).AddVolume(t.Context(), ec2.Volume{ID: "vol-0123456789abcdef9", Instance: standIn, Device: "/dev/xvda", Bytes: 8 << 30, Hollow: true})
		w.must(err)
		w.take("run-1")
		const request = `{"runId":"run-1","mode":"volumes","instanceId":"` + standIn + `"}`
		refused := func(when, request, want string) {
			t.Helper()
			v, refusal := w.restores(west, "restore-"+strings.ReplaceAll(when, " ", "-"), request)
			if v != nil || !strings.HasPrefix(refusal, "FailedClean") || !strings.Contains(refusal, want) {
				t.Errorf("%s: got %+v, %s", when, v, refusal)
			}
			if n := w.Count("CreateVolume"); n > 0 {
				t.Errorf("%s: %d volumes were made", when, n)
			}
		}
		refused("before", request, "no snapshot of this account and Region carries the run's tag")
		_, err = w.within(time.Minute, d)
		w.must(err)
		time.Sleep(time.Minute)
		refused("on its way", request, "pending")
		time.Sleep(time.Hour)
		refused("without a verdict", request, "nobody has judged it")
		w.looks(1, d)
		refused("in place", `{"runId":"run-1","mode":"in-place"}`, "its instance "+alive+" is in "+home)
		refused("nowhere", `{"runId":"run-1","mode":"volumes"}`, "request.instanceId: is missing")

		v, refusal := w.restores(west, "restore-1", request)
		if v == nil || v.Outcome != restore.Restored || len(v.Created) != 2 {
			t.Fatalf("got %+v, %s", v, refusal)
		}
		copies := w.there(west)[0].IDs
		out, err := w.far.DescribeVolumes(t.Context(), &awsec2.DescribeVolumesInput{})
		w.must(err)
		var origins []string
		for _, v := range out.Volumes {
			if *v.VolumeId == "vol-0123456789abcdef9" {
				continue
			}
			if !slices.Contains(copies, *v.SnapshotId) || len(v.Attachments) != 1 || *v.Attachments[0].InstanceId != standIn {
				t.Errorf("got %+v", v)
			}
			for _, tag := range v.Tags {
				if *tag.Key == cloud.TagOrigin {
					origins = append(origins, *tag.Value)
				}
			}
		}
		slices.Sort(origins)
		equal(t, "restored", origins, []string{"vol-0123456789abcdef0", "vol-0123456789abcdef1"})
		v, refusal = w.restores(west, "restore-image", `{"runId":"run-1","mode":"image","image":{"root":"vol-0123456789abcdef0","rootDevice":"/dev/xvda","architecture":"x86_64"}}`)
		if v == nil || v.Outcome != restore.Restored || len(v.Created) != 1 {
			t.Fatalf("as an image: got %+v, %s", v, refusal)
		}
		_, err = w.far.DeregisterImage(t.Context(), &awsec2.DeregisterImageInput{ImageId: &v.Created[0].ID})
		w.must(err)
		w.must(w.keeper.In(west).DeleteSnapshot(t.Context(), copies[0]))
		w.wrong = nil
		time.Sleep(time.Minute)
		if _, refusal := w.restores(west, "restore-2", request); !strings.Contains(refusal, "1 of 2 members") {
			t.Errorf("torn: got %s", refusal)
		}
	})
}

func TestAnArchivedSetIsNotRestored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		w.In(home).AddInstance(ec2.Instance{ID: standIn, RootDevice: "/dev/xvda", Tags: map[string]string{cloud.TagOptIn: "true"}})
		w.take("run-1")
		w.must(w.keeper.Archive(t.Context(), w.sets["run-1"][1]))
		time.Sleep(2 * time.Hour)
		v, refusal := w.restores(home, "restore-1", `{"runId":"run-1","mode":"volumes","instanceId":"`+standIn+`"}`)
		if v != nil || !strings.Contains(refusal, "is archived: bring it back") {
			t.Errorf("got %+v, %s", v, refusal)
		}
	})
}
