package vss

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
)

// What the documents are documented for.
const (
	leastAgent  = "3.0.502.0"
	leastServer = 2016
)

// small are the sizes on which VSS runs out of its ten seconds, or the snapshots
// of which lack their tags.
var small = regexp.MustCompile(`^t(2|3|3a)\.(nano|micro)$`)

var server = regexp.MustCompile(`(?i)windows server\s+(\d{4})`)

// Fits refuses an instance that the document would fail on, by what about it
// does not fit. What no call tells stays for the document itself: whether the
// profile has the right policy, whether PowerShell is in FullLanguage mode.
func Fits(instance cloud.Instance, ping cloud.Ping) error {
	if err := Windows("vss", instance, ping); err != nil {
		return err
	}
	switch {
	case old(ping):
		return unfit("runs %s; the document needs Windows Server 2016 or later: take mode diskshadow, or update it", ping.System)
	case ping.Version == "" || Older(ping.Version, leastAgent):
		return unfit("has SSM Agent %q; the document needs %s or later: AWS-UpdateSSMAgent updates it", ping.Version, leastAgent)
	case small.MatchString(instance.Type):
		return unfit("is a %s, on which AWS's component runs out of time: take a larger size, or mode diskshadow", instance.Type)
	case instance.Profile == "":
		return &fault.Error{Code: fault.InstanceProfileMissing, Field: "instanceId", Message: instance.ID + " has no instance profile, with which AWS's component makes the snapshots: attach one with AWSEC2VssSnapshotPolicy"}
	}
	return nil
}

// Windows refuses an instance that is not a Windows Server.
func Windows(mode string, instance cloud.Instance, ping cloud.Ping) error {
	switch {
	case ping.Linux:
		return fault.Input("policy.mode", "is %s, which is for Windows; %s runs %s: wants orchestrated", mode, instance.ID, ping.System)
	case server.FindString(ping.System) == "":
		return unfit("runs %q; mode %s is for Windows Server", ping.System, mode)
	}
	return nil
}

func unfit(format string, args ...any) error {
	f := fault.New(fault.VssRefused, format, args...)
	f.Field = "instanceId"
	return f
}

// old goes by the year in the system's name.
func old(ping cloud.Ping) bool {
	year, err := strconv.Atoi(server.FindStringSubmatch(ping.System)[1])
	return err != nil || year < leastServer
}

// Older compares two versions by their numbers; one that has others than numbers
// is older than any.
func Older(version, than string) bool {
	got, err := numbers(version)
	want, _ := numbers(than)
	return err != nil || slices.Compare(got, want) < 0
}

func numbers(version string) (list []int, err error) {
	for part := range strings.SplitSeq(version, ".") {
		n, err := strconv.Atoi(part)
		if err != nil {
			return nil, err
		}
		list = append(list, n)
	}
	return list, nil
}
