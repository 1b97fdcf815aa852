package command

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/millrace/millrace/jobs"
)

// place is where the commands of an attempt run:
//
//	files/      the files that the job names, once for the attempt; not to be changed
//	run-N/      the folder of one process, with links to them, which goes with it
//
// A process finds nothing of the one before it: what a mapper makes of an object must not depend on which others its split has.
type place struct {
	root    string
	own     bool // root is this call's own, and goes with it
	mapOnly bool
	files   []string // names in files/
}

// filesFolder holds the files of an attempt.
const filesFolder = "files"

// open finds the attempt's place, and makes it at the attempt's first call.
func (p *Program) open(t *jobs.Task) (*place, error) {
	at := &place{mapOnly: p.mapOnly()}
	var err error
	if t.Scratch != nil {
		at.root, err = t.Scratch()
	} else {
		at.own = true
		at.root, err = os.MkdirTemp("", "millrace-command-")
	}
	if err != nil {
		return nil, fmt.Errorf("make a folder for commands: %w", err)
	}
	if err := at.put(p.files, t.Side); err != nil {
		at.close()
		return nil, fmt.Errorf("write the commands' files: %w", err)
	}
	return at, nil
}

// close removes what is this call's own.
func (p *place) close() {
	if p.own {
		removeAll(p.root)
	}
}

// put writes the files, unless an earlier call of the attempt has.
func (p *place) put(files []File, data *jobs.SideData) error {
	dir := filepath.Join(p.root, filesFolder)
	for _, f := range files {
		p.files = append(p.files, f.Name)
	}
	if len(files) == 0 {
		return nil
	}
	if data == nil {
		return errors.New("the engine gives them no bytes")
	}
	if _, err := os.Stat(filepath.Join(dir, files[len(files)-1].Name)); err == nil {
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for i, f := range files {
		if err := writeFile(filepath.Join(dir, f.Name), data.File(i)); err != nil {
			return err
		}
	}
	return nil
}

// writeFile writes an executable file. No process may be forked meanwhile: it would hold the file open for writing until it executes
// its own program, and who executes the file then is told that it is busy.
func writeFile(name string, data []byte) error {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	return os.WriteFile(name, data, 0o500)
}

// folder makes the folder of one process.
func (p *place) folder() (string, error) {
	for n := 0; ; n++ {
		dir := filepath.Join(p.root, "run-"+strconv.Itoa(n))
		err := os.Mkdir(dir, 0o700)
		if errors.Is(err, os.ErrExist) {
			continue // of a mapper that is under way while a combiner begins, or what a process left behind
		}
		if err != nil {
			return "", err
		}
		for _, name := range p.files {
			if err := os.Symlink(filepath.Join(p.root, filesFolder, name), filepath.Join(dir, name)); err != nil {
				return "", err
			}
		}
		return dir, nil
	}
}

// removeAll deletes a folder, also where a command has left folders that may not be written to, as caches of modules are. What cannot
// be deleted, since a process that got away writes there, goes with the worker's own folder.
func removeAll(dir string) {
	if os.RemoveAll(dir) == nil {
		return
	}
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() { // it is read after this
			_ = os.Chmod(path, 0o700)
		}
		return nil
	})
	_ = os.RemoveAll(dir)
}
