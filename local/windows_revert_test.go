package local

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	port "github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/restore"
	"github.com/quiesce/quiesce/shared/run"
	"github.com/quiesce/quiesce/shared/shadow"
)

// inShadowed takes a set after shadow copies and restores it by the restore's own
// workflow, in the disks' place or beside them.
func inShadowed(t *testing.T, mode restore.Mode, faults []string, test func(w *world, asked shadow.RevertRequest)) {
	t.Helper()
	p := byDiskshadow(t)
	inWorld(t, setting{windows: true, faults: faults, definition: hasty}, func(w *world) {
		w.halted = func() {
			w.halted = nil
			w.must(w.writer.Stop(w.Context()))
			for _, at := range w.mounts {
				w.must(w.sim.Unmount(at))
			}
			w.mounts = nil
		}
		if r := w.wait(w.start("run-1", w.request(p))); r.State.Verdict == nil || r.State.Verdict.Outcome != run.OutcomeCompleted {
			w.Fatalf("got %+v", r.State.Verdict)
		}
		time.Sleep(20 * time.Second)
		back := w.asks("back", restore.Request{RunID: "run-1", Mode: mode, AcceptCrashConsistent: true})
		if back.verdict == nil || back.verdict.Outcome != restore.Restored {
			w.Fatalf("the restore ended as %+v", back.verdict)
		}
		test(w, w.reverting(back.verdict.Created))
	})
}

// reverting is the request as the page has it: the set and the signatures are read
// off the snapshots.
func (w *world) reverting(made []restore.Made) shadow.RevertRequest {
	w.Helper()
	asked := shadow.RevertRequest{Version: shadow.Version, RunID: "run-1"}
	out, err := w.ec2.DescribeSnapshots(w.Context(), &awsec2.DescribeSnapshotsInput{
		Filters: []types.Filter{{Name: aws.String("tag:" + port.TagRun), Values: []string{"run-1"}}},
	})
	w.must(err)
	for _, s := range out.Snapshots {
		tags := map[string]string{}
		for _, t := range s.Tags {
			tags[*t.Key] = *t.Value
		}
		asked.SetID = tags[port.TagShadows]
		style, signature, _ := strings.Cut(tags[port.TagSignature], ":")
		for _, m := range made {
			if m.Origin == *s.VolumeId {
				asked.Disks = append(asked.Disks, run.ShadowDisk{VolumeID: m.ID, Style: strings.ToUpper(style), Signature: signature})
			}
		}
	}
	if len(asked.Disks) != len(w.volumes) {
		w.Fatalf("the snapshots say how to go back on %d disks: %+v", len(asked.Disks), asked)
	}
	slices.SortFunc(asked.Disks, func(a, b run.ShadowDisk) int { return strings.Compare(a.VolumeID, b.VolumeID) })
	return asked
}

// reverts sends the document as a person does, and waits for its answer.
func (w *world) reverts(asked any, seconds string) (reply shadow.RevertReply, status string, exit int) {
	w.Helper()
	text, err := json.Marshal(asked)
	w.must(err)
	if raw, ok := asked.(string); ok {
		text = []byte(raw)
	}
	agent := ssm.NewFromConfig(w.cloud.Client("operator"))
	parameters := map[string][]string{"Request": {base64.StdEncoding.EncodeToString(text)}}
	if seconds != "" {
		parameters["ExecutionTimeout"] = []string{seconds}
	}
	sent, err := agent.SendCommand(w.Context(), &ssm.SendCommandInput{DocumentName: aws.String(reverts), InstanceIds: []string{instanceID}, Parameters: parameters})
	w.must(err)
	for range 600 {
		time.Sleep(time.Second)
		got, err := agent.GetCommandInvocation(w.Context(), &ssm.GetCommandInvocationInput{CommandId: sent.Command.CommandId, InstanceId: aws.String(instanceID)})
		w.must(err)
		if status = string(got.Status); status != "Pending" && status != "InProgress" && status != "Delayed" {
			_ = json.Unmarshal([]byte(aws.ToString(got.StandardOutputContent)), &reply) // empty of one that was killed
			return reply, status, int(got.ResponseCode)
		}
	}
	w.Fatal("the document does not end")
	return reply, status, 0
}

// settled tells of each restored disk whether its log has nothing to recover, as
// it has only of what was copied at rest, and how many records it holds.
func (w *world) settled(asked shadow.RevertRequest) (settled, records []int) {
	w.Helper()
	for i, d := range asked.Disks {
		device := w.cloud.EC2.Path(d.VolumeID)
		log, err := w.sim.Inspect(device)
		w.must(err)
		at := "/looked/" + string(rune('a'+i))
		w.must(w.sim.Mount(device, at))
		contents, err := w.sim.Read(at)
		w.must(err)
		settled, records = append(settled, map[bool]int{true: 1}[log.Settled]), append(records, len(contents.Records))
		if contents.Torn || len(contents.Bad) > 0 {
			w.Errorf("%s holds %d records that are bad, torn %t", d.VolumeID, len(contents.Bad), contents.Torn)
		}
	}
	return settled, records
}

