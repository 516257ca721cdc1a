package asl

import (
	"encoding/json"
	"strings"
)

// Distributed is what a Map has whose iterations are executions of their own.
type Distributed struct {
	Label      string
	Reader     *Object // where the items are; nil: ItemsPath
	Writer     *Object // where the results go; nil: they are the state's result
	Tolerated  int     // failed executions; beyond them the Map fails
	Percentage float64

	ToleratedPath, PercentagePath *Path
}

// Object is a call of S3 by which items are read or results written.
type Object struct {
	Resource   string
	Parameters *Template // Bucket, and Key or Prefix
}

func (d *Distributed) refs() []Ref {
	var refs []Ref
	if d == nil {
		return nil
	}
	for field, p := range map[string]*Path{"ToleratedFailureCountPath": d.ToleratedPath, "ToleratedFailurePercentagePath": d.PercentagePath} {
		if p != nil {
			refs = append(refs, Ref{Field: field, Path: p})
		}
	}
	for field, o := range map[string]*Object{"ItemReader": d.Reader, "ResultWriter": d.Writer} {
		if o != nil {
			for _, p := range o.Parameters.paths() {
				refs = append(refs, Ref{Field: field, Path: p})
			}
		}
	}
	return refs
}

// distributed takes the fields that only a distributed Map has.
func (p *parser) distributed(s *State, f, config *fields) {
	if kind := config.text("ExecutionType"); kind != "STANDARD" {
		config.fault("ExecutionType", "is %q; STANDARD is supported: express executions end after five minutes", kind)
	}
	d := &Distributed{Label: f.text("Label")}
	s.Distributed = d
	if d.Label == "" || len(d.Label) > 40 {
		f.fault("Label", "wants 1-40 characters: children are found by it")
	}
	d.Tolerated, d.ToleratedPath = f.count("ToleratedFailureCount", 0), f.path("ToleratedFailureCountPath", false, false)
	f.take("ToleratedFailurePercentage", &d.Percentage)
	if d.Percentage < 0 || d.Percentage > 100 {
		f.fault("ToleratedFailurePercentage", "is %v, wants 0-100", d.Percentage)
	}
	d.PercentagePath = f.path("ToleratedFailurePercentagePath", false, false)
	d.Reader = p.s3(f, "ItemReader", ":states:::s3:getObject", "Bucket", "Key")
	d.Writer = p.s3(f, "ResultWriter", ":states:::s3:putObject", "Bucket", "Prefix")
	if d.Reader != nil && s.ItemsPath != nil {
		f.fault("ItemReader", "stands beside ItemsPath")
	}
}

// s3 takes ItemReader or ResultWriter.
func (p *parser) s3(f *fields, name, resource string, wants ...string) *Object {
	var raw json.RawMessage
	if !f.take(name, &raw) {
		return nil
	}
	g := p.object(f.join(name), raw)
	o := &Object{Resource: g.text("Resource"), Parameters: g.template("Parameters")}
	if !strings.HasPrefix(o.Resource, "arn:") || !strings.HasSuffix(o.Resource, resource) {
		g.fault("Resource", "is %q, arn:aws%s is supported", o.Resource, resource)
	}
	for _, want := range wants {
		if o.Parameters == nil || !o.Parameters.Has(want) {
			g.fault("Parameters", "has no %s", want)
		}
	}
	if g.take("ReaderConfig", &raw) {
		config := p.object(g.join("ReaderConfig"), raw)
		if kind := config.text("InputType"); kind != "JSON" {
			config.fault("InputType", "is %q, JSON is supported", kind)
		}
		config.done()
	} else if name == "ItemReader" {
		g.fault("ReaderConfig", "is missing")
	}
	g.done()
	return o
}
