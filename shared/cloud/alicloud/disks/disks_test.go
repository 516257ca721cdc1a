package disks_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quiesce/quiesce/local/aliyun"
	"github.com/quiesce/quiesce/local/aliyun/ecs"
	"github.com/quiesce/quiesce/local/instance"
	"github.com/quiesce/quiesce/shared/cloud/alicloud"
	"github.com/quiesce/quiesce/shared/cloud/alicloud/disks"
	"github.com/quiesce/quiesce/shared/fault"
)

const (
	vm     = "i-bp1aaaaaaaaaaaaaaa01"
	system = "d-bp1aaaaaaaaaaaaaaa01"
	data   = "d-bp1aaaaaaaaaaaaaaa02"
	other  = "d-bp1aaaaaaaaaaaaaaa03"
	absent = "d-bp1aaaaaaaaaaaaaaa09"
)

// world is an account with one instance and three disks, in virtual time.
type world struct {
	*testing.T
	account *aliyun.Cloud
	cloud   *alicloud.Provider
	below   *storage
}

func in(t *testing.T, state string, test func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{T: t, below: &storage{}}
		w.account = aliyun.New(aliyun.Config{Disks: w.below, ECS: ecs.Config{Visible: -1}})
		defer w.account.Close()
		_, err := w.account.Rent(t.Context(), ecs.Instance{ID: vm, State: state}, machine{},
			ecs.Disk{ID: system, System: true}, ecs.Disk{ID: data}, ecs.Disk{ID: other})
		w.must(err)
		w.cloud = alicloud.New(w.account.Client("operator"), alicloud.Options{})
		test(w)
	})
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// snapshot takes one and waits until it is accomplished.
func (w *world) snapshot(disk string) string {
	w.Helper()
	id := w.begun(disk)
	time.Sleep(15 * time.Second)
	return id
}

func (w *world) begun(disk string) string {
	w.Helper()
	id, err := w.cloud.TakeSnapshot(w.Context(), disk, "", "", 0, nil)
	w.must(err)
	return id
}

// refused wants a fault that says why, and that none of the calls was made.
func (w *world) refused(err error, code fault.Code, says string, calls ...string) {
	w.Helper()
	if fault.CodeOf(err) != code || !strings.Contains(err.Error(), says) {
		w.Errorf("got %s: %v, want %s with %q", fault.CodeOf(err), err, code, says)
	}
	for _, call := range calls {
		if n := w.account.Count(call); n > 0 {
			w.Errorf("%s was called %d times", call, n)
		}
	}
}

// would wants the service itself to refuse, by its own code.
func (w *world) would(err error, code string) {
	w.Helper()
	if got := alicloud.Refused(err); got != code {
		w.Errorf("the service says %q (%v), want %q", got, err, code)
	}
}

func TestTake(t *testing.T) {
	in(t, "Running", func(w *world) {
		id, err := disks.Take(w.Context(), w.cloud, disks.Snapshot{Disk: data, Name: "before-upgrade", RetentionDays: 7, Tags: map[string]string{"owner": "me"}})
		w.must(err)
		all, err := disks.List(w.Context(), w.cloud, alicloud.Wanted{DiskID: data})
		w.must(err)
		if len(all) != 1 || all[0].ID != id || all[0].Name != "before-upgrade" || all[0].RetentionDays != 7 || all[0].Tags["owner"] != "me" || all[0].Status != "progressing" {
			t.Errorf("got %+v", all)
		}
	})
}

func TestTakeRefusesTheForm(t *testing.T) {
	tags := map[string]string{}
	for i := range 21 {
		tags[fmt.Sprint("t", i)] = "x"
	}
	for field, s := range map[string]disks.Snapshot{
		"disk":                            {Disk: "vol-1"},
		"name: wants":                     {Disk: data, Name: "x"},
		"name: must not begin with auto":  {Disk: data, Name: "autonomous"},
		"name: must not begin with http:": {Disk: data, Name: "http://x"},
		"retention-days":                  {Disk: data, RetentionDays: 65537},
		"description":                     {Disk: data, Description: "http://x"},
		"tag: at most":                    {Disk: data, Tags: tags},
		"tag: keys":                       {Disk: data, Tags: map[string]string{"acs:x": ""}},
		"tag: wants":                      {Disk: data, Tags: map[string]string{"x": strings.Repeat("x", 129)}},
		"tag: must not hold":              {Disk: data, Tags: map[string]string{"x": "https://x"}},
	} {
		in(t, "Running", func(w *world) {
			_, err := disks.Take(w.Context(), w.cloud, s)
			w.refused(err, fault.InvalidInput, field, "CreateSnapshot")
			if s.Disk == data { // the service would not have it either
				if _, err := w.cloud.TakeSnapshot(w.Context(), s.Disk, s.Name, s.Description, s.RetentionDays, s.Tags); err == nil && s.Description == "" {
					t.Errorf("%s: the service takes it", field)
				}
			}
		})
	}
}

