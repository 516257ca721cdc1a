// Package aliyun_test holds the deployment on Alibaba Cloud to the code: no
// resource names what does not exist, and no function lacks what it calls or may
// call what it does not.
package aliyun_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/tryfunc"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

// document is every Terraform file as one.
type document struct {
	files  map[string][]byte
	bodies []*hclsyntax.Body
}

func read(t *testing.T) document {
	t.Helper()
	d := document{files: map[string][]byte{}}
	names, err := filepath.Glob("*.tf")
	if err != nil || len(names) == 0 {
		t.Fatalf("no files: %v", err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		file, problems := hclsyntax.ParseConfig(text, name, hcl.InitialPos)
		if problems.HasErrors() {
			t.Fatal(problems)
		}
		d.files[name] = text
		d.bodies = append(d.bodies, file.Body.(*hclsyntax.Body))
	}
	return d
}

// blocks are those of a kind, by their labels joined by dots.
func (d document) blocks(kind string) map[string]*hclsyntax.Block {
	found := map[string]*hclsyntax.Block{}
	for _, body := range d.bodies {
		for _, b := range body.Blocks {
			if b.Type == kind {
				name := ""
				for _, l := range b.Labels {
					name += "." + l
				}
				found[name] = b
			}
		}
	}
	return found
}

// local evaluates one local value that stands on literals and other locals.
func (d document) local(t *testing.T, name string) cty.Value {
	t.Helper()
	known := map[string]cty.Value{}
	for range 4 { // as deep as locals stand on each other
		for _, body := range d.bodies {
			for _, b := range body.Blocks {
				if b.Type != "locals" {
					continue
				}
				for n, a := range b.Body.Attributes {
					v, problems := a.Expr.Value(&hcl.EvalContext{
						Variables: map[string]cty.Value{"local": cty.ObjectVal(known)},
						Functions: map[string]function.Function{"concat": stdlib.ConcatFunc, "can": tryfunc.CanFunc},
					})
					if !problems.HasErrors() {
						known[n] = v
					}
				}
			}
		}
	}
	v, ok := known[name]
	if !ok {
		t.Fatalf("local.%s does not stand on literals alone", name)
	}
	return v
}

func TestFilesAreFormatted(t *testing.T) {
	for name, text := range read(t).files {
		if want := hclwrite.Format(text); !bytes.Equal(text, want) {
			t.Errorf("%s: terraform fmt would change it", name)
		}
	}
}

// Every reference leads to a resource, a variable, a local or a data source that
// is declared.
func TestReferencesExist(t *testing.T) {
	d := read(t)
	locals := map[string]bool{}
	for _, body := range d.bodies {
		for _, b := range body.Blocks {
			if b.Type == "locals" {
				for n := range b.Body.Attributes {
					locals[n] = true
				}
			}
		}
	}
	resources, variables, data := d.blocks("resource"), d.blocks("variable"), d.blocks("data")
	checked := 0
	for _, body := range d.bodies {
		for _, problem := range hclsyntax.VisitAll(body, func(n hclsyntax.Node) hcl.Diagnostics {
			traversal, ok := n.(*hclsyntax.ScopeTraversalExpr)
			if !ok {
				return nil
			}
			root := traversal.Traversal.RootName()
			second := func(i int) string {
				if len(traversal.Traversal) > i {
					if a, ok := traversal.Traversal[i].(hcl.TraverseAttr); ok {
						return a.Name
					}
				}
				return ""
			}
			known := true
			switch {
			case root == "local":
				known = locals[second(1)]
			case root == "var":
				known = variables["."+second(1)] != nil
			case root == "data":
				known = data["."+second(1)+"."+second(2)] != nil
			case len(root) > 9 && root[:9] == "alicloud_":
				known = resources["."+root+"."+second(1)] != nil
			}
			checked++
			if !known {
				at := traversal.Range()
				t.Errorf("%s:%d: %s.%s is not declared", at.Filename, at.Start.Line, root, second(1))
			}
			return nil
		}) {
			t.Error(problem)
		}
	}
	if checked < 50 {
		t.Errorf("%d references were looked at: too few to be all", checked)
	}
}
