//go:build linux

package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/quiesce/quiesce/guest/session"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/protocol"
)

func command(t *testing.T, stdin string, args ...string) (protocol.Reply, int) {
	t.Helper()
	var out bytes.Buffer
	code := Run(t.Context(), filepath.Join(t.TempDir(), "state"), args, strings.NewReader(stdin), &out)
	if n := strings.Count(out.String(), "\n"); n != 1 {
		t.Fatalf("%d lines: %q", n, out.String())
	}
	var reply protocol.Reply
	if err := json.Unmarshal(out.Bytes(), &reply); err != nil {
		t.Fatal(err)
	}
	return reply, code
}

func TestRunRefuses(t *testing.T) {
	for name, c := range map[string]struct{ verb, in, field string }{
		"unknown field":        {"freeze", `{"version":1,"verb":"freeze","runId":"r","force":true}`, "force"},
		"unknown nested field": {"begin", `{"version":1,"verb":"begin","runId":"r","begin":{"shell":"x"}}`, "shell"},
		"wrong type":           {"freeze", `{"version":"1","verb":"freeze","runId":"r"}`, "version"},
		"other version":        {"freeze", `{"version":7,"verb":"freeze","runId":"r"}`, "version"},
		"other verb":           {"freeze", `{"version":1,"verb":"thaw","runId":"r"}`, "verb"},
		"no such verb":         {"melt", `{"version":1,"verb":"melt","runId":"r"}`, "verb"},
		"run id":               {"thaw", `{"version":1,"verb":"thaw","runId":"r/../x"}`, "runId"},
		"no JSON":              {"thaw", `thaw!`, "request"},
		"two requests":         {"thaw", `{"version":1,"verb":"thaw","runId":"r"} {}`, "request"},
		"too long":             {"thaw", strings.Repeat(" ", maxRequest+1), "request"},
	} {
		t.Run(name, func(t *testing.T) {
			reply, code := command(t, c.in, c.verb)
			if reply.Error == nil || reply.Error.Code != fault.InvalidInput || reply.Error.Field != c.field || code != session.ExitFailed {
				t.Errorf("got %+v, exit %d, want field %q", reply.Error, code, c.field)
			}
		})
	}
}

func TestRunArgument(t *testing.T) {
	req := `{"version":1,"verb":"status","runId":"r"}`
	reply, code := command(t, "", "status", base64.StdEncoding.EncodeToString([]byte(req)))
	if reply.Error == nil || reply.Error.Code != fault.NoSession || reply.RunID != "r" || code != session.ExitFailed {
		t.Errorf("got %+v, exit %d", reply, code)
	}
	if reply, code := command(t, strings.Replace(req, "status", "thaw", 1), "thaw"); reply.Error.Code != fault.NoSession || code != session.ExitAlreadyThawed {
		t.Errorf("got %+v, exit %d", reply, code)
	}
	if reply, _ := command(t, "", "status", "%%%"); reply.Error == nil || reply.Error.Code != fault.InvalidInput {
		t.Errorf("got %+v", reply)
	}
}

func TestExitCodesNeverRestartTheMachine(t *testing.T) {
	for _, c := range fault.Codes() {
		for _, v := range []protocol.Verb{protocol.Begin, protocol.Freeze, protocol.Probe, protocol.Thaw, protocol.Status} {
			code := session.ExitCode(protocol.Reply{Verb: v, Error: &protocol.Failure{Code: c}})
			if code == 194 || code == 0 {
				t.Errorf("%s %s exits with %d", v, c, code)
			}
		}
	}
}

// The largest evidence that a request can cause still fits a command's output,
// and still proves what it proved.
func TestReplyFits(t *testing.T) {
	at := protocol.Stamp{Mono: 987_654_321_987_654, Wall: time.Date(2030, 12, 24, 23, 59, 58, 123e6, time.UTC)}
	e := &protocol.Evidence{RunID: strings.Repeat("r", 80), BootID: strings.Repeat("b", 36), Phase: protocol.Released, Hold: strings.Repeat("h", 32),
		Thaw: &protocol.ThawEvidence{Reason: "snapshot-taken", CallEnded: strings.Repeat("h", 32), At: at}}
	for i := range session.MaxFilesystems {
		e.Filesystems = append(e.Filesystems, protocol.FilesystemEvidence{
			Mount: fmt.Sprintf("/srv/databases/instance-%03d/data", i), Device: "259:123", Type: "ext4",
			Presync:  protocol.Flush{Rounds: 6, Bytes: 123_456_789_012, Ms: 12345.678901},
			FreezeAt: at, FrozenAt: at, BlockedAt: at, HeldAt: at, ThawAt: at, ThawedAt: at, Thaw: "ok",
		})
	}
	raw := fit(protocol.Reply{Version: 1, Verb: protocol.Thaw, RunID: e.RunID, Now: at.Wall, Evidence: e})
	var got protocol.Reply
	if err := json.Unmarshal(raw, &got); err != nil || len(raw) >= maxReply {
		t.Fatalf("%d bytes, %v", len(raw), err)
	}
	if got.Error != nil || len(got.Evidence.Filesystems) != session.MaxFilesystems || got.Evidence.Filesystems[39].HeldAt.Mono != at.Mono {
		t.Errorf("%d bytes: %+v", len(raw), got.Error)
	}
	t.Logf("%d filesystems: %d bytes", session.MaxFilesystems, len(raw))

	var d protocol.DryRunReply
	for i := range 500 {
		d.Mounts = append(d.Mounts, protocol.Mount{Mount: fmt.Sprintf("/mnt/%03d", i), Device: "1:1", Type: "ext4", Binds: []string{"/a", "/b"}})
	}
	if raw := fit(protocol.Reply{DryRun: &d}); len(raw) >= maxReply || !bytes.Contains(raw, []byte("left out")) {
		t.Errorf("%d bytes", len(raw))
	}
}

// The worst recovery's reply fits, says what it leaves out, and keeps its
// verdict.
func TestFitRecovery(t *testing.T) {
	long := strings.Repeat("x", 240)
	many := func(n int) (list []string) {
		for range n {
			list = append(list, long)
		}
		return list
	}
	q := protocol.RecoverReply{Problems: many(80), Notes: many(80), Server: &protocol.SecondServer{Kind: "mariadb", Findings: many(9)}, Script: &protocol.CheckedScript{Output: strings.Repeat("x", 2000)}}
	for range 200 {
		q.Filesystems = append(q.Filesystems, protocol.Recovered{Origin: strings.Repeat("vol-0123456789abcdef0,", 40), Mount: long, Was: long, How: long, Checked: long, Findings: many(9)})
	}
	raw := fit(protocol.Reply{Version: 1, Verb: protocol.Recover, Recover: &q})
	var got protocol.Reply
	if err := json.Unmarshal(raw, &got); err != nil {
		t.Fatal(err)
	}
	if len(raw) >= maxReply || got.Recover == nil || got.Recover.Untold == 0 || len(got.Recover.Problems) == 0 || got.Error != nil {
		t.Errorf("got %d bytes, %+v", len(raw), got)
	}
	if len(q.Filesystems) != 200 || len(q.Filesystems[0].Findings) != 9 || len(q.Server.Findings) != 9 {
		t.Error("the recorded reply was changed")
	}
}
