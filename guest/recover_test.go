//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/protocol"
)

// A helper that is killed while it recovers leaves nothing that a process or a
// mount could hold on to, and the next one removes the rest.
func TestRealRecoverIsKilled(t *testing.T) {
	l := newLab(t)
	dir := t.TempDir()
	img := filepath.Join(dir, "copy.img")
	f, err := os.Create(img)
	if err != nil {
		t.Fatal(err)
	}
	f.Truncate(64 << 20)
	f.Close()
	sh(t, "mkfs.ext4", "-q", img)
	loop := sh(t, "losetup", "-f", "--show", img)
	t.Cleanup(func() { sh(t, "losetup", "-d", loop) })
	home, err := os.MkdirTemp("/root", "quiesce-test-")
	if fi, failed := os.Stat("/root"); err != nil || failed != nil || fi.Mode().Perm()&0o022 != 0 {
		t.Skip("SKIP needs a folder that is root's alone")
	}
	t.Cleanup(func() { os.RemoveAll(home) })
	check, mark := filepath.Join(home, "check"), filepath.Dir(l.dir)+".began"
	t.Cleanup(func() { os.Remove(mark) })
	script := "#!/bin/sh\n[ -e " + home + "/quick ] && exit 0\nsleep 3607 &\necho began > " + mark + "\nwait\n"
	if err := os.WriteFile(check, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	at := filepath.Join(dir, "at")
	req := protocol.Request{Version: 1, Verb: protocol.Recover, RunID: l.run, Recover: &protocol.RecoverRequest{
		Disks: []protocol.RestoredDisk{{ID: "vol-new", Origin: "vol-a", Device: loop}}, At: at, Check: check, TimeoutSeconds: 60,
		Application: protocol.Application{Kind: "none"},
	}}
	raw, err := json.Marshal(req)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(helperBinary(t), "recover")
	cmd.Env = append(os.Environ(), "QUIESCE_RUN_DIR="+l.dir)
	cmd.Stdin = bytes.NewReader(raw)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the check runs", func() bool { _, err := os.Stat(mark); return err == nil })
	unix.Kill(cmd.Process.Pid, unix.SIGKILL)
	cmd.Wait()
	eventually(t, "nobody holds the disk", func() bool {
		f, err := os.OpenFile(loop, os.O_RDWR|unix.O_EXCL, 0)
		if err == nil {
			f.Close()
		}
		return err == nil
	})
	if out, _ := exec.Command("pgrep", "-f", "^sleep 3607").Output(); len(out) > 0 {
		t.Errorf("what the check started lives on as %s", out)
	}
	if err := os.WriteFile(home+"/quick", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	reply := l.ask(req, "")
	if r := reply.Recover; r == nil || len(r.Problems) > 0 || r.Script == nil || r.Script.Exit != 0 || reply.Replayed {
		t.Errorf("got %+v", reply)
	}
	if left, _ := filepath.Glob(l.dir + ".recovery/*"); len(left) > 0 {
		t.Errorf("left %v", left)
	}
	if _, err := os.Stat(at); err == nil {
		t.Error("the folder for the copies was left")
	}
	l.ask(protocol.Request{Version: 1, Verb: protocol.Unmount, RunID: l.run}, "")
	req.Recover.TimeoutSeconds = 0
	if r := l.ask(req, fault.InvalidInput); r.Error.Field != "recover.timeoutSeconds" {
		t.Errorf("names %q", r.Error.Field)
	}
}
