package command

import (
	"errors"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// pipeSize is what a pipe should hold, bytes: with the usual 64 KiB, command and engine wait for each other more often.
const pipeSize = 1 << 20

// widen makes a pipe larger, where the system allows it.
func widen(f *os.File) {
	if c, err := f.SyscallConn(); err == nil {
		_ = c.Control(func(fd uintptr) { _, _ = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, pipeSize) }) // it works as it is, too
	}
}

// groupOfItsOwn starts a process as the first of its group.
func groupOfItsOwn() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// awaitExit returns when the first process has ended, and leaves it to be reaped.
func awaitExit(c *exec.Cmd) {
	for {
		err := unix.Waitid(unix.P_PID, c.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return // of other errors Wait will tell
		}
	}
}

// kill kills all processes of the group. The first one has not been reaped, so that the number is still theirs.
func kill(c *exec.Cmd) {
	_ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL) // fails when they are all gone
}
