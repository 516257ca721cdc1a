package mongodb

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/quiesce/quiesce/guest/application"
	"github.com/quiesce/quiesce/guest/application/applicationtest"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/protocol"
)

// shop is a server with somebody who works on it.
type shop struct {
	*fake
	client *mongo.Client
}

func open(t *testing.T, change func(*fake)) *shop {
	t.Helper()
	s := serve(t)
	if change != nil {
		change(s)
	}
	client, err := mongo.Connect(options.Client().SetHosts([]string{s.socket}).SetDirect(true).SetServerMonitoringMode("poll"))
	must(t, err)
	t.Cleanup(func() { client.Disconnect(context.Background()) })
	return &shop{s, client}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (s *shop) write(ctx context.Context) error {
	_, err := s.client.Database("shop").Collection("orders").InsertOne(ctx, bson.D{{Key: "n", Value: 1}})
	return err
}

// with does something to the server itself.
func (s *shop) with(do func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	do()
	s.change()
}

// settings are all that could be left changed.
func (s *shop) settings(*testing.T) (text string) {
	s.with(func() { text = fmt.Sprintf("%d locks, held %v", s.count, s.held) })
	return text
}

// occupy leaves a transaction open that has written.
func (s *shop) occupy(t *testing.T) (going func() bool, end func()) {
	t.Helper()
	session, err := s.client.StartSession()
	must(t, err)
	must(t, session.StartTransaction())
	must(t, s.write(mongo.NewSessionContext(t.Context(), session)))
	going = func() (is bool) {
		s.with(func() { is = len(s.transactions) == 1 })
		return is
	}
	return going, func() {
		must(t, session.AbortTransaction(context.Background()))
		session.EndSession(context.Background())
	}
}

// kill ends a connection, and waits until the server knows.
func (s *shop) kill(t *testing.T, id string) {
	text, _, _ := strings.Cut(id, "/")
	n, err := strconv.ParseInt(text, 10, 64)
	must(t, err)
	s.with(func() { s.conns[n].conn.Close() })
	for there := true; there; {
		s.with(func() { there = s.conns[n] != nil })
	}
}

func (s *shop) options(change func(*protocol.Application)) protocol.Application {
	o := protocol.Application{Kind: Kind, Socket: s.socket, TimeoutSeconds: 3}
	if change != nil {
		change(&o)
	}
	return o
}

func TestConformance(t *testing.T) {
	for name, change := range map[string]func(*fake){
		"primary":   nil,
		"version 8": func(s *fake) { s.version = "8.0.4" },
		"version 5": func(s *fake) { s.version = "5.0.31" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t, change)
			text := filepath.Join(t.TempDir(), "text")
			must(t, os.WriteFile(text, nil, 0o644))
			applicationtest.Run(t, applicationtest.Rig{
				New: New, Options: s.options(nil), Write: s.write, Holds: true, Outlives: true, Kill: s.kill, Occupy: s.occupy, Settings: s.settings,
				Bad: map[string]protocol.Application{
					"application.mode":           s.options(func(o *protocol.Application) { o.Mode = "ftwrl" }),
					"application.timeoutSeconds": s.options(func(o *protocol.Application) { o.TimeoutSeconds = -1 }),
					"application.socket":         s.options(func(o *protocol.Application) { o.Socket = "/run/mongodb" }),
					"application.optionFile":     s.options(func(o *protocol.Application) { o.OptionFile = "x" }),
				},
				Wrong: map[fault.Code]protocol.Application{
					fault.ApplicationNotFound: s.options(func(o *protocol.Application) { o.Socket = "/nonexistent.sock" }),
					fault.ApplicationRefused:  s.options(func(o *protocol.Application) { o.OptionFile = text }),
				},
			})
		})
	}
}

// kept is a journal.
type kept struct{ entries []string }

func (k *kept) journal(entry []byte) error {
	k.entries = append(k.entries, string(entry))
	return nil
}

func (k *kept) last() []byte { return []byte(k.entries[len(k.entries)-1]) }

func (s *shop) adapter(t *testing.T, k *kept) application.Adapter {
	t.Helper()
	a, err := New(s.options(nil), k.journal)
	must(t, err)
	t.Cleanup(func() { a.Release(context.Background()) })
	return a
}

