package session

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/protocol"
)

// Limits of a request. A reply has to fit a command's output, which bounds the
// number of filesystems.
const (
	MaxFilesystems    = 40
	MaxSessionSeconds = 6 * 3600
	MaxFreezeSeconds  = 600
	MaxTimeoutSeconds = 600
	MaxRetries        = 3
)

var (
	runID  = regexp.MustCompile(`^[A-Za-z0-9_-]{1,80}$`)
	device = regexp.MustCompile(`^[0-9]{1,9}:[0-9]{1,9}$`)
)

// CheckHead refuses a request of another helper's, or of no run.
func CheckHead(req protocol.Request) error {
	if req.Version != protocol.Version {
		return fault.Input("version", "is %d, this helper speaks %d", req.Version, protocol.Version)
	}
	if !runID.MatchString(req.RunID) {
		return fault.Input("runId", "must match %s", runID)
	}
	return nil
}

// Check refuses a request that is not well formed, naming the field.
func Check(req protocol.Request) error {
	if err := CheckHead(req); err != nil {
		return err
	}
	switch req.Verb {
	case protocol.DryRun:
		if req.DryRun != nil && req.DryRun.Application != nil {
			return checkApplication("dryRun.application", *req.DryRun.Application, protocol.Auto)
		}
	case protocol.Begin:
		if req.Begin == nil {
			return fault.Input("begin", "is missing")
		}
		return checkBegin(*req.Begin)
	case protocol.Freeze, protocol.Probe, protocol.Thaw, protocol.Status:
	default:
		return fault.Input("verb", "is unknown")
	}
	return nil
}

func checkBegin(b protocol.BeginRequest) error {
	if err := checkRange("begin.sessionSeconds", b.SessionSeconds, 1, MaxSessionSeconds); err != nil {
		return err
	}
	if len(b.Filesystems) > 0 {
		if err := checkRange("begin.freezeSeconds", b.FreezeSeconds, 1, MaxFreezeSeconds); err != nil {
			return err
		}
	}
	if len(b.Filesystems) > MaxFilesystems {
		return fault.Input("begin.filesystems", "has %d entries, more than %d", len(b.Filesystems), MaxFilesystems)
	}
	seen := map[string]bool{}
	for _, f := range b.Filesystems {
		if err := protocol.CheckPath("begin.filesystems.mount", f.Mount); err != nil {
			return err
		}
		if !device.MatchString(f.Device) {
			return fault.Input("begin.filesystems.device", "is not major:minor")
		}
		if seen[f.Device] {
			return fault.Input("begin.filesystems.device", "%s is named twice: one superblock freezes once", f.Device)
		}
		seen[f.Device] = true
	}
	return checkApplication("begin.application", b.Application)
}

func checkApplication(at string, a protocol.Application, besides ...string) error {
	if a.Kind == "none" || a.Kind == byDocument {
		return nil
	}
	if a.Kind != "script" && !slices.Contains(protocol.Servers, a.Kind) && !slices.Contains(besides, a.Kind) {
		return fault.Input(at+".kind", "must be none, script, document or one of %s", strings.Join(protocol.Servers, ", "))
	}
	if a.Kind == "script" && a.PreScript == "" && a.PostScript == "" {
		return fault.Input(at, "names no script")
	}
	for _, p := range []struct{ field, path string }{
		{"preScript", a.PreScript}, {"postScript", a.PostScript}, {"socket", a.Socket}, {"optionFile", a.OptionFile},
	} {
		if p.path == "" {
			continue
		}
		if err := protocol.CheckPath(at+"."+p.field, p.path); err != nil {
			return err
		}
	}
	for _, n := range []struct {
		field     string
		got, most int
	}{
		{"timeoutSeconds", a.TimeoutSeconds, MaxTimeoutSeconds}, {"retries", a.Retries, MaxRetries},
		{"ftwrlWaitTimeout", a.FTWRLWaitTimeout, MaxTimeoutSeconds}, {"ftwrlWaitThreshold", a.FTWRLWaitThreshold, MaxSessionSeconds},
		{"killLongQueriesTimeout", a.KillLongQueriesTimeout, MaxTimeoutSeconds},
	} {
		if err := checkRange(at+"."+n.field, n.got, 0, n.most); err != nil {
			return err
		}
	}
	return nil
}

func checkRange(field string, got, low, high int) error {
	if got < low || got > high {
		return fault.Input(field, "is %d, must be %d to %d", got, low, high)
	}
	return nil
}

// Late refuses what its sender no longer waits for.
func Late(req protocol.Request, now time.Time) error {
	if req.NotAfter.IsZero() || !now.After(req.NotAfter) {
		return nil
	}
	return fault.New(fault.TooLate, "%s arrived %v after its limit", req.Verb, now.Sub(req.NotAfter).Round(time.Millisecond))
}
