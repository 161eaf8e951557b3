//go:build !unix

package servers

import (
	"os"
	"os/exec"
)

// There are no servers to start on these systems: this lets the package compile.

func reap(int) bool       { return false }
func suspend(*os.Process) {}
func proceed(*os.Process) {}

func runAs(*exec.Cmd, int, int) {}
