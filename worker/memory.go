package worker

import (
	"math"
	"os"
	"runtime/debug"
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

// gcRoom is how much is allocated between two garbage collections at least, bytes. The runtime's own measure is what is
// live, and that is little here while many blocks of input come and go: a collection for each 8 MB of them cost 3 % of a
// word count, and more of a small job. With much more room the garbage leaves the processor's caches and takes fresh pages.
const (
	gcRoom      = 32 << 20
	gcRoomShare = 8 // and an 8th of the memory at most
)

// LimitMemory tells the runtime to keep this process within memory bytes, and to collect garbage no more often than pays, as
// GCRoom does.
func LimitMemory(memory int64) (room []byte) {
	room = GCRoom(memory)
	debug.SetMemoryLimit(memory + int64(len(room)))
	return room
}

// GCRoom tells the runtime to collect garbage no more often than pays, where buffers take memory bytes. The result must be kept
// alive for as long as that is to last: its pages are never touched, so it takes no memory, but the runtime counts it as live.
func GCRoom(memory int64) (room []byte) {
	return make([]byte, max(0, min(gcRoom, memory/gcRoomShare)))
}
