package sim

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/quiesce/quiesce/guest/session"
	"github.com/quiesce/quiesce/local/ledger"
)

// Ledger is the application that writes on the machine's volumes, with the
// methods of ledger.Process.
type Ledger struct {
	writer *ledger.Writer
	stop   func()
	pre    string
	post   string

	mu       sync.Mutex
	acks     []ledger.Ack
	occupied time.Duration // how long the next record takes besides
}

// appender is a ledger's file on a simulated filesystem.
type appender struct {
	ctx    context.Context
	f      *filesystem
	before func(context.Context) // a record is written; nil: nothing
}

// Append writes the record and waits until it is on the disk.
func (a appender) Append(record []byte) error {
	if a.before != nil {
		a.before(a.ctx)
	}
	if err := a.f.write(a.ctx, ledger.FileName, record); err != nil {
		return err
	}
	return a.f.sync(a.ctx, ledger.FileName)
}

const burdenTick = 50 * time.Millisecond

// StartLedger starts a ledger on the mounted volumes, in writing order, with a
// rest of pace between records and load bytes a second of buffered writes
// besides. Its scripts are on the machine then.
func (m *Machine) StartLedger(mounts []string, pace time.Duration, load int64) (*Ledger, error) {
	ctx, cancel := context.WithCancel(context.Background())
	var volumes []ledger.Appender
	var background []*filesystem
	for _, at := range mounts {
		f, err := m.at(at)
		if err != nil {
			cancel()
			return nil, err
		}
		background = append(background, f)
	}
	l := &Ledger{pre: "/opt/ledger/pre-script", post: "/opt/ledger/post-script"}
	for i, f := range background {
		a := appender{ctx: ctx, f: f}
		if i == 0 {
			a.before = l.linger
		}
		volumes = append(volumes, a)
	}
	l.writer = ledger.NewWriter(m.Clock, volumes, pace, func(a ledger.Ack) error {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.acks = append(l.acks, a)
		return nil
	})
	m.Script(l.pre, func(ctx context.Context, s session.Script) error {
		_, err := l.writer.Pause(ctx, s.Run)
		if err == nil {
			m.tell(Event{Kind: Rested, Run: s.Run, By: s.Run})
		}
		return err
	})
	m.Script(l.post, func(_ context.Context, s session.Script) error {
		m.tell(Event{Kind: Resumed, Run: s.Run, By: s.Run})
		l.writer.Resume(s.Run)
		return nil
	})
	var running sync.WaitGroup
	running.Go(func() { _ = l.writer.Run(ctx) }) // a record cut off by the end is no failure
	if load > 0 {
		for _, f := range background {
			running.Go(func() { f.burden(ctx, load/int64(len(background))) })
		}
	}
	l.stop = func() {
		cancel()
		running.Wait()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		cancel()
		return nil, fmt.Errorf("the machine is off")
	}
	m.stops = append(m.stops, l.stop)
	return l, nil
}

// burden dirties the page cache at a rate.
func (f *filesystem) burden(ctx context.Context, rate int64) {
	chunk := make([]byte, rate*int64(burdenTick)/int64(time.Second))
	for wait(ctx, burdenTick) && f.write(ctx, "", chunk) == nil {
	}
}

// Occupy lets the next record take d longer: nothing is at rest meanwhile.
func (l *Ledger) Occupy(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.occupied = d
}

func (l *Ledger) linger(ctx context.Context) {
	l.mu.Lock()
	d := l.occupied
	l.occupied = 0
	l.mu.Unlock()
	if d > 0 {
		wait(ctx, d)
	}
}

// Pace changes the rest between records.
func (l *Ledger) Pace(d time.Duration) { l.writer.Pace(d) }

// Holders are those who hold the ledger now.
func (l *Ledger) Holders() []string {
	_, holders := l.writer.State()
	return holders
}

// PreScript pauses the writer at a commit boundary.
func (l *Ledger) PreScript() string { return l.pre }

// PostScript resumes it.
func (l *Ledger) PostScript() string { return l.post }

// Document does for the ledger what a user's command document does, with the
// exit codes of those of Data Lifecycle Manager.
func (l *Ledger) Document(ctx context.Context, parameters map[string]string) int {
	id := parameters["executionId"]
	_, holders := l.writer.State()
	switch parameters["command"] {
	case "pre-script":
		if len(holders) > 0 {
			return 204
		}
		if _, err := l.writer.Pause(ctx, id); err != nil {
			return 201
		}
	case "post-script":
		if !slices.Contains(holders, id) {
			return 205
		}
		l.writer.Resume(id)
	}
	return 0
}

// Acks are the acknowledgements noted so far; it never fails.
func (l *Ledger) Acks() ([]ledger.Ack, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.acks), nil
}

// Last is the last acknowledgement; it never fails.
func (l *Ledger) Last(context.Context) (ledger.Ack, error) {
	last, _ := l.writer.State()
	return last, nil
}

// Stop ends the writer; it never fails.
func (l *Ledger) Stop(context.Context) error {
	l.stop()
	return nil
}
