package workflow

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/protocol"
	"github.com/quiesce/quiesce/shared/restore"
	"github.com/quiesce/quiesce/shared/run"
	"github.com/quiesce/quiesce/shared/verify"
	"github.com/quiesce/quiesce/workflow/asl"
	"github.com/quiesce/quiesce/workflow/flow"
)

func TestVerifyFlowKeepsItsContract(t *testing.T) { keepsItsContract(t, VerifyFlow(), verifyRules()) }

func TestContractFindsDefectsOfARestoreTestsFlow(t *testing.T) {
	findsDefects(t, VerifyFlow(), verifyRules(), []defect{
		{"        Next: CleanUp\n    Next: Created", "        Next: Report\n    Next: Created", `thaw: state "Create": ends without CleanUp: Create > Report`},
		{"        Next: CleanUp\n    Next: IsRecovered", "        Next: Report\n    Next: IsRecovered", `thaw: state "Create": ends without CleanUp`},
		{"    Default: CleanUp\n", "    Default: Report\n", `thaw: state "Create": ends without CleanUp`},
		{"        Next: Report\n    Next: IsClean", "        Next: Create\n    Next: IsClean", `thaw: state "CleanUp": leads back`},
		{"        request.$: $Input.choice.restore\n", "        request.$: $Input.request.restore\n", "$.request is whatever was typed"},
		{"      marked.$: $Output.Body\n      created.$: $Input.created\n", "      marked.$: $Output.Body\n", "created: is not carried on"},
		{"    Timeout: 310\n", "    Timeout: 290\n", `timeout: state "CleanUp": gives up`},
		{"${VerifyMarkFunctionArn}", "${SomeFunctionArn}", "calls ${SomeFunctionArn}, which is no step"},
	})
}

func TestBothRestoreTestsCallTheSameSteps(t *testing.T) { callTheSame(t, Verify(), VerifyFlow()) }

func verifyMachines(t *testing.T) []*asl.Machine {
	t.Helper()
	return twins(t, VerifyMachine, VerifyFlowMachine)
}

// verifyAnswers are those of a test in which everything goes well, each look but
// the second in vain.
func verifyAnswers(do restore.Do, outcome verify.Outcome) map[string][]reply {
	far := time.Now().Add(24 * time.Hour).Format(time.RFC3339)
	done, wait := answers(`{"state":"done","since":"2026-03-01T04:00:00Z"}`), answers(`{"state":"pending","since":"2026-03-01T04:00:00Z"}`)
	m := map[string][]reply{
		"verify-choose": {answers(`{"setId":"r","snapshotIds":["s"],"deadline":"` + far + `","restore":{"runId":"r","mode":"volumes"}}`)},
		"restore-plan":  {answers(fmt.Sprintf(`{"restoreId":"run-1","do":%q,"mode":"volumes","target":{},"disks":[]}`, do))},
		"verify-mark":   {answers(`{"record":{}}`)},
		"verify-report": {answers(fmt.Sprintf(`{"outcome":%q,"reason":"because"}`, outcome))},
	}
	for _, step := range []string{"restore-create", "restore-move", "verify-recover", "verify-clean"} {
		m[step] = append([]reply{wait}, times(2, done)...)
	}
	return m
}

// Whatever fails, in whatever way: both definitions of a restore test take the
// same states to the same end.
func TestBothRestoreTestsTakeTheSamePath(t *testing.T) {
	var stories []story
	for _, c := range []struct {
		do   restore.Do
		ends verify.Outcome
	}{{restore.DoCreate, verify.Passed}, {restore.DoCreate, verify.FailedClean}, {restore.DoCreate, verify.FailedDirty}, {restore.DoNothing, verify.Planned}} {
		stories = append(stories, story{fmt.Sprint(c.do, " ", c.ends), func() map[string][]reply { return verifyAnswers(c.do, c.ends) }})
	}
	if told := takeTheSamePath(t, verifyMachines(t), VerifyFunctions(), stories); told < 1000 {
		t.Errorf("%d stories are too few to be all", told)
	}
}

