package servers

import (
	"os/exec"
	"syscall"
)

// dieWithParent makes the kernel kill cmd when the test binary dies, however
// it dies. The kernel watches the thread that started cmd, not the process; Go
// keeps its threads but for those that a goroutine locks and never unlocks.
func dieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
