package shuffle

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// punchHole gives the space of some bytes of f back; they read as zeros. A file system that cannot do that keeps them.
func punchHole(f *os.File, off, n int64) error {
	var err error = unix.EINTR
	for errors.Is(err, unix.EINTR) {
		err = unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, n)
	}
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return nil
	}
	return err
}
