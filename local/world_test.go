package local

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/sfn"

	"github.com/quiesce/quiesce/functions"
	"github.com/quiesce/quiesce/functions/edge"
	cloud "github.com/quiesce/quiesce/local/aws"
	"github.com/quiesce/quiesce/local/aws/ec2"
	"github.com/quiesce/quiesce/local/engine"
	"github.com/quiesce/quiesce/local/fault"
	"github.com/quiesce/quiesce/local/instance"
	"github.com/quiesce/quiesce/local/ledger"
	"github.com/quiesce/quiesce/local/runtimeapi"
	"github.com/quiesce/quiesce/local/sim"
	"github.com/quiesce/quiesce/shared/cloud/awscloud"
	"github.com/quiesce/quiesce/shared/cloud/awscloud/history"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/protocol"
	"github.com/quiesce/quiesce/shared/run"
	"github.com/quiesce/quiesce/workflow"
	"github.com/quiesce/quiesce/workflow/asl"
)

// setting is a world before its first run. The zero value is one in which
// nothing goes wrong.
type setting struct {
	faults             []string
	slowness, lateness time.Duration // of the faults of these kinds
	completion         time.Duration // of a set
	unlisted           time.Duration // how long a new set is missing from lists
	skew               time.Duration // of the instance's wall clock
	provision          time.Duration // of a new disk
	latency            map[string]time.Duration
	definition         func(string) string // changes it before it is deployed
	windows            bool                // the instance is a simulated Windows
}

// world is an account in virtual time: the definition and the handlers that
// are deployed, SDK clients on an in-process transport, and a machine in memory
// under the helper's own state machine.
type world struct {
	*testing.T
	*account
	*simStage
	setting setting
	local   *runtimeapi.Local
	volumes []member
	told    *hearing
	watched sync.WaitGroup
	unwatch func()
	frozen  atomic.Int64 // the longest that anything stood frozen at a stretch, in nanoseconds
}

// hearing notes what the machine is told to do.
type hearing struct {
	*sim.Machine
	mu    sync.Mutex
	verbs map[string][]protocol.Verb // by run
}

func (h *hearing) Execute(ctx context.Context, c instance.Command) instance.Result {
	var req protocol.Request
	raw, _ := base64.StdEncoding.DecodeString(c.Parameters["Request"])
	_ = json.Unmarshal(raw, &req)
	h.mu.Lock()
	h.verbs[req.RunID] = append(h.verbs[req.RunID], req.Verb)
	h.mu.Unlock()
	return h.Machine.Execute(ctx, c)
}

func (h *hearing) heard(run string) []protocol.Verb {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.verbs[run])
}

// overheard is a stage whose machine is listened to.
type overheard struct {
	*simStage
	told *hearing
}

func (o overheard) machine() instance.Machine { return o.told }

// inWorld runs a test in a world of its own, in a bubble of virtual time.
func inWorld(t *testing.T, s setting, test func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, s)
		defer w.end()
		test(w)
	})
}

func newWorld(t *testing.T, s setting) *world {
	t.Helper()
	plan, err := fault.New(s.faults...)
	stage, err2 := openSimulated(t.Context(), Defaults())
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	stage.sim = sim.New(sim.Config{Clock: func() time.Time { return time.Now().Add(s.skew) }})
	stage.monoAt, _ = stage.sim.Clock()
	stage.wallAt = time.Now()
	plan.Slowness, plan.Lateness = s.slowness, s.lateness
	if s.completion == 0 {
		s.completion = 100 * time.Millisecond
	}
	if s.unlisted == 0 {
		s.unlisted = time.Second
	}
	w := &world{T: t, simStage: stage, setting: s, told: &hearing{Machine: stage.sim, verbs: map[string][]protocol.Verb{}}}
	w.account = &account{faults: plan, windows: s.windows, engine: engine.New(engine.Config{})}
	w.cloud = cloud.New(cloud.Config{
		Disks: stage.sim, Engine: w.engine, Faults: plan, Latency: s.latency, EC2: ec2.Config{Completion: s.completion, Visible: s.unlisted, Provision: cmp.Or(s.provision, -1), Archiving: time.Minute, Stopped: w.halt},
	})
	for kind, do := range stage.hooks() {
		plan.On(kind, do)
	}
	plan.On(fault.StopExecution, func(context.Context) { w.stopAll() })
	w.install()
	w.ec2, w.sfn = awsec2.NewFromConfig(w.cloud.Client("operator")), sfn.NewFromConfig(w.cloud.Client("operator"))
	w.volumes, err = w.rent(t.Context(), overheard{stage, w.told}, 2)
	w.must(err)
	w.furnish()
	w.must(w.cloud.SSM.RegisterDocument(ledgerDocument, documentOf(w.scripts())))
	w.sim.Document(ledgerDocument, w.writer.Document)
	w.watch()
	time.Sleep(time.Second)
	return w
}

