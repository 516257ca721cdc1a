package verifyreport_test

import (
	"testing"

	"github.com/quiesce/quiesce/functions/verifyreport"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/protocol"
	"github.com/quiesce/quiesce/shared/restore"
	"github.com/quiesce/quiesce/shared/retention"
	"github.com/quiesce/quiesce/shared/run"
	"github.com/quiesce/quiesce/shared/verify"
)

// A set is condemned only by what was found on it, or because no disk can be made
// of it: whatever else fails says nothing of it.
func TestJudge(t *testing.T) {
	failure := func(code fault.Code) *run.Failure { return &run.Failure{Error: string(code), Cause: "why"} }
	live := func(problems ...string) *restore.Recovery {
		return &restore.Recovery{State: restore.Done, Reply: &protocol.RecoverReply{Seconds: 4, Problems: problems}}
	}
	for _, c := range []struct {
		name    string
		change  func(*verify.State)
		verdict retention.Test
		outcome verify.Outcome
		code    fault.Code
		seconds float64
	}{
		{"it came to life", func(s *verify.State) { s.Recovered = live() }, retention.Successful, verify.Passed, "", 4},
		{"it did not", func(s *verify.State) { s.Recovered = live("a hole") }, retention.TestFailed, verify.FailedClean, fault.RestoreTestFailed, 0},
		{"no disk can be made of it", func(s *verify.State) { s.Failures.Create = failure(fault.RestoreRefused) }, retention.TestFailed, verify.FailedClean, fault.RestoreRefused, 0},
		{"its snapshot is gone", func(s *verify.State) { s.Failures.Create = failure(fault.SetNotRestorable) }, retention.TestFailed, verify.FailedClean, fault.SetNotRestorable, 0},
		{"the same, found by the plan", func(s *verify.State) { s.Failures.Plan = failure(fault.SetNotRestorable) }, verify.NotTested, verify.FailedClean, fault.SetNotRestorable, 0},
		{"a right is missing", func(s *verify.State) { s.Failures.Create = failure(fault.AccessDenied) }, verify.NotTested, verify.FailedClean, fault.AccessDenied, 0},
		{"the test instance refuses a disk", func(s *verify.State) { s.Failures.Move = failure(fault.RestoreRefused) }, verify.NotTested, verify.FailedClean, fault.RestoreRefused, 0},
		{"the helper is not delivered", func(s *verify.State) { s.Failures.Recover = failure(fault.HelperNotDelivered) }, verify.NotTested, verify.FailedClean, fault.HelperNotDelivered, 0},
		{"the helper's time is over", func(s *verify.State) { s.Failures.Recover = failure(fault.RestoreTimedOut) }, retention.TimedOut, verify.FailedClean, fault.RestoreTimedOut, 0},
		{"the helper is silent", func(s *verify.State) { s.Failures.Recover = failure(fault.CommandTimedOut) }, retention.TimedOut, verify.FailedClean, fault.CommandTimedOut, 0},
		{"disks that are not made in time", func(s *verify.State) { s.Failures.Create = failure(fault.RestoreTimedOut) }, retention.TimedOut, verify.FailedClean, fault.RestoreTimedOut, 0},
		{"disks that are not attached in time", func(s *verify.State) { s.Failures.Move = failure(fault.RestoreTimedOut) }, retention.TimedOut, verify.FailedClean, fault.RestoreTimedOut, 0},
		{"nobody has looked at the copies", func(*verify.State) {}, verify.NotTested, verify.FailedClean, fault.Internal, 0},
		{"the workflow's own error", func(s *verify.State) { s.Failures.Mark = failure("States.Timeout") }, verify.NotTested, verify.FailedClean, "States.Timeout", 0},
		{"a dry run", func(s *verify.State) { s.Plan.Do = restore.DoNothing }, "", verify.Planned, "", 0},
	} {
		s := verify.State{Choice: &verify.Choice{SetID: "r"}, Plan: &restore.Plan{Do: restore.DoCreate}}
		c.change(&s)
		v := verifyreport.Judge(s)
		if v.Result != c.verdict || v.Outcome != c.outcome || v.Code != string(c.code) || v.RecoverySeconds != c.seconds || v.Reason == "" {
			t.Errorf("%s: got %+v", c.name, v)
		}
	}
}
