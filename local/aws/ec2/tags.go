package ec2

import (
	"context"
	"encoding/xml"
	"maps"
	"strings"
	"unicode/utf8"

	"github.com/quiesce/quiesce/local/aws/wire"
)

func checkTags(tags map[string]string) error {
	if len(tags) > 50 {
		return wire.Bad("TagLimitExceeded", "You have reached the limit of 50 tags.")
	}
	for k, v := range tags {
		switch {
		case k == "" || utf8.RuneCountInString(k) > 127:
			return wire.Bad("InvalidParameterValue", "Tag key exceeds the maximum length of 127 characters")
		case utf8.RuneCountInString(v) > 255:
			return wire.Bad("InvalidParameterValue", "Tag value exceeds the maximum length of 255 characters")
		case strings.HasPrefix(strings.ToLower(k), "aws:"):
			return wire.Bad("InvalidParameterValue", "Tag keys starting with 'aws:' are reserved for internal use")
		}
	}
	return nil
}

// tagsOf returns the live tags of any resource, with its type.
func (e *EC2) tagsOf(id string) (tags map[string]string, kind string, err error) {
	switch {
	case strings.HasPrefix(id, "snap-"):
		s, err := e.snapshot(id)
		if err != nil {
			return nil, "", err
		}
		return s.tags, "snapshot", nil
	case strings.HasPrefix(id, "vol-"):
		v, err := e.volume(id)
		if err != nil {
			return nil, "", err
		}
		return v.Tags, "volume", nil
	case strings.HasPrefix(id, "ami-"):
		i, err := e.image(id)
		if err != nil {
			return nil, "", err
		}
		return i.tags, "image", nil
	case strings.HasPrefix(id, "i-"):
		m, err := e.find(id)
		if err != nil {
			return nil, "", err
		}
		return m.Tags, "instance", nil
	}
	return nil, "", wire.Bad("InvalidID", "The ID '%s' is not valid", id)
}

// Tags returns a copy of a resource's tags, nil for one that does not exist.
func (e *EC2) Tags(id string) map[string]string {
	e.mu.Lock()
	defer e.mu.Unlock()
	tags, _, err := e.tagsOf(id)
	if err != nil {
		return nil
	}
	return maps.Clone(tags)
}

func (e *EC2) createTags(_ context.Context, _ *wire.Call, q query) (any, error) {
	tags, err := q.tags("")
	if err != nil {
		return nil, err
	}
	ids := q.list("ResourceId")
	if len(ids) == 0 || len(tags) == 0 {
		return nil, wire.Bad("MissingParameter", "The request must contain the parameters resourceIdSet and tagSet")
	}
	if len(ids) > 1000 {
		return nil, wire.Bad("InvalidParameterValue", "At most 1000 resources can be tagged by one request.")
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, id := range ids {
		have, _, err := e.tagsOf(id)
		if err != nil {
			return nil, err
		}
		all := maps.Clone(have)
		maps.Copy(all, tags)
		if len(all) > 50 {
			return nil, wire.Bad("TagLimitExceeded", "You have reached the limit of 50 tags on %s.", id)
		}
	}
	for _, id := range ids {
		have, _, _ := e.tagsOf(id)
		maps.Copy(have, tags)
	}
	return done{Return: true}, nil
}

func (e *EC2) deleteTags(_ context.Context, _ *wire.Call, q query) (any, error) {
	tags, err := q.tags("")
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, id := range q.list("ResourceId") {
		have, _, err := e.tagsOf(id)
		if err != nil {
			return nil, err
		}
		for k, v := range tags {
			if v == "" || have[k] == v {
				delete(have, k)
			}
		}
		if len(tags) == 0 {
			clear(have)
		}
	}
	return done{Return: true}, nil
}

func (e *EC2) describeTags(_ context.Context, _ *wire.Call, q query) (any, error) {
	type item struct {
		ID    string `xml:"resourceId"`
		Kind  string `xml:"resourceType"`
		Key   string `xml:"key"`
		Value string `xml:"value"`
	}
	out := struct {
		XMLName xml.Name `xml:"tagSet"`
		Items   []item   `xml:"item"`
	}{}
	e.mu.Lock()
	defer e.mu.Unlock()
	var ids []string
	for id := range e.instances {
		ids = append(ids, id)
	}
	for id := range e.volumes {
		ids = append(ids, id)
	}
	for _, i := range e.images {
		ids = append(ids, i.id)
	}
	ids = append(ids, e.order...)
	for _, id := range ids {
		tags, kind, err := e.tagsOf(id)
		if err != nil {
			return nil, err
		}
		for _, t := range xmlTags(tags) {
			ok, err := matches(q.filters(), map[string][]string{
				"resource-id": {id}, "resource-type": {kind}, "key": {t.Key}, "value": {t.Value},
			}, map[string]string{t.Key: t.Value})
			if err != nil {
				return nil, err
			}
			if ok {
				out.Items = append(out.Items, item{id, kind, t.Key, t.Value})
			}
		}
	}
	return out, nil
}