// furnish starts the ledger slower than a local run does, because some rows
// last a quarter of an hour.
func (w *world) furnish() {
	for i, v := range w.volumes {
		at := fmt.Sprintf("/mnt/volume-%c", 'a'+i)
		w.must(w.sim.Format(w.Context(), v.device, "ext4"))
		w.must(w.sim.Mount(v.device, at))
		w.mounts = append(w.mounts, at)
	}
	writer, err := w.sim.StartLedger(w.mounts, 200*time.Millisecond, 0)
	w.must(err)
	w.writer = writer
}

// install is what a deployment does.
func (w *world) install() {
	helper := []byte("the helper")
	w.cloud.S3.Put(bucket, "helper", helper)
	w.must(w.register())
	w.local = &runtimeapi.Local{Handlers: map[string]runtimeapi.Handler{}, Timeouts: functions.Timeouts}
	for _, name := range functions.Names {
		provider := awscloud.New(w.cloud.Client(name), awscloud.Options{
			AssetBucket: bucket, Helpers: map[string]awscloud.Helper{"amd64": {Key: "helper", SHA256: checksum(helper)}},
			Bus: busName, Document: document, DocumentHash: checksum([]byte(awscloud.Document())), Machines: []string{w.engine.MachineARN(machineName)},
			Shadow: shadows, ShadowHash: checksum([]byte(awscloud.ShadowDocument())),
		})
		step := functions.Table(functions.Deps{Cloud: provider, Keeper: provider, Metrics: logOf{w, name}})[name]
		w.local.Handlers[name] = runtimeapi.Edge(edge.Lambda(step))
	}
	w.lambda = w.faults.Around(w.local)
	with := map[string]string{workflow.EventBusName: busName}
	for _, f := range workflow.SnapshotFunctions() {
		with[f.Arn] = w.cloud.FunctionARN(f.Step)
	}
	text := workflow.Snapshot()
	if w.setting.definition != nil {
		text = w.setting.definition(text)
	}
	m, err := asl.Parse([]byte(text), with)
	w.must(err)
	w.account.machine = w.engine.Deploy(machineName, []byte(text), m, w.cloud.Tasks(w.lambda))
	w.must(w.deployRestore())
	w.must(w.deployVerify())
	w.must(w.listen())
}

// logOf is a function's log, from which the metrics are taken.
type logOf struct {
	w    *world
	name string
}

func (l logOf) Write(line []byte) (int, error) {
	l.w.metrics.Line(l.name, line)
	return len(line), nil
}

