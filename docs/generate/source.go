package main

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
)

// parse reads the Go files of a folder, without its tests.
func parse(folder string) ([]*ast.File, error) {
	paths, err := filepath.Glob(filepath.Join(folder, "*.go"))
	if err != nil {
		return nil, err
	}
	var files []*ast.File
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	return files, nil
}

// constant is a named string.
type constant struct{ name, value string }

// constants are the string constants of the files, in their order.
func constants(files []*ast.File) (list []constant) {
	each(files, func(n ast.Node) {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return
		}
		for i, v := range spec.Values {
			if s, ok := literal(v); ok {
				list = append(list, constant{spec.Names[i].Name, s})
			}
		}
	})
	return list
}

func each(files []*ast.File, visit func(ast.Node)) {
	for _, f := range files {
		ast.Inspect(f, func(n ast.Node) bool {
			if n != nil {
				visit(n)
			}
			return true
		})
	}
}

func literal(e ast.Expr) (string, bool) {
	lit, ok := e.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return "", false
	}
	s, err := strconv.Unquote(lit.Value)
	return s, err == nil
}

// last is the rightmost name of an expression: X of telemetry.X.
func last(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	}
	return ""
}

// record is a struct with its comment and the fields that JSON shows.
type record struct {
	name, doc string
	fields    []field
}

type field struct{ name, kind, comment string }

// records are the structs of the files. A field without a name is left out.
func records(files []*ast.File) (list []record) {
	each(files, func(n ast.Node) {
		decl, ok := n.(*ast.GenDecl)
		if !ok || decl.Tok != token.TYPE {
			return
		}
		spec := decl.Specs[0].(*ast.TypeSpec)
		body, ok := spec.Type.(*ast.StructType)
		if !ok {
			return
		}
		r := record{name: spec.Name.Name, doc: line(decl.Doc.Text())}
		for _, f := range body.Fields.List {
			if f.Tag == nil || len(f.Names) == 0 {
				continue
			}
			tag, _ := strconv.Unquote(f.Tag.Value)
			name, _, _ := strings.Cut(reflect.StructTag(tag).Get("json"), ",")
			r.fields = append(r.fields, field{name, kind(f.Type), line(f.Comment.Text())})
		}
		list = append(list, r)
	})
	return list
}

// kind is a Go type as JSON knows it.
func kind(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.ArrayType:
		return "list of " + kind(e.Elt)
	case *ast.Ident:
		switch e.Name {
		case "float64", "int":
			return "number"
		case "bool":
			return "true or false"
		case "string":
			return "text"
		}
		return "`" + e.Name + "`"
	}
	if last(e) == "Time" {
		return "time"
	}
	return "?"
}

// line makes one line of a comment.
func line(s string) string { return strings.Join(strings.Fields(s), " ") }

// cell makes text fit for a table.
func cell(s string) string { return strings.ReplaceAll(line(s), "|", `\|`) }

func readJSON(path string, into any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}
