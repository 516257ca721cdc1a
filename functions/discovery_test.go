package functions_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/quiesce/quiesce/functions/runprescript"
	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/protocol"
	"github.com/quiesce/quiesce/shared/run"
)

// running is a server that was found and asked, with its data on /data's volume.
func running(kind, socket string, with ...func(*protocol.Found)) protocol.Found {
	f := protocol.Found{
		Kind: kind, Program: kind + "d", PID: 7, Socket: socket, Folders: []protocol.Folder{{Path: "/data/" + kind, Device: "259:3"}},
		Server: &protocol.Server{Kind: kind, Version: "1.2", Dirs: []string{"/data/" + kind}, Warnings: []string{kind + " is young"}},
	}
	for _, w := range with {
		w(&f)
	}
	return f
}

func onBoot(f *protocol.Found) { f.Folders[0] = protocol.Folder{Path: "/var/lib/x", Device: "259:1"} }

// A list that was cut may lack the one that matters.
func TestPrecheckPicksOutOfAWholeList(t *testing.T) {
	c := newCloud()
	c.helper = func(_ cloud.Command, r protocol.Request) protocol.Reply {
		reply := answer(r, mounts...)
		reply.DryRun.Found, reply.DryRun.Untold = []protocol.Found{running("redis", "/r")}, 1
		return reply
	}
	_, err := plan(t, c, `{"instanceId":"i-0abc12345678def90","policy":{"application":{"kind":"auto"}}}`)
	refusedFor(t, err, fault.InvalidInput, "policy.application.kind: is auto, and 2 servers run here")
}

func unanswered(code fault.Code, message string) func(*protocol.Found) {
	return func(f *protocol.Found) { f.Server, f.NoServer = nil, &protocol.Failure{Code: code, Message: message} }
}

func TestPrecheckPicksTheServer(t *testing.T) {
	apart := func(f *protocol.Found) { f.Server, f.Socket, f.Apart = nil, "", "it runs in another mount namespace" }
	for _, tt := range []struct {
		name    string
		policy  string // besides the kind, auto
		found   []protocol.Found
		kind    string // that the plan has
		socket  string
		code    fault.Code
		says    string // in the refusal, or else in a warning
		picks   int    // which of them; -1 for none
		because string
	}{
		{"nothing", "", nil, "none", "", "", "no database server was found", -1, ""},
		{"nothing on the set", "", []protocol.Found{running("mariadb", "/s", onBoot)}, "none", "", "", "no database server was found", -1, "on no volume of the set"},
		{"the only one", "", []protocol.Found{running("mariadb", "/s")}, "mariadb", "/s", "", "mariadb is young", 0, "the only server"},
		{"the only one on the set", "", []protocol.Found{running("mariadb", "/s", onBoot), running("redis", "/r")}, "redis", "/r", "", "", 1, "the only server"},
		{"two kinds", "", []protocol.Found{running("mariadb", "/s"), running("redis", "")}, "", "", fault.InvalidInput, "policy.application.kind: is auto, and several servers", -1, ""},
		{"two of a kind, all of them listed", "", []protocol.Found{running("redis", "/r1"), running("redis", "/r2")}, "", "", fault.InvalidInput, "socket /r1); redis (process 7, data in /data/redis, socket /r2)", -1, ""},
		{"one of two, by its socket", `,"socket":"/r2"`, []protocol.Found{running("redis", "/r1"), running("redis", "/r2")}, "redis", "/r2", "", "", 1, ""},
		{"a socket that is nobody's", `,"socket":"/r3"`, []protocol.Found{running("redis", "/r1")}, "", "", fault.InvalidInput, "policy.application.socket: names /r3", -1, ""},
		{"its log is on a volume that is left out", "", []protocol.Found{running("mariadb", "/s", func(f *protocol.Found) { f.Server.Dirs = append(f.Server.Dirs, "/var/log") })}, "", "", fault.VolumeUnresolved, "/var/log", -1, ""},
		{"its data is not on the set, but its log is", "", []protocol.Found{running("mariadb", "/s", func(f *protocol.Found) {
			onBoot(f)
			f.Folders = append(f.Folders, protocol.Folder{Path: "/log/redo", Device: "259:4"})
			f.Server.Dirs = []string{"/var/lib/x", "/log/redo"}
		})}, "", "", fault.VolumeUnresolved, "/var/lib/x", -1, ""},
		{"one that does not answer now", "", []protocol.Found{running("redis", "/r", unanswered(fault.ApplicationBusy, "loading"))}, "redis", "/r", "", "cannot be quiesced as things are: loading", 0, ""},
		{"one that does not answer now, and less will not do", "fail", []protocol.Found{running("redis", "/r", unanswered(fault.ApplicationBusy, "loading"))}, "", "", fault.ApplicationBusy, "loading", -1, ""},
		{"one in a container", "", []protocol.Found{running("mariadb", "/s", apart)}, "auto", "", "", "cannot be held: it runs in another mount namespace", -1, "cannot be held"},
		{"one in a container, and less will not do", "fail", []protocol.Found{running("mariadb", "/s", apart)}, "", "", fault.ApplicationRefused, "mariadbd, process 7, has files in /data/mariadb on the set's volumes and cannot be held: it runs in another mount namespace", -1, ""},
		{"one that the helper has no adapter for", "", []protocol.Found{running("mongodb", "/m", unanswered(fault.InvalidInput, "this helper cannot hold it"))}, "auto", "", "", "this helper cannot hold it", -1, "cannot be held"},
		{"limits of a lock that it does not have", `,"ftwrlWaitTimeout":60`, []protocol.Found{running("redis", "/r")}, "redis", "/r", "", "", 0, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newCloud()
			c.helper = func(_ cloud.Command, r protocol.Request) protocol.Reply {
				if a := r.DryRun.Application; !r.DryRun.Discover || a == nil || a.Kind != policy.Auto {
					t.Errorf("it asked %+v", r.DryRun)
				}
				reply := answer(r, mounts...)
				reply.DryRun.Found = tt.found
				return reply
			}
			besides, after := tt.policy, ""
			if besides == "fail" {
				besides, after = "", `,"onFailure":"fail"`
			}
			got, err := plan(t, c, `{"instanceId":"i-0abc12345678def90","policy":{"application":{"kind":"auto"`+besides+`}`+after+`}}`)
			if tt.code != "" {
				refusedFor(t, err, tt.code, tt.says)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			app := got.Policy.Application
			if app.Kind != tt.kind || app.Socket != tt.socket || app.FTWRLWaitTimeout != 0 {
				t.Errorf("it plans %+v, want %s at %q", app, tt.kind, tt.socket)
			}
			if !strings.Contains(strings.Join(got.Warnings, "\n"), tt.says) {
				t.Errorf("it warns %q, not of %q", got.Warnings, tt.says)
			}
			if len(got.Servers) != len(tt.found) {
				t.Fatalf("it tells of %+v", got.Servers)
			}
			for i, s := range got.Servers {
				if s.Picked != (i == tt.picks) || s.Why == "" || s.Picked && tt.found[i].Server != nil && s.Version != "1.2" {
					t.Errorf("server %d: %+v, want %d picked", i, s, tt.picks)
				}
			}
			if at := max(tt.picks, 0); tt.because != "" && !strings.Contains(got.Servers[at].Why, tt.because) {
				t.Errorf("because %q, want %q", got.Servers[at].Why, tt.because)
			}
		})
	}
}

