package master

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"github.com/millrace/millrace/storage/manifest"
)

// thisProcess says which process of which machine this is.
func thisProcess() manifest.Process {
	return manifest.Process{Machine: machine(), PID: os.Getpid(), Start: processStart(os.Getpid())}
}

// machine names this machine since its boot, and the namespace of process ids in it: elsewhere the same id is another process. Where
// nothing but the host's name is known, that is it.
func machine() string {
	host, _ := os.Hostname()                                  // without one, what follows tells
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id") // Linux
	space, _ := os.Readlink("/proc/self/ns/pid")
	return strings.Join([]string{host, strings.TrimSpace(string(boot)), space}, "/")
}

// processStart is when a process began, in the words of its system; "" if that is not known.
func processStart(pid int) string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	const startTime = 19 // of the fields behind the name, which may have blanks and brackets: proc(5), starttime
	fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	if len(fields) <= startTime {
		return ""
	}
	return fields[startTime]
}

// processGone says whether a process is known to have ended.
func processGone(p manifest.Process) bool {
	if p.Machine != machine() || p.PID <= 0 {
		return false
	}
	found, err := os.FindProcess(p.PID)
	if err != nil {
		return false
	}
	err = found.Signal(syscall.Signal(0))
	if errors.Is(err, os.ErrProcessDone) || errors.Is(err, syscall.ESRCH) {
		return true
	}
	return p.Start != "" && processStart(p.PID) != p.Start
}
