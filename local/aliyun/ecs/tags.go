package ecs

import (
	"context"
	"maps"
	"slices"

	"github.com/quiesce/quiesce/local/aliyun/rpc"
	"github.com/quiesce/quiesce/local/aws/wire"
)

// tagResources tags snapshots, disks, instances and groups.
func (e *ECS) tagResources(_ context.Context, _ *wire.Call, p rpc.Params) (map[string]any, error) {
	ids := p.List("ResourceId")
	tags, err := p.Tags()
	if err == nil {
		err = p.Required("ResourceType", "ResourceId.1", "Tag.1.Key")
	}
	if err == nil && len(ids) > 50 {
		err = wire.Bad("NumberExceed.ResourceIds", "The ResourceIds parameter's number is exceed, at most 50.")
	}
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	var all []map[string]string
	for _, id := range ids {
		have := e.tagsOf(p.Text("ResourceType"), id)
		if have == nil {
			return nil, missing("InvalidResourceId.NotFound", "ResourceId", id)
		}
		n := len(have)
		for key := range tags {
			if _, ok := have[key]; !ok {
				n++
			}
		}
		if n > 20 {
			return nil, wire.Bad("NumberExceed.Tags", "The resource %s would have %d tags, at most 20.", id, n)
		}
		all = append(all, have)
	}
	for _, have := range all {
		for key, value := range tags {
			have[key] = value
		}
	}
	return nil, nil
}

// untagResources takes no notice of a key that is not there.
func (e *ECS) untagResources(_ context.Context, _ *wire.Call, p rpc.Params) (map[string]any, error) {
	ids, keys := p.List("ResourceId"), p.List("TagKey")
	err := p.Required("ResourceType", "ResourceId.1")
	switch {
	case err != nil:
		return nil, err
	case len(ids) > 50:
		return nil, wire.Bad("NumberExceed.ResourceIds", "The ResourceIds parameter's number is exceed, at most 50.")
	case len(keys) > 20:
		return nil, wire.Bad("NumberExceed.TagKeys", "The TagKeys parameter's number is exceed, at most 20.")
	case len(keys) == 0 && !p.Flag("All"):
		return nil, wire.Bad("MissingParameter.TagKey", "You must specify TagKey.N or All.")
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, id := range ids {
		have := e.tagsOf(p.Text("ResourceType"), id)
		if have == nil {
			return nil, missing("InvalidResourceId.NotFound", "ResourceId", id)
		}
		for key := range have {
			if p.Flag("All") && len(keys) == 0 || slices.Contains(keys, key) {
				delete(have, key)
			}
		}
	}
	return nil, nil
}

func (e *ECS) tagsOf(kind, id string) map[string]string {
	switch kind {
	case "snapshot":
		if s := e.snapshots[id]; s != nil {
			return s.tags
		}
	case "snapshotgroup":
		if g := e.groups[id]; g != nil {
			return g.tags
		}
	case "disk":
		if d := e.disks[id]; d != nil {
			return d.Tags
		}
	case "instance":
		if m := e.instances[id]; m != nil {
			return m.Tags
		}
	}
	return nil
}

// Tags returns a copy of a snapshot's own tags, nil for one that does not
// exist.
func (e *ECS) Tags(snapshot string) map[string]string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return maps.Clone(e.tagsOf("snapshot", snapshot))
}
