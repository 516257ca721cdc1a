package session

import (
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/protocol"
)

// Exit codes of the command, as users of DLM know them. Never 194, which makes
// the agent restart the machine.
const (
	ExitDone          = 0
	ExitFailed        = 1
	ExitPreFailed     = 201
	ExitPostFailed    = 202
	ExitAutoThawed    = 203 // thawed before the thaw was asked for, by deadline, guard or recovery
	ExitAlreadyFrozen = 204 // somebody else froze it
	ExitAlreadyThawed = 205 // nothing is frozen, or somebody else thawed it
	ExitNotReady      = 206 // another run's session is open
)

// ofApplication are the codes of what brings the application to rest.
var ofApplication = map[fault.Code]bool{
	fault.ScriptFailed: true, fault.ScriptTimedOut: true, fault.ScriptUnsafe: true,
	fault.ApplicationNotFound: true, fault.ApplicationRefused: true, fault.ApplicationBusy: true,
}

// ExitCode is the command's exit code for a reply.
func ExitCode(r protocol.Reply) int {
	switch {
	case r.Error == nil && r.Recover != nil && len(r.Recover.Problems) > 0:
		return ExitFailed
	case r.Error == nil:
		return ExitDone
	}
	switch {
	case ofApplication[r.Error.Code] && r.Verb == protocol.Thaw:
		return ExitPostFailed
	case ofApplication[r.Error.Code]:
		return ExitPreFailed
	case r.Error.Code == fault.RunInProgress:
		return ExitNotReady
	case r.Error.Code == fault.ForeignFreeze:
		return ExitAlreadyFrozen
	case r.Error.Code == fault.HoldLost && r.Evidence != nil && r.Evidence.AutoThawed:
		return ExitAutoThawed
	case r.Error.Code == fault.HoldLost && r.Error.Field == "application":
		return ExitFailed // the filesystems were held, and thawed as asked
	case r.Error.Code == fault.HoldLost, r.Verb == protocol.Thaw && r.Error.Code == fault.NoSession:
		return ExitAlreadyThawed
	}
	return ExitFailed
}
