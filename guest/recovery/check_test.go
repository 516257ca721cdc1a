//go:build linux

package recovery

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/quiesce/quiesce/guest/application"
	"github.com/quiesce/quiesce/guest/linux"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/protocol"
)

// A request that is not well formed is refused by its field, before anything is
// looked at.
func TestCheck(t *testing.T) {
	disk := protocol.RestoredDisk{ID: "vol-b", Origin: "vol-a", Serials: []string{"volb"}}
	for field, with := range map[string]func(*protocol.RecoverRequest){
		"":                             func(*protocol.RecoverRequest) {},
		"recover.disks":                func(q *protocol.RecoverRequest) { q.Disks = nil },
		"recover.disks[0].id":          func(q *protocol.RecoverRequest) { q.Disks[0].ID = "" },
		"recover.disks[0].origin":      func(q *protocol.RecoverRequest) { q.Disks[0].Origin = ".." },
		"recover.disks[0]":             func(q *protocol.RecoverRequest) { q.Disks[0].Serials = nil },
		"recover.disks[1].id":          func(q *protocol.RecoverRequest) { q.Disks = append(q.Disks, disk) },
		"recover.disks[0].places.path": func(q *protocol.RecoverRequest) { q.Disks[0].Places = []protocol.Place{{Type: "xfs", Path: "srv"}} },
		"recover.at":                   func(q *protocol.RecoverRequest) { q.At = "/" },
		"recover.mounts[/srv]":         func(q *protocol.RecoverRequest) { q.Mounts = map[string]string{"/srv": "/usr/lib/x"} },
		"recover.mounts[/b]":           func(q *protocol.RecoverRequest) { q.Mounts = map[string]string{"/a": "/mnt/x", "/b": "/mnt/x"} },
		"recover.application.kind":     func(q *protocol.RecoverRequest) { q.Application.Kind = "mongodb" },
		"recover.data":                 func(q *protocol.RecoverRequest) { q.Data = "/srv/../etc" },
		"recover.files":                func(q *protocol.RecoverRequest) { q.Files = protocol.Files{"../x": ""} },
		"recover.timeoutSeconds":       func(q *protocol.RecoverRequest) { q.TimeoutSeconds = protocol.MaxRecoverSeconds + 1 },
		"recover.check":                func(q *protocol.RecoverRequest) { q.Check = "/tmp/check" },
	} {
		q := &protocol.RecoverRequest{Disks: []protocol.RestoredDisk{disk}, At: "/mnt/at", Application: protocol.Application{Kind: "redis"}, TimeoutSeconds: 60}
		q.Disks[0].Serials = []string{"volb"}
		with(q)
		r := &Recovery{Recoverers: map[string]application.Recoverer{"redis": &fake{}}}
		err := r.Check(protocol.Request{Version: protocol.Version, Verb: protocol.Recover, RunID: "r", Recover: q})
		got := ""
		if f, ok := err.(*fault.Error); ok {
			got = f.Field
		}
		if got != field || err == nil != (field == "") {
			t.Errorf("got %v, want one of %q", err, field)
		}
	}
	r := &Recovery{}
	if err := r.Check(protocol.Request{Version: protocol.Version, Verb: protocol.Recover, RunID: "r"}); err == nil {
		t.Error("a request without its part is taken")
	}
	if err := r.Check(protocol.Request{Version: 9, Verb: protocol.Unmount, RunID: "r"}); err == nil {
		t.Error("another helper's request is taken")
	}
}

// What cannot be taken back stays on record with all that it stands on.
func TestUndoStopsAtWhatIsBusy(t *testing.T) {
	m := newMachine(t)
	state, err := linux.OpenState(filepath.Join(m.root, "state"))
	must(t, err)
	r := &Recovery{State: state, tool: m.tool}
	r.defaults()
	j, err := r.open("r")
	must(t, err)
	for _, s := range []step{{Kind: array, Path: "/dev/md/x"}, {Kind: group, Path: "vg"}, {Kind: folder, Path: filepath.Join(m.root, "not-there")}} {
		must(t, j.record(s))
	}
	m.said["vgs vg"], m.said["vgchange --activate n vg"] = said{}, said{Exit: 5, Err: "Logical volume vg/db in use."}
	if err := r.undo(t.Context(), j, nil); fault.CodeOf(err) != fault.VolumeBusy || !strings.Contains(err.Error(), "in use") {
		t.Errorf("got %v", err)
	}
	again, err := r.open("r")
	must(t, err)
	if len(again.Steps) != 2 || again.Steps[0].Kind != array || again.Steps[1].Kind != group {
		t.Errorf("on record are %v", again.Steps)
	}
	m.said["vgchange --activate n vg"], m.said["mdadm --detail /dev/md/x"], m.said["mdadm --stop /dev/md/x"] = said{}, said{}, said{}
	must(t, r.undo(t.Context(), again, nil))
	if last := m.asked[len(m.asked)-1]; last != "mdadm --stop /dev/md/x" || len(again.Steps) != 0 {
		t.Errorf("asked %v, left %v", m.asked, again.Steps)
	}
}
