package ssm

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/goccy/go-yaml"

	"github.com/quiesce/quiesce/local/aws/wire"
)

// Document is a Command document of schema 2.2.
type Document struct {
	SchemaVersion string               `json:"schemaVersion"`
	Description   string               `json:"description"`
	Parameters    map[string]parameter `json:"parameters"`
	MainSteps     []struct {
		Action       string              `json:"action"`
		Name         string              `json:"name"`
		Precondition map[string][]string `json:"precondition"`
		Inputs       struct {
			RunCommand       any    `json:"runCommand"` // lines, or one parameter that holds them
			WorkingDirectory string `json:"workingDirectory"`
			TimeoutSeconds   any    `json:"timeoutSeconds"`
		} `json:"inputs"`
	} `json:"mainSteps"`

	name string
	hash string
	json string // its content, whatever it was registered in
}

type parameter struct {
	Type           string   `json:"type"`
	Default        any      `json:"default"`
	AllowedPattern string   `json:"allowedPattern"`
	AllowedValues  []string `json:"allowedValues"`
	MinChars       int      `json:"minChars"`
	MaxChars       int      `json:"maxChars"`
	MinItems       int      `json:"minItems"`
	MaxItems       int      `json:"maxItems"`

	allowed *regexp.Regexp // AllowedPattern's
}

const runShellScript = `{
  "schemaVersion": "2.2",
  "description": "Run a shell script or specify the commands to run.",
  "parameters": {
    "commands": {"type": "StringList", "minItems": 1},
    "workingDirectory": {"type": "String", "default": "", "maxChars": 4096},
    "executionTimeout": {"type": "String", "default": "3600", "allowedPattern": "([1-9][0-9]{0,4})|(1[0-6][0-9]{4})|(17[0-1][0-9]{3})|(172[0-7][0-9]{2})|(172800)"}
  },
  "mainSteps": [{
    "action": "aws:runShellScript",
    "name": "aws:runShellScript",
    "inputs": {"timeoutSeconds": "{{ executionTimeout }}", "runCommand": "{{ commands }}", "workingDirectory": "{{ workingDirectory }}"}
  }]
}`

// shell is the one that the service has by itself.
var shell = sync.OnceValues(func() (*Document, error) { return ParseDocument("AWS-RunShellScript", []byte(runShellScript)) })

// platforms are those of the actions that an agent here has.
var platforms = map[string]string{"aws:runShellScript": linux, "aws:runPowerShellScript": windows}

// Platforms, as the service names them.
const (
	linux   = "Linux"
	windows = "Windows"
)

// platforms of a document are those that one of its steps is for.
func (d *Document) platforms() (list []string) {
	for _, step := range d.MainSteps {
		if p := platforms[step.Action]; !slices.Contains(list, p) {
			list = append(list, p)
		}
	}
	return list
}

// RegisterDocument makes a document known, from JSON or YAML, replacing one of
// the same name. What the agent here could not run is refused.
func (s *SSM) RegisterDocument(name string, content []byte) error {
	d, err := ParseDocument(name, content)
	if err == nil {
		s.AddDocument(d)
	}
	return err
}

// ParseDocument reads a document from JSON or YAML.
func ParseDocument(name string, content []byte) (*Document, error) {
	d := &Document{name: name}
	sum := sha256.Sum256(content)
	d.hash = hex.EncodeToString(sum[:])
	if len(content) > 64*1024 {
		return nil, fmt.Errorf("document %s: more than 64 KB", name)
	}
	doc := content
	if trimmed := strings.TrimSpace(string(content)); !strings.HasPrefix(trimmed, "{") {
		var err error
		if doc, err = yaml.YAMLToJSON(content); err != nil {
			return nil, fmt.Errorf("document %s: %w", name, err)
		}
	}
	if err := json.Unmarshal(doc, d); err != nil {
		return nil, fmt.Errorf("document %s: %w", name, err)
	}
	d.json = string(doc)
	if d.SchemaVersion != "2.2" || len(d.MainSteps) == 0 {
		return nil, fmt.Errorf("document %s: want schemaVersion 2.2 with mainSteps", name)
	}
	for _, step := range d.MainSteps {
		if platforms[step.Action] == "" {
			return nil, fmt.Errorf("document %s: action %s is not emulated", name, step.Action)
		}
	}
	for p, spec := range d.Parameters {
		if spec.AllowedPattern == "" {
			continue
		}
		pattern, err := regexp.Compile(spec.AllowedPattern)
		if err != nil {
			return nil, fmt.Errorf("document %s: parameter %s: %w", name, p, err)
		}
		spec.allowed = pattern
		d.Parameters[p] = spec
	}
	return d, nil
}

