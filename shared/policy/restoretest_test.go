package policy_test

import (
	"testing"
	"time"

	"github.com/quiesce/quiesce/shared/policy"
)

// A cost is size times price times the time for which the copies may be there.
func TestCostOfARestoreTest(t *testing.T) {
	for _, c := range []struct {
		test policy.RestoreTest
		gib  int64
		want float64
	}{
		{policy.RestoreTest{PricePerGiBMonth: 0.073}, 1000, 0.1},
		{policy.RestoreTest{PricePerGiBMonth: 0.073, TimeLimitMinutes: 360}, 1000, 0.6},
		{policy.RestoreTest{PricePerGiBMonth: 0.073}, 0, 0},
		{policy.RestoreTest{}, 1000, 0}, // nobody said what it costs
	} {
		if got := c.test.Cost(c.gib); got < c.want-1e-9 || got > c.want+1e-9 {
			t.Errorf("%+v, %d GiB: got %v, want %v", c.test, c.gib, got, c.want)
		}
	}
	if got := (policy.RestoreTest{}).TimeLimit(); got != time.Hour {
		t.Errorf("got %s", got)
	}
}

// What is started on the copies is what was held, unless the policy says
// otherwise; what no adapter knows is not started.
func TestWhatARestoreTestStarts(t *testing.T) {
	for _, c := range []struct{ kind, application, want string }{
		{policy.MariaDB, "", policy.MariaDB},
		{policy.MariaDB, policy.None, policy.None},
		{policy.Script, "", policy.None},
		{policy.Auto, "", policy.None},
		{policy.Script, policy.PostgreSQL, policy.PostgreSQL},
	} {
		d := policy.DefaultDocument()
		d.Application.Kind, d.RestoreTest.Application = c.kind, c.application
		if got := d.Tested(); got != c.want {
			t.Errorf("%s, %q: got %s, want %s", c.kind, c.application, got, c.want)
		}
	}
}
