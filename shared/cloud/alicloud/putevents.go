package alicloud

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// EventBridge's data plane is in no SDK that can be relied on: the one that has
// it drags in old dependencies with known holes. It is one request.
const (
	putEventsPath  = "/openapi/putEvents"
	cloudEvents    = "application/cloudevents-batch+json; charset=utf-8"
	maxAnswer      = 1 << 20
	busAPIVersion  = "2015-06-06"
	headerPrefix   = "x-acs-"
	signatureKind  = "HMAC-SHA1"
	signatureVer   = "1.0"
	headerToken    = "x-acs-security-token"
	headerKey      = "x-acs-accesskey-id"
	headerNonce    = "x-acs-signature-nonce"
	headerMethod   = "x-acs-signature-method"
	headerVersion  = "x-acs-signature-version"
	headerAPI      = "x-eventbridge-version"
	contentMD5Name = "Content-Md5"
)

func (p *Provider) putEvents(ctx context.Context, batch []entry) (out answered, err error) {
	body, err := json.Marshal(batch)
	if err != nil {
		return out, &unmade{err}
	}
	keys, err := p.cfg.Credentials(ctx)
	if err != nil {
		return out, &unmade{err}
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, p.endpoint("eventbridge")+putEventsPath, bytes.NewReader(body))
	if err != nil {
		return out, &unmade{err}
	}
	sign(request, keys, time.Now())
	response, err := (&http.Client{Transport: p.cfg.Transport, Timeout: readTimeout}).Do(request)
	if err != nil {
		return out, plain(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return out, err
	}
	if response.StatusCode/100 != 2 {
		r := &refusal{Status: response.StatusCode}
		var said struct{ Code, Message, RequestId string } //nolint:revive,staticcheck // the wire's own names
		if json.Unmarshal(text, &said) == nil {
			r.Code, r.Message, r.RequestID = said.Code, scrub(said.Message), said.RequestId
		}
		return out, r
	}
	return out, json.Unmarshal(text, &out)
}

// sign puts the headers and the signature on a request of EventBridge.
func sign(r *http.Request, keys Keys, at time.Time) {
	h := r.Header
	h.Set("Content-Type", cloudEvents)
	h.Set("Date", at.UTC().Format(http.TimeFormat))
	h.Set(headerNonce, token())
	h.Set(headerMethod, signatureKind)
	h.Set(headerVersion, signatureVer)
	h.Set(headerAPI, busAPIVersion)
	if keys.Token != "" {
		h.Set(headerKey, keys.ID)
		h.Set(headerToken, keys.Token)
	}
	h.Set("Authorization", "acs:"+keys.ID+":"+Signature(r.Method, r.URL, h, keys.Secret))
}

// Signature is the one that EventBridge wants on a request.
func Signature(method string, at *url.URL, h http.Header, secret string) string {
	text := strings.Join([]string{method, h.Get(contentMD5Name), h.Get("Content-Type"), h.Get("Date")}, "\n") + "\n"
	var lines []string
	for name := range h {
		if name = strings.ToLower(name); strings.HasPrefix(name, headerPrefix) {
			lines = append(lines, name+":"+strings.TrimSpace(h.Get(name))+"\n")
		}
	}
	slices.Sort(lines)
	text += strings.Join(lines, "") + at.EscapedPath()
	if q := at.Query().Encode(); q != "" {
		text += "?" + q
	}
	mac := hmac.New(sha1.New, []byte(secret))
	mac.Write([]byte(text))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}
