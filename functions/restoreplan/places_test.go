package restoreplan

import (
	"testing"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/restore"
)

// A copy beside the original does not stand for it, wherever it is listed; it
// does for one that is not there.
func TestTheOriginalIsItself(t *testing.T) {
	copied := cloud.Disk{ID: "vol-0", Tags: map[string]string{cloud.TagOrigin: "vol-1", cloud.TagRestore: "earlier"}}
	p := planner{plan: &restore.Plan{RestoreID: "now"}, host: cloud.Host{Disks: []cloud.Disk{copied, {ID: "vol-1"}}}}
	if got := p.original("vol-1"); got == nil || got.ID != "vol-1" {
		t.Errorf("got %+v", got)
	}
	p.host.Disks = p.host.Disks[:1]
	if got := p.original("vol-1"); got == nil || got.ID != "vol-0" {
		t.Errorf("without it: got %+v", got)
	}
	if got := p.original("vol-2"); got != nil {
		t.Errorf("of another: got %+v", got)
	}
}
