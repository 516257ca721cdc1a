package main

import (
	"go/constant"
	"go/types"
	"maps"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/go/packages"
	"golang.org/x/tools/go/ssa"
	"golang.org/x/tools/go/ssa/ssautil"
)

const (
	ours      = "github.com/quiesce/quiesce/"
	providing = ours + "shared/cloud/awscloud"
	services  = "github.com/aws/aws-sdk-go-v2/service/"
)

// program is the code of the steps and of the provider, without that of the
// SDK: its calls are where the search ends.
type program struct {
	*ssa.Program
	provider types.Type // *awscloud.Provider
	table    *ssa.Function
}

func load(t *testing.T) program {
	t.Helper()
	loaded, err := packages.Load(&packages.Config{Dir: "../..", Mode: packages.LoadSyntax}, "./functions/...", "./shared/...", "./events")
	if err != nil {
		t.Fatal(err)
	}
	if packages.PrintErrors(loaded) > 0 {
		t.Fatal("the code does not compile")
	}
	prog, built := ssautil.Packages(loaded, ssa.InstantiateGenerics)
	prog.Build()
	p := program{Program: prog}
	for _, b := range built {
		switch {
		case b == nil:
		case b.Pkg.Path() == providing:
			p.provider = types.NewPointer(b.Type("Provider").Type())
		case b.Pkg.Path() == ours+"functions":
			p.table = b.Func("Table")
		}
	}
	if p.provider == nil || p.table == nil {
		t.Fatal("found neither the provider nor the table of functions")
	}
	return p
}

// steps returns, for every entry of the table, the functions that the entry's
// handler is made of: the constructors that it goes through, with their
// closures.
func (p program) steps(t *testing.T) map[string][]*ssa.Function {
	t.Helper()
	found := map[string][]*ssa.Function{}
	for _, b := range p.table.Blocks {
		for _, i := range b.Instrs {
			entry, ok := i.(*ssa.MapUpdate)
			if !ok {
				continue
			}
			name, ok := entry.Key.(*ssa.Const)
			if !ok || name.Value.Kind() != constant.String {
				t.Fatalf("the table has the key %s, which is no constant", entry.Key)
			}
			found[constant.StringVal(name.Value)] = made(entry.Value, map[ssa.Value]bool{})
		}
	}
	return found
}

// made collects the functions in the expression that makes a value.
func made(v ssa.Value, seen map[ssa.Value]bool) (list []*ssa.Function) {
	if v == nil || seen[v] {
		return nil
	}
	seen[v] = true
	switch v := v.(type) {
	case *ssa.Function:
		return []*ssa.Function{v}
	case ssa.Instruction:
		for _, operand := range v.Operands(nil) {
			list = append(list, made(*operand, seen)...)
		}
	}
	return list
}

// calls returns the operations of AWS that can be reached from functions: by
// whatever they mention, through the ports into the provider. It may find more
// than can happen, never less.
func (p program) calls(from []*ssa.Function) []string {
	operations, seen := map[string]bool{}, map[*ssa.Function]bool{}
	var visit func(*ssa.Function)
	visit = func(f *ssa.Function) {
		if f == nil || seen[f] {
			return
		}
		seen[f] = true
		if name, is := operation(f); is {
			operations[name] = true
			return
		}
		for _, b := range f.Blocks {
			for _, i := range b.Instrs {
				if call, ok := i.(ssa.CallInstruction); ok && call.Common().IsInvoke() {
					visit(p.behind(call.Common()))
				}
				for _, operand := range i.Operands(nil) {
					if mentioned, ok := (*operand).(*ssa.Function); ok {
						visit(mentioned)
					}
				}
			}
		}
	}
	for _, f := range from {
		visit(f)
	}
	return slices.Sorted(maps.Keys(operations))
}

// behind returns the provider's method that a call through a port ends in;
// nil for a call that has nothing to do with a cloud.
func (p program) behind(call *ssa.CallCommon) *ssa.Function {
	port, ok := call.Value.Type().Underlying().(*types.Interface)
	if !ok || port.NumMethods() == 0 || !types.Implements(p.provider, port) {
		return nil
	}
	return p.LookupMethod(p.provider, call.Method.Pkg(), call.Method.Name())
}

// prefixes are those of IAM where the SDK has another name.
var prefixes = map[string]string{"eventbridge": "events", "sfn": "states"}

// operation names the AWS operation that a function of an SDK is: a client's
// method, a paginator's, or one that signs a request for somebody else.
func operation(f *ssa.Function) (name string, is bool) {
	receiver := f.Signature.Recv()
	if receiver == nil {
		return "", false
	}
	pointer, ok := receiver.Type().(*types.Pointer)
	if !ok {
		return "", false
	}
	named, ok := pointer.Elem().(*types.Named)
	if !ok || named.Obj().Pkg() == nil {
		return "", false
	}
	service, ok := strings.CutPrefix(named.Obj().Pkg().Path(), services)
	if !ok {
		return "", false
	}
	if prefix, other := prefixes[service]; other {
		service = prefix
	}
	switch kind := named.Obj().Name(); {
	case kind == "Client":
		return service + ":" + f.Name(), true
	case kind == "PresignClient":
		return service + ":" + strings.TrimPrefix(f.Name(), "Presign"), true
	case strings.HasSuffix(kind, "Paginator") && f.Name() == "NextPage":
		return service + ":" + strings.TrimSuffix(kind, "Paginator"), true
	}
	return "", false
}
