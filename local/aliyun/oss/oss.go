// Package oss is the emulated OSS: the store of the emulated S3, whose objects
// and lists OSS shares, behind OSS's own signature and addresses.
package oss

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/quiesce/quiesce/local/aws/s3"
	"github.com/quiesce/quiesce/local/aws/wire"
)

// OSS holds buckets in memory.
type OSS struct {
	*s3.S3
	region string
}

// New makes an OSS without buckets.
func New(region string) *OSS { return &OSS{s3.New(), region} }

// Protocol is OSS's own, which is near to S3's.
func (o *OSS) Protocol() wire.Protocol {
	p := wire.S3
	p.Throttled = wire.Errorf(http.StatusServiceUnavailable, "DownloadTrafficRateLimitExceeded", "Request rate limit exceeded.")
	p.Denied = wire.Errorf(http.StatusForbidden, "AccessDenied", "You have no right to access this object because of bucket acl.")
	return p
}

// Do has the effect of one call. The store knows buckets by the path alone.
func (o *OSS) Do(ctx context.Context, c *wire.Call) (wire.Reply, error) {
	bucket, key := locate(c.HTTP)
	plain := c.HTTP.Clone(ctx)
	plain.Host = "store"
	plain.URL = &url.URL{Scheme: "http", Host: "store", Path: "/" + bucket + "/" + key, RawQuery: c.HTTP.URL.RawQuery}
	if key == "" {
		plain.URL.Path = "/" + bucket
	}
	inner := *c
	inner.HTTP = plain
	return o.S3.Do(ctx, &inner)
}

// locate reads bucket and key: the bucket is the host's first label before
// ".oss-", else the path's first part.
func locate(r *http.Request) (bucket, key string) {
	host := r.Host
	if host == "" {
		host = r.URL.Host
	}
	path := strings.TrimPrefix(r.URL.Path, "/")
	if i := strings.Index(host, ".oss-"); i > 0 {
		return host[:i], path
	}
	bucket, key, _ = strings.Cut(path, "/")
	return bucket, key
}

// Signature is one of OSS, version 4: in a header or in the address.
type Signature struct {
	KeyID, Token, Region string
	At                   time.Time
	Expires              time.Duration // of an address; 0 for a header
	scope, given         string
	additional           []string
}

const algorithm = "OSS4-HMAC-SHA256"

// Read reads a request's signature, or says what is missing.
func Read(r *http.Request) (s Signature, problem wire.Problem) {
	q := r.URL.Query()
	credential, date := "", ""
	if q.Get("x-oss-signature-version") == algorithm {
		credential, s.given, s.Token, date = q.Get("x-oss-credential"), q.Get("x-oss-signature"), q.Get("x-oss-security-token"), q.Get("x-oss-date")
		s.additional = split(q.Get("x-oss-additional-headers"))
		seconds, err := strconv.Atoi(q.Get("x-oss-expires"))
		if err != nil || seconds < 1 || seconds > 7*24*3600 {
			return s, wire.Incomplete
		}
		s.Expires = time.Duration(seconds) * time.Second
	} else if rest, ok := strings.CutPrefix(r.Header.Get("Authorization"), algorithm+" "); ok {
		for _, part := range strings.Split(rest, ",") {
			name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
			switch name {
			case "Credential":
				credential = value
			case "Signature":
				s.given = value
			case "AdditionalHeaders":
				s.additional = split(value)
			}
		}
		s.Token, date = r.Header.Get("x-oss-security-token"), r.Header.Get("x-oss-date")
	} else {
		return s, wire.Missing
	}
	parts := strings.Split(credential, "/")
	at, err := time.Parse("20060102T150405Z", date)
	if err != nil || len(parts) != 5 || parts[3] != "oss" || parts[4] != "aliyun_v4_request" || parts[1] != at.Format("20060102") || s.given == "" {
		return s, wire.Incomplete
	}
	s.KeyID, s.Region, s.At, s.scope = parts[0], parts[2], at, strings.Join(parts[1:], "/")
	return s, ""
}

func split(list string) []string {
	if list == "" {
		return nil
	}
	return strings.Split(list, ";")
}

// Verify computes the signature anew.
func (s Signature) Verify(r *http.Request, secret string) bool {
	sum := sha256.Sum256([]byte(s.canonical(r)))
	text := strings.Join([]string{algorithm, s.At.Format("20060102T150405Z"), s.scope, hex.EncodeToString(sum[:])}, "\n")
	key := []byte("aliyun_v4" + secret)
	for _, part := range strings.Split(s.scope, "/") {
		key = digest(key, part)
	}
	given, err := hex.DecodeString(s.given)
	return err == nil && hmac.Equal(digest(key, text), given)
}

func digest(key []byte, text string) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(text))
	return mac.Sum(nil)
}

func (s Signature) canonical(r *http.Request) string {
	bucket, key := locate(r)
	path := "/"
	if bucket != "" {
		path += bucket + "/"
	}
	var query []string
	for name, values := range r.URL.Query() {
		if name == "x-oss-signature" {
			continue
		}
		part := escape(name, false)
		if values[0] != "" {
			part += "=" + escape(values[0], false)
		}
		query = append(query, part)
	}
	slices.Sort(query)
	var headers []string
	for name := range r.Header {
		lower := strings.ToLower(name)
		if lower == "content-type" || lower == "content-md5" || strings.HasPrefix(lower, "x-oss-") || slices.Contains(s.additional, lower) {
			headers = append(headers, lower+":"+strings.TrimSpace(strings.Join(r.Header.Values(name), ","))+"\n")
		}
	}
	slices.Sort(headers)
	payload := "UNSIGNED-PAYLOAD"
	if given := r.Header.Get("x-oss-content-sha256"); given != "" {
		payload = given
	}
	return strings.Join([]string{
		r.Method, escape(path+key, true), strings.Join(query, "&"), strings.Join(headers, ""), strings.Join(s.additional, ";"), payload,
	}, "\n")
}

func escape(s string, path bool) string {
	e := strings.NewReplacer("+", "%20", "*", "%2A", "%7E", "~").Replace(url.QueryEscape(s))
	if path {
		e = strings.ReplaceAll(e, "%2F", "/")
	}
	return e
}
