package workflow

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/protocol"
	"github.com/quiesce/quiesce/shared/restore"
	"github.com/quiesce/quiesce/workflow/asl"
	"github.com/quiesce/quiesce/workflow/flow"
)

func TestRestoreFlowKeepsItsContract(t *testing.T) {
	keepsItsContract(t, RestoreFlow(), restoreRules())
}

func TestContractFindsDefectsOfARestoreFlow(t *testing.T) {
	findsDefects(t, RestoreFlow(), restoreRules(), []defect{
		{"        Next: PutBack\n    Next: Swapped", "        Next: Report\n    Next: Swapped", `undo: state "Swap": fails without PutBack: Swap > Report`},
		{"        Next: Halt\n    Next: Started", "        Next: StartAgain\n    Next: Started", `undo: state "Start": fails without PutBack`},
		{"        Next: PutBack\n    Next: Halted", "        Next: Report\n    Next: Halted", `undo: state "Halt": fails without PutBack`},
		{"        to: new\n", "        to.$: $Input.request.to\n", "$.request is whatever was typed"},
		{"      moved.$: $Output.Body\n      recovered.$: $Input.recovered\n", "      moved.$: $Output.Body\n", "recovered: is not carried on"},
		{"    Timeout: 130\n", "    Timeout: 119\n", "gives up after"},
		{"${RestoreMoveFunctionArn}", "${SomeFunctionArn}", "calls ${SomeFunctionArn}, which is no step"},
	})
}

func restoreMachines(t *testing.T) []*asl.Machine {
	t.Helper()
	return twins(t, RestoreMachine, RestoreFlowMachine)
}

// Both definitions call the same function in every state, with the same input
// for as long, and their retries are alike.
func TestBothRestoresCallTheSameSteps(t *testing.T) { callTheSame(t, Restore(), RestoreFlow()) }

// restoreAnswers are those of a restore in which everything goes well.
func restoreAnswers(do restore.Do, mode restore.Mode, outcome restore.Outcome) map[string][]reply {
	done := `{"state":"done","detail":"d","since":"2026-03-01T04:00:00Z","record":{}}`
	wait := `{"state":"pending","detail":"d","since":"2026-03-01T04:00:00Z","record":{}}`
	action := map[restore.Do]string{restore.DoSettle: restore.Confirm, restore.DoUnmount: restore.Cleanup, restore.DoBack: restore.Rollback}[do]
	plan := fmt.Sprintf(`{"restoreId":"run-1","do":%q,"mode":%q,"action":%q,"target":{},"disks":[],"old":[],"record":{}}`, do, mode, action)
	m := map[string][]reply{"restore-plan": {answers(plan)}}
	for _, step := range []string{"restore-create", "restore-move", "restore-recover", "restore-power", "restore-settle"} {
		m[step] = append([]reply{answers(wait)}, times(8, answers(done))...)
	}
	m["restore-report"] = []reply{answers(fmt.Sprintf(`{"outcome":%q,"reason":"because","next":[]}`, outcome))}
	return m
}

// Whatever fails, in whatever way: both definitions of a restore take the same
// states to the same end.
func TestBothRestoresTakeTheSamePath(t *testing.T) {
	var stories []story
	for _, c := range []struct {
		do   restore.Do
		mode restore.Mode
		ends restore.Outcome
	}{
		{restore.DoCreate, restore.Volumes, restore.Restored}, {restore.DoRecover, restore.Volumes, restore.Restored}, {restore.DoUnmount, restore.Volumes, restore.Settled}, {restore.DoCreate, restore.InPlace, restore.FailedClean},
		{restore.DoBack, restore.InPlace, restore.RolledBack}, {restore.DoSettle, restore.InPlace, restore.Settled},
		{restore.DoNothing, restore.InPlace, restore.Planned},
	} {
		stories = append(stories, story{fmt.Sprint(c.do, " ", c.mode), func() map[string][]reply { return restoreAnswers(c.do, c.mode, c.ends) }})
	}
	if told := takeTheSamePath(t, restoreMachines(t), RestoreFunctions(), stories); told < 1000 {
		t.Errorf("%d stories are too few to be all", told)
	}
}

// A restore of as many disks as a set can have there, gone wrong at every step,
// is still less than a state may hand on.
func TestARestoreFitsIntoAFlow(t *testing.T) {
	id := strings.Repeat("x", 22)
	at := time.Date(2026, 3, 1, 4, 5, 6, 789012345, time.UTC)
	word := strings.Repeat("w", 128)
	plan := &restore.Plan{RestoreID: word[:80], Mode: restore.InPlace, SetID: word[:80], Proved: "application", Because: word, CostHint: word + word, Next: []string{word + word, word + word}}
	progress := &restore.Progress{State: restore.Pending, Detail: word, Since: at}
	v := &restore.Verdict{Plan: plan, Reason: word + word}
	for range 16 {
		plan.Disks = append(plan.Disks, restore.Disk{Snapshot: id, Origin: id, Device: "/dev/xvdb", SizeGiB: 32768, Kind: "cloud_regional_disk_auto", Key: word[:64], Ends: true, ID: id})
		plan.Old = append(plan.Old, restore.Old{ID: id, Device: "/dev/xvdb", Ends: true})
		plan.Steps = append(plan.Steps, word, word)
		progress.Disks = append(progress.Disks, restore.Made{ID: id, Origin: id, Device: "/dev/xvdb", State: "resetting"})
		v.Kept = append(v.Kept, restore.Kept{ID: id, Disk: id})
		v.Old = append(v.Old, restore.Old{ID: id, Device: "/dev/xvdb"})
		v.Created = append(v.Created, restore.Made{ID: id, Origin: id, Device: "/dev/xvdb"})
	}
	whole := restore.State{Plan: plan, Created: progress, Stopped: progress, Moved: progress, Started: progress, Halted: progress, Back: progress,
		Again: progress, Forgot: progress, Verdict: v}
	text, err := json.Marshal(whole)
	if err != nil {
		t.Fatal(err)
	}
	const failures = 6 << 10 // what a function may say of six steps
	if n := len(text) + failures; n > flow.MaxPayload {
		t.Errorf("%d bytes are more than %d", n, flow.MaxPayload)
	}
	if reflect.TypeFor[restore.State]().NumField() != 17 { // what is imaged, recovered and unmounted is null in place
		t.Error("the document has another field, and this measures the old ones")
	}
}

