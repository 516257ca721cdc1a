package simulation

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quiesce/quiesce/guest/application"
	"github.com/quiesce/quiesce/local/engine"
	"github.com/quiesce/quiesce/local/fault"
	"github.com/quiesce/quiesce/local/instance"
	"github.com/quiesce/quiesce/local/runtimeapi"
	"github.com/quiesce/quiesce/local/sim"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/protocol"
	"github.com/quiesce/quiesce/shared/run"
)

const (
	gibibyte = 1 << 30
	volumes  = 2

	warmUp      = time.Second
	aftermath   = 50 * time.Minute // every deadline, retry and late delivery is over by then
	longest     = 30 * time.Hour   // an execution's own time is less
	foreignHold = 5 * time.Second  // then a stranger takes his freeze back
	strangers   = 300 * time.Millisecond
	comesBack   = 40 * time.Second // an instance that is started again
	restarts    = 90 * time.Second // an agent, by its service
	isAway      = 3 * time.Minute
	isFull      = 30 * time.Second
	isBusy      = 20 * time.Second
)

// world is one account with one machine in it, for one history.
type world struct {
	schedule Schedule
	dice     *rand.Rand
	began    time.Time

	plan    *fault.Plan
	strike  map[fault.Kind]func(context.Context)
	cloud   account
	engine  *engine.Engine
	local   *runtimeapi.Local
	invoker runtimeapi.Invoker // the functions, with the planned faults around them
	machine string             // the state machine's ARN
	sim     *sim.Machine
	ledger  *sim.Ledger
	server  *sim.Database // nil: none
	mounts  []string
	of      map[string]string // mounts by the volumes under them
	asked   policy.Policy
	skew    atomic.Int64

	mu     sync.Mutex
	events []sim.Event
	wrote  map[string]string // by the provider's own tool, on snapshots
	struck []line
	off    bool // the machine was turned off at some time
	stop   context.CancelFunc
	life   context.Context
	over   sync.WaitGroup
}

func newWorld(site *Site, s Schedule) (*world, error) {
	w := &world{schedule: s, dice: rand.New(rand.NewPCG(s.Seed, 7)), began: time.Now(), of: map[string]string{}, wrote: map[string]string{}}
	w.life, w.stop = context.WithCancel(context.Background())
	w.skew.Store(int64(s.Setup.Skew))
	w.plan = &fault.Plan{Slowness: s.Slowness, Lateness: s.Lateness, Notice: w.follow}
	for _, f := range s.Setup.always() {
		w.plan.Add(f)
	}
	for _, f := range s.Faults {
		w.plan.Add(f)
	}
	w.strike = w.hooks()
	for kind, do := range w.strike {
		w.plan.On(kind, do)
	}
	w.sim = sim.New(sim.Config{
		Seed: s.Seed, Start: w.about(5 * time.Millisecond), Observe: w.observe,
		Clock: func() time.Time { return time.Now().Add(time.Duration(w.skew.Load())) },
		Disturb: func(step, operation string) (bool, time.Duration) {
			h := w.plan.Do(step, operation)
			return h.Refuse, h.Stall
		},
		Applications: map[string]application.New{policy.MariaDB: w.adapter},
	})
	w.engine = engine.New(engine.Config{Seed: s.Seed})
	at := site.in[s.Setup.Cloud]
	w.cloud = at.open(w)
	return w, errors.Join(w.deploy(at), w.furnish())
}

// about is a time that no other comes to, so that nothing happens at the same
// moment by chance: who comes first would not be the seed's to decide.
func (w *world) about(d time.Duration) time.Duration {
	return d + time.Duration(w.dice.Int64N(int64(d)/8+1))
}

// latencies gives every API a latency of its own.
func (w *world) latencies(apis []string, known map[string]time.Duration) map[string]time.Duration {
	of := map[string]time.Duration{}
	for _, api := range apis {
		of[api] = w.about(otherwise(known[api], 60*time.Millisecond))
	}
	return of
}

func otherwise(d, instead time.Duration) time.Duration {
	if d == 0 {
		return instead
	}
	return d
}

// deploy puts the place's definition and functions into the account.
func (w *world) deploy(at *place) error {
	w.local = &runtimeapi.Local{Handlers: w.cloud.functions(), Timeouts: timeouts}
	w.invoker = w.plan.Around(w.local)
	w.machine = w.engine.Deploy(machineName, nil, at.definition, w.cloud.Tasks(w.invoker))
	w.cloud.timers()
	if w.schedule.Setup.Deaf {
		return nil
	}
	err := w.cloud.listen("")
	if w.schedule.Setup.Twice && err == nil {
		err = w.cloud.listen(", again")
	}
	return err
}

