package wire

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Signature is a request's SigV4 signature as it was sent.
type Signature struct {
	KeyID     string
	Date      string // yyyymmdd of the scope
	Region    string
	Service   string
	Headers   []string
	Value     string
	At        time.Time
	Expires   time.Duration // of a presigned URL; 0 for a header
	Presigned bool
}

// Problem is what is wrong with a signature; each protocol has its own code
// for it.
type Problem string

const (
	Missing    Problem = "missing"
	Incomplete Problem = "incomplete"
	BadScope   Problem = "scope"
	UnknownKey Problem = "key"
	Mismatch   Problem = "mismatch"
	Expired    Problem = "expired"
)

const amzDate = "20060102T150405Z"

// ParseSignature reads the signature from the Authorization header or the
// query of a presigned URL.
func ParseSignature(r *http.Request) (s Signature, p Problem) {
	var query url.Values
	if r.URL.RawQuery != "" {
		query = r.URL.Query()
	}
	var credential, headers, at string
	if auth := r.Header.Get("Authorization"); auth != "" {
		rest, ok := strings.CutPrefix(auth, "AWS4-HMAC-SHA256 ")
		if !ok {
			return s, Incomplete
		}
		for _, part := range strings.Split(rest, ",") {
			k, v, _ := strings.Cut(strings.TrimSpace(part), "=")
			switch k {
			case "Credential":
				credential = v
			case "SignedHeaders":
				headers = v
			case "Signature":
				s.Value = v
			}
		}
		at = r.Header.Get("X-Amz-Date")
	} else if query.Get("X-Amz-Algorithm") == "AWS4-HMAC-SHA256" {
		s.Presigned = true
		credential, headers, at = query.Get("X-Amz-Credential"), query.Get("X-Amz-SignedHeaders"), query.Get("X-Amz-Date")
		s.Value = query.Get("X-Amz-Signature")
		seconds, err := strconv.Atoi(query.Get("X-Amz-Expires"))
		if err != nil || seconds < 1 || seconds > 604800 {
			return s, Incomplete
		}
		s.Expires = time.Duration(seconds) * time.Second
	} else {
		return s, Missing
	}
	scope := strings.Split(credential, "/")
	t, err := time.Parse(amzDate, at)
	if len(scope) != 5 || scope[4] != "aws4_request" || headers == "" || len(s.Value) != 64 || err != nil {
		return s, Incomplete
	}
	s.KeyID, s.Date, s.Region, s.Service, s.At = scope[0], scope[1], scope[2], scope[3], t
	s.Headers = strings.Split(headers, ";")
	return s, ""
}

// Keys are signing keys that were derived before, by what they are good for. It
// may be shared.
type Keys struct{ derived sync.Map }

// derive makes the key of a scope out of a secret, which takes four hashes.
func (k *Keys) derive(secret, date, region, service string) []byte {
	of := strings.Join([]string{secret, date, region, service}, " ")
	if known, ok := k.derived.Load(of); ok {
		return known.([]byte)
	}
	key := []byte("AWS4" + secret)
	for _, part := range []string{date, region, service, "aws4_request"} {
		key = sum(key, part)
	}
	k.derived.Store(of, key)
	return key
}

// Verify computes the signature anew with the key's secret and compares.
func (s Signature) Verify(r *http.Request, payload []byte, secret string, keys *Keys) bool {
	hash := r.Header.Get("X-Amz-Content-Sha256")
	switch {
	case s.Presigned && hash == "":
		hash = "UNSIGNED-PAYLOAD"
	case hash == "":
		hash = hexSum(payload)
	case len(hash) == 64 && hash != hexSum(payload):
		return false
	}
	canonical := strings.Join([]string{
		r.Method, canonicalPath(r.URL, s.Service), canonicalQuery(r.URL), canonicalHeaders(r, s.Headers),
		strings.Join(s.Headers, ";"), hash,
	}, "\n")
	scope := s.Date + "/" + s.Region + "/" + s.Service + "/aws4_request"
	text := "AWS4-HMAC-SHA256\n" + s.At.UTC().Format(amzDate) + "\n" + scope + "\n" + hexSum([]byte(canonical))
	key := keys.derive(secret, s.Date, s.Region, s.Service)
	return hmac.Equal([]byte(hex.EncodeToString(sum(key, text))), []byte(s.Value))
}

func sum(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

func hexSum(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

// S3 signs the path as sent, every other service encodes it once more.
func canonicalPath(u *url.URL, service string) string {
	path := u.EscapedPath()
	if path == "" {
		path = "/"
	}
	if service == "s3" {
		return path
	}
	return escape(path, true)
}

func canonicalQuery(u *url.URL) string {
	if u.RawQuery == "" {
		return ""
	}
	query := u.Query()
	query.Del("X-Amz-Signature")
	keys := make([]string, 0, len(query))
	for k := range query {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	var parts []string
	for _, k := range keys {
		values := query[k]
		sort.Strings(values)
		for _, v := range values {
			parts = append(parts, escape(k, false)+"="+escape(v, false))
		}
	}
	return strings.Join(parts, "&")
}

func canonicalHeaders(r *http.Request, names []string) string {
	var b strings.Builder
	for _, name := range names {
		var value string
		switch name {
		case "host":
			value = r.Host
			if value == "" {
				value = r.URL.Host
			}
		case "content-length":
			value = strconv.FormatInt(r.ContentLength, 10)
		default:
			values := r.Header.Values(name)
			trimmed := make([]string, len(values))
			for i, v := range values {
				trimmed[i] = strings.Join(strings.Fields(v), " ")
			}
			value = strings.Join(trimmed, ",")
		}
		b.WriteString(name + ":" + value + "\n")
	}
	return b.String()
}

func escape(s string, path bool) string {
	const hexdigits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || strings.IndexByte("-._~", c) >= 0 || path && c == '/' {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(hexdigits[c>>4])
		b.WriteByte(hexdigits[c&15])
	}
	return b.String()
}
