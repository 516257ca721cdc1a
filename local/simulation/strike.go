package simulation

import (
	"context"
	"time"

	"github.com/quiesce/quiesce/guest/application"
	"github.com/quiesce/quiesce/local/engine"
	"github.com/quiesce/quiesce/local/fault"
	"github.com/quiesce/quiesce/shared/protocol"
)

// adapter makes the server's.
func (w *world) adapter(o protocol.Application, j application.Journal) (application.Adapter, error) {
	return w.server.New(o, j)
}

// notice keeps what struck, and when.
func (w *world) notice(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.struck = append(w.struck, line{time.Since(w.began), "FAULT  " + what})
}

// follow lets what must come of a fault come of it.
func (w *world) follow(f fault.Fault) {
	w.notice(f.String())
	if f.Kind == fault.AgentOffline && w.schedule.Setup.Returns {
		time.AfterFunc(isAway, func() { w.cloud.connect(w.cloud.running()) })
	}
}

// hooks are what the faults of the world do to this one.
func (w *world) hooks() map[fault.Kind]func(context.Context) {
	victim := func() string { return w.mounts[w.schedule.Setup.Victim%len(w.mounts)] }
	return map[fault.Kind]func(context.Context){
		fault.KillHelper:    func(context.Context) { w.sim.KillHelper() },
		fault.KillGuard:     func(context.Context) { w.sim.KillGuard(victim()) },
		fault.ForeignFreeze: func(context.Context) { w.beside(func() { w.foreign(victim()) }) },
		fault.ForeignRelease: func(context.Context) {
			w.beside(func() { _ = w.sim.Fsfreeze(w.life, victim(), false) })
		},
		fault.ForeignThaw: func(context.Context) {
			w.beside(func() {
				if w.sim.Fsfreeze(w.life, victim(), false) == nil {
					w.foreign(victim())
				}
			})
		},
		fault.StopExecution: func(context.Context) {
			for _, e := range w.running() {
				_, _ = w.engine.Stop(e.ARN, "StopExecution", "planned") // over already: nothing to stop
			}
		},
		fault.TimeOut: func(context.Context) {
			for _, e := range w.running() {
				_ = w.engine.Expire(e.ARN)
			}
		},
		fault.KillSession: func(context.Context) {
			if w.server != nil {
				w.server.KillSession()
			}
		},
		fault.LongQuery:    func(context.Context) { w.ledger.Occupy(isBusy) },
		fault.ClockJump:    func(context.Context) { w.skew.Add(int64(otherwise(w.schedule.Setup.Jump, time.Hour))) },
		fault.AgentBusy:    func(context.Context) { w.cloud.occupy() },
		fault.AgentRestart: func(context.Context) { w.absent(restarts) },
		fault.DiskFull: func(context.Context) {
			w.sim.Fill(true)
			time.AfterFunc(isFull, func() { w.sim.Fill(false) })
		},
		fault.StopInstance: func(context.Context) { w.turnOff() },
	}
}

func (w *world) running() []engine.Execution {
	list, _ := w.engine.List(machineName, engine.Running)
	return list
}

// beside does what a stranger does. He is waited for, so that it is done at the
// point that was planned, but not where he hangs himself: on a stacked
// filesystem he may wait for what waits for him.
func (w *world) beside(do func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		do()
	}()
	t := time.NewTimer(strangers)
	defer t.Stop()
	select {
	case <-done:
	case <-t.C:
	}
}

// foreign is somebody else's freeze, which he takes back.
func (w *world) foreign(mount string) {
	if w.sim.Fsfreeze(w.life, mount, true) == nil {
		time.AfterFunc(foreignHold, func() { _ = w.sim.Fsfreeze(w.life, mount, false) })
	}
}

// absent is an agent that is away for a while.
func (w *world) absent(d time.Duration) {
	w.cloud.connect(false)
	time.AfterFunc(d, func() { w.cloud.connect(true) })
}

func (w *world) turnOff() {
	if !w.cloud.running() {
		return
	}
	w.cloud.turn(false)
	w.sim.Turn(false)
	w.cloud.connect(false)
	if !w.schedule.Setup.Returns {
		return
	}
	time.AfterFunc(comesBack, func() {
		w.sim.Turn(true)
		w.cloud.turn(true)
		w.cloud.connect(true)
	})
}
