package alicloud

import (
	"net/url"
	"testing"
	"time"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
)

// The service's word for why a disk or its place does not change, and what it
// means for a restore: to be asked again, or the end of it.
func TestAboutDisk(t *testing.T) {
	for code, want := range map[string]struct {
		status int
		fault  fault.Code
	}{
		"IncorrectDiskStatus": {403, fault.VolumeBusy}, "IncorrectDiskStatus.CreatingSnapshot": {403, fault.VolumeBusy},
		"IncorrectInstanceStatus": {403, fault.VolumeBusy}, "Operation.Conflict": {403, fault.VolumeBusy}, "InvalidSnapshotId.NotReady": {403, fault.VolumeBusy},
		"InvalidDevice.InUse": {403, fault.RestoreRefused}, "ResourcesNotInSameZone": {403, fault.RestoreRefused},
		"InvalidDiskId.NotFound": {404, fault.RestoreRefused}, "InstanceDiskLimitExceeded": {403, fault.RestoreRefused},
		"InvalidInstanceId.NotFound": {404, fault.InstanceNotFound}, "InvalidParameter.Mismatch": {400, fault.SetNotRestorable},
		"InvalidSnapshotId.NotFound": {404, fault.SetNotRestorable}, "Forbidden.RAM": {403, fault.AccessDenied},
		"InstanceLockedForSecurity": {403, fault.AccessDenied}, "Throttling.User": {400, fault.Throttled}, "InternalError": {500, fault.Unavailable},
	} {
		err := aboutDisk(&refusal{Status: want.status, Code: code}, "attach")
		if got := fault.CodeOf(err); got != want.fault {
			t.Errorf("%s: got %q, want %q", code, got, want.fault)
		}
	}
	wantCode(t, aboutDisk(errReset, "attach"), fault.Unavailable)
	if err := aboutDisk(nil, "attach"); err != nil {
		t.Errorf("got %v of no error", err)
	}
}

// Below the smallest size of the usual level a disk is made of the lowest.
func TestDisksAreMadeOfALevelThatTakesThem(t *testing.T) {
	for size, want := range map[int32]string{1: "PL0", 19: "PL0", 20: "", 500: ""} {
		if got := creation(cloud.DiskSpec{SizeGiB: size}).PerformanceLevel; got != want {
			t.Errorf("of %d GiB: got %q, want %q", size, got, want)
		}
	}
	if r := creation(cloud.DiskSpec{SizeGiB: 5, Kind: "cloud_auto", IOPS: 3000}); r.PerformanceLevel != "" || r.DiskCategory != "cloud_auto" || string(r.ProvisionedIops) != "3000" {
		t.Errorf("got %+v", r)
	}
}

// An instance is stopped in the way after which its disks can be set back and
// it is sure to start.
func TestStopKeepsTheInstancesPlace(t *testing.T) {
	var seen []url.Values
	p, _ := against(byAction(nil, &seen))
	if err := p.Stop(t.Context(), "i-1"); err != nil {
		t.Fatal(err)
	}
	if q := seen[0]; q.Get("Action") != "StopInstance" || q.Get("StoppedMode") != "KeepCharging" || q.Get("ForceStop") != "false" {
		t.Errorf("sent %v", q)
	}
}

// A refusal for its state is told, unless the instance is where it was to go.
func TestStopFromElsewhere(t *testing.T) {
	for state, want := range map[string]fault.Code{"Stopped": "", "Stopping": "", "Starting": fault.InstanceNotRunning} {
		var seen []url.Values
		p, _ := against(byAction(map[string][]response{
			"StopInstance":      {refused(403, "IncorrectInstanceStatus")},
			"DescribeInstances": {{body: `{"Instances":{"Instance":[{"InstanceId":"i-1","Status":"` + state + `"}]}}`}},
		}, &seen))
		wantCode(t, p.Stop(t.Context(), "i-1"), want)
	}
}

// The plug-in's group dates its members one by one, and they are of one moment
// all the same; what lies further apart is not.
func TestMembersAreOfOneMoment(t *testing.T) {
	at := time.Date(2026, 3, 1, 4, 0, 0, 0, time.UTC)
	near := []cloud.Source{{StartedAt: at.Add(time.Second)}, {StartedAt: at}}
	far := []cloud.Source{{StartedAt: at}, {StartedAt: at.Add(2 * time.Minute)}}
	together(near)
	together(far)
	together(nil)
	if !near[0].StartedAt.Equal(at) || !near[1].StartedAt.Equal(at) || far[0].StartedAt.Equal(far[1].StartedAt) {
		t.Errorf("got %v and %v", near, far)
	}
}
