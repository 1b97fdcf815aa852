package worker

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A worker's temporary files lie in one folder, which it locks for as long as it lives. A folder without a lock was left
// by a worker that was killed, and the next worker on the machine removes it.
const (
	tempPrefix = "millrace-worker-"
	lockName   = "lock"
)

// lockless is how long a folder may be without a lock file before its worker is taken for dead: one is just being made or
// removed, unless its worker was killed over that.
const lockless = time.Hour

// tempDir is a worker's folder and the lock on it.
type tempDir struct {
	path string
	lock *os.File
}

// makeTempDir removes what dead workers left under parent and makes a folder for this one.
func makeTempDir(parent string) (tempDir, error) {
	if err := sweepTempDirs(parent, time.Now().Add(-lockless)); err != nil {
		return tempDir{}, err
	}
	for {
		dir, err := os.MkdirTemp(parent, tempPrefix)
		if err != nil {
			return tempDir{}, fmt.Errorf("worker: make temporary folder: %w: choose another place with --temp-dir", err)
		}
		lock, err := lockDir(dir, os.O_CREATE)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return tempDir{}, errors.Join(fmt.Errorf("worker: lock temporary folder: %w", err), os.RemoveAll(dir))
		}
		if lock == nil {
			continue // another worker took the new folder for that of a dead one, before there was a lock on it
		}
		if inPlace(lock) {
			return tempDir{dir, lock}, nil
		}
		if err := lock.Close(); err != nil {
			return tempDir{}, fmt.Errorf("worker: lock temporary folder: %w", err)
		}
	}
}

// remove deletes the folder and gives up the lock.
func (t tempDir) remove() error {
	if err := errors.Join(os.RemoveAll(t.path), t.lock.Close()); err != nil {
		return fmt.Errorf("worker: remove temporary files: %w", err)
	}
	return nil
}

// lockDir takes the lock of a worker's folder; the file is nil if somebody else has it.
func lockDir(dir string, flags int) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|flags, 0o600)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		return f, nil
	}
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = nil
	}
	return nil, errors.Join(err, f.Close())
}

// inPlace says whether an open file still lies under its name.
func inPlace(f *os.File) bool {
	open, err := f.Stat()
	if err != nil {
		return false
	}
	named, err := os.Stat(f.Name())
	return err == nil && os.SameFile(open, named)
}

// sweepTempDirs removes the folders of dead workers, and what has had no lock file since before old.
func sweepTempDirs(parent string, old time.Time) error {
	entries, err := os.ReadDir(parent)
	if err != nil {
		return fmt.Errorf("worker: read temporary folder: %w: choose another place with --temp-dir", err)
	}
	for _, e := range entries {
		if !e.IsDir() || !strings.HasPrefix(e.Name(), tempPrefix) {
			continue
		}
		dir := filepath.Join(parent, e.Name())
		lock, err := lockDir(dir, 0)
		switch {
		case errors.Is(err, os.ErrNotExist):
			if info, err := e.Info(); err != nil || !info.ModTime().Before(old) {
				continue
			}
			if err := os.RemoveAll(dir); err != nil {
				return fmt.Errorf("worker: remove what a dead worker left: %w", err)
			}
		case err != nil || lock == nil: // another user's, or alive
		default:
			if err := (tempDir{dir, lock}).remove(); err != nil {
				return err
			}
		}
	}
	return nil
}
