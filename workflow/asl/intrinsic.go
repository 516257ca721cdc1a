package asl

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
)

// effects is where chance comes from: the run's seed.
type effects struct{ rand *rand.Rand }

// expression is a path, a literal, or a call of an intrinsic function.
type expression struct {
	path     *Path
	literal  any
	function string
	args     []*expression
}

// intrinsics tells how many arguments each known function takes; -1 is any.
var intrinsics = map[string]struct{ min, max int }{
	"States.Format":        {1, -1},
	"States.JsonToString":  {1, 1},
	"States.StringToJson":  {1, 1},
	"States.StringSplit":   {2, 2},
	"States.Array":         {0, -1},
	"States.ArrayLength":   {1, 1},
	"States.ArrayGetItem":  {2, 2},
	"States.ArrayContains": {2, 2},
	"States.MathAdd":       {2, 2},
	"States.UUID":          {0, 0},
}

func parseExpression(text string) (*expression, error) {
	if strings.HasPrefix(text, "$") {
		p, err := ParsePath(text)
		if err != nil {
			return nil, err
		}
		return &expression{path: p}, nil
	}
	if !strings.HasPrefix(text, "States.") {
		return nil, fmt.Errorf("%q is neither a path nor an intrinsic function", text)
	}
	s := &scanner{text: text}
	e, err := s.expression()
	if err != nil {
		return nil, fmt.Errorf("%q: %w", text, err)
	}
	if s.skip(); s.at < len(s.text) {
		return nil, fmt.Errorf("%q: more after the function", text)
	}
	return e, nil
}

type scanner struct {
	text string
	at   int
}

func (s *scanner) skip() {
	for s.at < len(s.text) && s.text[s.at] == ' ' {
		s.at++
	}
}

func (s *scanner) expression() (*expression, error) {
	s.skip()
	rest := s.text[s.at:]
	switch {
	case rest == "":
		return nil, errors.New("an argument is missing")
	case rest[0] == '\'':
		return s.quoted()
	case rest[0] == '$':
		return s.path()
	case strings.HasPrefix(rest, "States."):
		return s.call()
	}
	word := rest[:strings.IndexAny(rest+",", ",) ")]
	s.at += len(word)
	switch word {
	case "null":
		return &expression{}, nil
	case "true", "false":
		return &expression{literal: word == "true"}, nil
	}
	if _, err := strconv.ParseFloat(word, 64); err != nil {
		return nil, fmt.Errorf("%q is no argument", word)
	}
	return &expression{literal: json.Number(word)}, nil
}