func TestTakeRefusesTheState(t *testing.T) {
	in(t, "Running", func(w *world) {
		_, err := disks.Take(w.Context(), w.cloud, disks.Snapshot{Disk: absent})
		w.refused(err, fault.InvalidInput, absent+" does not exist", "CreateSnapshot")
		w.account.ECS.Change(vm, func(i *ecs.Instance) { i.State = "Stopping" })
		_, err = disks.Take(w.Context(), w.cloud, disks.Snapshot{Disk: data})
		w.refused(err, fault.SnapshotRefused, "is Stopping", "CreateSnapshot")
		_, err = w.cloud.TakeSnapshot(w.Context(), data, "", "", 0, nil)
		w.would(err, "IncorrectInstanceStatus")
	})
	in(t, "Running", func(w *world) {
		w.begun(data)
		_, err := disks.Take(w.Context(), w.cloud, disks.Snapshot{Disk: data})
		w.refused(err, fault.SnapshotTooSoon, "still being created")
		_, err = w.cloud.TakeSnapshot(w.Context(), data, "", "", 0, nil)
		w.would(err, "IncorrectDiskStatus.CreatingSnapshot")
	})
	in(t, "Running", func(w *world) {
		id, err := w.cloud.NewDisk(w.Context(), w.snapshot(data), "cn-hangzhou-h", "cloud_essd")
		w.must(err)
		_, err = disks.Take(w.Context(), w.cloud, disks.Snapshot{Disk: id})
		w.refused(err, fault.SnapshotRefused, "is Creating")
		_, err = w.cloud.TakeSnapshot(w.Context(), id, "", "", 0, nil)
		w.would(err, "IncorrectDiskStatus")
	})
	in(t, "Running", func(w *world) {
		for range 256 {
			w.snapshot(data)
		}
		_, err := disks.Take(w.Context(), w.cloud, disks.Snapshot{Disk: data})
		w.refused(err, fault.SnapshotRefused, "has 256 snapshots")
		_, err = w.cloud.TakeSnapshot(w.Context(), data, "", "", 0, nil)
		w.would(err, "QuotaExceed.Snapshot")
	})
}

func TestPolicy(t *testing.T) {
	in(t, "Running", func(w *world) {
		id, err := disks.Create(w.Context(), w.cloud, disks.Policy{Name: "nightly", Hours: []int{22, 2}, Weekdays: []int{7, 1}, RetentionDays: 30})
		w.must(err)
		second, err := disks.Create(w.Context(), w.cloud, disks.Policy{Name: "weekly", Hours: []int{4}, Weekdays: []int{3}, RetentionDays: -1})
		w.must(err)
		before, err := disks.Apply(w.Context(), w.cloud, id, []string{data, other})
		w.must(err)
		if len(before) > 0 {
			t.Errorf("got %v before", before)
		}
		if before, err = disks.Apply(w.Context(), w.cloud, second, []string{data}); err != nil || before[data] != id {
			t.Errorf("got %v before, %v", before, err)
		}
		found, err := disks.Describe(w.Context(), w.cloud, id)
		w.must(err)
		want := alicloud.Schedule{ID: id, Name: "nightly", Status: "Normal", Hours: []string{"2", "22"}, Weekdays: []string{"1", "7"}, RetentionDays: 30, Disks: 1}
		if len(found) != 1 || fmt.Sprint(found[0]) != fmt.Sprint(want) {
			t.Errorf("got %+v, want %+v", found, want)
		}
		if all, err := disks.Describe(w.Context(), w.cloud, ""); err != nil || len(all) != 2 {
			t.Errorf("got %+v, %v", all, err)
		}
	})
}

