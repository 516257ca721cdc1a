package simulation

import (
	"flag"
	"testing"

	"github.com/quiesce/quiesce/local/fault"
)

// What a test run lives through in the other cloud: every single fault once, and
// some of what several setups offer. The schedules are all tried where a number
// of them is asked for.
const (
	alibabaAgain = 10
	alibabaSeeds = 200
	alibabaPairs = 200
)

var abroad = flag.Bool("alibaba", false, "the seed is one of Alibaba Cloud")

// The same in an account of Alibaba Cloud: every kind of fault at every point,
// pairs of them, and schedules that chance draws.
func TestSinglesAlibaba(t *testing.T) {
	again := alibabaAgain
	if *many > 0 {
		again = 1
	}
	singles(t, "singles of Alibaba Cloud", AlibabaSetups, again)
}

func TestPairsAlibaba(t *testing.T) {
	most := alibabaPairs
	if *pairs != ciPairs || *many > 0 {
		most = *pairs
	}
	both(t, "pairs of Alibaba Cloud", AlibabaSetups, most)
}

func TestRandomAlibaba(t *testing.T) {
	n := *many
	if n == 0 {
		n = alibabaSeeds
	}
	chosen(t, "random of Alibaba Cloud", AlibabaSetups, n)
}

func TestTheSameSeedIsTheSameHistoryAtAlibaba(t *testing.T) {
	if raced {
		t.Skip("the race detector has the scheduler choose at random; `make test` runs this without it")
	}
	twice(t, AlibabaSetups, 15)
}

// A program on a machine that was turned off comes to no line after that: what it
// would have written of its set nobody writes.
func TestTheToolDiesWithItsMachine(t *testing.T) {
	s := site(t)
	strike := fault.Fault{Target: "plugin/CreateSnapshotGroup", Kind: fault.StopInstance, N: 1}
	schedule := Schedule{Seed: 1, Setup: Setup{Cloud: Alibaba, Plugin: true, Bare: true, Returns: true}, Faults: []fault.Fault{strike}}
	h := live(t, s, schedule, false)
	judged(t, s, h)
	if len(h.Unreached) > 0 || len(h.Runs[0].Tags) == 0 {
		t.Fatalf("%v was not reached, or no snapshot made: %v", h.Unreached, h.Runs[0].Tags)
	}
	for id, tags := range h.Runs[0].Tags {
		for _, key := range []string{"FsConsistent", "AppConsistent"} {
			if tags[key] == "True" {
				t.Errorf("%s says %s", id, key)
			}
		}
	}
}