func (w *world) end() {
	w.cloud.Close()
	w.engine.Close()
	w.local.Wait()
	w.unwatch()
	w.watched.Wait()
	w.must(w.simStage.close())
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// watch looks five times a second how long something has stood frozen.
func (w *world) watch() {
	ctx, stop := context.WithCancel(context.Background())
	w.unwatch = stop
	mounts := w.mounts // as they are now: a restore may unmount them later, when nothing of them is frozen
	w.watched.Go(func() {
		since := map[string]time.Time{}
		for rest(ctx, 200*time.Millisecond) == nil {
			for _, m := range mounts {
				switch at, known := since[m]; {
				case !w.sim.Frozen(m):
					delete(since, m)
				case !known:
					since[m] = time.Now()
				default:
					w.frozen.Store(max(w.frozen.Load(), int64(time.Since(at))))
				}
			}
		}
	})
}

func (w *world) stopAll() {
	running, _ := w.engine.List(machineName, engine.Running)
	restoring, _ := w.engine.List(restorerName, engine.Running)
	testing, _ := w.engine.List(verifierName, engine.Running)
	for _, e := range slices.Concat(running, restoring, testing) {
		_, _ = w.engine.Stop(e.ARN, "StopExecution", "planned") // over already: nothing to stop
	}
}

// policy is that of a local run: the ledger's own scripts, and a freeze.
func (w *world) policy() policy.Policy {
	o := Defaults()
	return o.Policy(w.simStage.scripts())
}

// start starts a run by the service's own API and returns its ARN.
func (w *world) start(name, input string) string {
	w.Helper()
	out, err := w.sfn.StartExecution(w.Context(), &sfn.StartExecutionInput{StateMachineArn: &w.account.machine, Name: &name, Input: &input})
	w.must(err)
	return *out.ExecutionArn
}

func (w *world) request(p policy.Policy) string {
	input, err := json.Marshal(run.Request{InstanceID: instanceID, Policy: p})
	w.must(err)
	return string(input)
}

// wait waits for a run's end and reads it as everybody does, by the history.
func (w *world) wait(arn string) *history.Record {
	w.Helper()
	_, err := w.engine.Wait(w.Context(), arn)
	w.must(err)
	record, err := history.Look(w.Context(), w.sfn, arn)
	w.must(err)
	return record
}

// snapshots are all of the account's, whatever run they are of.
func (w *world) snapshots() map[string]map[string]string {
	time.Sleep(2 * w.setting.unlisted) // lists lag behind
	out, err := w.ec2.DescribeSnapshots(w.Context(), &awsec2.DescribeSnapshotsInput{OwnerIds: []string{"self"}})
	w.must(err)
	found := map[string]map[string]string{}
	for _, s := range out.Snapshots {
		found[*s.SnapshotId] = map[string]string{}
		for _, t := range s.Tags {
			found[*s.SnapshotId][aws.ToString(t.Key)] = aws.ToString(t.Value)
		}
	}
	return found
}

// published are the details of a run's events of one type.
func (w *world) published(runID, detailType string) (details []map[string]any) {
	for _, e := range w.cloud.Bus.Events() {
		if e.DetailType != detailType {
			continue
		}
		var d map[string]any
		w.must(json.Unmarshal(e.Detail, &d))
		if d["runId"] == runID {
			details = append(details, d)
		}
	}
	return details
}

// writes reports whether the ledger writes within d.
func (w *world) writes(d time.Duration) bool {
	before, _ := w.writer.Last(w.Context())
	for end := time.Now().Add(d); time.Now().Before(end); {
		time.Sleep(time.Second)
		if last, _ := w.writer.Last(w.Context()); last.N > before.N+1 {
			return true
		}
	}
	return false
}

// TestMain lets the test binary be the ledger's process, and keeps the handlers'
// log off the tests' output.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "ledger" {
		os.Exit(serveLedger(os.Args[2:]))
	}
	slog.SetDefault(slog.New(slog.NewTextHandler(io.Discard, nil)))
	flag.Parse()
	_ = flag.Set("test.parallel", "6") // a real run waits far more than it works
	code := m.Run()
	if builtIn != "" {
		_ = os.RemoveAll(builtIn)
	}
	os.Exit(code)
}

func serveLedger(args []string) int {
	err := ledger.Client(context.Background(), args, os.Stdout)
	if args[0] == "serve" {
		err = ledger.Serve(context.Background(), args[1:], os.Stdin, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}
