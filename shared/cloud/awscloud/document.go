package awscloud

import (
	_ "embed"
	"strings"

	"github.com/quiesce/quiesce/shared/cloud/delivery"
)

//go:embed document.yaml
var document string

// indent is that of the shell text in the document.
const indent = "          "

// Document is the command document through which Send reaches the helper, in
// YAML: its shell text is fixed and takes data by pattern-bound parameters.
func Document() string {
	var b strings.Builder
	b.WriteString(document)
	for line := range strings.Lines(delivery.Script()) {
		if line != "\n" {
			b.WriteString(indent)
		}
		b.WriteString(line)
	}
	return b.String()
}
