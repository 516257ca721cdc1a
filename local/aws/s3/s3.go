// Package s3 is the emulated S3: objects put and fetched, by path or by
// virtual host, with signed headers or presigned URLs.
package s3

import (
	"bufio"
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/quiesce/quiesce/local/aws/wire"
)

// S3 holds buckets in memory.
type S3 struct {
	mu      sync.Mutex
	buckets map[string]map[string][]byte
	gets    map[string]int
}

// New makes an S3 without buckets.
func New() *S3 {
	return &S3{buckets: make(map[string]map[string][]byte), gets: make(map[string]int)}
}

// Put stores an object, making the bucket if need be.
func (s *S3) Put(bucket, key string, body []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.buckets[bucket] == nil {
		s.buckets[bucket] = make(map[string][]byte)
	}
	s.buckets[bucket][key] = body
}

// Gets tells how often an object was fetched.
func (s *S3) Gets(bucket, key string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.gets[bucket+"/"+key]
}

// Protocol is S3's own.
func (s *S3) Protocol() wire.Protocol { return wire.S3 }

// Limit is none: S3's are far beyond what a run asks.
func (s *S3) Limit(*wire.Call) (string, wire.Limit) { return "", wire.Limit{} }

// Do has the effect of one call.
func (s *S3) Do(_ context.Context, c *wire.Call) (wire.Reply, error) {
	bucket, key := locate(c.HTTP)
	s.mu.Lock()
	defer s.mu.Unlock()
	objects := s.buckets[bucket]
	if objects == nil {
		return wire.Reply{}, wire.Errorf(404, "NoSuchBucket", "The specified bucket does not exist")
	}
	if key == "" && c.HTTP.Method == http.MethodGet && c.HTTP.URL.Query().Get("list-type") == "2" {
		return list(c.HTTP.URL.Query(), bucket, objects)
	}
	if key == "" {
		return wire.Reply{}, wire.Errorf(501, "NotImplemented", "A header you provided implies functionality that is not implemented")
	}
	switch c.HTTP.Method {
	case http.MethodPut:
		body, err := payload(c)
		if err != nil {
			return wire.Reply{}, err
		}
		objects[key] = body
		return wire.Reply{Status: 200, Header: http.Header{"Etag": {etag(body)}}}, nil
	case http.MethodDelete:
		delete(objects, key)
		return wire.Reply{Status: 204}, nil
	case http.MethodGet, http.MethodHead:
		body, ok := objects[key]
		if !ok {
			return wire.Reply{}, wire.Errorf(404, "NoSuchKey", "The specified key does not exist.")
		}
		if c.HTTP.Method == http.MethodGet {
			s.gets[bucket+"/"+key]++
		}
		return wire.Reply{Status: 200, Body: body, Header: http.Header{
			"Etag": {etag(body)}, "Content-Length": {strconv.Itoa(len(body))}, "Content-Type": {"binary/octet-stream"},
		}}, nil
	}
	return wire.Reply{}, wire.Errorf(405, "MethodNotAllowed", "The specified method is not allowed against this resource.")
}

func etag(body []byte) string {
	sum := md5.Sum(body)
	return `"` + hex.EncodeToString(sum[:]) + `"`
}

// locate reads bucket and key: the bucket is the host's first label before
// ".s3", else the path's first part.
func locate(r *http.Request) (bucket, key string) {
	host := r.Host
	if host == "" {
		host = r.URL.Host
	}
	path := strings.TrimPrefix(r.URL.Path, "/")
	if i := strings.Index(host, ".s3."); i > 0 {
		return host[:i], path
	}
	bucket, key, _ = strings.Cut(path, "/")
	return bucket, key
}

// payload undoes the chunked encoding in which SDKs send bodies with trailing
// checksums.
func payload(c *wire.Call) ([]byte, error) {
	if !strings.HasPrefix(c.HTTP.Header.Get("X-Amz-Content-Sha256"), "STREAMING-") {
		return c.Body, nil
	}
	in := bufio.NewReader(bytes.NewReader(c.Body))
	var out bytes.Buffer
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return nil, wire.Bad("IncompleteBody", "The request body terminated unexpectedly")
		}
		size, _, _ := strings.Cut(strings.TrimSpace(line), ";")
		n, err := strconv.ParseInt(size, 16, 64)
		if err != nil || n < 0 {
			return nil, wire.Bad("InvalidRequest", "bad chunk size %q", size)
		}
		if n == 0 {
			return out.Bytes(), nil
		}
		if _, err := io.CopyN(&out, in, n); err != nil {
			return nil, wire.Bad("IncompleteBody", "The request body terminated unexpectedly")
		}
		_, _ = in.ReadString('\n')
	}
}
