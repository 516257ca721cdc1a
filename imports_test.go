package quiesce_test

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/quiesce/quiesce"

// Families of packages, by the beginning of their path.
var (
	awsSDK    = []string{"github.com/aws/aws-sdk-go-v2", "github.com/aws/smithy-go"}
	aliyunSDK = []string{"github.com/alibabacloud-go", "github.com/aliyun/alibaba-cloud-sdk-go", "github.com/aliyun/alibabacloud-oss-go-sdk-v2", "github.com/aliyun/credentials-go"}
	lambdaRT  = []string{"github.com/aws/aws-lambda-go"}
	fcRT      = []string{"github.com/aliyun/fc-runtime-go-sdk"}
	sdks      = join(awsSDK, aliyunSDK, lambdaRT, fcRT)
	steps     = own("functions/arrange", "functions/await", "functions/curate", "functions/dropshadows", "functions/edge", "functions/freeze", "functions/makeshadows", "functions/pollstatus", "functions/precheck", "functions/prune", "functions/report",
		"functions/restorecreate", "functions/restoreimage", "functions/restoremove", "functions/restoreplan", "functions/restorepower", "functions/restorerecover", "functions/restorereport", "functions/restoresettle", "functions/runprescript",
		"functions/snapshot", "functions/startplugin", "functions/startvss", "functions/sweep", "functions/tag", "functions/targets", "functions/thaw", "functions/verifychoose", "functions/verifyclean", "functions/verifymark",
		"functions/verifyrecover", "functions/verifyreport", "functions/wake", "functions/watchplugin", "functions/watchvss")
	providers = own("shared/cloud/awscloud", "shared/cloud/alicloud")
	laptop    = own("local", "cmd", "infra")
	standIns  = []string{"github.com/go-mysql-org/go-mysql", "github.com/FerretDB/wire"}
	// subscriber is a program of its own, to be copied: a Lambda function that
	// stands on the events alone. It lies beside them, and nothing imports it.
	subscriber = own("events/example")
)

// rules is the direction of imports: no package under of, but for those under
// but, may reach what is under not, however far away it is.
var rules = []struct {
	of, but, not []string
	why          string
}{
	{steps, nil, join(sdks, providers, laptop, own("guest", "workflow")),
		"a step runs on every cloud: it knows ports and nouns alone"},
	{own("shared", "events"), join(providers, subscriber), join(sdks, providers, laptop, own("functions", "guest", "workflow")),
		"the nouns, ports and events are what everything else stands on"},
	{providers, nil, join(lambdaRT, fcRT, laptop, own("functions", "guest", "workflow")),
		"a provider must not know what it is used for"},
	{own("guest"), nil, join(sdks, providers, laptop, own("functions", "shared/cloud", "workflow")),
		"the helper runs on other people's machines: it reaches no cloud and stays small"},
	{own("workflow"), nil, join(sdks, providers, laptop),
		"a definition is checked and run without any cloud"},
	{own("functions"), nil, laptop,
		"what is deployed does not carry the emulated clouds"},
	{own(""), join(own("functions/lambda"), subscriber), lambdaRT,
		"only the edge to Lambda knows its library"},
	{own(""), own("functions/fc"), fcRT,
		"only the edge to Function Compute knows its library"},
	{own(""), join(own("shared/cloud/alicloud", "functions/fc"), laptop), aliyunSDK,
		"only its provider knows Alibaba Cloud's SDKs, which are large and have sharp edges"},
	{own("functions/lambda"), nil, join(aliyunSDK, own("shared/cloud/alicloud")),
		"each edge carries one cloud's SDK, because size is start-up time"},
	{own("functions/fc"), nil, join(awsSDK, own("shared/cloud/awscloud")),
		"each edge carries one cloud's SDK, because size is start-up time"},
	{subscriber, nil, join(aliyunSDK, fcRT, providers, laptop, own("functions", "guest", "workflow", "shared")),
		"whoever copies the example needs the events of Quiesce and nothing else of it"},
	{own(""), nil, standIns,
		"what answers in a server's place is for tests alone"},
	{own(""), own("infra"), own("infra"),
		"nothing stands on the infrastructure's code, which is heavy and runs elsewhere"},
}

func join(all ...[]string) []string { return slices.Concat(all...) }

func own(folders ...string) []string {
	paths := make([]string, len(folders))
	for i, f := range folders {
		paths[i] = strings.TrimSuffix(module+"/"+f, "/")
	}
	return paths
}

func under(path string, families []string) bool {
	return slices.ContainsFunc(families, func(f string) bool {
		return path == f || strings.HasPrefix(path, f+"/")
	})
}

type pkg struct {
	ImportPath, Name, Dir string
	Deps, GoFiles         []string
}

// packages lists the module's packages with all that they reach. Tests may
// put anything together and are not asked.
func packages(t *testing.T) (list []pkg) {
	t.Helper()
	out, err := exec.Command("go", "list", "-e", "-json=ImportPath,Name,Dir,Deps,GoFiles", "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		switch err := d.Decode(&p); {
		case errors.Is(err, io.EOF):
			return list
		case err != nil:
			t.Fatal(err)
		}
		list = append(list, p)
	}
}

