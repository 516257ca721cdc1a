package asl

import (
	"encoding/json"
	"fmt"
	"strings"
)

// result is the list of the children's outputs, or where a writer put them.
func (r *mapRun) result(in scope) (any, error) {
	if r.s.Distributed.Writer != nil {
		return r.write(in)
	}
	outputs := []any{}
	for i := range r.children {
		if c := &r.children[i]; c.done && c.failure == nil {
			v, err := decode(c.output)
			if err != nil {
				return nil, runtimeError("The output of a child is not JSON: %v", err)
			}
			outputs = append(outputs, v)
		}
	}
	return outputs, nil
}

// described is a child in a file of results, as the service writes it.
type described struct {
	ExecutionArn    string `json:",omitempty"`
	Input           string
	InputDetails    included
	Name            string `json:",omitempty"`
	Output          string `json:",omitempty"`
	Error, Cause    string `json:",omitempty"`
	RedriveCount    int
	Status          string
	StartDate       string `json:",omitempty"`
	StopDate        string `json:",omitempty"`
	StateMachineArn string `json:",omitempty"`
}

type included struct{ Included bool }

// file names one file of results in the manifest.
type file struct {
	Key  string
	Size int
}

const stamp = "2006-01-02T15:04:05.000Z"

func (c *child) describe() (string, described) {
	d := described{Input: string(c.x.Input), InputDetails: included{true}, Status: "PENDING"}
	if !c.done {
		return "PENDING", d
	}
	d.ExecutionArn, d.Name, d.StateMachineArn = c.x.ID, c.x.Name, c.x.MachineID
	d.StartDate, d.StopDate = c.started.UTC().Format(stamp), c.ended.UTC().Format(stamp)
	if c.failure == nil {
		d.Status, d.Output = "SUCCEEDED", string(c.output)
		return "SUCCEEDED", d
	}
	d.Status, d.Error, d.Cause = string(c.failure.Status), c.failure.Name, c.failure.Cause
	return "FAILED", d
}

// perFile bounds a file of results, as the service splits large ones.
const perFile = 4 << 20

// write puts the children's ends into files below the prefix, one kind a file,
// and the manifest that names them.
func (r *mapRun) write(in scope) (any, error) {
	v, err := r.s.Distributed.Writer.Parameters.render(in, r.b.fx)
	if err != nil {
		return nil, err
	}
	at, _ := v.(map[string]any)
	bucket, _ := at["Bucket"].(string)
	prefix, _ := at["Prefix"].(string)
	folder := strings.TrimSuffix(prefix, "/") + "/" + r.id + "/"
	names := map[string][]file{"SUCCEEDED": {}, "FAILED": {}, "PENDING": {}}
	texts := map[string][]byte{}
	flush := func(kind string) error {
		if texts[kind] == nil {
			return nil
		}
		key := fmt.Sprintf("%s%s_%d.json", folder, kind, len(names[kind]))
		body := append(texts[kind], ']')
		names[kind], texts[kind] = append(names[kind], file{key, len(body)}), nil
		return r.put(bucket, key, body)
	}
	for i := range r.children {
		kind, d := r.children[i].describe()
		text, err := json.Marshal(d)
		if err != nil {
			return nil, runtimeError("%v", err)
		}
		open := byte(',')
		if texts[kind] == nil {
			open = '['
		}
		if texts[kind] = append(append(texts[kind], open), text...); len(texts[kind]) > perFile {
			if err := flush(kind); err != nil {
				return nil, err
			}
		}
	}
	for _, kind := range []string{"SUCCEEDED", "FAILED", "PENDING"} {
		if err := flush(kind); err != nil {
			return nil, err
		}
	}
	manifest, err := json.Marshal(map[string]any{"DestinationBucket": bucket, "MapRunArn": r.arn(), "ResultFiles": names})
	if err != nil {
		return nil, runtimeError("%v", err)
	}
	if err := r.put(bucket, folder+"manifest.json", manifest); err != nil {
		return nil, err
	}
	return map[string]any{"MapRunArn": r.arn(), "ResultWriterDetails": map[string]any{"Bucket": bucket, "Key": folder + "manifest.json"}}, nil
}

func (r *mapRun) put(bucket, key string, body []byte) error {
	input, err := json.Marshal(map[string]string{"Bucket": bucket, "Key": key, "Body": string(body)})
	if err != nil {
		return runtimeError("%v", err)
	}
	if _, err := r.b.invoke(r.s.Distributed.Writer.Resource, input, 0, 0, nil); err != nil {
		return storage(writeFailed, err)
	}
	return nil
}
