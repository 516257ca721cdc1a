package ecs

import (
	"context"
	"maps"
	"slices"

	"github.com/quiesce/quiesce/local/aliyun/rpc"
	"github.com/quiesce/quiesce/local/aws/wire"
)

// tagResources tags snapshots, disks, instances, images and groups.
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

// listTags tells the tags of what is named, or what carries those that are asked
// for.
func (e *ECS) listTags(_ context.Context, _ *wire.Call, p rpc.Params) (map[string]any, error) {
	ids, kind := p.List("ResourceId"), p.Text("ResourceType")
	err := p.Required("ResourceType")
	switch {
	case err != nil:
		return nil, err
	case len(ids) > 50:
		return nil, wire.Bad("NumberExceed.ResourceIds", "The ResourceIds parameter's number is exceed, at most 50.")
	case len(ids) == 0 && p.Text("Tag.1.Key") == "":
		return nil, wire.Bad("MissingParameter.ResourceIds", "You must specify ResourceId.N or Tag.N.")
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	tagged := e.tagged(kind)
	if tagged == nil {
		return nil, wire.Bad("InvalidResourceType.NotFound", "The ResourceType provided does not exist in our records.")
	}
	var all []any
	for _, id := range slices.Sorted(maps.Keys(tagged)) {
		if len(ids) > 0 && !slices.Contains(ids, id) || !p.Tagged(tagged[id]) {
			continue
		}
		for _, key := range slices.Sorted(maps.Keys(tagged[id])) {
			all = append(all, map[string]string{"ResourceId": id, "ResourceType": kind, "TagKey": key, "TagValue": tagged[id][key]})
		}
	}
	from, to, next, err := p.Page(len(all), 50, 50)
	if err != nil {
		return nil, err
	}
	return map[string]any{"TagResources": map[string]any{"TagResource": slices.Concat([]any{}, all[from:to])}, "NextToken": next}, nil
}

func (e *ECS) tagsOf(kind, id string) map[string]string { return e.tagged(kind)[id] }

// tagged are the tags of all that is of a kind, nil for a kind that has none.
func (e *ECS) tagged(kind string) map[string]map[string]string {
	switch kind {
	case "snapshot":
		return each(e.snapshots, func(s *snapshot) map[string]string { return s.tags })
	case "snapshotgroup":
		return each(e.groups, func(g *group) map[string]string { return g.tags })
	case "disk":
		return each(e.disks, func(d *disk) map[string]string { return d.Tags })
	case "instance":
		return each(e.instances, func(m *machine) map[string]string { return m.Tags })
	case "image":
		all := each(e.images, func(i *image) map[string]string { return i.tags })
		maps.DeleteFunc(all, func(id string, _ map[string]string) bool { return e.images[id].owner != self })
		return all
	}
	return nil
}

func each[T any](all map[string]T, tags func(T) map[string]string) map[string]map[string]string {
	out := map[string]map[string]string{}
	for id, one := range all {
		out[id] = tags(one)
	}
	return out
}

// Tags returns a copy of a snapshot's own tags, nil for one that does not
// exist.
func (e *ECS) Tags(snapshot string) map[string]string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return maps.Clone(e.tagsOf("snapshot", snapshot))
}
