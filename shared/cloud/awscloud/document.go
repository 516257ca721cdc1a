package awscloud

import (
	_ "embed"
	"strings"

	"github.com/quiesce/quiesce/shared/cloud/delivery"
)

//go:embed document.yaml
var document string

//go:embed shadow.yaml
var shadowHead string

//go:embed revert.yaml
var revertHead string

// The PowerShell of the documents: what both begin with, and each one's own.
var (
	//go:embed windows.ps1
	windowsScript string
	//go:embed shadow.ps1
	shadowScript string
	//go:embed revert.ps1
	revertScript string
)

// indent is that of the shell text in the document.
const indent = "          "

// Document is the command document through which Send reaches the helper, in
// YAML: its shell text is fixed and takes data by pattern-bound parameters.
func Document() string { return with(document, delivery.Script()) }

// ShadowDocument is the one through which SendShadow makes shadow copies, and
// drops them.
func ShadowDocument() string { return with(shadowHead, ShadowScript()) }

// RevertDocument is the one with which an operator goes back to the shadow copies
// on restored disks: no step sends it.
func RevertDocument() string { return with(revertHead, RevertScript()) }

// ShadowScript and RevertScript are the PowerShell in the documents, as it runs.
func ShadowScript() string { return windowsScript + "\n" + shadowScript }

// RevertScript is that of RevertDocument.
func RevertScript() string { return windowsScript + "\n" + revertScript }

// with puts a script under the head of a document.
func with(head, script string) string {
	var b strings.Builder
	b.WriteString(head)
	for line := range strings.Lines(script) {
		if line != "\n" {
			b.WriteString(indent)
		}
		b.WriteString(line)
	}
	return b.String()
}
