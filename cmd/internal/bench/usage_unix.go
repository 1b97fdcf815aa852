//go:build unix

package bench

import (
	"os"
	"runtime"
	"syscall"
)

// peakRSS is the largest resident memory of a process that has ended, in bytes.
func peakRSS(p *os.ProcessState) int64 {
	usage, ok := p.SysUsage().(*syscall.Rusage)
	if !ok {
		return 0
	}
	if runtime.GOOS == "darwin" || runtime.GOOS == "ios" {
		return usage.Maxrss // in bytes there
	}
	return usage.Maxrss * 1024
}