func TestPolicyRefuses(t *testing.T) {
	good := disks.Policy{Name: "nightly", Hours: []int{2}, Weekdays: []int{1}, RetentionDays: 30}
	for says, spoil := range map[string]func(*disks.Policy){
		"name":                 func(p *disks.Policy) { p.Name = "x" },
		"at: wants at least":   func(p *disks.Policy) { p.Hours = nil },
		"at: wants 0-23":       func(p *disks.Policy) { p.Hours = []int{24} },
		"at: names 3 twice":    func(p *disks.Policy) { p.Hours = []int{3, 3} },
		"weekdays: wants 1-7":  func(p *disks.Policy) { p.Weekdays = []int{0} },
		"weekdays: wants at":   func(p *disks.Policy) { p.Weekdays = nil },
		"retention-days: want": func(p *disks.Policy) { p.RetentionDays = 0 },
	} {
		in(t, "Running", func(w *world) {
			p := good
			spoil(&p)
			_, err := disks.Create(w.Context(), w.cloud, p)
			w.refused(err, fault.InvalidInput, says, "CreateAutoSnapshotPolicy")
		})
	}
	in(t, "Running", func(w *world) {
		for range 100 {
			_, err := w.cloud.NewSchedule(w.Context(), alicloud.Schedule{Name: "many", Hours: []string{"1"}, Weekdays: []string{"1"}, RetentionDays: 1})
			w.must(err)
		}
		_, err := disks.Create(w.Context(), w.cloud, good)
		w.refused(err, fault.SnapshotRefused, "has 100 policies")
		_, err = w.cloud.NewSchedule(w.Context(), alicloud.Schedule{Name: "many", Hours: []string{"1"}, Weekdays: []string{"1"}, RetentionDays: 1})
		w.would(err, "QuotaExceed.AutoSnapshotPolicy")
	})
	in(t, "Running", func(w *world) {
		const nobody = "sp-bp1aaaaaaaaaaaaaaa01"
		_, err := disks.Apply(w.Context(), w.cloud, "nightly", []string{data})
		w.refused(err, fault.InvalidInput, "policy: wants an id")
		_, err = disks.Apply(w.Context(), w.cloud, nobody, nil)
		w.refused(err, fault.InvalidInput, "wants 1-100 disks")
		_, err = disks.Apply(w.Context(), w.cloud, nobody, []string{data})
		w.refused(err, fault.InvalidInput, nobody+" does not exist", "ApplyAutoSnapshotPolicy")
		w.would(w.cloud.ApplySchedule(w.Context(), nobody, []string{data}), "InvalidAutoSnapshotPolicyId.NotFound")
		_, err = disks.Describe(w.Context(), w.cloud, nobody)
		w.refused(err, fault.InvalidInput, "does not exist")
		id, err := disks.Create(w.Context(), w.cloud, good)
		w.must(err)
		calls := w.account.Count("ApplyAutoSnapshotPolicy")
		_, err = disks.Apply(w.Context(), w.cloud, id, []string{data, absent})
		w.refused(err, fault.InvalidInput, absent+" does not exist")
		if got := w.account.Count("ApplyAutoSnapshotPolicy"); got != calls {
			t.Error("it was applied to a disk that does not exist")
		}
		w.would(w.cloud.ApplySchedule(w.Context(), id, []string{absent}), "InvalidDiskId.NotFound")
	})
}

type machine struct{}

func (machine) Arch() string { return "amd64" }
func (machine) Execute(context.Context, instance.Command) instance.Result {
	return instance.Result{ExitCode: 127}
}

// storage notes what became of the disks below.
type storage struct{ made []string }

func (s *storage) Create(_ context.Context, v string, _ int64, from string) error {
	if from != "" {
		s.made = append(s.made, v+" of "+from)
	}
	return nil
}
func (s *storage) Attach(_ context.Context, v string) (string, error) { return "/dev/" + v, nil }
func (s *storage) Detach(context.Context, string) error               { return nil }
func (s *storage) Delete(context.Context, string) error               { return nil }
func (s *storage) Snapshot(context.Context, map[string]string) error  { return nil }
func (s *storage) DeleteSnapshot(context.Context, string) error       { return nil }
func (s *storage) Close() error                                       { return nil }
