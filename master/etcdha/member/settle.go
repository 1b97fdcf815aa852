package member

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// leftover is what there is of a restoration in a folder.
type leftover int

const (
	leftNothing leftover = iota
	leftHalf             // it was cut off before it was decided: nobody knows whether it can be used, and it goes
	leftDecided          // all of it is in the stage or was moved from there: whoever comes may finish it or, until leftDone, take it back
	leftDone             // only what is of no use is in the stage: the folder is a data directory
)

// leftIn says what there is of a restoration in a folder. A restoration is decided by the identity in its stage saying what it was
// restored from; that is written when everything else is there and has been read once. No master starts on a folder with a stage, so
// what was moved out of it is as it was made.
func leftIn(path string) (leftover, error) {
	if _, err := os.Stat(filepath.Join(path, stageName)); errors.Is(err, fs.ErrNotExist) {
		return leftNothing, nil
	} else if err != nil {
		return leftNothing, err
	}
	staged, there, err := peek(filepath.Join(path, stageName))
	if err != nil {
		return leftNothing, err
	}
	if staged.Restored != nil {
		return leftDecided, nil
	}
	moved, _, err := peek(path)
	if err == nil && !there && moved.Restored != nil {
		return leftDone, nil
	}
	return leftHalf, err
}

// peek reads a folder's identity, if there is one. One that cannot be parsed is there, and empty.
func peek(path string) (id Identity, there bool, err error) {
	data, err := os.ReadFile(filepath.Join(path, identityName))
	if errors.Is(err, fs.ErrNotExist) {
		return id, false, nil
	}
	if err != nil {
		return id, false, err
	}
	if json.Unmarshal(data, &id) != nil {
		id = Identity{}
	}
	return id, true, nil
}

// settling are the steps by which a folder becomes the data directory that was restored in its stage. Each leaves alone what is done
// already, so whoever finds them cut off does all of them again. The folder is the data directory when its identity is moved.
func settling(path string) []func() error {
	return []func() error{
		func() error { return move(filepath.Join(path, stageName, etcdName), filepath.Join(path, etcdName)) },
		func() error {
			return move(filepath.Join(path, stageName, identityName), filepath.Join(path, identityName))
		},
		func() error { return os.RemoveAll(filepath.Join(path, stageName)) },
		func() error { return syncDir(path) }, // else a loss of power might bring the stage back, beside what a master did since
	}
}

// settle takes all steps.
func settle(path string) error {
	for _, step := range settling(path) {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// unsettle takes back what was moved of a restoration that is not done, so that all of it is in the stage.
func unsettle(path string) error {
	if left, err := leftIn(path); err != nil || left != leftDecided {
		return err
	}
	if _, err := os.Stat(filepath.Join(path, stageName, etcdName)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return move(filepath.Join(path, etcdName), filepath.Join(path, stageName, etcdName))
}

// move renames a file or folder, and sees to that the disk has it. It does nothing if from is not there.
func move(from, to string) error {
	err := os.Rename(from, to)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return errors.Join(err, syncDir(filepath.Dir(to)), syncDir(filepath.Dir(from)))
}

// syncTree sees to that the disk has the names of all that is below a folder.
func syncTree(path string) error {
	return filepath.WalkDir(path, func(name string, e fs.DirEntry, err error) error {
		if err != nil || !e.IsDir() {
			return err
		}
		return syncDir(name)
	})
}

// recover finishes a restoration that was cut off after it was decided, and refuses the folder if it was before.
func (d *Dir) recover() error {
	left, err := leftIn(d.path)
	switch {
	case err == nil && left == leftHalf:
		return fmt.Errorf("%w: a snapshot was being restored to %s, and that was cut off: run millrace master restore again, or empty the folder", ErrForeign, d.path)
	case err == nil && left != leftNothing:
		err = settle(d.path)
	}
	if err != nil {
		return fmt.Errorf("data directory %s: %w", d.path, err)
	}
	return nil
}
