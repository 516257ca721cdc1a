package simulation

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/quiesce/quiesce/local/fault"
)

// Chance draws schedules. Each is drawn from its seed and from the points that
// calm runs reach, and from nothing else.
type Chance struct {
	points   map[string][]fault.Fault // all that can be planned, by setup
	cloud    Cloud
	strikes  []fault.Kind
	lateness []time.Duration
}

// NewChance learns what can go wrong from calm histories.
func NewChance(calm []*History) *Chance {
	c := &Chance{points: map[string][]fault.Fault{}, strikes: strikes, lateness: lateness}
	if c.cloud = calm[0].Schedule.Setup.Cloud; c.cloud == Alibaba {
		c.strikes = slices.DeleteFunc(slices.Clone(strikes), func(k fault.Kind) bool { return Excused(calm[0].Schedule.Setup, "", k) != "" })
		c.lateness = append(slices.Clone(lateness), 70*time.Second) // it gives a command up after a minute
	}
	for _, h := range calm {
		c.points[kind(h.Schedule.Setup)] = append(c.points[kind(h.Schedule.Setup)], Singles(h)...)
	}
	return c
}

// kind is what of a setup decides which points it reaches.
func kind(s Setup) string {
	switch {
	case s.Server:
		return "server"
	case s.Plugin:
		return "plugin"
	}
	return "scripts"
}

// Draw makes the schedule of a seed. A swarm: each schedule lets only some
// kinds happen, so that rare ones meet each other more often than they would if
// all were as likely in each.
func (c *Chance) Draw(seed uint64) Schedule {
	d := rand.New(rand.NewPCG(seed, 1))
	s := Schedule{Seed: seed, Setup: setup(d)}
	if s.Setup.Cloud = c.cloud; c.cloud == Alibaba && d.IntN(6) == 0 {
		s.Setup = tooled(s.Setup)
	}
	s.Slowness = among(d, 700*time.Millisecond, 3*time.Second, 12*time.Second, 70*time.Second, 20*time.Minute)
	s.Lateness = among(d, c.lateness...)
	all := c.points[kind(s.Setup)]
	swarm := map[fault.Kind]bool{}
	for range 1 + d.IntN(6) {
		swarm[all[d.IntN(len(all))].Kind] = true
	}
	for _, k := range rare {
		if d.IntN(5) == 0 {
			swarm[k] = true
		}
	}
	wanted := among(d, 0, 1, 1, 2, 2, 2, 3, 3, 4, 6)
	for tries := 0; len(s.Faults) < wanted && tries < 200; tries++ {
		f := all[d.IntN(len(all))]
		if swarm[f.Kind] {
			f.N = among(d, f.N, f.N, 1, 1, 2, 3)
			s.Faults = append(s.Faults, f)
		}
	}
	for range among(d, 0, 0, 0, 1, 1, 2, 3) {
		s.Strikes = append(s.Strikes, Strike{At: moment(d), Kind: c.strikes[d.IntN(len(c.strikes))]})
	}
	return s
}

// rare are the kinds that must not be drowned by the many ways in which a call
// can fail.
var rare = []fault.Kind{
	fault.KillHelper, fault.KillGuard, fault.ForeignThaw, fault.ForeignRelease, fault.ForeignFreeze, fault.StopExecution,
	fault.Reorder, fault.Duplicate, fault.Late, fault.LostReply, fault.CrashAfter, fault.Oversize, fault.AgentRestart, fault.KillSession,
}

var lateness = []time.Duration{time.Second, 9 * time.Second, 25 * time.Second, 45 * time.Second}

var strikes = []fault.Kind{
	fault.KillHelper, fault.KillHelper, fault.KillGuard, fault.ForeignThaw, fault.ForeignRelease, fault.ForeignFreeze, fault.StopExecution,
	fault.TimeOut, fault.ClockJump, fault.AgentBusy, fault.AgentRestart, fault.StopInstance, fault.DiskFull, fault.KillSession, fault.LongQuery,
}

// moment is one of a run: most of a run's work is done in its first seconds.
func moment(d *rand.Rand) time.Duration {
	span := among(d, 2500*time.Millisecond, 2500*time.Millisecond, 10*time.Second, 2*time.Minute, 10*time.Minute)
	return time.Duration(d.Int64N(int64(span)))
}

func setup(d *rand.Rand) Setup {
	half := func() bool { return d.IntN(2) == 0 }
	some := func() bool { return d.IntN(6) == 0 }
	s := Setup{
		// What is gone for good is one story, and a long one: most comes back.
		Server: half(), Fail: some(), Returns: !some(), Victim: d.IntN(volumes), Stacked: some(),
		Deadline:   among(d, 0, 0, 5, 10, 20, 300),
		Completion: among(d, 0, 0, 0, 3*time.Second, 25*time.Second, 20*time.Minute, 2*time.Hour),
		Unlisted:   among(d, 0, 0, 100*time.Millisecond, 3*time.Second, 6*time.Second),
		Skew:       among(d, 0, 0, time.Hour, -time.Hour, 3*time.Second, -3*time.Second),
		Jump:       among(d, time.Hour, -time.Hour, time.Minute, -time.Minute, -10*time.Second),
		Dirty:      among[int64](d, 0, 8<<20, 64<<20, 1<<30),
	}
	if !s.Server {
		s.Bare, s.Unfrozen, s.Retries = some(), some(), among(d, 0, 0, 0, 1, 3)
	}
	switch d.IntN(8) {
	case 0:
		s.Deaf = true
	case 1, 2:
		s.Twice = true
	}
	if some() {
		s.Second = time.Duration(d.Int64N(int64(4 * time.Second)))
	}
	return s
}

// tooled is what of a setup a policy in mode plugin can ask for; the tool tells
// two runs' scripts not apart.
func tooled(s Setup) Setup {
	s.Plugin, s.Server, s.Retries, s.Second = true, false, 0, 0
	return s
}

func among[T any](d *rand.Rand, of ...T) T { return of[d.IntN(len(of))] }
