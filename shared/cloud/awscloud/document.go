package awscloud

import _ "embed"

//go:embed document.yaml
var document string

// Document is the command document through which Send reaches the helper, in
// YAML: its shell text is fixed and takes data by pattern-bound parameters.
func Document() string { return document }
