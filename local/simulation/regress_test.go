package simulation

import (
	"testing"
	"time"

	"github.com/quiesce/quiesce/local/fault"
)

// found are the histories by which something was found that had to be mended.
var found = []struct {
	name  string
	setup Setup
	plan  []string
	slow  time.Duration
}{
	{
		name:  "the end of a run whose janitor reaches nobody is told",
		setup: Setup{Server: true, Deadline: 20},
		plan:  []string{"snapshot/CreateSnapshots:stop-execution", "janitor/SendCommand:agent-offline"},
	},
	{
		name:  "the end of a run whose instance was stopped in the window is told",
		setup: Setup{Server: true, Deadline: 20},
		plan:  []string{"freeze/blocked:stop-instance", "snapshot/CreateSnapshots:stop-execution"},
	},
	{
		name:  "a guard does not thaw what its own freeze call was refused for",
		setup: Setup{Server: true},
		plan:  []string{"freeze/arm:foreign-freeze@2", "freeze/frozen:kill-helper"},
	},
	{
		name:  "a server that refuses its release once has its settings back all the same",
		setup: Setup{Server: true},
		plan:  []string{"thaw/release:refuse"},
	},
	{
		name:  "a person is called when a janitor could not release the application",
		setup: Setup{Deadline: 20},
		plan:  []string{"snapshot/CreateSnapshots:stop-execution", "thaw/script:refuse"},
	},
	{
		name:  "a freeze that comes about minutes after its run has ended is undone at once",
		setup: Setup{Deadline: 10},
		plan:  []string{"freeze/freezing:stall"},
		slow:  20 * time.Minute,
	},
	{
		name:  "a keeper that dies while it thaws leaves the rest to the guards and the next command",
		setup: Setup{Server: true},
		plan:  []string{"freeze/arm:kill-helper", "thaw/rescue:kill-helper"},
	},
	{
		name:  "what the provider's tool has left is labelled though nobody could look after it",
		setup: Setup{Cloud: Alibaba, Plugin: true},
		plan:  []string{"watch-plugin/DescribeSnapshotGroups:deny"},
	},
	{
		name:  "a part of a group that a list shows is not taken for the whole",
		setup: Setup{Cloud: Alibaba, Plugin: true},
		plan:  []string{"watch-plugin/DescribeSnapshotGroups:wrong-data"},
	},
	{
		name:  "the second set of a command that came through twice is labelled",
		setup: Setup{Cloud: Alibaba, Plugin: true},
		plan:  []string{"start-plugin/RunCommand:duplicate"},
	},
	{
		name:  "a freeze whose guard was killed lasts as long as the kernel holds its thaw",
		setup: Setup{Deadline: 5},
		plan:  []string{"freeze/frozen:kill-guard@2", "thaw/thaw:stall@2"},
		slow:  70 * time.Second,
	},
	{
		name:  "of a run whose stop nobody heard of nobody tells that it could not release the application",
		setup: Setup{Deaf: true},
		plan:  []string{"run-prescript/GetCommandInvocation:time-out", "thaw/script:refuse"},
	},
	{
		name:  "nor of one whose release the server holds up",
		setup: Setup{Server: true, Deaf: true},
		plan:  []string{"snapshot/CreateSnapshots:stop-execution", "thaw/release:stall"},
		slow:  20 * time.Minute,
	},
}

func TestFound(t *testing.T) {
	s := site(t)
	for i, f := range found {
		t.Run(f.name, func(t *testing.T) {
			schedule := Schedule{Seed: uint64(i + 1), Setup: f.setup, Slowness: f.slow}
			for _, text := range f.plan {
				p, err := fault.Parse(text)
				if err != nil {
					t.Fatal(err)
				}
				schedule.Faults = append(schedule.Faults, p)
			}
			h := live(t, s, schedule, false)
			judged(t, s, h)
			for _, f := range h.Unreached {
				t.Errorf("the fault %s never happened", f)
			}
		})
	}
}

// Numbers of what there is to try, for whoever bounds a run.
func TestThereAreSoManyPairs(t *testing.T) {
	s := site(t)
	all := Pairs(calm(t, s))
	t.Logf("%d pairs", len(all))
	if len(all) < 10_000 {
		t.Errorf("only %d pairs", len(all))
	}
}
