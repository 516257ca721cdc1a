package policy

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/quiesce/quiesce/shared/fault"
)

// Problem is one thing that is wrong with a file, and where.
type Problem struct {
	File         string
	Line, Column int // from 1; 0 where there is no text to point at
	Fault        *fault.Error
}

// Error renders the problem so that editors find the place.
func (p Problem) Error() string {
	if p.Line == 0 {
		return p.Fault.Error()
	}
	return fmt.Sprintf("%s:%d:%d: %v", p.File, p.Line, p.Column, p.Fault)
}

// Unwrap returns the fault, whose code is InvalidInput.
func (p Problem) Unwrap() error { return p.Fault }

// Problems is all that is wrong with a file, from top to bottom.
type Problems []Problem

// Error renders a problem a line.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, problem := range p {
		lines[i] = problem.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns the problems one by one.
func (p Problems) Unwrap() []error {
	all := make([]error, len(p))
	for i, problem := range p {
		all[i] = problem
	}
	return all
}

// maxText is more than a policy of the largest size that an execution takes.
const maxText = 256 << 10

// Read reads a policy file, YAML or JSON, over the defaults. It is strict, and
// its error is Problems: all of them, because a file that is corrected line
// by line is deployed too early. The name is only for the messages.
func Read(name string, text []byte) (Document, error) { return ReadAt(name, text, time.Now()) }

// ReadAt is Read at another time, from which on the schedules are compared.
func ReadAt(name string, text []byte, now time.Time) (Document, error) {
	r := &reader{file: name, places: map[string]*token.Token{}}
	root, ok := r.root(text)
	if !ok {
		return Document{}, r.problems
	}
	d := r.document(root)
	complaints := d.complaints(now)
	if r.places["retention"] != nil && d.Retention == (Retention{}) {
		complaints.add("retention", keepsNothing) // decoded, it is as if it were not there
	}
	if r.places["restoreTest"] != nil && d.RestoreTest.IsZero() {
		complaints.add("restoreTest.instance", onNoInstance) // the same
	}
	for i, one := range d.Copies {
		if at := fmt.Sprintf("copies[%d].retention", i); r.places[at] != nil && one.Retention == (Retention{}) {
			complaints.add(at, keepsNothing)
		}
	}
	for at, empty := range map[string]bool{"share": d.Share.IsZero(), "archive": d.Archive == (Archive{}), "fastRestore": d.FastRestore.IsZero(), "lock": d.Lock == (Lock{})} {
		if r.places[at] != nil && empty {
			complaints.add(at, "says nothing")
		}
	}
	for _, f := range complaints {
		if !r.spoiled(f.Field) {
			r.refuse(r.place(f.Field), f.Field, "%s", f.Message)
		}
	}
	if len(r.problems) == 0 {
		return d, nil
	}
	slices.SortStableFunc(r.problems, func(a, b Problem) int {
		return cmp.Or(a.Line-b.Line, a.Column-b.Column)
	})
	return Document{}, r.problems
}

// reader gathers, while it walks a file, where each field stands.
type reader struct {
	file     string
	places   map[string]*token.Token // by the field's path; the whole file's is ""
	problems Problems
	broken   []string // paths of fields that have no value for their problem
}

func (r *reader) refuse(at *token.Token, field, format string, args ...any) {
	p := Problem{File: r.file, Line: 1, Column: 1, Fault: fault.Input(field, format, args...)}
	if at != nil && at.Position != nil {
		p.Line, p.Column = at.Position.Line, at.Position.Column
	}
	r.problems = append(r.problems, p)
}

// root parses the text and returns its one mapping.
func (r *reader) root(text []byte) (ast.Node, bool) {
	if len(text) > maxText {
		r.refuse(nil, "", "wants at most %d bytes, got %d", maxText, len(text))
		return nil, false
	}
	file, err := parse(text)
	if err != nil {
		var syntax interface {
			GetToken() *token.Token
			GetMessage() string
		}
		if errors.As(err, &syntax) {
			r.refuse(syntax.GetToken(), "", "is not YAML: %s", syntax.GetMessage())
		} else {
			r.refuse(nil, "", "is not YAML: %v", err)
		}
		return nil, false
	}
	var bodies []ast.Node
	for _, d := range file.Docs {
		if d.Body != nil && d.Body.Type() != ast.NullType && d.Body.Type() != ast.CommentType {
			bodies = append(bodies, d.Body)
		}
	}
	switch {
	case len(bodies) == 0:
		r.refuse(nil, "", "is empty: wants a policy, at the least its name")
		return nil, false
	case len(bodies) > 1:
		r.refuse(bodies[1].GetToken(), "", "has a second document: wants one policy a file")
		return nil, false
	}
	return bodies[0], true
}

// parse keeps a parser's panic over a malformed text from its caller.
func parse(text []byte) (file *ast.File, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	return parser.ParseBytes(text, 0, parser.AllowDuplicateMapKey())
}

// document decodes what the walk found sound, over the defaults.
func (r *reader) document(root ast.Node) Document {
	d := DefaultDocument()
	sound, ok := r.structure(root, fields(reflect.TypeFor[Document]()), "")
	if !ok {
		return d
	}
	data, err := json.Marshal(sound)
	if err == nil {
		err = json.Unmarshal(data, &d)
	}
	if err != nil {
		r.refuse(nil, "", "cannot be read: %v", err)
	}
	return d
}

// place finds where a field stands, or the nearest one that holds it; targets
// that are missing are missed by whatever needs them.
func (r *reader) place(path string) *token.Token {
	if path == "targets" && r.places[path] == nil {
		path = "schedules"
		if r.places[path] == nil {
			path = "group"
		}
	}
	for {
		if t, ok := r.places[path]; ok {
			return t
		}
		if path == "" {
			return nil
		}
		path = path[:max(0, strings.LastIndexAny(path, ".["))]
	}
}

// spoiled reports that a complaint about a field is the consequence of a
// problem that is already told: only the cause helps.
func (r *reader) spoiled(path string) bool {
	return slices.ContainsFunc(r.broken, func(broken string) bool {
		if broken == "application.kind" && (path == "application.preScript" || path == "application.postScript") {
			return true
		}
		return path == broken || inside(path, broken) || inside(broken, path)
	})
}

func inside(path, outer string) bool {
	rest, ok := strings.CutPrefix(path, outer)
	return ok && (outer == "" || rest != "" && strings.ContainsRune(".[", rune(rest[0])))
}
