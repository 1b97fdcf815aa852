package etcdha

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// uptime is the time since the machine was started. Unlike the monotonic clock of package time it goes on while the machine
// sleeps, as the lease does that others count down.
func uptime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		panic(fmt.Sprintf("etcdha: this system has no clock that counts its sleep: %v", err))
	}
	return time.Duration(t.Nano())
}

// sleep waits, and says whether it was to the end.
func sleep(done <-chan struct{}, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-done:
		return false
	}
}