// Whatever kind was asked for: a server on the set's volumes that it does not
// hold is told of.
func TestPrecheckWarnsOfServersThatNobodyHolds(t *testing.T) {
	for _, tt := range []struct {
		name, application string
		found             []protocol.Found
		says              string // empty: no warning
	}{
		{"nobody", `{"kind":"none"}`, []protocol.Found{running("postgresql", "/p")}, "is not quiesced: application.kind postgresql or auto would have it held"},
		{"another kind", `{"kind":"mariadb"}`, []protocol.Found{running("mariadb", "/s"), running("redis", "/r")}, "redisd, process 7, has files in /data/redis on the set's volumes and is not quiesced"},
		{"another kind elsewhere", `{"kind":"mariadb"}`, []protocol.Found{running("mariadb", "/s"), running("redis", "/r", onBoot)}, ""},
		{"a second one of the kind", `{"kind":"mariadb"}`, []protocol.Found{running("mariadb", "/s"), running("mariadb", "/t")}, "name its socket: mariadb (process 7, data in /data/mariadb, socket /s); mariadb"},
		{"a second one, and the policy says which", `{"kind":"mariadb","socket":"/s"}`, []protocol.Found{running("mariadb", "/s"), running("mariadb", "/t")}, "is not quiesced"},
		{"one that is called mysqld", `{"kind":"mariadb"}`, []protocol.Found{running("mysql", "/s")}, ""},
		{"whoever wrote scripts knows", `{"kind":"script","preScript":"/a","postScript":"/b"}`, []protocol.Found{running("redis", "/r")}, ""},
		{"whoever wrote a document knows", `{"kind":"document","document":"Ledger"}`, []protocol.Found{running("redis", "/r")}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newCloud()
			c.helper = func(_ cloud.Command, r protocol.Request) protocol.Reply {
				reply := answer(r, mounts...)
				reply.DryRun.Found = tt.found
				reply.DryRun.Server = &protocol.Server{Kind: "mariadb", Dirs: []string{"/data"}}
				return reply
			}
			got, err := plan(t, c, `{"instanceId":"i-0abc12345678def90","policy":{"application":`+tt.application+`}}`)
			if err != nil {
				t.Fatal(err)
			}
			if all := strings.Join(got.Warnings, "\n"); tt.says == "" && all != "" || !strings.Contains(all, tt.says) {
				t.Errorf("it warns %q, want %q", all, tt.says)
			}
			if len(got.Servers) != len(tt.found) || slices.ContainsFunc(got.Servers, func(s run.Server) bool { return s.Picked }) {
				t.Errorf("it tells of %+v", got.Servers)
			}
		})
	}
}

// A server that was found and cannot be held is not begun with another one: the
// session is opened for the freeze, and the quiesce fails with precheck's words.
func TestWhatCannotBeHeldIsNotTried(t *testing.T) {
	c, plan := newCloud(), aPlan()
	plan.Policy.Application.Kind = policy.Auto
	plan.Servers = []run.Server{{Kind: "mariadb", Program: "mariadbd", PID: 7, OnSet: true, Why: "cannot be held: it runs in a container"}}
	_, err := do[run.Prescript](t, c, "run-prescript", runprescript.Input{Plan: plan})
	refusedFor(t, err, fault.ApplicationRefused, "mariadbd, process 7: cannot be held: it runs in a container")
	if len(c.sent) != 1 || c.sent[0].Begin.Application.Kind != policy.None || len(c.sent[0].Begin.Filesystems) != 2 {
		t.Errorf("it sent %+v", c.sent)
	}
}
