package functions_test

import (
	"strings"
	"testing"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/protocol"
)

// TestPrecheckLooksForTheServer: it must be there unless less will do, and its
// files must be in the set whatever will do.
func TestPrecheckLooksForTheServer(t *testing.T) {
	server := func(dirs ...string) func(*protocol.DryRunReply) {
		return func(d *protocol.DryRunReply) {
			d.Server = &protocol.Server{Kind: "mariadb", Version: "10.11", Dirs: dirs, Warnings: []string{"the server is a replica"}}
		}
	}
	missing := func(d *protocol.DryRunReply) {
		d.NoServer = &protocol.Failure{Code: fault.ApplicationNotFound, Message: "no server answers at /run/s"}
	}
	tests := []struct {
		name   string
		policy string
		seen   func(*protocol.DryRunReply)
		code   fault.Code // empty: there is a plan
		says   string     // in the refusal, or else in a warning
	}{
		{"it is there", "", server("/data/mysql", "/log"), "", "is a replica"},
		{"it is not there, and less will do", "", missing, "", "cannot be quiesced as things are: no server answers"},
		{"it is not there, and less will not do", `,"onFailure":"fail"`, missing, fault.ApplicationNotFound, "/run/s"},
		{"its data is on the boot volume", "", server("/data/mysql", "/var/lib/mysql"), fault.VolumeUnresolved, "/var/lib/mysql"},
		{"its log is on a volume that is left out", `,"volumes":{"excludeIds":["vol-0bbbbbbbb"]}`, server("/data/mysql", "/log/mysql"), fault.VolumeUnresolved, "/log/mysql"},
		{"a folder that is only called alike", "", server("/data-old/mysql"), fault.VolumeUnresolved, "/data-old"},
		{"a helper that says nothing", "", func(*protocol.DryRunReply) {}, fault.CommandFailed, "mariadb"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := newCloud()
			c.helper = func(_ cloud.Command, r protocol.Request) protocol.Reply {
				if a := r.DryRun.Application; a == nil || a.Kind != "mariadb" || a.Socket != "/run/s" {
					t.Errorf("it looked for %+v", a)
				}
				reply := answer(r, mounts...)
				tt.seen(reply.DryRun)
				return reply
			}
			got, err := plan(t, c, `{"instanceId":"i-0abc12345678def90","policy":{"application":{"kind":"mariadb","socket":"/run/s"}`+tt.policy+`}}`)
			if tt.code != "" {
				refusedFor(t, err, tt.code, tt.says)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(strings.Join(got.Warnings, "\n"), tt.says) {
				t.Errorf("it warns %q, not of %q", got.Warnings, tt.says)
			}
		})
	}
}
