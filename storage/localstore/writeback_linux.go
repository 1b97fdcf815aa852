package localstore

import (
	"os"
	"syscall"
)

const syncFileRangeWrite = 2 // SYNC_FILE_RANGE_WRITE: begin to write what is not being written yet, and do not wait

// beginWriteback lets the disk begin with some bytes of f. It is a hint, so its errors do not count: what it does not do is
// left to fsync, which tells of every error of the disk.
func beginWriteback(f *os.File, off, n int64) {
	_ = syscall.SyncFileRange(int(f.Fd()), off, n, syncFileRangeWrite)
}
