package aws

import (
	"encoding/json"

	"github.com/quiesce/quiesce/workflow/asl"
)

// object is how a distributed Map reads its items and writes its results.
func (c *Cloud) object(input json.RawMessage, put bool) (json.RawMessage, error) {
	var in struct{ Bucket, Key, Body string }
	if err := json.Unmarshal(input, &in); err != nil || in.Bucket == "" || in.Key == "" {
		return nil, &asl.Error{Name: asl.Runtime, Cause: "an object wants Bucket and Key"}
	}
	if put {
		c.S3.Put(in.Bucket, in.Key, []byte(in.Body))
		return json.RawMessage("{}"), nil
	}
	body, ok := c.S3.Get(in.Bucket, in.Key)
	if !ok {
		return nil, &asl.Error{Name: "S3.NoSuchKeyException", Cause: "The specified key does not exist: " + in.Key}
	}
	return json.Marshal(map[string]string{"Body": string(body)})
}