// Nor is one of disks beside that came to life, whatever the helper says of them.
func TestARecoveryFitsIntoAFlow(t *testing.T) {
	id, word := strings.Repeat("x", 22), strings.Repeat("w", 128)
	path := "/" + strings.Repeat("p", 254)
	plan := &restore.Plan{RestoreID: word[:80], Mode: restore.Volumes, SetID: word[:80], Proved: "application", Because: word, CostHint: word + word, Next: []string{word + word, word + word}}
	plan.Revival = &restore.Revival{Recover: restore.Recover{At: path[:96], Application: "postgresql", Check: path, Mounts: map[string]string{}}}
	progress := &restore.Progress{State: restore.Pending, Detail: word}
	reply := protocol.RecoverReply{}
	for i := range 16 {
		plan.Disks = append(plan.Disks, restore.Disk{Snapshot: id, Origin: id, Device: "/dev/xvdb", SizeGiB: 32768, Kind: "cloud_regional_disk_auto", Key: word[:64], ID: id})
		plan.Steps = append(plan.Steps, word, word, word[:90]+path[:219])
		plan.Revival.Places = append(plan.Revival.Places, restore.Mount{Origin: id, Was: path[:123], At: path[:219]})
		if i < 4 {
			plan.Revival.Mounts[fmt.Sprintf("%s%d", path[:120], i)] = path
		}
		progress.Disks = append(progress.Disks, restore.Made{ID: id, Origin: id, Device: "/dev/xvdb", State: "attaching"})
		reply.Filesystems = append(reply.Filesystems, protocol.Recovered{Origin: id, Device: path[:64], Type: "crypto_LUKS", UUID: word[:36], Mount: path, Was: path, How: word + word, Checked: word + word, Findings: []string{word, word}})
		reply.Problems, reply.Notes = append(reply.Problems, word+word), append(reply.Notes, word+word)
	}
	brief := reply.Brief(4 << 10)
	v := &restore.Verdict{Plan: plan, Reason: strings.Join(brief.Problems, "; "), Created: progress.Disks, Recovery: brief}
	asked, err := json.Marshal(restore.Request{RunID: plan.SetID, Mode: restore.Volumes, Recover: &plan.Revival.Recover})
	if err != nil {
		t.Fatal(err)
	}
	whole := restore.State{Request: asked, Plan: plan, Created: progress, Moved: progress, Recovered: &restore.Recovery{Reply: brief}, Unmounted: &restore.Recovery{}, Verdict: v}
	text, err := json.Marshal(whole)
	if err != nil {
		t.Fatal(err)
	}
	const failures = 2 << 10
	if n := len(text) + failures; n > flow.MaxPayload {
		t.Errorf("%d bytes are more than %d", n, flow.MaxPayload)
	}
	if len(brief.Problems) == 0 || len(brief.Filesystems) == 0 || brief.Untold == 0 {
		t.Errorf("nothing is left of the reply: %+v", brief)
	}
}

// What is on the disks is kept for as long as the step allows, and the machine
// stands still meanwhile: the flow has to have events left for all that comes
// after, the way back included, or it would end past every Catch.
func TestARestoreFlowOutlastsWhatItWaitsFor(t *testing.T) {
	const keeping = 4 * time.Hour // of the step that moves, and of a recovery at most
	for _, ends := range []reply{answers(`{"state":"done","detail":"d","since":"2026-03-01T04:00:00Z","record":{}}`), fails(fault.RestoreTimedOut)} {
		synctest.Test(t, func(t *testing.T) {
			w := &world{plan: restoreAnswers(restore.DoCreate, restore.InPlace, restore.FailedClean)}
			looks := int(keeping/(50*time.Second)) + 1 // each of 20 s, then a wait
			pending := answers(`{"state":"pending","detail":"d","since":"2026-03-01T04:00:00Z","record":{}}`).within(20 * time.Second)
			done := w.plan["restore-move"][1]
			w.plan["restore-move"] = append(append(times(looks, pending), ends), times(4, done)...)
			tr := executeOn(t, restoreMachines(t)[1], w, true)
			if tr.err == nil || tr.err.Name != "FailedClean" || tr.took < keeping {
				t.Errorf("got %v after %v", tr.err, tr.took)
			}
			if n := len(tr.events); n > flow.MaxEvents*3/4 {
				t.Errorf("%d events leave too little of %d for how the service counts", n, flow.MaxEvents)
			}
		})
	}
}
