package servers

import "syscall"

// dieWithParent lets the kernel kill the child when this process ends in any way, a test's timeout or kill -9 included.
func dieWithParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGKILL }
