package main

import (
	"encoding/json"
	"fmt"
	"io/fs"

	"github.com/quiesce/quiesce/events/schema"
)

// eventSchema is one detail type as a schema registry knows it.
type eventSchema struct {
	detailType string
	content    string
}

const envelope = "envelope.json"

// eventSchemas reads the published schemas and writes each as the registry
// wants it: in draft 4 of JSON Schema, without references to other files.
func eventSchemas() (all []eventSchema, err error) {
	documents := map[string]map[string]any{}
	names, err := fs.Glob(schema.Files, "*.json")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		data, err := schema.Files.ReadFile(name)
		if err != nil {
			return nil, err
		}
		var document map[string]any
		if err := json.Unmarshal(data, &document); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		documents[name] = document
	}
	for _, name := range names {
		if name == envelope {
			continue
		}
		kind, err := detailType(documents[name])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		whole := draft4(documents[name]).(map[string]any)
		whole["$schema"] = "http://json-schema.org/draft-04/schema#"
		shared := draft4(documents[envelope]).(map[string]any)
		whole["definitions"] = map[string]any{"envelope": shared}
		content, err := json.Marshal(whole)
		if err != nil {
			return nil, err
		}
		all = append(all, eventSchema{kind, string(content)})
	}
	return all, nil
}

func detailType(document map[string]any) (string, error) {
	properties, _ := document["properties"].(map[string]any)
	kind, _ := properties["detail-type"].(map[string]any)
	name, ok := kind["const"].(string)
	if !ok {
		return "", fmt.Errorf("says nowhere which detail type it is of")
	}
	return name, nil
}

// draft4 writes what came after draft 4 in words of draft 4: const as a set of
// one, if/then/else as the two ways to be right.
func draft4(value any) any {
	switch value := value.(type) {
	case []any:
		list := make([]any, len(value))
		for i, v := range value {
			list[i] = draft4(v)
		}
		return list
	case map[string]any:
		out := map[string]any{}
		for key, v := range value {
			switch key {
			case "$schema", "$id", "then", "else":
			case "const":
				out["enum"] = []any{v}
			case "$ref":
				out[key] = v
				if v == envelope {
					out[key] = "#/definitions/envelope"
				}
			case "if":
				condition := draft4(v)
				out["anyOf"] = []any{
					map[string]any{"allOf": []any{condition, branch(value["then"])}},
					map[string]any{"allOf": []any{map[string]any{"not": condition}, branch(value["else"])}},
				}
			default:
				out[key] = draft4(v)
			}
		}
		return out
	}
	return value
}

func branch(v any) any {
	if v == nil {
		return map[string]any{}
	}
	return draft4(v)
}
