package localstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/millrace/millrace/storage"
)

// explain turns an error of the operating system into one of package storage, without the path of the object: the Store
// names that. nil stays nil.
func explain(err error) error {
	switch {
	case err == nil:
		return nil
	case isAny(err, storage.ErrNotFound, storage.ErrPrecondition):
		return err
	case isAny(err, fs.ErrNotExist, syscall.ENOTDIR):
		return storage.ErrNotFound
	case isAny(err, fs.ErrPermission, syscall.EROFS):
		return fmt.Errorf("%w (%v)", storage.ErrDenied, cause(err))
	case isAny(err, syscall.ENOSPC, syscall.EDQUOT):
		return noSpace(err)
	case isAny(err, syscall.EMFILE, syscall.ENFILE, syscall.ESTALE, syscall.EAGAIN, syscall.EINTR):
		return storage.Transient(cause(err)) // others must close files first; a network file system must settle
	default:
		return cause(err)
	}
}

// explainAt is explain for something other than the object itself, whose path it names.
func explainAt(path string, err error) error {
	if err = explain(err); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// noSpace names the folder whose file system is full.
func noSpace(err error) error {
	if at, ok := errors.AsType[*fs.PathError](err); ok {
		return fmt.Errorf("%w on the file system of %s", storage.ErrNoSpace, filepath.Dir(at.Path))
	}
	return fmt.Errorf("%w (%v)", storage.ErrNoSpace, err)
}

func isAny(err error, targets ...error) bool {
	for _, t := range targets {
		if errors.Is(err, t) {
			return true
		}
	}
	return false
}

// cause is an error without the path that the os package puts before it.
func cause(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	if e, ok := errors.AsType[*os.LinkError](err); ok {
		return e.Err
	}
	return err
}
