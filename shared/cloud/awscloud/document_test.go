package awscloud

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/goccy/go-yaml"
)

// A helper that answers with what it was asked, and ends with 7.
const fakeHelper = "#!/bin/sh\necho \"asked $1 $2\"\nexit 7\n"

type parsed struct {
	SchemaVersion string `yaml:"schemaVersion"`
	Parameters    map[string]struct {
		Type           string   `yaml:"type"`
		Default        *string  `yaml:"default"`
		AllowedValues  []string `yaml:"allowedValues"`
		AllowedPattern string   `yaml:"allowedPattern"`
	} `yaml:"parameters"`
	MainSteps []struct {
		Action       string `yaml:"action"`
		Precondition map[string][]string
		Inputs       struct {
			TimeoutSeconds string   `yaml:"timeoutSeconds"`
			RunCommand     []string `yaml:"runCommand"`
		} `yaml:"inputs"`
	} `yaml:"mainSteps"`
}

func parse(t *testing.T) parsed {
	t.Helper()
	var d parsed
	if err := yaml.Unmarshal([]byte(Document()), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// script is the document's shell text after the service has checked the
// parameters and put them in.
func script(t *testing.T, parameters map[string]string) string {
	t.Helper()
	d := parse(t)
	text := strings.Join(d.MainSteps[0].Inputs.RunCommand, "\n")
	for name, p := range d.Parameters {
		value, given := parameters[name]
		if !given {
			if p.Default == nil {
				t.Fatalf("parameter %s has no default", name)
			}
			value = *p.Default
		}
		if p.AllowedPattern != "" && !regexp.MustCompile(p.AllowedPattern).MatchString(value) {
			t.Fatalf("parameter %s: %q does not match %s", name, value, p.AllowedPattern)
		}
		if p.AllowedValues != nil && !slices.Contains(p.AllowedValues, value) {
			t.Fatalf("parameter %s: %q is not allowed", name, value)
		}
		text = strings.ReplaceAll(text, "{{ "+name+" }}", value)
	}
	if strings.Contains(text, "{{") {
		t.Fatal("a placeholder names no parameter")
	}
	return text
}

// site is an instance: a home for the helper and a bucket to fetch it from.
type site struct {
	shell  []string
	home   string
	path   string // PATH of the script, its own if empty
	bucket *httptest.Server
	served []byte
	hits   atomic.Int32
	sum    string
}

func newSite(t *testing.T, shell []string) *site {
	s := &site{shell: shell, home: filepath.Join(t.TempDir(), "quiesce"), served: []byte(fakeHelper)}
	sum := sha256.Sum256(s.served)
	s.sum = hex.EncodeToString(sum[:])
	s.bucket = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.hits.Add(1)
		if s.served == nil {
			http.Error(w, "denied", http.StatusForbidden)
			return
		}
		_, _ = w.Write(s.served)
	}))
	t.Cleanup(s.bucket.Close)
	return s
}

func (s *site) helper() string { return filepath.Join(s.home, s.sum, "quiesce-guest") }

type ended struct {
	code           int
	stdout, stderr string
}

