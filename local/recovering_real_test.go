package local

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/quiesce/quiesce/local/ledger"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/restore"
	"github.com/quiesce/quiesce/shared/run"
)

// marker is a file that a server's data folder has.
var marker = map[string]string{policy.MariaDB: "ibdata1", policy.PostgreSQL: "PG_VERSION"}

// A real server's set comes to life beside its original, which goes on: its data is
// where it was asked for, is what the set holds, and goes again without a trace.
func TestRealRestoreThatComesToLife(t *testing.T) {
	for _, c := range []struct{ cloud, app string }{{AWS, policy.MariaDB}, {Aliyun, policy.PostgreSQL}} {
		t.Run(c.cloud+" "+c.app, func(t *testing.T) {
			k := take(t, c.app, func(o *Options) { o.Cloud = c.cloud })
			at := filepath.Join(k.stage.dir(), "restored")
			r := k.by("alive", restore.Request{RunID: k.state.Run.ID, Mode: restore.Volumes, Recover: &restore.Recover{At: at}}, restore.Restored)
			if changed, err := k.stage.changed(t.Context()); err != nil || changed != "" || k.acks != nil {
				t.Errorf("the original server has changed: %s, %v", changed, err)
			}
			reply := r.verdict.Recovery
			if reply == nil || reply.Server == nil || !reply.Server.Started || reply.Server.Kind != c.app || len(reply.Filesystems) != len(k.volumes) {
				t.Fatalf("got %+v", reply)
			}
			if n := len(mountedBelow(t, at)); n != len(k.volumes) {
				t.Errorf("%d of %d are mounted below %s", n, len(k.volumes), at)
			}
			found := false
			k.must(filepath.WalkDir(at, func(path string, _ fs.DirEntry, err error) error {
				found = found || filepath.Base(path) == marker[c.app]
				return err
			}))
			if !found {
				t.Errorf("no %s is found below %s", marker[c.app], at)
			}
			k.stop()
			k.judges(at)
			clean := k.by("clean", restore.Request{Action: restore.Cleanup, RunID: "alive"}, restore.Settled)
			if left := mountedBelow(t, at); len(left) > 0 || len(clean.verdict.Created) > 0 {
				t.Errorf("left after the cleanup: %v, %+v", left, clean.verdict.Created)
			}
		})
	}
}

// judges lets a second server live on the copies where they are mounted, and asks
// the oracle about it.
func (k *taken) judges(at string) {
	k.Helper()
	var folders []string
	for _, was := range k.stage.mounts {
		folders = append(folders, filepath.Join(at, was))
	}
	room := filepath.Join(k.stage.dir(), "second")
	k.must(os.Mkdir(room, 0o700))
	checked, err := k.stage.database.Check(k.Context(), k.stage.place(room, folders), run.Application)
	k.must(err)
	contents := &restored{served: true, holds: k.stage.holds, volumes: checked.Tables}
	if got := ledger.Verify(k.asTaken(contents)); !got.Verified || got.Records == 0 || len(checked.Findings) > 0 {
		k.Errorf("the oracle finds %+v, the server %v", got, checked.Findings)
	}
}

// mountedBelow are the places below a folder at which something is mounted on this
// host.
func mountedBelow(t *testing.T, folder string) (places []string) {
	t.Helper()
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(table)) {
		if at := strings.Fields(line)[4]; strings.HasPrefix(at, folder+"/") {
			places = append(places, at)
		}
	}
	return places
}
