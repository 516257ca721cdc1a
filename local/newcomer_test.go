package local

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quiesce/quiesce/local/aws/ec2"
	"github.com/quiesce/quiesce/shared/protocol"
	"github.com/quiesce/quiesce/shared/run"
)

// A volume of the set that holds no mounted filesystem when the plan is made,
// and one when the others are frozen, is written to while the rest is held.
func TestMountedAfterThePlan(t *testing.T) {
	const late, at = "vol-0aaaaaaaaaaaaaaaa", "/srv/late"
	moments := map[string]func(*world) bool{
		"before the freeze": func(w *world) bool { return slices.Contains(w.told.heard("run-1"), protocol.Begin) },
		"in the window":     func(w *world) bool { return w.sim.Frozen(w.mounts[1]) },
	}
	for name, come := range moments {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, setting{}, func(w *world) {
				w.must(w.sim.Create(w.Context(), late, volumeBytes, ""))
				device, err := w.sim.Attach(w.Context(), late)
				w.must(err)
				w.must(w.sim.Format(w.Context(), device, "ext4"))
				_, err = w.cloud.EC2.AddVolume(w.Context(), ec2.Volume{ID: late, Instance: instanceID, Device: device, Bytes: volumeBytes, Made: true, Path: device})
				w.must(err)
				arn := w.start("run-1", w.request(w.policy()))
				for !come(w) {
					time.Sleep(5 * time.Millisecond)
				}
				w.must(w.sim.Mount(device, at))
				v := w.wait(arn).State.Verdict
				if v == nil || v.Consistency != run.Crash || !strings.Contains(v.Reason, at+" was mounted") {
					t.Errorf("got %+v", v)
				}
			})
		})
	}
}
