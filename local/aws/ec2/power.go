package ec2

import (
	"context"
	"encoding/xml"
	"strconv"
	"strings"
	"time"

	"github.com/quiesce/quiesce/local/aws/wire"
)

// turn is a change of state: where it begins, what it passes, where it ends,
// and who hears of the end.
type turn struct {
	verb         string
	from, by, to string
	on           func(instance string)
}

// changes are the answer to a call that changes instances' states.
type changes struct {
	XMLName xml.Name `xml:"instancesSet"`
	Items   []change `xml:"item"`
}

type change struct {
	ID       string   `xml:"instanceId"`
	Current  xmlState `xml:"currentState"`
	Previous xmlState `xml:"previousState"`
}

func (c *changes) add(m *machine, before string) {
	c.Items = append(c.Items, change{m.ID, xmlState{stateCodes[m.State], m.State}, xmlState{stateCodes[before], before}})
}

func (e *EC2) stopInstances(_ context.Context, _ *wire.Call, q query) (any, error) {
	return e.turn(q, turn{verb: "stopped", from: "running", by: "stopping", to: "stopped", on: e.cfg.Stopped})
}

func (e *EC2) startInstances(_ context.Context, _ *wire.Call, q query) (any, error) {
	return e.turn(q, turn{verb: "started", from: "stopped", by: "pending", to: "running", on: e.cfg.Started})
}

// turn answers at once and gets there later. One that is there, or on its way
// there, is left as it is; from any other state the call is refused.
func (e *EC2) turn(q query, t turn) (any, error) {
	var out changes
	e.mu.Lock()
	defer e.mu.Unlock()
	var all []*machine
	for _, id := range q.list("InstanceId") {
		m, err := e.find(id)
		if err != nil {
			return nil, err
		}
		if m.State != t.from && m.State != t.by && m.State != t.to {
			return nil, wire.Bad("IncorrectInstanceState", "The instance '%s' is not in a state from which it can be %s.", id, t.verb)
		}
		if t.to == "running" && e.root(id) == nil {
			return nil, wire.Bad("IncorrectInstanceState", "Instance '%s' does not have a volume attached at root (%s)", id, m.RootDevice)
		}
		all = append(all, m)
	}
	for _, m := range all {
		before := m.State
		if m.State == t.from {
			m.State = t.by
			m.turning = time.AfterFunc(e.cfg.Turning, func() { e.turned(m, t) })
		}
		out.add(m, before)
	}
	return out, nil
}

// turned is the end of a change, unless something else came between. What runs
// on a machine ends before it counts as stopped.
func (e *EC2) turned(m *machine, t turn) {
	e.mu.Lock()
	gone := e.closed || m.State != t.by
	e.mu.Unlock()
	if gone {
		return
	}
	if t.on != nil {
		t.on(m.ID)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if m.State == t.by {
		m.State = t.to
	}
}

// modifyInstanceAttribute knows the one attribute that a restore changes:
// whether a volume dies with its instance.
func (e *EC2) modifyInstanceAttribute(_ context.Context, _ *wire.Call, q query) (any, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	m, err := e.find(q.text("InstanceId"))
	if err != nil {
		return nil, err
	}
	changed := map[*volume]bool{}
	for i := 1; ; i++ {
		at := "BlockDeviceMapping." + strconv.Itoa(i)
		device := q.text(at + ".DeviceName")
		if device == "" {
			break
		}
		v := e.at(m.ID, device)
		if v == nil {
			return nil, wire.Bad("InvalidInstanceAttributeValue", "No device is currently mapped at %s", device)
		}
		changed[v] = strings.EqualFold(q.text(at+".Ebs.DeleteOnTermination"), "true")
	}
	if len(changed) == 0 {
		return nil, wire.Bad("MissingParameter", "The request must contain an attribute to modify")
	}
	for v, dies := range changed {
		v.DeleteOnTermination = dies
	}
	return done{Return: true}, nil
}

// at is the volume under a device name of an instance, nil for none.
func (e *EC2) at(instance, device string) *volume {
	for _, v := range e.attached(instance) {
		if v.Device == device {
			return v
		}
	}
	return nil
}