func (s *scanner) quoted() (*expression, error) {
	var b strings.Builder
	for i := s.at + 1; i < len(s.text); i++ {
		switch c := s.text[i]; {
		case c == '\'':
			s.at = i + 1
			return &expression{literal: b.String()}, nil
		case c == '\\' && i+1 < len(s.text):
			if i++; strings.IndexByte(`'{}\`, s.text[i]) < 0 {
				return nil, fmt.Errorf("unknown escape \\%c", s.text[i])
			}
			if s.text[i] != '\'' { // Format still has to tell \{ from {
				b.WriteByte('\\')
			}
			b.WriteByte(s.text[i])
		default:
			b.WriteByte(c)
		}
	}
	return nil, errors.New("a string without end")
}

// path reads up to the comma or parenthesis that is not the path's own.
func (s *scanner) path() (*expression, error) {
	depth, quote, end := 0, byte(0), s.at
scan:
	for ; end < len(s.text); end++ {
		switch c := s.text[end]; {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '\'' || c == '"':
			quote = c
		case c == '[' || c == '(':
			depth++
		case depth > 0 && (c == ']' || c == ')'):
			depth--
		case depth == 0 && (c == ',' || c == ')'):
			break scan
		}
	}
	p, err := ParsePath(strings.TrimSpace(s.text[s.at:end]))
	s.at = end
	return &expression{path: p}, err
}

func (s *scanner) call() (*expression, error) {
	open := strings.IndexByte(s.text[s.at:], '(')
	if open < 0 {
		return nil, errors.New("a function without arguments")
	}
	e := &expression{function: s.text[s.at : s.at+open]}
	arity, known := intrinsics[e.function]
	if !known {
		return nil, fmt.Errorf("unknown intrinsic function %s", e.function)
	}
	s.at += open + 1
	for s.skip(); !strings.HasPrefix(s.text[s.at:], ")"); s.skip() {
		if len(e.args) > 0 {
			if !strings.HasPrefix(s.text[s.at:], ",") {
				return nil, fmt.Errorf("%s: wants a comma or a parenthesis", e.function)
			}
			s.at++
		}
		arg, err := s.expression()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", e.function, err)
		}
		e.args = append(e.args, arg)
	}
	s.at++
	if n := len(e.args); n < arity.min || arity.max >= 0 && n > arity.max {
		return nil, fmt.Errorf("%s: takes %d arguments, got %d", e.function, arity.min, n)
	}
	return e, nil
}

func (e *expression) paths() []*Path {
	if e.path != nil {
		return []*Path{e.path}
	}
	var paths []*Path
	for _, a := range e.args {
		paths = append(paths, a.paths()...)
	}
	return paths
}

func (e *expression) eval(in scope, fx *effects, at string) (any, error) {
	switch {
	case e.path != nil:
		return e.path.must(in, at)
	case e.function == "":
		if s, ok := e.literal.(string); ok {
			return unescape(s), nil
		}
		return e.literal, nil
	}
	args := make([]any, len(e.args))
	for i, a := range e.args {
		if s, ok := a.literal.(string); ok && i == 0 && e.function == "States.Format" {
			args[i] = s
			continue
		}
		v, err := a.eval(in, fx, at)
		if err != nil {
			return nil, err
		}
		args[i] = v
	}
	v, err := call(e.function, args, fx)
	if err != nil {
		return nil, &Error{IntrinsicFailure, fmt.Sprintf("%s: %s: %v", at, e.function, err)}
	}
	return v, nil
}

func call(function string, args []any, fx *effects) (any, error) {
	switch function {
	case "States.Format":
		return format(args)
	case "States.JsonToString":
		return string(appendValue(nil, args[0])), nil
	case "States.StringToJson":
		s, ok := args[0].(string)
		if !ok {
			return nil, errors.New("wants a string")
		}
		return decode([]byte(s))
	case "States.StringSplit":
		return split(args)
	case "States.Array":
		return args, nil
	case "States.MathAdd":
		a, b := rounded(args[0]), rounded(args[1])
		if a == nil || b == nil {
			return nil, errors.New("wants two numbers")
		}
		return json.Number(strconv.FormatInt(*a+*b, 10)), nil
	case "States.UUID":
		return fx.uuid(), nil
	}
	list, ok := args[0].([]any)
	if !ok {
		return nil, errors.New("wants an array")
	}
	switch function {
	case "States.ArrayLength":
		return json.Number(strconv.Itoa(len(list))), nil
	case "States.ArrayGetItem":
		i := integer(args[1])
		if i == nil || *i < 0 || *i >= int64(len(list)) {
			return nil, errors.New("the index is outside of the array")
		}
		return list[*i], nil
	case "States.ArrayContains":
		want := string(appendValue(nil, args[1]))
		for _, item := range list {
			if string(appendValue(nil, item)) == want {
				return true, nil
			}
		}
		return false, nil
	}
	panic("asl: an intrinsic function without meaning: " + function)
}

// split cuts a string at every character of the other, and leaves out what is
// empty.
func split(args []any) (any, error) {
	text, ok := args[0].(string)
	at, both := args[1].(string)
	if !ok || !both {
		return nil, errors.New("wants two strings")
	}
	list := []any{}
	for part := range strings.FieldsFuncSeq(text, func(r rune) bool { return strings.ContainsRune(at, r) }) {
		list = append(list, part)
	}
	return list, nil
}

// format replaces every {} of the template by the next argument.
func format(args []any) (any, error) {
	text, ok := args[0].(string)
	if !ok {
		return nil, errors.New("wants a template string")
	}
	args = args[1:]
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '\\' && i+1 < len(text):
			i++
			b.WriteByte(text[i])
		case strings.HasPrefix(text[i:], "{}"):
			if len(args) == 0 {
				return nil, errors.New("has more {} than arguments")
			}
			if s, ok := args[0].(string); ok {
				b.WriteString(s)
			} else {
				b.Write(appendValue(nil, args[0]))
			}
			args = args[1:]
			i++
		default:
			b.WriteByte(text[i])
		}
	}
	if len(args) > 0 {
		return nil, errors.New("has fewer {} than arguments")
	}
	return b.String(), nil
}

func unescape(s string) string {
	return strings.NewReplacer(`\{`, `{`, `\}`, `}`, `\\`, `\`).Replace(s)
}

func integer(v any) *int64 {
	n, ok := v.(json.Number)
	if !ok {
		return nil
	}
	i, err := strconv.ParseInt(string(n), 10, 64)
	if err != nil {
		return nil
	}
	return &i
}

// rounded is an integer, or the one nearest to a fraction, upwards from a half.
func rounded(v any) *int64 {
	if i := integer(v); i != nil {
		return i
	}
	n, ok := v.(json.Number)
	if !ok {
		return nil
	}
	f, err := n.Float64()
	if err != nil || math.Abs(f) >= 1<<53 {
		return nil
	}
	i := int64(math.Floor(f + 0.5))
	return &i
}

func (fx *effects) uuid() string {
	hi, lo := fx.rand.Uint64(), fx.rand.Uint64()
	hi, lo = hi&^0xf000|0x4000, lo&^(3<<62)|2<<62
	return fmt.Sprintf("%08x-%04x-%04x-%04x-%012x", hi>>32, hi>>16&0xffff, hi&0xffff, lo>>48, lo&0xffffffffffff)
}
