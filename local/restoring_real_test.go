package local

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/quiesce/quiesce/local/ledger"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/restore"
	"github.com/quiesce/quiesce/shared/run"
)

// taken is a real server of which a set was taken, in an account where it can
// be restored.
type taken struct {
	*testing.T
	grounds
	stage   *databaseStage
	volumes []member
	state   run.State
	acks    []ledger.Ack // once the server has been stopped
}

func take(t *testing.T, app string, with ...func(*Options)) *taken {
	t.Helper()
	real(t)
	serves(t, app)
	o := Defaults()
	o.Binaries = binariesOf(t)
	on(app, append(with, func(o *Options) { o.Timeout = 10 })...)(&o)
	opened, _, err := open(t.Context(), o, quiet{t})
	if err != nil {
		t.Fatal(err)
	}
	k := &taken{T: t, stage: opened.(*databaseStage)}
	t.Cleanup(func() { k.must(k.stage.close()) })
	b, err := build(t.Context(), o.Cloud, o.Binaries, k.stage.dir())
	k.must(err)
	account, err := openSite(t.Context(), o, k.stage, b)
	k.must(err)
	k.grounds = account.(grounds)
	t.Cleanup(k.close)
	k.volumes, err = k.rent(t.Context(), k.stage, o.Volumes)
	k.must(err)
	k.must(k.stage.furnish(t.Context(), k.volumes))
	k.must(rest(t.Context(), settle))
	record, err := k.execute(t.Context(), o, k.stage, quiet{t})
	k.must(err)
	k.state = record.State
	if v := k.state.Verdict; v == nil || v.Consistency != run.Application {
		t.Fatalf("the set is not consistent: %+v, %s", v, record.Cause)
	}
	k.must(rest(t.Context(), settle))
	// A system that shuts down stops its server and unmounts.
	k.onHalt(func() {
		k.onHalt(nil)
		k.stop()
		for _, at := range k.stage.mounts {
			if err := k.stage.pool.Unmount(at); err != nil {
				t.Error(err)
			}
		}
	})
	return k
}

// grounds are a site in which sets are restored by the workflow.
type grounds interface {
	site
	restoreBy(ctx context.Context, name string, asked restore.Request) (*restoring, error)
	path(disk string) string // of an attached disk on the machine
	runs() bool              // the instance
	onHalt(func())           // when it is stopped
}

func (a *account) path(disk string) string { return a.cloud.EC2.Path(disk) }
func (a *account) runs() bool              { return a.cloud.EC2.State(instanceID) == "running" }
func (a *account) onHalt(do func())        { a.halted = do }
func (a *alibaba) path(disk string) string { return a.cloud.ECS.Path(disk) }
func (a *alibaba) runs() bool              { return a.cloud.ECS.State(aliyunInstance) == "Running" }
func (a *alibaba) onHalt(do func())        { a.halted = do }

func (k *taken) must(err error) {
	k.Helper()
	if err != nil {
		k.Fatal(err)
	}
}

// stop ends the first server; what it acknowledged is known from then on.
func (k *taken) stop() {
	if k.acks != nil {
		return
	}
	acks, err := k.stage.acks(k.Context())
	if err != nil {
		k.Error(err)
	}
	k.acks = acks
}

// by restores by the workflow and wants the outcome.
func (k *taken) by(name string, asked restore.Request, want restore.Outcome) *restoring {
	k.Helper()
	started := time.Now()
	r, err := k.restoreBy(k.Context(), name, asked)
	k.Logf("%s: %s, %v", name, time.Since(started), r.States)
	k.must(err)
	if r.verdict == nil || r.verdict.Outcome != want {
		k.Fatalf("%s: got %+v by %v (%s), want %s", name, r.verdict, r.States, r.Cause, want)
	}
	return r
}

// members are the disks of a restore in the order of the originals.
func (k *taken) members(made []restore.Made) []member {
	k.Helper()
	list := make([]member, len(k.volumes))
	for _, d := range made {
		for i, v := range k.volumes {
			if d.Origin == v.id {
				list[i] = member{d.ID, k.path(d.ID)}
			}
		}
	}
	for i, m := range list {
		if m.device == "" {
			k.Fatalf("nothing is attached that was made of %s: %+v", k.volumes[i].id, made)
		}
	}
	return list
}

// checks lets a second server live on disks and asks the oracle about them.
func (k *taken) checks(of []member, c func(*restored) ledger.Case) {
	k.Helper()
	k.must(os.RemoveAll(filepath.Join(k.stage.dir(), "second")))
	contents, err := k.stage.read(k.Context(), of, run.Application)
	k.must(err)
	found := ledger.Verify(c(contents))
	if !found.Verified || found.Records == 0 || len(contents.findings) > 0 {
		k.Errorf("the oracle finds %+v, the server %v", found, contents.findings)
	}
	k.Logf("%d records, recovery %.0f ms", found.Records, contents.recoveryMs)
}

// asTaken judges disks that were made of the set.
func (k *taken) asTaken(contents *restored) ledger.Case {
	return theCase(k.state, k.stage, contents, k.acks)
}

// whole judges the original disks after their server was stopped: nothing that
// it ever acknowledged may be missing.
func (k *taken) whole(contents *restored) ledger.Case {
	end := k.stage.mono(time.Now())
	return ledger.Case{Asked: run.Crash, Volumes: contents.volumes, Acks: k.acks, Served: contents.served, Call: ledger.Span{Start: end, End: end}}
}

// originals are the first disks where they are by now.
func (k *taken) originals() []member {
	list := make([]member, len(k.volumes))
	for i, v := range k.volumes {
		list[i] = member{v.id, k.path(v.id)}
	}
	return list
}

// A real server's set, restored by the deployed workflow beside the original
// and in its place, and the original had back; where disks are set back in
// place, on the very same ones.
func TestRealRestore(t *testing.T) {
	for _, cloud := range []string{AWS, Aliyun} {
		for _, app := range []string{policy.MariaDB, policy.PostgreSQL} {
			t.Run(cloud+" "+app, func(t *testing.T) {
				t.Parallel()
				k := take(t, app, func(o *Options) { o.Cloud = cloud })
				set := k.state.Run.ID
				beside := k.by("beside", restore.Request{RunID: set, Mode: restore.Volumes}, restore.Restored)
				if k.acks != nil {
					t.Error("a restore beside the original has stopped it")
				}
				besides := k.members(beside.verdict.Created)

				place := k.by("place", restore.Request{RunID: set, Mode: restore.InPlace}, restore.Restored)
				if !k.runs() {
					t.Error("the instance does not run")
				}
				k.checks(besides, k.asTaken)
				k.by("clean-beside", restore.Request{Action: restore.Cleanup, RunID: "beside"}, restore.Settled)
				inPlace := k.originals()
				if !place.plan.Resets {
					inPlace = k.members(place.verdict.Created)
				}
				k.checks(inPlace, k.asTaken)

				back := k.by("back", restore.Request{Action: restore.Rollback, RunID: "place"}, restore.RolledBack)
				if len(back.verdict.Old) != 0 {
					t.Errorf("still off: %+v", back.verdict.Old)
				}
				k.checks(k.originals(), k.whole)
				clean := k.by("clean-place", restore.Request{Action: restore.Cleanup, RunID: "place"}, restore.Settled)
				if left := clean.verdict; len(left.Created)+len(left.Kept) > 0 {
					t.Errorf("left after the cleanup: %+v, %+v", left.Created, left.Kept)
				}
			})
		}
	}
}
