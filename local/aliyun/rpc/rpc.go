// Package rpc is Alibaba Cloud's RPC style as its services speak it: flat
// parameters in the query or in a form, a signature over all of them, JSON
// documents back, and refusals in one shape.
package rpc

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/quiesce/quiesce/local/aws/wire"
)

// Protocol is how every RPC service says no.
var Protocol = wire.Protocol{
	Refuse:    refuse,
	Throttled: wire.Bad("Throttling.User", "Request was denied due to user flow control."),
	Denied:    wire.Errorf(http.StatusForbidden, "Forbidden.RAM", "User not authorized to operate on the specified resource, or this API doesn't support RAM."),
	Down:      wire.Errorf(http.StatusInternalServerError, "InternalError", "The request processing has failed due to some unknown error."),
	Signature: map[wire.Problem]*wire.Error{
		wire.Missing:    wire.Bad("MissingAccessKeyId", "AccessKeyId is mandatory for this action."),
		wire.Incomplete: wire.Bad("IncompleteSignature", "The request signature does not conform to Aliyun standards."),
		wire.BadScope:   wire.Errorf(http.StatusNotFound, "InvalidRegionId.NotFound", "The specified RegionId does not exist."),
		wire.UnknownKey: wire.Errorf(http.StatusNotFound, "InvalidAccessKeyId.NotFound", "Specified access key is not found."),
		wire.Mismatch:   wire.Bad("SignatureDoesNotMatch", "Specified signature is not matched with our calculation."),
		wire.Expired:    wire.Bad("InvalidTimeStamp.Expired", "Specified time stamp or date value is expired."),
	},
}

func refuse(e *wire.Error, id string) wire.Reply {
	body, _ := json.Marshal(map[string]string{
		"RequestId": id, "HostId": "emulated.aliyuncs.com", "Code": e.Code, "Message": e.Message,
		"Recommend": "https://api.aliyun.com/troubleshoot?q=" + url.QueryEscape(e.Code),
	})
	return wire.Reply{Status: e.Status, Body: body}
}

// Answer renders what an action answers, with the id of its request.
func Answer(c *wire.Call, out map[string]any) (wire.Reply, error) {
	if out == nil {
		out = map[string]any{}
	}
	out["RequestId"] = c.ID
	return wire.JSON(out)
}

// Params are the parameters of one call.
type Params url.Values

// Text is a parameter, empty if it is missing.
func (p Params) Text(name string) string { return url.Values(p).Get(name) }

// Flag is a parameter of true or false.
func (p Params) Flag(name string) bool { return p.Text(name) == "true" }

// Number is a whole number within bounds, or otherwise if it is missing.
func (p Params) Number(name string, otherwise, from, to int) (int, error) {
	text := p.Text(name)
	if text == "" {
		return otherwise, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < from || n > to {
		return 0, wire.Bad("InvalidParameter."+name, "The specified parameter %q is not valid.", name)
	}
	return n, nil
}

// List reads Name.1, Name.2 and so on.
func (p Params) List(name string) []string {
	var all []string
	for i := 1; ; i++ {
		v, ok := p[name+"."+strconv.Itoa(i)]
		if !ok {
			return all
		}
		all = append(all, v[0])
	}
}

// JSON reads a list that travels as one JSON document.
func (p Params) JSON(name string, most int) ([]string, error) {
	text := p.Text(name)
	if text == "" {
		return nil, nil
	}
	var all []string
	if json.Unmarshal([]byte(text), &all) != nil || len(all) > most {
		return nil, wire.Bad("InvalidParameter."+name, "The specified parameter %q is not a JSON array of at most %d.", name, most)
	}
	return all, nil
}

// Required refuses the first parameter that is missing.
func (p Params) Required(names ...string) error {
	for _, name := range names {
		if p.Text(name) == "" {
			return wire.Bad("MissingParameter", "The input parameter %q that is mandatory for processing this request is not supplied.", name)
		}
	}
	return nil
}

// Page cuts one page out of n items; the token is the index that comes next.
func (p Params) Page(n, size, most int) (from, to int, next string, err error) {
	if size, err = p.Number("MaxResults", size, 1, most); err != nil {
		return 0, 0, "", err
	}
	if token := p.Text("NextToken"); token != "" {
		if from, err = strconv.Atoi(token); err != nil || from < 0 || from > n {
			return 0, 0, "", wire.Bad("InvalidParameter.NextToken", "The specified NextToken is not valid.")
		}
	}
	if to = min(n, from+size); to < n {
		next = strconv.Itoa(to)
	}
	return from, to, next, nil
}

// Stamp renders a time as ECS does.
func Stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05Z")
}