// AddDocument makes a document known, replacing one of the same name. It is not
// changed any more, so that several accounts may have the same one.
func (s *SSM) AddDocument(d *Document) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.documents[d.name] = d
}

// document finds a document by its name or ARN.
func (s *SSM) document(name string) (*Document, error) {
	if _, after, ok := strings.Cut(name, ":document/"); ok {
		name = after
	}
	d := s.documents[name]
	if d == nil {
		return nil, wire.Bad("InvalidDocument", "Document with name %s does not exist.", name)
	}
	return d, nil
}

func (s *SSM) describeDocument(c *wire.Call) (any, error) {
	var in struct{ Name string }
	if err := c.Decode(&in); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	d, err := s.document(in.Name)
	if err != nil {
		return nil, err
	}
	return map[string]any{"Document": map[string]any{
		"Name": d.name, "Hash": d.hash, "HashType": "Sha256", "Status": "Active", "DocumentVersion": "1",
		"DocumentType": "Command", "SchemaVersion": d.SchemaVersion, "PlatformTypes": d.platforms(),
	}}, nil
}

// getDocument gives the content as JSON, which is the service's default.
func (s *SSM) getDocument(c *wire.Call) (any, error) {
	var in struct{ Name, DocumentFormat string }
	if err := c.Decode(&in); err != nil {
		return nil, err
	}
	if in.DocumentFormat != "" && in.DocumentFormat != "JSON" {
		return nil, wire.Bad("ValidationException", "the format %s is not emulated", in.DocumentFormat)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	d, err := s.document(in.Name)
	if err != nil {
		return nil, err
	}
	return map[string]any{
		"Name": d.name, "Status": "Active", "DocumentVersion": "1", "DocumentType": "Command", "DocumentFormat": "JSON", "Content": d.json,
	}, nil
}

// bind checks the given parameters and fills in the defaults. Lists become
// lines.
func (d *Document) bind(given map[string][]string) (map[string]string, error) {
	bound := make(map[string]string)
	for name := range given {
		if _, ok := d.Parameters[name]; !ok {
			return nil, wire.Bad("InvalidParameters", "document %s has no parameter %s", d.name, name)
		}
	}
	for name, p := range d.Parameters {
		values, ok := given[name]
		if !ok {
			if p.Default == nil {
				return nil, wire.Bad("InvalidParameters", "parameter %s is required", name)
			}
			bound[name] = textOf(p.Default)
			continue
		}
		if p.Type != "StringList" && len(values) != 1 {
			return nil, wire.Bad("InvalidParameters", "parameter %s wants one value", name)
		}
		if len(values) < p.MinItems || p.MaxItems > 0 && len(values) > p.MaxItems {
			return nil, wire.Bad("InvalidParameters", "parameter %s has %d items", name, len(values))
		}
		for _, v := range values {
			if err := p.check(name, v); err != nil {
				return nil, err
			}
		}
		bound[name] = strings.Join(values, "\n")
	}
	return bound, nil
}

func (p parameter) check(name, v string) error {
	switch {
	case p.allowed != nil && !p.allowed.MatchString(v):
		return wire.Bad("InvalidParameters", "Parameter %s value does not match its allowedPattern: %s", name, p.AllowedPattern)
	case len(p.AllowedValues) > 0 && !slices.Contains(p.AllowedValues, v):
		return wire.Bad("InvalidParameters", "Parameter %s value is not among its allowedValues: %s", name, strings.Join(p.AllowedValues, ", "))
	case len(v) < p.MinChars, p.MaxChars > 0 && len(v) > p.MaxChars:
		return wire.Bad("InvalidParameters", "Parameter %s value has %d characters", name, len(v))
	case p.Type == "Integer":
		if _, err := strconv.Atoi(v); err != nil {
			return wire.Bad("InvalidParameters", "Parameter %s value is no integer", name)
		}
	case p.Type == "Boolean" && v != "true" && v != "false":
		return wire.Bad("InvalidParameters", "Parameter %s value is no boolean", name)
	}
	return nil
}

func textOf(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case []any:
		var lines []string
		for _, item := range v {
			lines = append(lines, textOf(item))
		}
		return strings.Join(lines, "\n")
	}
	doc, _ := json.Marshal(v)
	return string(doc)
}

var reference = regexp.MustCompile(`\{\{\s*([A-Za-z0-9_]+)\s*\}\}`)

// substitute puts parameters into a text, unquoted, as the service does: it is
// the document that must keep data and commands apart.
func substitute(text string, bound map[string]string) string {
	return reference.ReplaceAllStringFunc(text, func(m string) string {
		if v, ok := bound[reference.FindStringSubmatch(m)[1]]; ok {
			return v
		}
		return m
	})
}
