package s3

import (
	"encoding/xml"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/quiesce/quiesce/local/aws/wire"
)

// perPage is how many keys one answer lists.
const perPage = 1000

// Get returns an object.
func (s *S3) Get(bucket, key string) ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	body, ok := s.buckets[bucket][key]
	return body, ok
}

type content struct {
	Key  string
	Size int
	ETag string
}

// list is ListObjectsV2 without delimiters.
func list(q url.Values, bucket string, objects map[string][]byte) (wire.Reply, error) {
	if q.Get("delimiter") != "" {
		return wire.Reply{}, wire.Errorf(501, "NotImplemented", "A delimiter is not implemented")
	}
	var keys []string
	for key := range objects {
		if strings.HasPrefix(key, q.Get("prefix")) && key > q.Get("continuation-token") {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	out := struct {
		XMLName  xml.Name `xml:"ListBucketResult"`
		Name     string
		Prefix   string
		KeyCount int
		MaxKeys  int
		Cut      bool   `xml:"IsTruncated"`
		Next     string `xml:"NextContinuationToken,omitempty"`
		Contents []content
	}{Name: bucket, Prefix: q.Get("prefix"), MaxKeys: perPage}
	if len(keys) > perPage {
		keys, out.Cut, out.Next = keys[:perPage], true, keys[perPage-1]
	}
	for _, key := range keys {
		out.Contents = append(out.Contents, content{key, len(objects[key]), etag(objects[key])})
	}
	out.KeyCount = len(keys)
	body, err := xml.Marshal(out)
	return wire.Reply{Status: http.StatusOK, Body: body, Header: http.Header{"Content-Type": {"application/xml"}}}, err
}
