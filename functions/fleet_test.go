package functions_test

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
)

func (c *fakeCloud) Find(context.Context, []string, map[string]string) ([]cloud.Found, error) {
	return c.found, nil
}

func (c *fakeCloud) Bucket() string { return "assets" }

func (c *fakeCloud) Put(_ context.Context, key string, data []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.objects == nil {
		c.objects = map[string][]byte{}
	}
	c.objects[key] = data
	return nil
}

func (c *fakeCloud) Get(_ context.Context, key string) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if data, ok := c.objects[key]; ok {
		return data, nil
	}
	return nil, fault.New(fault.Internal, "no %s", key)
}

func (c *fakeCloud) List(_ context.Context, prefix string) (keys []string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, key := range slices.Sorted(maps.Keys(c.objects)) {
		if strings.HasPrefix(key, prefix) {
			keys = append(keys, key)
		}
	}
	return keys, nil
}
