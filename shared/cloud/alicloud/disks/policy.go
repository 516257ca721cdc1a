package disks

import (
	"context"
	"slices"
	"strconv"

	"github.com/quiesce/quiesce/shared/cloud/alicloud"
	"github.com/quiesce/quiesce/shared/fault"
)

// Policy asks for a policy of automatic snapshots, each of one disk and each
// crash-consistent.
type Policy struct {
	Name          string
	Hours         []int // 0-23, in the Region's own time zone
	Weekdays      []int // 1 is Monday
	RetentionDays int   // -1: for ever
}

// Limits of the service.
const (
	maxPolicies        = 100
	maxPolicyRetention = 65535
	maxApplied         = 100 // disks of one call
)

// Check refuses what the form alone forbids.
func (p Policy) Check() error {
	if err := name("name", p.Name); err != nil {
		return err
	}
	if err := within("at", p.Hours, 0, 23); err != nil {
		return err
	}
	if err := within("weekdays", p.Weekdays, 1, 7); err != nil {
		return err
	}
	if p.RetentionDays != -1 && (p.RetentionDays < 1 || p.RetentionDays > maxPolicyRetention) {
		return fault.Input("retention-days", "wants 1-%d, or -1 to keep them for ever, got %d", maxPolicyRetention, p.RetentionDays)
	}
	return nil
}

func within(field string, list []int, from, to int) error {
	if len(list) == 0 {
		return fault.Input(field, "wants at least one of %d-%d", from, to)
	}
	seen := map[int]bool{}
	for _, n := range list {
		switch {
		case n < from || n > to:
			return fault.Input(field, "wants %d-%d, got %d", from, to, n)
		case seen[n]:
			return fault.Input(field, "names %d twice", n)
		}
		seen[n] = true
	}
	return nil
}

// Create makes the policy; no disk follows it yet.
func Create(ctx context.Context, c Cloud, p Policy) (id string, err error) {
	if err := p.Check(); err != nil {
		return "", err
	}
	have, err := c.Schedules(ctx, "")
	switch {
	case err != nil:
		return "", err
	case len(have) >= maxPolicies:
		return "", fault.New(fault.SnapshotRefused, "the Region has %d policies, of %d that there may be", len(have), maxPolicies)
	}
	return c.NewSchedule(ctx, alicloud.Schedule{Name: p.Name, Hours: texts(p.Hours), Weekdays: texts(p.Weekdays), RetentionDays: p.RetentionDays})
}

func texts(list []int) []string {
	all := make([]string, len(list))
	for i, n := range slices.Sorted(slices.Values(list)) {
		all[i] = strconv.Itoa(n)
	}
	return all
}

// Apply lets disks follow the policy, and returns those that followed another
// one until now: a disk has one policy of its own.
func Apply(ctx context.Context, c Cloud, policy string, disks []string) (before map[string]string, err error) {
	if err := wellFormed("policy", policyID, "sp-bp1234567890abcdefgh", policy); err != nil {
		return nil, err
	}
	if err := wellFormed("disk", diskID, "d-bp1234567890abcdefgh", disks...); err != nil {
		return nil, err
	}
	if len(disks) == 0 || len(disks) > maxApplied {
		return nil, fault.Input("disk", "wants 1-%d disks, got %d", maxApplied, len(disks))
	}
	found, err := c.Schedules(ctx, policy)
	if err != nil {
		return nil, err
	}
	if len(found) != 1 {
		return nil, fault.Input("policy", "%s does not exist in this Region", policy)
	}
	before = map[string]string{}
	for _, id := range disks {
		d, err := c.Disk(ctx, id)
		if err != nil {
			return nil, err
		}
		if d.PolicyID != "" && d.PolicyID != policy {
			before[id] = d.PolicyID
		}
	}
	return before, c.ApplySchedule(ctx, policy, disks)
}

// Describe lists the policies, or the one that is named.
func Describe(ctx context.Context, c Cloud, policy string) ([]alicloud.Schedule, error) {
	if policy != "" {
		if err := wellFormed("policy", policyID, "sp-bp1234567890abcdefgh", policy); err != nil {
			return nil, err
		}
	}
	found, err := c.Schedules(ctx, policy)
	if err == nil && policy != "" && len(found) == 0 {
		return nil, fault.Input("policy", "%s does not exist in this Region", policy)
	}
	return found, err
}
