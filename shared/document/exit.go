package document

import (
	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
)

// Exit codes of a document, as users of Data Lifecycle Manager know them.
const (
	exitPreFailed     = 201
	exitPostFailed    = 202
	exitAutoThawed    = 203 // let go before the post-script came
	exitAlreadyFrozen = 204 // found at the pre-script
	exitAlreadyThawed = 205 // found at the post-script
	exitNotReady      = 206
)

// meaning is an exit code at the command that may end with it.
type meaning struct {
	command string // empty: any
	code    fault.Code
	says    string
}

var meanings = map[int]meaning{
	exitPreFailed:     {Pre, fault.ScriptFailed, "its pre-script failed"},
	exitPostFailed:    {Post, fault.ScriptFailed, "its post-script failed"},
	exitAutoThawed:    {Post, fault.HoldLost, "it had let the application go by itself before its post-script"},
	exitAlreadyFrozen: {Pre, fault.AlreadyFrozen, "it found the application or a filesystem frozen already"},
	exitAlreadyThawed: {Post, fault.AlreadyThawed, "it found the application let go already"},
	exitNotReady:      {"", fault.ApplicationNotReady, "the application is not ready"},
}

// judge gives an ended command its code. An exit code at a command that cannot
// end with it is a failure like any other.
func judge(command, name string, r cloud.Result) error {
	m, known := meanings[r.ExitCode]
	switch {
	case r.TimedOut:
		return fault.New(fault.ScriptTimedOut, "the document %s, %s: the agent says %s", name, command, r.Status)
	case r.ExitCode == 0:
		return nil
	case known && (m.command == "" || m.command == command):
		return fault.New(m.code, "the document %s ended with %d: %s", name, r.ExitCode, m.says)
	}
	return fault.New(fault.ScriptFailed, "the document %s, %s, ended %s with exit code %d", name, command, r.Status, r.ExitCode)
}
