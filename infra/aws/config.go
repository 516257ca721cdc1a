package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"github.com/quiesce/quiesce/shared/policy"
)

// config is what one deployment is made of. Every field has a default that
// works; README.md says what each is for.
type config struct {
	name           string            // the beginning of every name in the account
	dist           string            // the folder of `make package`
	policies       []policy.Document // in the order of their file names
	alarmEmail     string
	frozenWindowMs float64
	logDays        float64
	documentHash   string
	restoreRoles   []string // ARNs of the roles that an instance of a restored image may have
	shadowHash     string
}

const (
	defaultName   = "quiesce"
	defaultFrozen = 5000 // ms; writers notice long before
	defaultLog    = 90
)

// retentions are the numbers of days that CloudWatch Logs can keep logs for.
var retentions = []float64{1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1827, 3653}

// A name begins a bucket's, a queue's and a function's: lower case, and short
// enough for the longest of them. AWS keeps some beginnings for itself.
var (
	plainName = regexp.MustCompile(`^[a-z][a-z0-9-]{1,23}$`)
	roleARN   = regexp.MustCompile(`^arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9+=,.@_/-]+$`)
	reserved  = regexp.MustCompile(`^(aws|amazon|amzn|default$)`)
)

// fromContext reads the context that cdk.json and `-c key=value` give.
func fromContext(node constructs.Node, dist string) (config, error) {
	c := config{name: defaultName, dist: dist, frozenWindowMs: defaultFrozen, logDays: defaultLog}
	var err error
	text := func(key string, into *string) {
		if v := node.TryGetContext(jsii.String(key)); v != nil && fmt.Sprint(v) != "" {
			*into = fmt.Sprint(v)
		}
	}
	number := func(key string, into *float64) {
		var s string
		if text(key, &s); s == "" {
			return
		}
		n, bad := strconv.ParseFloat(s, 64)
		if bad != nil || n <= 0 {
			err = errors.Join(err, fmt.Errorf("context %s wants a number above 0, got %q", key, s))
		}
		*into = n
	}
	var folder string
	text("name", &c.name)
	text("policies", &folder)
	text("dist", &c.dist)
	text("alarmEmail", &c.alarmEmail)
	text("documentHash", &c.documentHash)
	var roles string
	text("restoreRoles", &roles)
	for _, role := range strings.FieldsFunc(roles, func(r rune) bool { return r == ',' || r == ' ' }) {
		if !roleARN.MatchString(role) {
			err = errors.Join(err, fmt.Errorf("context restoreRoles wants ARNs of roles, a comma between two, got %q", role))
		}
		c.restoreRoles = append(c.restoreRoles, role)
	}
	text("shadowDocumentHash", &c.shadowHash)
	number("frozenWindowMs", &c.frozenWindowMs)
	number("logDays", &c.logDays)
	if !slices.Contains(retentions, c.logDays) {
		err = errors.Join(err, fmt.Errorf("context logDays wants one of %v, got %v", retentions, c.logDays))
	}
	if !plainName.MatchString(c.name) || reserved.MatchString(c.name) {
		err = errors.Join(err, fmt.Errorf("context name wants 2-24 lower-case letters, digits or dashes, and no beginning that AWS reserves, got %q", c.name))
	}
	if err != nil || folder == "" {
		return c, err
	}
	c.policies, err = readPolicies(folder)
	return c, err
}

// readPolicies reads every policy file of a folder. One that is wrong stops
// the synthesis with its file and line, so that nothing of it is deployed.
func readPolicies(folder string) ([]policy.Document, error) {
	var all []policy.Document
	var wrong error
	paths, err := filepath.Glob(filepath.Join(folder, "*.y*ml"))
	if err == nil && len(paths) == 0 {
		err = fmt.Errorf("context policies names %s, where no policy file (*.yaml) is", folder)
	}
	if err != nil {
		return nil, err
	}
	owner := map[string]string{}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		document, err := policy.Read(path, data)
		if err != nil {
			wrong = errors.Join(wrong, err)
			continue
		}
		if first, taken := owner[document.Name]; taken {
			wrong = errors.Join(wrong, fmt.Errorf("%s: name: %q is the name of the policy in %s too", path, document.Name, first))
			continue
		}
		owner[document.Name] = path
		all = append(all, document)
	}
	return all, wrong
}
