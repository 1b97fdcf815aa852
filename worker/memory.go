package worker

import (
	"math"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// DefaultMemory is half of the memory that this process may use: of its cgroup's limit or, without one, of the machine's.
func DefaultMemory() int64 {
	total := int64(math.MaxInt64)
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err == nil {
		total = int64(info.Totalram) * int64(info.Unit)
	}
	for _, file := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		if b, err := os.ReadFile(file); err == nil {
			if n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64); err == nil && n > 0 {
				total = min(total, n)
			}
		}
	}
	if total == math.MaxInt64 {
		return fallbackMemory
	}
	return total / 2
}

// fallbackMemory is the default where neither the machine nor a cgroup tells its size, bytes.
const fallbackMemory = 1 << 30
