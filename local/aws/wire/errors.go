package wire

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
)

// Error is a refusal by its wire code. Members are further fields of a JSON
// error document.
type Error struct {
	Status  int
	Code    string
	Message string
	Members map[string]any
}

// Errorf makes a refusal.
func Errorf(status int, code, format string, args ...any) *Error {
	return &Error{Status: status, Code: code, Message: fmt.Sprintf(format, args...)}
}

// Bad is a refusal with status 400, which nearly all are.
func Bad(code, format string, args ...any) *Error {
	return Errorf(http.StatusBadRequest, code, format, args...)
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

// AsError returns err as a refusal; what nobody foresaw is an internal error.
func AsError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return Errorf(http.StatusInternalServerError, "InternalError", "%v", err)
}

// RefuseJSON renders an error of the awsJson protocols.
func RefuseJSON(e *Error, id string) Reply {
	doc := map[string]any{"__type": e.Code, "message": e.Message}
	for k, v := range e.Members {
		doc[k] = v
	}
	body, _ := json.Marshal(doc)
	return Reply{Status: e.Status, Header: http.Header{"X-Amzn-Errortype": {e.Code}}, Body: body}
}

// RefuseQuery renders an error of the EC2 query protocol.
func RefuseQuery(e *Error, id string) Reply {
	type entry struct {
		Code    string
		Message string
	}
	doc := struct {
		XMLName   xml.Name `xml:"Response"`
		Errors    []entry  `xml:"Errors>Error"`
		RequestID string   `xml:"RequestID"`
	}{Errors: []entry{{e.Code, e.Message}}, RequestID: id}
	body, _ := xml.Marshal(doc)
	return Reply{Status: e.Status, Header: http.Header{"Content-Type": {"text/xml;charset=UTF-8"}}, Body: append([]byte(xml.Header), body...)}
}

// RefuseS3 renders an error of S3's protocol.
func RefuseS3(e *Error, id string) Reply {
	doc := struct {
		XMLName   xml.Name `xml:"Error"`
		Code      string
		Message   string
		RequestID string `xml:"RequestId"`
	}{Code: e.Code, Message: e.Message, RequestID: id}
	body, _ := xml.Marshal(doc)
	return Reply{Status: e.Status, Header: http.Header{"Content-Type": {"application/xml"}}, Body: append([]byte(xml.Header), body...)}
}
