package session

import (
	"context"
	"testing"

	"github.com/quiesce/quiesce/guest/application"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/protocol"
)

// known is an adapter that is only looked at.
type known struct {
	application.Adapter
	answers func() (protocol.Server, error)
}

func (k known) Look(context.Context) (protocol.Server, error) { return k.answers() }

// Every server that was found is asked by its own socket, and by no other way
// unless what answers there shows that it is the same.
func TestDryRunLooksAtWhatWasFound(t *testing.T) {
	in := func(dir string) []protocol.Folder { return []protocol.Folder{{Path: dir, Device: "8:1"}} }
	at := func(kind, socket string) protocol.Found {
		return protocol.Found{Kind: kind, Program: kind, PID: 7, UID: 100, Socket: socket, Folders: in("/data/" + kind)}
	}
	mysql := func() (protocol.Server, error) {
		return protocol.Server{}, fault.New(fault.ApplicationRefused, "the server is 8.0, no MariaDB")
	}
	for _, c := range []struct {
		name   string
		app    protocol.Application
		found  protocol.Found
		answer func() (protocol.Server, error) // MariaDB's or Redis's adapter
		asked  string                          // the socket that it was asked by; "-": it was not
		kind   string                          // of the server that is told of; empty: none is
		code   fault.Code                      // why
	}{
		{"by its socket", protocol.Application{}, at("mariadb", "/s"), nil, "/s", "mariadb", ""},
		{"a MariaDB that is called mysqld", protocol.Application{}, at("mysql", "/s"), nil, "/s", "mariadb", ""},
		{"a MySQL", protocol.Application{}, at("mysql", "/s"), mysql, "/s", "", fault.ApplicationRefused},
		{"a kind without an adapter", protocol.Application{}, at("mongodb", "/s"), nil, "-", "", fault.InvalidInput},
		{"one that lets nobody in", protocol.Application{}, at("mariadb", "/s"), func() (protocol.Server, error) {
			return protocol.Server{}, fault.New(fault.ApplicationRefused, "access denied")
		}, "/s", "", fault.ApplicationRefused},
		{"one that cannot be spoken to", protocol.Application{}, func() protocol.Found { f := at("mariadb", ""); f.Apart = "elsewhere"; return f }(), nil, "-", "", ""},
		{"another than the policy's", protocol.Application{Socket: "/t"}, at("mariadb", "/s"), nil, "-", "", ""},
		{"without a socket, and it is the one that answers", protocol.Application{}, at("redis", ""), func() (protocol.Server, error) {
			return protocol.Server{Kind: "redis", Dirs: []string{"/data/redis"}}, nil
		}, "", "redis", ""},
		{"without a socket, and another one answers", protocol.Application{}, at("redis", ""), func() (protocol.Server, error) {
			return protocol.Server{Kind: "redis", Dirs: []string{"/var/lib/redis"}}, nil
		}, "", "", fault.ApplicationRefused},
		{"a person's own server, and a password in the option file", protocol.Application{OptionFile: "/etc/quiesce.cnf"}, func() protocol.Found {
			f := at("mariadb", "/s")
			f.UID = 1000
			return f
		}(), nil, "-", "", fault.ApplicationRefused},
	} {
		run(t, c.name, func(r *rig) {
			asked := "-"
			adapter := func(kind string) application.New {
				return func(app protocol.Application, _ application.Journal) (application.Adapter, error) {
					asked = app.Socket
					if c.answer != nil {
						return known{answers: c.answer}, nil
					}
					return known{answers: func() (protocol.Server, error) { return protocol.Server{Kind: kind, Version: "1"}, nil }}, nil
				}
			}
			r.m.apps = map[string]application.New{"mariadb": adapter("mariadb"), "redis": adapter("redis")}
			r.m.found = []protocol.Found{c.found}
			c.app.Kind = protocol.Auto
			req := request(protocol.DryRun, "r1")
			req.DryRun = &protocol.DryRunRequest{Discover: true, Application: &c.app}
			got := r.ask(req, "").DryRun.Found[0]
			if asked != c.asked {
				r.t.Errorf("asked by %q, want %q", asked, c.asked)
			}
			if kind := ""; got.Server != nil || c.kind != "" {
				if got.Server != nil {
					kind = got.Server.Kind
				}
				if kind != c.kind || got.Kind != c.kind {
					r.t.Errorf("got %+v, want %q", got, c.kind)
				}
			}
			if code := fault.CodeOf(got.NoServer.Err()); code != c.code {
				r.t.Errorf("got %v, want %q", got.NoServer.Err(), c.code)
			}
		})
	}
}

// What no dry run has decided is not begun with.
func TestBeginWantsADecision(t *testing.T) {
	run(t, "auto", func(r *rig) { r.begin(protocol.Application{Kind: protocol.Auto}, fault.InvalidInput) })
}

// A document's session holds nothing itself and remembers that it was begun,
// beyond its own end and its process's.
func TestSessionOfADocument(t *testing.T) {
	run(t, "its process dies", func(r *rig) {
		r.begin(protocol.Application{Kind: byDocument}, "")
		r.verb(protocol.Freeze, "")
		r.restart()
		reply := r.verb(protocol.Thaw, fault.HoldLost)
		if a := reply.Evidence.Application; a == nil || a.Kind != byDocument || a.QuiesceAt.IsZero() || !a.ReleasedAt.IsZero() || a.Error != nil {
			r.t.Errorf("got %+v", a)
		}
	})
}
