// Package shadow is how the steps and the documents of this project speak that
// make shadow copies on a Windows instance, and go back to them: requests and
// replies in JSON. A shadow copy lies on the volume that it is of. A snapshot
// that is taken afterwards holds it, whatever was written meanwhile.
package shadow

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/run"
)

// Version is of the requests and the replies.
const Version = 1

// Verbs of a request.
const (
	Make = "make" // idempotent for a run: the copies are made once, and their answer repeated
	Drop = "drop" // deletes the run's copies from the instance; none is no error
)

// Limit is how long a document may run: writers have sixty seconds, and as many
// volumes as a set can hold are surveyed before.
const Limit = 10 * time.Minute

// Request is what the document is asked.
type Request struct {
	Version int      `json:"version"`
	Verb    string   `json:"verb"`
	RunID   string   `json:"runId"`
	Volumes []string `json:"volumes"`
}

// Reply is what it answers: with an error, or with the copies.
type Reply struct {
	Version int          `json:"version"`
	Verb    string       `json:"verb"`
	RunID   string       `json:"runId"`
	Shadows *run.Shadows `json:"shadows"`
	Dropped int          `json:"dropped"`
	Error   *Failure     `json:"error"`
}

// Failure is why the document could not do it.
type Failure struct {
	Exit    int    `json:"exit"`
	Message string `json:"message"`
}

// Exit codes of the documents.
const (
	ExitRequest = 221 // the request cannot be read
	ExitAbsent  = 222 // the instance has no diskshadow
	ExitVolume  = 223 // a volume of the set is not found, or is none that VSS can copy
	ExitCreate  = 224 // diskshadow made no copies, or not all
	ExitWriter  = 225 // a writer failed: the copies were deleted again
	ExitRevert  = 226 // a copy could not be gone back to
	ExitDisk    = 227 // a restored disk could not be made ready, or given its signature
	ExitBusy    = 228 // another run has copies there, or its request does not end
	ExitLate    = 229 // the run has deleted its copies before
)

// Codes are what the exit codes mean.
var Codes = map[int]fault.Code{
	ExitRequest: fault.Internal,
	ExitAbsent:  fault.VssRefused,
	ExitVolume:  fault.VolumeUnsupported,
	ExitCreate:  fault.ShadowFailed,
	ExitWriter:  fault.VssWriterFailed,
	ExitRevert:  fault.RestoreRefused,
	ExitDisk:    fault.RestoreRefused,
	ExitBusy:    fault.RunInProgress,
	ExitLate:    fault.TooLate,
}

// Read makes sense of a command that has ended.
func Read(asked Request, result cloud.Result) (Reply, error) {
	var reply Reply
	err := json.Unmarshal([]byte(strings.TrimSpace(result.Stdout)), &reply)
	whole := err == nil && reply.Version == Version && reply.Verb == asked.Verb && reply.RunID == asked.RunID
	switch {
	case whole && reply.Error != nil:
		code, known := Codes[reply.Error.Exit]
		if !known {
			code = fault.ShadowFailed
		}
		return reply, fault.New(code, "%s", reply.Error.Message)
	case whole && result.ExitCode == 0 && !result.TimedOut:
		return reply, reply.check(asked)
	case result.TimedOut:
		return Reply{}, fault.New(fault.CommandTimedOut, "%s: the agent says %s", asked.Verb, result.Status)
	}
	return Reply{}, fault.New(fault.CommandFailed, "%s ended %s with exit code %d: %s", asked.Verb, result.Status, result.ExitCode, tail(result.Stderr))
}

// check wants a copy on each volume, and each disk's signature: less is not what
// was asked.
func (r Reply) check(asked Request) error {
	if asked.Verb != Make {
		return nil
	}
	if r.Shadows == nil || r.Shadows.SetID == "" {
		return fault.New(fault.ShadowFailed, "the document answered without shadow copies")
	}
	copied, known := map[string]bool{}, map[string]bool{}
	for _, c := range r.Shadows.Copies {
		copied[c.VolumeID] = c.ID != ""
	}
	for _, d := range r.Shadows.Disks {
		known[d.VolumeID] = d.Signature != ""
	}
	for _, v := range asked.Volumes {
		if !copied[v] || !known[v] {
			return fault.New(fault.ShadowFailed, "the document answered without a shadow copy of %s, or without its disk's signature", v)
		}
	}
	return nil
}

func tail(s string) string {
	s = strings.TrimSpace(strings.ToValidUTF8(s, ""))
	if r := []rune(s); len(r) > 300 {
		return "…" + string(r[len(r)-300:])
	}
	return s
}
