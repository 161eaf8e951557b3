//go:build unix

package servers

import (
	"os"
	"os/exec"
	"syscall"
)

// reap tells, without waiting, whether the child pid has ended, and takes its
// status away from the system. Watching it this way needs no goroutine, which a
// test that looks for leaked ones would find.
func reap(pid int) bool {
	var status syscall.WaitStatus
	got, err := syscall.Wait4(pid, &status, syscall.WNOHANG, nil)
	return got == pid || err == syscall.ECHILD
}

func suspend(p *os.Process) { p.Signal(syscall.SIGSTOP) }
func proceed(p *os.Process) { p.Signal(syscall.SIGCONT) }

// runAs makes cmd another user's process. It needs root.
func runAs(cmd *exec.Cmd, uid, gid int) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}
