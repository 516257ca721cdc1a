package main

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/quiesce/quiesce/shared/fault"
)

func faults(root string) (string, error) {
	files, err := parse(filepath.Join(root, "shared", "fault"))
	if err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "| code | may pass by itself | next move |\n|---|---|---|\n")
	n := 0
	for _, c := range constants(files) {
		code := fault.Code(c.value)
		if !code.Known() {
			continue
		}
		n++
		passes := ""
		if code.Retryable() {
			passes = "yes"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", code, passes, cell(code.NextMove()))
	}
	if n != len(fault.Codes()) {
		return "", fmt.Errorf("found %d codes of %d", n, len(fault.Codes()))
	}
	return b.String(), nil
}