func (s *site) run(t *testing.T, verb, url string) ended {
	t.Helper()
	text := script(t, map[string]string{
		"Verb": verb, "Request": "e30=", "Sha256": s.sum, "Url": base64.StdEncoding.EncodeToString([]byte(url)),
	})
	if s.path != "" {
		const line = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
		if !strings.Contains(text, line) {
			t.Fatal("the script sets another PATH")
		}
		text = strings.Replace(text, line, "PATH="+s.path+"\n", 1)
	}
	file := filepath.Join(t.TempDir(), "_script.sh")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(s.shell[0], append(s.shell[1:], file)...)
	cmd.Env = []string{"QUIESCE_HOME=" + s.home}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return ended{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

func (s *site) url() string { return s.bucket.URL + "/quiesce-guest?X-Amz-Signature=a%2Fb&x=1" }

// tools makes a PATH of the named programs alone.
func tools(t *testing.T, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Skipf("%s is not installed", name)
		}
		if err := os.Symlink(path, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func answered(t *testing.T, got ended, verb string) {
	t.Helper()
	if want := (ended{7, "asked " + verb + " e30=\n", ""}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func notDelivered(t *testing.T, s *site, got ended, why string) {
	t.Helper()
	if got.code != 210 || got.stdout != "" || !strings.Contains(got.stderr, why) {
		t.Errorf("got %+v, want 210 with %q on stderr", got, why)
	}
	left, _ := filepath.Glob(filepath.Join(s.home, s.sum, "*"))
	hidden, _ := filepath.Glob(filepath.Join(s.home, s.sum, ".[a-z]*"))
	if left = append(left, hidden...); len(left) > 0 {
		t.Errorf("it left %v", left)
	}
}

func TestDocumentShape(t *testing.T) {
	d := parse(t)
	if d.SchemaVersion != "2.2" || len(d.MainSteps) != 1 || d.MainSteps[0].Action != "aws:runShellScript" {
		t.Errorf("got schema %s with %d steps", d.SchemaVersion, len(d.MainSteps))
	}
	if got := d.MainSteps[0].Precondition["StringEquals"]; !slices.Equal(got, []string{"platformType", "Linux"}) {
		t.Errorf("precondition: got %v", got)
	}
	if got := d.MainSteps[0].Inputs.TimeoutSeconds; got != "{{ ExecutionTimeout }}" {
		t.Errorf("timeout: got %q", got)
	}
	if len(Document()) > 64<<10 {
		t.Errorf("%d bytes are more than the service takes", len(Document()))
	}
	// What reaches the shell is within single quotes: no value may end them.
	for name, p := range d.Parameters {
		if p.AllowedValues != nil {
			continue
		}
		for _, value := range []string{"'", "a'b", "$(id)", "a b", "a\nb", "{{ Verb }}", "\\"} {
			if regexp.MustCompile(p.AllowedPattern).MatchString(value) {
				t.Errorf("parameter %s takes %q", name, value)
			}
		}
	}
}

func TestDocument(t *testing.T) {
	shells := map[string][]string{"sh": {"/bin/sh"}}
	if path, err := exec.LookPath("busybox"); err == nil {
		shells["busybox"] = []string{path, "sh"}
	}
	for name, shell := range shells {
		t.Run(name, func(t *testing.T) { documentRuns(t, shell) })
	}
}

func documentRuns(t *testing.T, shell []string) {
	test := func(name string, f func(*testing.T, *site)) {
		t.Run(name, func(t *testing.T) { f(t, newSite(t, shell)) })
	}

	test("fetches once", func(t *testing.T, s *site) {
		answered(t, s.run(t, "dry-run", s.url()), "dry-run")
		answered(t, s.run(t, "begin", s.url()), "begin")
		answered(t, s.run(t, "thaw", ""), "thaw")
		if got := s.hits.Load(); got != 1 {
			t.Errorf("got %d fetches, want 1", got)
		}
		for _, path := range []string{s.home, filepath.Dir(s.helper()), s.helper()} {
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			if got := info.Mode().Perm(); got != 0o700 {
				t.Errorf("%s: got mode %o, want 700", path, got)
			}
		}
	})
	test("with wget where there is no curl", func(t *testing.T, s *site) {
		s.path = tools(t, "wget", "sha256sum", "base64", "mkdir", "chmod", "mv", "rm", "ls", "id")
		answered(t, s.run(t, "dry-run", s.url()), "dry-run")
	})
	test("with neither", func(t *testing.T, s *site) {
		s.path = tools(t, "sha256sum", "base64", "mkdir", "chmod", "mv", "rm", "ls", "id")
		notDelivered(t, s, s.run(t, "dry-run", s.url()), "neither curl nor wget")
	})
	test("refuses another file", func(t *testing.T, s *site) {
		s.served = []byte("#!/bin/sh\necho evil\n")
		notDelivered(t, s, s.run(t, "dry-run", s.url()), "checksum differs")
	})
	test("replaces another file", func(t *testing.T, s *site) {
		answered(t, s.run(t, "dry-run", s.url()), "dry-run")
		if err := os.WriteFile(s.helper(), []byte("#!/bin/sh\necho evil\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		answered(t, s.run(t, "begin", s.url()), "begin")
	})
	test("removes another file that it cannot replace", func(t *testing.T, s *site) {
		answered(t, s.run(t, "dry-run", s.url()), "dry-run")
		if err := os.WriteFile(s.helper(), []byte("#!/bin/sh\necho evil\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		notDelivered(t, s, s.run(t, "begin", ""), "no address was given")
	})
	test("denied by the bucket", func(t *testing.T, s *site) {
		s.served = nil
		notDelivered(t, s, s.run(t, "begin", s.url()), "could not fetch")
	})
	test("no network", func(t *testing.T, s *site) {
		s.bucket.Close()
		notDelivered(t, s, s.run(t, "begin", s.url()), "could not fetch")
	})
	test("an address that is none", func(t *testing.T, s *site) {
		notDelivered(t, s, s.run(t, "begin", "file:///etc/passwd"), "not of http")
	})
	test("a home that others may write to", func(t *testing.T, s *site) {
		if err := os.Mkdir(s.home, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(s.home, 0o777); err != nil {
			t.Fatal(err)
		}
		notDelivered(t, s, s.run(t, "dry-run", s.url()), "others may write")
	})
	test("a helper that others may replace", func(t *testing.T, s *site) {
		answered(t, s.run(t, "dry-run", s.url()), "dry-run")
		if err := os.Chmod(filepath.Dir(s.helper()), 0o720); err != nil {
			t.Fatal(err)
		}
		if got := s.run(t, "begin", s.url()); got.code != 210 || got.stdout != "" {
			t.Errorf("got %+v, want 210", got)
		}
	})
	test("a home of somebody else", func(t *testing.T, s *site) {
		if os.Getuid() != 0 {
			t.Skip("only root can give a directory away")
		}
		if err := os.Mkdir(s.home, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(s.home, 65534, 65534); err != nil {
			t.Fatal(err)
		}
		notDelivered(t, s, s.run(t, "dry-run", s.url()), "belongs to user 65534")
	})
	// Without a single program in its PATH it can neither write nor fetch.
	test("touches nothing within the window", func(t *testing.T, s *site) {
		answered(t, s.run(t, "begin", s.url()), "begin")
		s.path = "/nonexistent"
		for _, verb := range []string{"freeze", "probe", "thaw", "status"} {
			answered(t, s.run(t, verb, s.url()), verb)
		}
		if got := s.hits.Load(); got != 1 {
			t.Errorf("got %d fetches, want 1", got)
		}
	})
	test("fetches for a late thaw", func(t *testing.T, s *site) {
		answered(t, s.run(t, "thaw", s.url()), "thaw")
	})
}