// A recovery may take as long as a policy allows: the flow has to have events left
// for the cleaning, or it would end past every Catch.
func TestAVerifyFlowOutlastsItsTimeLimit(t *testing.T) {
	longest := policy.RestoreTest{TimeLimitMinutes: 360}.TimeLimit()
	synctest.Test(t, func(t *testing.T) {
		w := &world{plan: verifyAnswers(restore.DoCreate, verify.Passed)}
		looks := int(longest/(80*time.Second)) + 1 // each of 20 s, then a wait
		pending, done := w.plan["verify-recover"][0].within(20*time.Second), w.plan["verify-recover"][1]
		w.plan["verify-recover"] = append(times(looks, pending), done)
		tr := executeOn(t, verifyMachines(t)[1], w, true)
		if tr.err != nil || tr.took < longest {
			t.Errorf("got %v after %v", tr.err, tr.took)
		}
		if n := len(tr.events); n > flow.MaxEvents*3/4 {
			t.Errorf("%d events leave too little of %d for how the service counts", n, flow.MaxEvents)
		}
	})
}

// A test of as many disks as a set can have there, of which something is wrong
// with each, is still less than a state may hand on.
func TestARestoreTestFitsIntoAFlow(t *testing.T) {
	id, word := strings.Repeat("x", 22), strings.Repeat("w", 128)
	at := time.Date(2026, 3, 1, 4, 5, 6, 789012345, time.UTC)
	plan := &restore.Plan{RestoreID: word[:80], Mode: restore.Volumes, SetID: word[:80], Proved: "application", Because: word, CostHint: word + word, Next: []string{word + word, word + word}, Scratch: true, Until: at}
	progress := &restore.Progress{State: restore.Pending, Detail: word, Since: at}
	reply := &protocol.RecoverReply{Server: &protocol.SecondServer{Kind: "postgresql", Version: word[:40], Started: true}, Notes: []string{word, word}}
	choice := &verify.Choice{TestID: word[:80], SetID: word[:80], Policy: word[:64], InstanceID: id, TakenAt: at, Because: word, Script: word, CostHint: word, Deadline: at, Helper: run.Helper{SHA256: word[:64]}}
	for range 16 {
		choice.SnapshotIDs = append(choice.SnapshotIDs, id)
		plan.Disks = append(plan.Disks, restore.Disk{Snapshot: id, Origin: id, Device: "/dev/xvdb", SizeGiB: 32768, Kind: "cloud_regional_disk_auto", Key: word[:64], Ends: true, ID: id})
		plan.Steps = append(plan.Steps, word, word[:80])
		progress.Disks = append(progress.Disks, restore.Made{ID: id, Origin: id, Device: "/dev/xvdb", State: "attached"})
		reply.Filesystems = append(reply.Filesystems, protocol.Recovered{Origin: id, Device: "/dev/vdb1", Type: "ext4", Was: word[:40], Checked: word[:40], Mount: word[:100]})
		reply.Problems = append(reply.Problems, word)
	}
	choice.Restore = restore.Request{RunID: choice.SetID, Mode: restore.Volumes, InstanceID: id, Scratch: true, Until: at}
	v := &verify.Verdict{Choice: choice, Plan: plan, Recovery: reply, Reason: word + word, Left: choice.SnapshotIDs, Next: []string{word, word}}
	whole := verify.State{Choice: choice, Plan: plan, Created: progress, Moved: progress, Recovered: &restore.Recovery{CommandID: id, SentAt: at, Reply: reply}, Cleaned: progress, Verdict: v}
	text, err := json.Marshal(whole)
	if err != nil {
		t.Fatal(err)
	}
	const said = 4 << 10 // what a function may say of four steps
	if n := len(text) + policy.FlowRoom + said; n > flow.MaxPayload {
		t.Errorf("%d bytes are more than %d", n, flow.MaxPayload)
	}
	if reflect.TypeFor[verify.State]().NumField() != 11 {
		t.Error("the document has another field, and this measures the old ones")
	}
}
