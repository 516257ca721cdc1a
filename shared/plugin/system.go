package plugin

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/run"
)

// Limits of a snapshot group in most Regions.
const (
	maxDisks   = 16
	maxSizeGiB = 32 << 10
)

// Fits refuses a plan whose group the service would refuse.
func Fits(plan run.Plan) error {
	var size int64
	for _, v := range plan.Volumes {
		size += int64(v.SizeGiB)
	}
	switch {
	case len(plan.Volumes) > maxDisks:
		return fault.New(fault.PluginRefused, "the set has %d disks; a snapshot group holds at most %d", len(plan.Volumes), maxDisks)
	case size > maxSizeGiB:
		return fault.New(fault.PluginRefused, "the set's disks have %d GiB; a snapshot group holds at most %d", size, maxSizeGiB)
	}
	return nil
}

// systems are those that the plug-in is documented for, with their least
// version and, where there is one, their last.
var systems = []struct {
	name        *regexp.Regexp // as ECS calls it, its version caught
	least, last float64
}{
	{regexp.MustCompile(`(?i)^centos(?: linux)?\s+(\d+\.\d+)`), 7.6, 0},
	{regexp.MustCompile(`(?i)^ubuntu\s+(\d+\.\d+)`), 18.04, 0},
	{regexp.MustCompile(`(?i)^(?:alibaba cloud|aliyun) linux\s+(\d+)`), 2, 3},
	{regexp.MustCompile(`(?i)^windows server\s+(\d{4})`), 2012, 2022},
}

// System tells why the plug-in cannot be counted on there, empty if it can. R2
// is a version of its own: the first 2012 is too old.
func System(os string) string {
	for _, s := range systems {
		m := s.name.FindStringSubmatch(os)
		if m == nil {
			continue
		}
		version, err := strconv.ParseFloat(m[1], 64)
		early := version == 2012 && !strings.Contains(os, "R2")
		if err != nil || version < s.least || s.last > 0 && version > s.last || early {
			break
		}
		return ""
	}
	return "the plug-in is made for CentOS from 7.6, Ubuntu from 18.04, Alibaba Cloud Linux 2 and 3, and Windows Server 2012 R2 to 2022; the instance runs " + strconv.Quote(os)
}
