package rpc

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/quiesce/quiesce/local/aws/wire"
)

// Signature is what a call was signed with, version 1 of the RPC style.
type Signature struct {
	KeyID, Token, Nonce, Region string
	At                          time.Time
	given, method               string
	params                      url.Values
}

// Read reads a call's signature, or says what is missing.
func Read(method string, params url.Values) (Signature, wire.Problem) {
	p := Params(params)
	s := Signature{
		KeyID: p.Text("AccessKeyId"), Token: p.Text("SecurityToken"), Nonce: p.Text("SignatureNonce"), Region: p.Text("RegionId"),
		given: p.Text("Signature"), method: method, params: params,
	}
	if s.KeyID == "" {
		return s, wire.Missing
	}
	at, err := time.Parse(time.RFC3339, p.Text("Timestamp"))
	if err != nil || s.given == "" || s.Nonce == "" || p.Text("SignatureMethod") != "HMAC-SHA1" || p.Text("SignatureVersion") != "1.0" {
		return s, wire.Incomplete
	}
	s.At = at
	return s, ""
}

// Verify checks the signature over every parameter but itself.
func (s Signature) Verify(secret string) bool {
	mac := hmac.New(sha1.New, []byte(secret+"&"))
	mac.Write([]byte(s.method + "&" + encode("/") + "&" + encode(canonical(s.params))))
	want, err := base64.StdEncoding.DecodeString(s.given)
	return err == nil && hmac.Equal(mac.Sum(nil), want)
}

func canonical(params url.Values) string {
	var parts []string
	for name, values := range params {
		if name != "Signature" {
			parts = append(parts, encode(name)+"="+encode(values[0]))
		}
	}
	slices.SortFunc(parts, func(a, b string) int {
		x, _, _ := strings.Cut(a, "=")
		y, _, _ := strings.Cut(b, "=")
		return strings.Compare(x, y)
	})
	return strings.Join(parts, "&")
}

func encode(s string) string { return strictly.Replace(url.QueryEscape(s)) }

// strictly is where the signature's encoding differs from a form's.
var strictly = strings.NewReplacer("+", "%20", "*", "%2A", "%7E", "~")

// HeaderSignature is the one that EventBridge wants in a request's header: over
// its method, type, date and every header of Alibaba Cloud's own.
func HeaderSignature(r *http.Request, secret string) string {
	text := r.Method + "\n" + r.Header.Get("Content-MD5") + "\n" + r.Header.Get("Content-Type") + "\n" + r.Header.Get("Date") + "\n"
	own := map[string]string{}
	for name, values := range r.Header {
		if lower := strings.ToLower(name); strings.HasPrefix(lower, "x-acs-") {
			own[lower] = values[0]
		}
	}
	for _, name := range slices.Sorted(maps.Keys(own)) {
		text += name + ":" + own[name] + "\n"
	}
	text += r.URL.RequestURI()
	mac := hmac.New(sha1.New, []byte(secret))
	mac.Write([]byte(text))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}
