package ec2

import (
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/quiesce/quiesce/local/aws/wire"
)

// query reads the flat parameters of the protocol: Name.1, Filter.2.Value.1.
type query url.Values

func (q query) text(name string) string { return url.Values(q).Get(name) }
func (q query) flag(name string) bool   { return q.text(name) == "true" }

func (q query) list(name string) []string {
	var values []string
	for i := 1; ; i++ {
		v, ok := q[name+"."+strconv.Itoa(i)]
		if !ok {
			return values
		}
		values = append(values, v[0])
	}
}

func (q query) number(name string) (int, error) {
	if q.text(name) == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(q.text(name))
	if err != nil {
		return 0, wire.Bad("InvalidParameterValue", "Value (%s) for parameter %s is invalid.", q.text(name), name)
	}
	return n, nil
}

// tags reads Tag.N.Key and Tag.N.Value below a prefix.
func (q query) tags(prefix string) (map[string]string, error) {
	tags := make(map[string]string)
	for i := 1; ; i++ {
		at := prefix + "Tag." + strconv.Itoa(i)
		key, ok := q[at+".Key"]
		if !ok {
			break
		}
		if _, twice := tags[key[0]]; twice {
			return nil, wire.Bad("InvalidParameterValue", "Duplicate tag key '%s' specified.", key[0])
		}
		tags[key[0]] = q.text(at + ".Value")
	}
	return tags, checkTags(tags)
}

// specified reads the tags that TagSpecification has for one resource type.
func (q query) specified(resource string) (map[string]string, error) {
	all := make(map[string]string)
	for i := 1; ; i++ {
		at := "TagSpecification." + strconv.Itoa(i)
		kind, ok := q[at+".ResourceType"]
		if !ok {
			return all, nil
		}
		if kind[0] != resource {
			return nil, wire.Bad("InvalidParameterValue", "'%s' is not a valid taggable resource type for this operation.", kind[0])
		}
		tags, err := q.tags(at + ".")
		if err != nil {
			return nil, err
		}
		for k, v := range tags {
			all[k] = v
		}
	}
}

type filter struct {
	name   string
	values []string
}

func (q query) filters() []filter {
	var all []filter
	for i := 1; ; i++ {
		at := "Filter." + strconv.Itoa(i)
		name, ok := q[at+".Name"]
		if !ok {
			return all
		}
		all = append(all, filter{name[0], q.list(at + ".Value")})
	}
}

// matches applies every filter to a resource's fields and tags: all filters,
// any value of each, with * and ? as wildcards.
func matches(filters []filter, fields map[string][]string, tags map[string]string) (bool, error) {
	for _, f := range filters {
		var have []string
		if key, ok := strings.CutPrefix(f.name, "tag:"); ok {
			if v, tagged := tags[key]; tagged {
				have = []string{v}
			}
		} else if f.name == "tag-key" {
			for k := range tags {
				have = append(have, k)
			}
		} else if v, known := fields[f.name]; known {
			have = v
		} else {
			return false, wire.Bad("InvalidParameterValue", "The filter '%s' is invalid", f.name)
		}
		if !slices.ContainsFunc(have, func(v string) bool {
			return slices.ContainsFunc(f.values, func(pattern string) bool { return wild(pattern, v) })
		}) {
			return false, nil
		}
	}
	return true, nil
}

var plain = strings.NewReplacer("/", "\x00", "[", "\\[", "]", "\\]")

func wild(pattern, value string) bool {
	if !strings.ContainsAny(pattern, "*?") {
		return pattern == value
	}
	ok, err := path.Match(plain.Replace(pattern), strings.ReplaceAll(value, "/", "\x00"))
	return ok && err == nil
}

// page cuts one page of n items out of a list; the token is the next index.
func page(q query, n int) (from, to int, next string, err error) {
	size, err := q.number("MaxResults")
	if err != nil {
		return 0, 0, "", err
	}
	if size != 0 && (size < 5 || size > 1000) {
		return 0, 0, "", wire.Bad("InvalidParameterValue", "Value ( %d ) for parameter maxResults is invalid. Expecting a value between 5 and 1000.", size)
	}
	if token := q.text("NextToken"); token != "" {
		from, err = strconv.Atoi(strings.TrimPrefix(token, "page-"))
		if err != nil || from < 0 || from > n {
			return 0, 0, "", wire.Bad("InvalidParameterValue", "Unable to parse pagination token")
		}
	}
	to = n
	if size != 0 && from+size < n {
		to = from + size
		next = "page-" + strconv.Itoa(to)
	}
	return from, to, next, nil
}
