package ecs

import (
	"context"
	"slices"
	"time"

	"github.com/quiesce/quiesce/local/aliyun/rpc"
	"github.com/quiesce/quiesce/local/aws/wire"
)

// What keeps a snapshot from being deleted: an image that is made of it, a lock,
// an account that it is shared with.

// held refuses to delete what is held. Only the first code is published; those
// of the other two stand for what the documentation says of them in words.
func (e *ECS) held(s *snapshot) error {
	switch {
	case len(e.imagesOf(s.id)) > 0:
		return forbidden("SnapshotCreatedImage", "The snapshot has been used to create user defined image(s).")
	case time.Now().Before(s.locked):
		return forbidden("OperationDenied.SnapshotLocked", "The snapshot is locked, and cannot be deleted until the lock expires.")
	case len(s.shared) > 0:
		return forbidden("OperationDenied.SnapshotShared", "The snapshot is shared, and cannot be deleted until it is unshared.")
	}
	return nil
}

// Lock keeps a snapshot from being deleted for a time, in compliance mode.
func (e *ECS) Lock(id string, d time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if s := e.snapshots[id]; s != nil {
		s.locked = time.Now().Add(d)
	}
}

// Archive puts a snapshot where it must be brought back from first. That the list
// tells is emulated, and no more: by which code a disk of one is refused is not
// published.
func (e *ECS) Archive(id string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if s := e.snapshots[id]; s != nil {
		s.archived = true
	}
}

// Share lets other accounts use a snapshot.
func (e *ECS) Share(id string, accounts ...string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if s := e.snapshots[id]; s != nil {
		s.shared = accounts
	}
}

// SharedWith are the accounts that may use a snapshot.
func (e *ECS) SharedWith(id string) []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	if s := e.snapshots[id]; s != nil {
		return slices.Clone(s.shared)
	}
	return nil
}

func (e *ECS) describeLocks(_ context.Context, _ *wire.Call, p rpc.Params) (map[string]any, error) {
	asked := p.List("SnapshotIds")
	if len(asked) > 100 {
		return nil, wire.Bad("InvalidParameter.SnapshotIds", "The specified parameter \"SnapshotIds\" holds more than 100.")
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now()
	var found []*snapshot
	for _, id := range e.order {
		s := e.snapshots[id]
		if s == nil || s.locked.IsZero() || len(asked) > 0 && !slices.Contains(asked, id) ||
			p.Text("LockStatus") != "" && s.lockStatus(now) != p.Text("LockStatus") {
			continue
		}
		found = append(found, s)
	}
	from, to, next, err := p.Page(len(found), 10, 100)
	if err != nil {
		return nil, err
	}
	list := []any{}
	for _, s := range found[from:to] {
		list = append(list, map[string]any{
			"SnapshotId": s.id, "LockMode": "compliance", "LockStatus": s.lockStatus(now), "LockExpiredTime": rpc.Stamp(s.locked),
		})
	}
	return map[string]any{"LockedSnapshotsInfo": list, "NextToken": next}, nil
}

func (s *snapshot) lockStatus(now time.Time) string {
	if now.Before(s.locked) {
		return "compliance"
	}
	return "expired"
}
