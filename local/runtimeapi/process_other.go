//go:build !unix

package runtimeapi

import "os/exec"

func separate(*exec.Cmd) {}

func end(cmd *exec.Cmd) { _ = cmd.Process.Kill() }
