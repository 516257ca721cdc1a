package sim

import (
	"context"
	"fmt"
	"time"

	"github.com/quiesce/quiesce/shared/protocol"
)

const (
	keeperLooks = 5 * time.Millisecond // from a helper's death to its keeper's first look
	keeperTries = 60
)

// KillHelper ends the helper's process as SIGKILL does. Its guards live on and
// thaw, and its keeper releases what it held; a keeper that is killed leaves
// that to the next command.
func (m *Machine) KillHelper() {
	m.mu.Lock()
	p := m.process
	m.process, m.helper = nil, nil
	held := p != nil && !p.keeper && !m.off && p.holds()
	if p != nil {
		who := "the helper"
		if p.keeper {
			who = "the keeper"
		}
		m.tell(Event{Kind: Died, By: who})
	}
	m.mu.Unlock()
	if p == nil {
		return
	}
	p.kill()
	if held {
		go m.keep()
	}
}

// holds reports whether a session is open, for which alone there is a keeper.
func (p *process) holds() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.phase != "" && p.phase != protocol.Released
}

// keep does what the keeper does once the helper is dead.
func (m *Machine) keep() {
	time.Sleep(keeperLooks)
	m.mu.Lock()
	p, helper := m.start(true)
	m.mu.Unlock()
	if p == nil {
		return
	}
	for range keeperTries {
		recovered := make(chan error, 1)
		go func() { recovered <- helper.Recover(context.Background(), "") }() // which ends with its process
		select {
		case err := <-recovered:
			m.tell(Event{Kind: Recovered, By: "the keeper", Text: fmt.Sprint(err)})
			if err == nil {
				m.mu.Lock()
				p.keeper = false // it is over; the process here is the next command's
				m.mu.Unlock()
				return
			}
		case <-p.dead:
			return
		}
		time.Sleep(time.Second)
	}
}

// KillGuard ends the guard of one filesystem as SIGKILL does. It reports
// whether there was one.
func (m *Machine) KillGuard(mount string) bool {
	m.mu.Lock()
	guards := m.guards
	m.mu.Unlock()
	for _, v := range guards {
		if v.about.Mount == mount && v.shoot() {
			m.tell(Event{Kind: Died, Mount: mount, By: "the guard"})
			return true
		}
	}
	return false
}

// Fill lets nothing be saved any more, or lets it again.
func (m *Machine) Fill(full bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.full = full
}

// Turn turns the machine off or on, as a stop and a start of the instance do.
// What was not on the disks is gone, and so is every freeze, every process and
// all that was kept in memory.
func (m *Machine) Turn(on bool) {
	m.mu.Lock()
	if m.off == !on || m.closed {
		m.mu.Unlock()
		return
	}
	m.off = !on
	text := "on"
	var stops []func()
	if m.off {
		text = "off"
		m.boots++
		m.boot = fmt.Sprintf("simulated-%d", m.boots)
		m.records, m.full = map[string][]byte{}, false
		for _, f := range m.filesystems {
			f.frozen, f.owner, f.undone = false, "", false
			f.thaws++
			f.dirty = 0
			f.files = f.disk.image.clone().files
			f.tell()
		}
		// What a recovery has mounted is in no table, and its record in memory.
		for _, kept := range m.kept {
			for _, at := range kept {
				if f := m.filesystems[at]; f != nil {
					f.disk.fs = nil
					delete(m.filesystems, at)
				}
			}
		}
		m.kept, m.recovered = map[string][]string{}, map[string]protocol.Reply{}
		for _, v := range m.guards {
			v.unplug()
		}
		m.guards = nil
		stops, m.stops = m.stops, nil
	}
	m.tell(Event{Kind: Went, Text: text})
	m.mu.Unlock()
	if text == "off" {
		for _, d := range m.databases {
			d.crash()
		}
		m.KillHelper()
		for _, stop := range stops {
			stop()
		}
	}
}

// unplug ends a guard that does nothing more. Its caller holds the machine's
// lock, which the guard does not take before it looks.
func (v *held) unplug() {
	v.mu.Lock()
	defer v.mu.Unlock()
	select {
	case <-v.off:
	default:
		close(v.off)
	}
}
