//go:build linux

package recovery

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/protocol"
)

// Names that become part of a path.
var (
	volumeID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$`)
	fileName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$`)
)

// starts are the kinds of application that have a server.
func starts(kind string) bool {
	return kind != "" && kind != "none" && kind != "script" && kind != "document"
}

// check refuses a request that is not well formed, naming the field.
func (r *Recovery) check(q *protocol.RecoverRequest) error {
	if q == nil {
		return fault.Input("recover", "is missing")
	}
	if n := len(q.Disks); n < 1 || n > protocol.MaxRestoredDisks {
		return fault.Input("recover.disks", "has %d entries, wants 1 to %d", n, protocol.MaxRestoredDisks)
	}
	seen := map[string]bool{}
	for i, d := range q.Disks {
		at := fmt.Sprintf("recover.disks[%d]", i)
		switch {
		case !volumeID.MatchString(d.ID):
			return fault.Input(at+".id", "%q is no volume's id", d.ID)
		case !volumeID.MatchString(d.Origin):
			return fault.Input(at+".origin", "%q is no volume's id", d.Origin)
		case seen[d.ID]:
			return fault.Input(at+".id", "%s is named twice", d.ID)
		case len(d.Serials) == 0 && d.Device == "":
			return fault.Input(at, "has neither serial number nor device: nothing tells which disk is meant")
		}
		seen[d.ID] = true
		for _, p := range d.Places {
			if err := protocol.CheckPath(at+".places.path", p.Path); err != nil {
				return err
			}
		}
	}
	if err := protocol.CheckMountPoint("recover.at", q.At); err != nil {
		return err
	}
	taken := map[string]bool{}
	for _, of := range slices.Sorted(maps.Keys(q.Mounts)) {
		field := "recover.mounts[" + of + "]"
		if err := protocol.CheckMountPoint(field, q.Mounts[of]); err != nil {
			return err
		}
		if to := q.Mounts[of]; taken[to] {
			return fault.Input(field, "%s is asked for twice", to)
		}
		taken[q.Mounts[of]] = true
	}
	if starts(q.Application.Kind) && r.Recoverers[q.Application.Kind] == nil {
		return fault.Input("recover.application.kind", "is %s, and this helper starts none but %s", q.Application.Kind, strings.Join(slices.Sorted(maps.Keys(r.Recoverers)), ", "))
	}
	if q.Data != "" {
		if err := protocol.CheckPath("recover.data", q.Data); err != nil {
			return err
		}
	}
	size := 0
	for name, text := range q.Files {
		if !fileName.MatchString(name) {
			return fault.Input("recover.files", "%q is no file's name", name)
		}
		size += len(text)
	}
	switch {
	case size > protocol.MaxFilesBytes:
		return fault.Input("recover.files", "has %d bytes, more than %d", size, protocol.MaxFilesBytes)
	case q.TimeoutSeconds < 1 || q.TimeoutSeconds > protocol.MaxRecoverSeconds:
		return fault.Input("recover.timeoutSeconds", "is %d, must be 1 to %d", q.TimeoutSeconds, protocol.MaxRecoverSeconds)
	}
	if q.Check != "" {
		if err := r.Scripts.Check(q.Check); err != nil {
			return &fault.Error{Code: fault.ScriptUnsafe, Field: "recover.check", Message: err.Error()}
		}
	}
	return nil
}
