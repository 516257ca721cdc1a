package rpc

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/quiesce/quiesce/local/aws/wire"
)

// Tags reads Tag.N.Key and Tag.N.Value as something is to be tagged.
func (p Params) Tags() (map[string]string, error) {
	tags := map[string]string{}
	for _, t := range p.tagPairs() {
		switch {
		case t.key == "" || len([]rune(t.key)) > 128 || reserved(t.key):
			return nil, wire.Bad("InvalidTagKey.Malformed", "The specified Tag.n.Key is not valid.")
		case len([]rune(t.value)) > 128, strings.Contains(t.value, "http://"), strings.Contains(t.value, "https://"):
			return nil, wire.Bad("InvalidTagValue.Malformed", "The specified Tag.n.Value is not valid.")
		}
		if _, twice := tags[t.key]; twice {
			return nil, wire.Bad("Duplicate.TagKey", "The Tag.N.Key contain duplicate key.")
		}
		tags[t.key] = t.value
	}
	if len(tags) > 20 {
		return nil, wire.Bad("NumberExceed.Tags", "The Tags parameter's number is exceed, at most 20.")
	}
	return tags, nil
}

func reserved(key string) bool {
	for _, prefix := range []string{"aliyun", "acs:", "http://", "https://"} {
		if strings.HasPrefix(strings.ToLower(key), prefix) {
			return true
		}
	}
	return false
}

type pair struct{ key, value string }

func (p Params) tagPairs() []pair {
	var all []pair
	for i := 1; ; i++ {
		at := "Tag." + strconv.Itoa(i)
		key, ok := p[at+".Key"]
		if !ok {
			return all
		}
		all = append(all, pair{key[0], p.Text(at + ".Value")})
	}
}

// Tagged tells whether a resource carries every tag that a list is filtered
// by: exactly, an empty value with any.
func (p Params) Tagged(tags map[string]string) bool {
	for _, t := range p.tagPairs() {
		if v, ok := tags[t.key]; !ok || t.value != "" && t.value != v {
			return false
		}
	}
	return true
}

// Spelling is how an answer names the two halves of a tag.
type Spelling struct{ Key, Value string }

// Spellings: groups answer with the first, everything else with the second.
var (
	Plain    = Spelling{"Key", "Value"}
	Prefixed = Spelling{"TagKey", "TagValue"}
)

// Render lists tags in the order of their keys.
func (s Spelling) Render(tags map[string]string) map[string]any {
	list := []map[string]string{}
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		list = append(list, map[string]string{s.Key: key, s.Value: tags[key]})
	}
	return map[string]any{"Tag": list}
}