// A set after shadow copies is gone through to its end: taken, restored, and gone
// back to. Its volumes then hold one state, that of the writers at rest.
func TestGoingBackToShadowCopies(t *testing.T) {
	t.Parallel()
	inShadowed(t, restore.InPlace, nil, func(w *world, asked shadow.RevertRequest) {
		reply, status, exit := w.reverts(asked, "")
		if status != "Success" || exit != 0 || reply.Error != nil || reply.Verb != shadow.Revert || reply.RunID != "run-1" || len(reply.Reverted) != 2 {
			w.Fatalf("got %s %d %+v", status, exit, reply)
		}
		if settled, records := w.settled(asked); !slices.Equal(settled, []int{1, 1}) || records[0] != records[1] || records[0] == 0 {
			w.Errorf("logs without anything to recover %v, records %v", settled, records)
		}
	})
	inShadowed(t, restore.InPlace, nil, func(w *world, asked shadow.RevertRequest) {
		if settled, _ := w.settled(asked); slices.Contains(settled, 1) {
			w.Error("the disks are at rest before anybody has gone back, so that this shows nothing")
		}
	})
}

// Each way in which the document fails, with what is then done and what is not.
func TestGoingBackFails(t *testing.T) {
	other := func(r *shadow.RevertRequest) { r.SetID = "01234567-0123-0123-0123-0123456789ab" }
	for _, c := range []struct {
		name     string
		mode     restore.Mode
		faults   []string
		with     func(*shadow.RevertRequest)
		exit     int
		says     string
		reverted int
	}{
		{"another version", restore.InPlace, nil, func(r *shadow.RevertRequest) { r.Version = 2 }, shadow.ExitRequest, "of another version", 0},
		{"no run", restore.InPlace, nil, func(r *shadow.RevertRequest) { r.RunID = "a b" }, shadow.ExitRequest, "names no run", 0},
		{"no set", restore.InPlace, nil, func(r *shadow.RevertRequest) { r.SetID = "all" }, shadow.ExitRequest, "no set of shadow copies", 0},
		{"no signature", restore.InPlace, nil, func(r *shadow.RevertRequest) { r.Disks[1].Signature = "" }, shadow.ExitRequest, "has no signature for", 0},
		{"a volume that is not attached", restore.InPlace, nil, func(r *shadow.RevertRequest) { r.Disks[1].VolumeID = "vol-0123456789abcdef0" }, shadow.ExitVolume, "Windows shows 0 disks", 0},
		{"no volume's id", restore.InPlace, nil, func(r *shadow.RevertRequest) { r.Disks[1].VolumeID = rootVolume }, shadow.ExitRequest, "is no volume's id", 0},
		{"a set that is not on the disks", restore.InPlace, nil, other, shadow.ExitRevert, "holds no shadow copy of the set", 0},
		{"a disk that was never restored", restore.Volumes, nil, func(r *shadow.RevertRequest) { r.Disks[0].VolumeID = "vol-000000000da7a0000" }, shadow.ExitRevert, "holds no shadow copy of the set", 0},
		{"the twins are there still", restore.Volumes, nil, nil, shadow.ExitDisk, "another disk has the signature of", 1},
		{"no diskshadow", restore.InPlace, []string{"windows:revert-absent"}, nil, shadow.ExitAbsent, "no diskshadow.exe", 0},
		{"a disk stays offline", restore.InPlace, []string{"windows:revert-offline"}, nil, shadow.ExitDisk, "could not be made ready", 0},
		{"diskshadow refuses", restore.InPlace, []string{"windows:revert-refused"}, nil, shadow.ExitRevert, "diskshadow did not go back to", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			inShadowed(t, c.mode, c.faults, func(w *world, asked shadow.RevertRequest) {
				sent := asked
				if sent.Disks = slices.Clone(asked.Disks); c.with != nil {
					c.with(&sent)
				}
				reply, status, exit := w.reverts(sent, "")
				if status != "Failed" || exit != c.exit || reply.Error == nil || reply.Error.Exit != c.exit || !strings.Contains(reply.Error.Message, c.says) || len(reply.Reverted) != c.reverted {
					w.Errorf("got %s %d %+v %+v, want %d %q and %d copies gone back to", status, exit, reply, reply.Error, c.exit, c.says, c.reverted)
				}
				settled, _ := w.settled(asked)
				if got := settled[0] + settled[1]; got != c.reverted {
					w.Errorf("%d disks were gone back on, want %d", got, c.reverted)
				}
				for _, f := range w.faults.Unreached() {
					w.Errorf("%s was never reached", f)
				}
			})
		})
	}
}

// A document that never ends is killed at its limit and has answered nothing; what
// is no request is refused, and after either the next one goes back.
func TestGoingBackAfterAFailure(t *testing.T) {
	t.Parallel()
	inShadowed(t, restore.InPlace, []string{"windows:revert-hang"}, func(w *world, asked shadow.RevertRequest) {
		if reply, status, _ := w.reverts(asked, "30"); status != "TimedOut" || reply.Version != 0 {
			w.Errorf("got %s %+v", status, reply)
		}
		if reply, status, exit := w.reverts("{", ""); status != "Failed" || exit != shadow.ExitRequest || !strings.Contains(reply.Error.Message, "cannot be read") {
			w.Errorf("got %s %d %+v", status, exit, reply)
		}
		for range 2 { // what is gone back to once can be gone back to again
			if reply, status, _ := w.reverts(asked, ""); status != "Success" || len(reply.Reverted) != 2 {
				w.Errorf("got %s %+v", status, reply)
			}
		}
		if settled, records := w.settled(asked); !slices.Equal(settled, []int{1, 1}) || records[0] != records[1] {
			w.Errorf("logs without anything to recover %v, records %v", settled, records)
		}
	})
}
