//go:build unix && !linux

package command

import (
	"os"
	"os/exec"
	"syscall"
)

func widen(*os.File) {}

// groupOfItsOwn starts a process as the first of its group.
func groupOfItsOwn() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// awaitExit returns when the first process has ended.
func awaitExit(c *exec.Cmd) { _ = c.Wait() } // what it says is in ProcessState

// kill kills all processes of the group.
func kill(c *exec.Cmd) {
	_ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL) // fails when they are all gone
}
