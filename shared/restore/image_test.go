package restore_test

import (
	"errors"
	"testing"

	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/restore"
)

// A launch names what either cloud has.
func TestLaunchesOfBothClouds(t *testing.T) {
	for _, c := range []struct {
		kind, subnet, group string
		field               string // that is refused
	}{
		{"m7i.large", "subnet-0123456789abcdef0", "sg-0123456789abcdef0", ""},
		{"u-6tb1.112xlarge", "subnet-01234567", "sg-01234567", ""},
		{"ecs.g8i.large", "vsw-bp1g24p9no0iqir46abcd", "sg-bp15ed6xe1yxeycg7o0a", ""},
		{"ecs.t5-lc1m1.small", "vsw-bp1g24p9no0iqir46abcd", "sg-bp15ed6xe1yxeycg7o0a", ""},
		{"large", "subnet-0123456789abcdef0", "sg-0123456789abcdef0", "request.launch.type"},
		{"ecs.g8i.large.more", "vsw-bp1g24p9no0iqir46abcd", "sg-bp15ed6xe1yxeycg7o0a", "request.launch.type"},
		{"ecs..large", "vsw-bp1g24p9no0iqir46abcd", "sg-bp15ed6xe1yxeycg7o0a", "request.launch.type"},
		{"m7i.large", "vpc-1", "sg-0123456789abcdef0", "request.launch.subnet"},
		{"m7i.large", "subnet-0123456789abcdef0", "default", "request.launch.groups"},
	} {
		err := restore.Request{RunID: "r", Mode: restore.AsImage, Launch: &restore.Launch{Type: c.kind, Subnet: c.subnet, Groups: []string{c.group}}}.Check()
		var f *fault.Error
		if errors.As(err, &f); (err == nil) != (c.field == "") || err != nil && f.Field != c.field {
			t.Errorf("%s %s %s: got %v, want %q refused", c.kind, c.subnet, c.group, err, c.field)
		}
	}
}