// invoke starts a function as an event does, for as long as it may run.
func (w *world) invoke(ctx context.Context, function string, payload json.RawMessage) error {
	ctx, cancel := context.WithTimeout(ctx, timeouts[function])
	defer cancel()
	_, err := w.invoker.Invoke(ctx, function, payload)
	return err
}

// furnish rents the machine with its volumes and starts the application.
func (w *world) furnish() error {
	ctx, setup := context.Background(), w.schedule.Setup
	devices := map[string]string{}
	for i := range volumes {
		id, at := w.cloud.volume(i), fmt.Sprintf("/mnt/volume-%c", 'a'+i)
		if err := w.sim.Create(ctx, id, gibibyte, ""); err != nil {
			return err
		}
		device, err := w.sim.Attach(ctx, id)
		if err := errors.Join(err, w.sim.Format(ctx, device, "ext4"), w.sim.Mount(device, at), w.sim.Dirty(at, setup.Dirty)); err != nil {
			return err
		}
		devices[id] = device
		w.mounts = append(w.mounts, at)
		w.of[id] = at
	}
	if setup.Stacked {
		if err := w.sim.Stack(w.mounts[1], w.mounts[0]); err != nil {
			return err
		}
	}
	if err := w.cloud.rent(ctx, devices); err != nil {
		return err
	}
	var err error
	if w.ledger, err = w.sim.StartLedger(w.mounts, w.about(150*time.Millisecond), 0); err != nil {
		return err
	}
	if setup.Server {
		w.server = w.sim.StartDatabase(w.ledger, w.mounts)
	}
	w.asked = setup.policy(w.ledger.PreScript(), w.ledger.PostScript())
	return nil
}

// observe keeps what happened on the machine.
func (w *world) observe(e sim.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if e.Kind == sim.Went {
		w.off = true
	}
	w.events = append(w.events, e)
}

func (w *world) happened() []sim.Event {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.events
}

// run lets everything happen that is planned, until nothing is left to come.
func (w *world) run() {
	time.Sleep(w.about(warmUp))
	w.over.Go(w.pace)
	for _, s := range w.schedule.Strikes {
		w.over.Go(func() {
			if w.rest(s.At) {
				w.notice(string(s.Kind))
				w.strike[s.Kind](w.life)
			}
		})
	}
	first := w.start("run-1")
	second := ""
	if d := w.schedule.Setup.Second; d > 0 && w.rest(d) {
		second = w.start("run-2")
	}
	w.await(first)
	w.await(second)
	w.rest(aftermath)
	if w.unsettled() {
		w.next()
		w.rest(time.Minute)
	}
}

// unsettled reports that something is held that everybody who stood behind it
// has left.
func (w *world) unsettled() bool {
	for _, m := range w.mounts {
		if w.sim.Frozen(m) {
			return true
		}
	}
	return len(w.ledger.Holders()) > 0 || w.server != nil && !w.server.Idle()
}

// next is another run's command: it finds what was left and undoes it.
func (w *world) next() {
	for _, req := range []protocol.Request{
		{Verb: protocol.Begin, Begin: &protocol.BeginRequest{SessionSeconds: 60, Application: protocol.Application{Kind: policy.None}}},
		{Verb: protocol.Thaw},
	} {
		req.Version, req.RunID = protocol.Version, "run-next"
		raw, err := json.Marshal(req)
		if err != nil {
			return
		}
		w.sim.Execute(w.life, instance.Command{Parameters: map[string]string{
			"Verb": string(req.Verb), "Request": base64.StdEncoding.EncodeToString(raw),
		}})
	}
}

func (w *world) start(name string) (arn string) {
	input, err := json.Marshal(run.Request{InstanceID: w.cloud.target(), Policy: w.asked})
	if err != nil {
		return ""
	}
	x, err := w.engine.Start(machineName, name, input)
	if err != nil {
		return ""
	}
	return x.ARN
}

func (w *world) await(arn string) {
	if arn == "" {
		return
	}
	ctx, cancel := context.WithTimeout(w.life, longest)
	defer cancel()
	_, _ = w.engine.Wait(ctx, arn) // one that does not end is seen by its status
}

// pace lets the ledger write less once what matters is over: hours of records
// show nothing more.
func (w *world) pace() {
	for _, s := range []struct{ after, pace time.Duration }{
		{15 * time.Second, 2 * time.Second}, {time.Minute, 20 * time.Second}, {5 * time.Minute, 5 * time.Minute},
	} {
		if !w.rest(s.after) {
			return
		}
		w.ledger.Pace(s.pace)
	}
}

func (w *world) rest(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-w.life.Done():
		return false
	}
}

// end takes everything away.
func (w *world) end() error {
	w.stop()
	w.over.Wait()
	w.cloud.Close()
	w.engine.Close()
	w.local.Wait()
	return w.sim.Close()
}
