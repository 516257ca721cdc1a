package mongodb

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/quiesce/quiesce/shared/fault"
)

// state is what a server tells of itself at one moment.
type state struct {
	process    string // the server's own id of this life of it
	connection int64  // this one's, never given twice in one life
	version    string
	engine     string
	router     bool // a mongos
	set        string
	primary    bool
	secondary  bool
	arbiter    bool
	written    string // where its log of operations ends; empty without one
	changed    string // how many documents were changed
}

// state asks for everything at once.
func (c *client) state(ctx context.Context) (state, error) {
	var hello struct {
		Msg        string `bson:"msg"`
		SetName    string `bson:"setName"`
		Primary    bool   `bson:"isWritablePrimary"`
		Secondary  bool   `bson:"secondary"`
		Arbiter    bool   `bson:"arbiterOnly"`
		Connection int64  `bson:"connectionId"`
		Topology   struct {
			Process bson.ObjectID `bson:"processId"`
		} `bson:"topologyVersion"`
		LastWrite struct {
			OpTime struct {
				TS bson.Timestamp `bson:"ts"`
				T  int64          `bson:"t"`
			} `bson:"opTime"`
		} `bson:"lastWrite"`
	}
	if err := c.run(ctx, proofLimit, &hello, bson.D{{Key: "hello", Value: 1}}); err != nil {
		return state{}, err
	}
	s := state{
		process: hello.Topology.Process.Hex(), connection: hello.Connection, router: hello.Msg == "isdbgrid",
		set: hello.SetName, primary: hello.Primary, secondary: hello.Secondary, arbiter: hello.Arbiter,
	}
	if at := hello.LastWrite.OpTime; s.set != "" {
		s.written = fmt.Sprintf("%d.%d/%d", at.TS.T, at.TS.I, at.T)
	}
	var status struct {
		Version string `bson:"version"`
		Engine  struct {
			Name string `bson:"name"`
		} `bson:"storageEngine"`
		Metrics struct {
			Document struct {
				Inserted int64 `bson:"inserted"`
				Updated  int64 `bson:"updated"`
				Deleted  int64 `bson:"deleted"`
			} `bson:"document"`
		} `bson:"metrics"`
	}
	if err := c.run(ctx, proofLimit, &status, bson.D{{Key: "serverStatus", Value: 1}}); err != nil {
		return state{}, err
	}
	d := status.Metrics.Document
	s.version, s.engine = status.Version, status.Engine.Name
	s.changed = fmt.Sprintf("%d inserted, %d updated, %d deleted", d.Inserted, d.Updated, d.Deleted)
	return s, nil
}

// session names the connection in this life of the server.
func (s state) session() string { return fmt.Sprintf("%d/%s", s.connection, s.process) }

// allow refuses what cannot be held, by what is known without touching it.
func (s state) allow() error {
	switch {
	case s.router:
		return fault.New(fault.ApplicationRefused, "this is a mongos, which has no data: name the mongod of a shard")
	case s.arbiter:
		return fault.New(fault.ApplicationRefused, "this is an arbiter, which has no data")
	case s.engine == "inMemory":
		return fault.New(fault.ApplicationRefused, "the server keeps its data in memory alone: a set would hold nothing of it")
	case !bounded(s.version):
		return fault.New(fault.ApplicationRefused,
			"version %s waits for its lock without a limit, and all writers with it: 5.0.22, 6.0.11, 7.0.2 and later ones of them give up", s.version)
	case s.set != "" && !s.primary && !s.secondary:
		return fault.New(fault.ApplicationBusy, "the server is neither primary nor secondary of %s now", s.set)
	}
	return nil
}

// bounded reports whether a version takes a limit with the lock.
func bounded(version string) bool {
	var major, minor, patch int
	if n, _ := fmt.Sscanf(version, "%d.%d.%d", &major, &minor, &patch); n < 3 {
		return false
	}
	switch {
	case major == 5, major == 6:
		return minor == 0 && patch >= map[int]int{5: 22, 6: 11}[major]
	case major == 7 && minor == 0:
		return patch >= 2
	}
	return major >= 7
}

// store is where a server keeps its data.
type store struct{ dirs, warnings []string }

// kept asks for the folders, and refuses those that this process does not see:
// they are on another machine or in a container, and not on these volumes.
func (c *client) kept(ctx context.Context) (store, error) {
	var got struct {
		Parsed struct {
			Storage struct {
				DBPath  string `bson:"dbPath"`
				Journal struct {
					Enabled *bool `bson:"enabled"`
				} `bson:"journal"`
			} `bson:"storage"`
			Sharding struct {
				Role string `bson:"clusterRole"`
			} `bson:"sharding"`
		} `bson:"parsed"`
	}
	if err := c.run(ctx, proofLimit, &got, bson.D{{Key: "getCmdLineOpts", Value: 1}}); err != nil {
		return store{}, err
	}
	data := got.Parsed.Storage.DBPath
	if data == "" {
		data = "/data/db"
	}
	dirs, err := folders(data)
	if err != nil {
		return store{}, fault.Wrap(fault.ApplicationRefused, err, "the server's folder is not to be seen from here")
	}
	s := store{dirs: dirs}
	if on := got.Parsed.Storage.Journal.Enabled; on != nil && !*on {
		s.warnings = append(s.warnings, "the journal is off: a set that was not held may not start")
	}
	if role := got.Parsed.Sharding.Role; role != "" {
		s.warnings = append(s.warnings, "the server is a part of a sharded cluster ("+role+"): a set of it is no point in time of the cluster")
	}
	return s, nil
}

// folders are that of the data, and those outside of it that links in it lead to:
// the journal's, or a database's.
func folders(data string) ([]string, error) {
	real, err := filepath.EvalSymlinks(data)
	if err != nil {
		return nil, err
	}
	list := []string{real}
	entries, err := os.ReadDir(real)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		to, err := filepath.EvalSymlinks(filepath.Join(real, e.Name()))
		if err != nil || e.Type()&os.ModeSymlink == 0 {
			continue
		}
		if rel, err := filepath.Rel(real, to); (err != nil || !filepath.IsLocal(rel)) && !slices.Contains(list, to) {
			list = append(list, to)
		}
	}
	return list, nil
}
