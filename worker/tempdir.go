package worker

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// A worker's temporary files lie in one folder, which it locks for as long as it lives. A folder without a lock was left
// by a worker that was killed, and the next worker on the machine removes it.
const (
	tempPrefix = "millrace-worker-"
	lockName   = "lock"
)

// tempDir is a worker's folder and the lock on it.
type tempDir struct {
	path string
	lock *os.File
}

// makeTempDir removes what dead workers left under parent and makes a folder for this one.
func makeTempDir(parent string) (tempDir, error) {
	if err := sweepTempDirs(parent); err != nil {
		return tempDir{}, err
	}
	dir, err := os.MkdirTemp(parent, tempPrefix)
	if err != nil {
		return tempDir{}, fmt.Errorf("worker: make temporary folder: %w: choose another place with --temp-dir", err)
	}
	lock, err := lockDir(dir)
	if err != nil {
		return tempDir{}, fmt.Errorf("worker: lock temporary folder: %w", err)
	}
	return tempDir{dir, lock}, nil
}

// remove deletes the folder and gives up the lock.
func (t tempDir) remove() error {
	if err := errors.Join(os.RemoveAll(t.path), t.lock.Close()); err != nil {
		return fmt.Errorf("worker: remove temporary files: %w", err)
	}
	return nil
}

// lockDir takes the lock of a worker's folder; the file is nil if a living worker has it.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_CREATE|os.O_RDWR, 0o600)
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

func sweepTempDirs(parent string) error {
	entries, err := os.ReadDir(parent)
	if err != nil {
		return fmt.Errorf("worker: read temporary folder: %w: choose another place with --temp-dir", err)
	}
	for _, e := range entries {
		dir := filepath.Join(parent, e.Name())
		if !e.IsDir() || !strings.HasPrefix(e.Name(), tempPrefix) {
			continue
		}
		if _, err := os.Stat(filepath.Join(dir, lockName)); err != nil {
			continue // just being made by another worker, or not ours to read
		}
		lock, err := lockDir(dir)
		if err != nil || lock == nil {
			continue // another user's, or alive
		}
		if err := (tempDir{dir, lock}).remove(); err != nil {
			return err
		}
	}
	return nil
}
