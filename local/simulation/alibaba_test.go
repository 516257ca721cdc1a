package simulation

import (
	"flag"
	"testing"
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
