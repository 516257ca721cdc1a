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
	hit   []Strike
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
		name:  "at Alibaba Cloud the end of a stopped run is told though no event is delivered",
		setup: Setup{Cloud: Alibaba, Server: true, Deaf: true},
		plan:  []string{"snapshot/CreateSnapshotGroup:stop-execution"},
	},
	{
		name:  "two timers at once start one janitor",
		setup: Setup{Cloud: Alibaba, Twice: true},
		plan:  []string{"freeze/blocked:stop-execution"},
	},
	{
		name:  "what one minute could not list or start is the next one's",
		setup: Setup{Cloud: Alibaba, Deadline: 20},
		plan:  []string{"run-prescript/DescribeInvocationResults:time-out", "sweep/ListExecutions:deny", "sweep/StartExecution:deny"},
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
	{
		name:  "the end of a run is told though it was stopped while its tag step wrote, and that died of it",
		setup: Setup{Deadline: 20},
		plan:  []string{"tag/CreateTags:hang@2", "tag/CreateTags:stop-execution@2"},
	},
	{
		name:  "the deadline thaws what a thaw was refused for, though the guard is dead",
		setup: Setup{Server: true, Deadline: 5, Victim: 1},
		plan:  []string{"thaw/thaw:refuse", "thaw/GetCommandInvocation:agent-restart", "thaw/GetCommandInvocation:kill-guard"},
	},
	{
		name:  "a keeper comes after a helper that another run has asked in vain",
		setup: Setup{Deadline: 20, Deaf: true, Second: 100 * time.Millisecond},
		plan:  []string{"snapshot/CreateSnapshots:stop-execution", "thaw/PutEvents:kill-helper"},
	},
	{
		name:  "a freeze that comes once the run may not command the instance any more lasts to its own deadline",
		setup: Setup{Server: true, Deadline: 20, Fail: true, Dirty: gibibyte, Deaf: true},
		plan:  []string{"freeze/GetCommandInvocation:deny", "thaw/SendCommand:deny"},
	},
	{
		name:  "a set of which a list shows a part is looked for again",
		setup: Setup{},
		plan:  []string{"snapshot:crash-after", "snapshot/DescribeSnapshots:wrong-data"},
	},
	{
		name:  "what the provider's tool makes after a long query is labelled though nobody could look after it",
		setup: Setup{Cloud: Alibaba, Plugin: true, Deadline: 15},
		plan:  []string{"precheck:long-query", "watch-plugin/DescribeInvocationResults:deny"},
	},
	{
		name:  "the second set of a command that came through twice is labelled once it is listed",
		setup: Setup{Cloud: Alibaba, Plugin: true, Unlisted: 6 * time.Second},
		plan:  []string{"start-plugin/RunCommand:reorder"},
	},
	{
		name:  "the end of a run is told though its janitor hung where it labels",
		setup: Setup{Server: true, Deadline: 5, Dirty: gibibyte, Returns: true},
		plan:  []string{"thaw/release:time-out", "janitor/CreateTags:slow"},
		slow:  20 * time.Minute,
	},
	{
		name:  "a keeper that is killed while it ends a session leaves nothing waiting",
		setup: Setup{Deadline: 20, Dirty: 64 << 20, Returns: true},
		plan:  []string{"freeze/flush:time-out@3", "thaw/survey:stall"},
		slow:  20 * time.Minute,
		hit:   []Strike{{44625 * time.Millisecond, fault.KillHelper}},
	},
}

func TestFound(t *testing.T) {
	s := site(t)
	for i, f := range found {
		t.Run(f.name, func(t *testing.T) {
			schedule := Schedule{Seed: uint64(i + 1), Setup: f.setup, Slowness: f.slow, Strikes: f.hit}
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