// broken tells which rules a package breaks.
func broken(p pkg) (complaints []string) {
	for _, rule := range rules {
		if !under(p.ImportPath, rule.of) || under(p.ImportPath, rule.but) {
			continue
		}
		for _, dep := range p.Deps {
			if under(dep, rule.not) {
				complaints = append(complaints, p.ImportPath+" reaches "+dep+", but "+rule.why)
			}
		}
	}
	return complaints
}

func TestDirectionOfImports(t *testing.T) {
	for _, p := range packages(t) {
		for _, complaint := range broken(p) {
			t.Error(complaint)
		}
	}
}

func TestRulesBite(t *testing.T) {
	for _, c := range []struct {
		of, dep string
		want    int
	}{
		{"/functions/freeze", "github.com/aws/aws-sdk-go-v2/service/ec2", 1},
		{"/functions/freeze", module + "/shared/cloud/awscloud", 1},
		{"/functions/freeze", module + "/shared/cloud", 0},
		{"/functions/lambda", "github.com/aws/aws-lambda-go/lambda", 0},
		{"/functions/lambda", module + "/local/aws", 1},
		{"/cmd/quiesce", "github.com/aws/aws-lambda-go/lambda", 1},
		{"/cmd/quiesce", module + "/infra/aws", 1},
		{"/shared/cloud/awscloud", "github.com/aws/aws-sdk-go-v2/service/ec2", 0},
		{"/shared/cloud/awscloud", module + "/functions/freeze", 1},
		{"/shared/cloud", "github.com/aws/smithy-go", 1},
		{"/events", "github.com/aws/aws-lambda-go/lambda", 2},
		{"/events/example", "github.com/aws/aws-lambda-go/lambda", 0},
		{"/events/example", module + "/shared/cloud", 1},
		{"/functions/lambda", module + "/shared/cloud/alicloud", 1},
		{"/functions/lambda", "github.com/aliyun/alibaba-cloud-sdk-go/sdk", 2},
		{"/shared/cloud/alicloud", "github.com/aliyun/alibaba-cloud-sdk-go/sdk", 0},
		{"/shared/cloud/awscloud", "github.com/aliyun/alibabacloud-oss-go-sdk-v2/oss", 1},
		{"/guest/session", module + "/shared/cloud", 1},
		{"/guest/session", module + "/shared/protocol", 0},
	} {
		if got := broken(pkg{ImportPath: module + c.of, Deps: []string{c.dep}}); len(got) != c.want {
			t.Errorf("%s reaching %s: got %q, want %d complaints", c.of, c.dep, got, c.want)
		}
	}
}

func TestStepsDoNotKnowEachOther(t *testing.T) {
	var found []string
	for _, p := range packages(t) {
		if !under(p.ImportPath, steps) {
			continue
		}
		found = append(found, p.ImportPath)
		for _, dep := range p.Deps {
			if under(dep, own("functions")) && !strings.HasPrefix(dep, p.ImportPath) {
				t.Errorf("%s reaches %s, but the workflow alone puts steps in order", p.ImportPath, dep)
			}
		}
	}
	if slices.Sort(found); !slices.Equal(found, steps) {
		t.Errorf("got the steps %v, want %v", found, steps)
	}
}

// forbidden is what only a main package may do, or none at all.
var forbidden = map[string]string{
	"os.Getenv":    "configuration is handed over by main, so that tests and two configurations in one process work",
	"os.LookupEnv": "configuration is handed over by main, so that tests and two configurations in one process work",
	"os.Exit":      "it skips every deferred release, the thaw among them",
	"log.Fatal":    "it skips every deferred release, the thaw among them",
	"log.Fatalf":   "it skips every deferred release, the thaw among them",
	"log.Fatalln":  "it skips every deferred release, the thaw among them",
}

// vague is what a package must not be called, because it would say nothing.
var vague = []string{"util", "utils", "common", "types", "helpers", "misc"}

func TestEffectsAtTheEdge(t *testing.T) {
	for _, p := range packages(t) {
		if slices.Contains(vague, p.Name) {
			t.Errorf("package %s: its name says nothing", p.ImportPath)
		}
		for _, name := range p.GoFiles {
			fset := token.NewFileSet()
			file, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Errorf("%v", err)
				continue
			}
			names := imported(file)
			ast.Inspect(file, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.FuncDecl:
					if n.Name.Name == "init" && n.Recv == nil {
						t.Errorf("%s: init: registration is by explicit tables, which can be read", fset.Position(n.Pos()))
					}
				case *ast.SelectorExpr:
					x, ok := n.X.(*ast.Ident)
					if !ok {
						return true
					}
					used := names[x.Name] + "." + n.Sel.Name
					if why, is := forbidden[used]; is && p.Name != "main" {
						t.Errorf("%s: %s outside a main package: %s", fset.Position(n.Pos()), used, why)
					}
				}
				return true
			})
		}
	}
}

// imported maps the names under which a file knows packages to their paths.
func imported(file *ast.File) map[string]string {
	names := map[string]string{}
	for _, i := range file.Imports {
		path, err := strconv.Unquote(i.Path.Value)
		if err != nil {
			continue
		}
		name := path[strings.LastIndex(path, "/")+1:]
		if i.Name != nil {
			name = i.Name.Name
		}
		names[name] = path
	}
	return names
}