func (s *shop) quiesced(t *testing.T) (application.Adapter, *kept) {
	t.Helper()
	var k kept
	a := s.adapter(t, &k)
	_, err := a.Quiesce(t.Context())
	must(t, err)
	return a, &k
}

func code(t *testing.T, err error, want fault.Code, says string) {
	t.Helper()
	if fault.CodeOf(err) != want || err != nil && !strings.Contains(err.Error(), says) {
		t.Errorf("got %v (%s), want %s that says %q", err, fault.CodeOf(err), want, says)
	}
}

// TestServers are those that can be held and those that cannot; none of the
// latter is touched, and Look says the same beforehand.
func TestServers(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*fake)
		want   fault.Code // empty: it is held
		says   string     // in the refusal, or in a warning
	}{
		{"a primary", nil, "", ""},
		{"a server that stands alone", func(s *fake) { s.set = "" }, "", ""},
		{"a secondary", func(s *fake) { s.role = "secondary" }, "", "is a secondary"},
		{"a shard", func(s *fake) {
			s.options = append(s.options, bson.E{Key: "sharding", Value: bson.D{{Key: "clusterRole", Value: "shardsvr"}}})
		}, "", "no point in time of the cluster"},
		{"a mongos", func(s *fake) { s.set, s.role = "", "mongos" }, fault.ApplicationRefused, "this is a mongos"},
		{"an arbiter", func(s *fake) { s.role = "arbiter" }, fault.ApplicationRefused, "this is an arbiter"},
		{"one that recovers", func(s *fake) { s.role = "recovering" }, fault.ApplicationBusy, "neither primary nor secondary of rs0"},
		{"one in memory", func(s *fake) { s.engine = "inMemory" }, fault.ApplicationRefused, "in memory alone"},
		{"one in a container", func(s *fake) {
			s.options = bson.D{{Key: "storage", Value: bson.D{{Key: "dbPath", Value: "/nonexistent"}}}}
		}, fault.ApplicationRefused, "not to be seen from here"},
		{"5.0 without a limit", func(s *fake) { s.version = "5.0.21" }, fault.ApplicationRefused, "without a limit"},
		{"6.0 without a limit", func(s *fake) { s.version = "6.0.10" }, fault.ApplicationRefused, "without a limit"},
		{"7.0 without a limit", func(s *fake) { s.version = "7.0.1" }, fault.ApplicationRefused, "without a limit"},
		{"an old one", func(s *fake) { s.version = "4.4.29" }, fault.ApplicationRefused, "without a limit"},
		{"7.0 with a limit", func(s *fake) { s.version = "7.0.2" }, "", ""},
		{"8.1", func(s *fake) { s.version = "8.1.0" }, "", ""},
		{"who does not know us", func(s *fake) { s.password = "secret" }, fault.ApplicationRefused, "requires authentication"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := open(t, tt.change)
			var k kept
			a := s.adapter(t, &k)
			seen, err := a.Look(t.Context())
			if tt.want != "" {
				code(t, err, tt.want, tt.says)
				_, err = a.Quiesce(t.Context())
				code(t, err, tt.want, tt.says)
				if len(k.entries) > 0 {
					t.Errorf("it was touched: %q", k.entries)
				}
				return
			}
			must(t, err)
			if seen.Version != s.version || seen.Replica != (s.role == "secondary") || !strings.Contains(strings.Join(seen.Warnings, " "), tt.says) {
				t.Errorf("got %+v", seen)
			}
			_, err = a.Quiesce(t.Context())
			must(t, err)
			must(t, a.StillHeld(t.Context()))
			_, err = a.Release(t.Context())
			must(t, err)
			if got, want := s.settings(t), "0 locks, held false"; got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}

// TestFolders finds what links in the data's folder lead to.
func TestFolders(t *testing.T) {
	root := t.TempDir()
	for _, dir := range []string{"data/inside", "journal"} {
		must(t, os.MkdirAll(filepath.Join(root, dir), 0o700))
	}
	must(t, os.Symlink(filepath.Join(root, "journal"), filepath.Join(root, "data/journal")))
	must(t, os.Symlink("inside", filepath.Join(root, "data/other")))
	must(t, os.Symlink(filepath.Join(root, "data"), filepath.Join(root, "db")))
	got, err := folders(filepath.Join(root, "db"))
	want := []string{filepath.Join(root, "data"), filepath.Join(root, "journal")}
	if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
}
