package localstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/millrace/millrace/storage"
)

const (
	// readers is how many folders are read at a time: two do for a local disk, a network file system waits.
	readers = 16
	// ahead is how many of a folder's sub-folders are read before their turn. It bounds what a listing holds.
	ahead = 32
)

// List implements storage.Backend. Only "/" is a delimiter.
func (b *Backend) List(ctx context.Context, prefix, delim string, yield func(storage.Object) bool) error {
	return b.walk(ctx, &walker{}, prefix, delim, yield)
}

// ListInputs implements storage.InputLister.
func (b *Backend) ListInputs(ctx context.Context, prefix, delim string, skip func(string) bool, yield func(storage.Object) bool) error {
	return b.walk(ctx, &walker{skip: skip, readable: true}, prefix, delim, yield)
}

// ListLitter implements storage.Littered: temporary files, and the bytes of uploads that have no log.
func (b *Backend) ListLitter(ctx context.Context, prefix string, yield func(storage.Object) bool) error {
	return b.walk(ctx, &walker{litter: true}, prefix, "", yield)
}

func (b *Backend) walk(ctx context.Context, w *walker, prefix, delim string, yield func(storage.Object) bool) error {
	if delim != "" && delim != "/" {
		return fmt.Errorf("list by %q: files are listed by \"/\" only", delim)
	}
	folder := prefix[:strings.LastIndexByte(prefix, '/')+1]
	if folder != "" {
		if _, err := b.path(strings.TrimSuffix(folder, "/")); err != nil {
			return err
		}
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // before the wait: what was read ahead in vain stops
	w.ctx, w.wg, w.yield, w.flat, w.slots = ctx, &wg, yield, delim == "", make(chan struct{}, readers)
	top := &dir{path: filepath.Join(b.o.Root, folder), prefix: folder, begins: prefix[len(folder):]}
	_, err := w.visit(top)
	return err
}

// walker lists files in the order of their keys. It walks in order in one goroutine and has the next folders read by
// others, which is where the time goes: a folder of one file costs five system calls.
type walker struct {
	skip     func(name string) bool // leaves names out, nil: none
	readable bool                   // a file that may not be read is an error
	logs     bool                   // the logs of pending uploads instead of objects
	litter   bool                   // what ListLitter lists instead of objects

	ctx   context.Context
	wg    *sync.WaitGroup
	slots chan struct{}
	yield func(storage.Object) bool
	flat  bool
}

// dir is a folder to be read.
type dir struct {
	path   string
	prefix string // of its keys; empty or ends in a slash
	begins string // what its names must begin with

	done    chan struct{} // nil until someone reads it; closed when entries and err are set
	entries []entry
	err     error
}

// entry is a file or, with sub, a folder.
type entry struct {
	object storage.Object
	sub    *dir
}

// visit yields what lies in a folder. more is false when the listing is to end.
func (w *walker) visit(d *dir) (more bool, err error) {
	if err := w.wait(d); err != nil {
		return false, err
	}
	entries := d.entries
	d.entries = nil // the parent keeps d until it is through
	next := 0       // entries before it have been handed out
	for i, e := range entries {
		if e.sub == nil || !w.flat {
			if !w.yield(e.object) {
				return false, nil
			}
			continue
		}
		next = w.readAhead(entries, max(next, i+1), i+ahead)
		if more, err = w.visit(e.sub); err != nil || !more {
			return false, err
		}
		entries[i].sub = nil
	}
	return true, w.ctx.Err()
}

// readAhead has the folders among entries[from:to] read.
func (w *walker) readAhead(entries []entry, from, to int) int {
	to = max(from, min(to, len(entries)))
	for _, e := range entries[from:to] {
		if e.sub == nil {
			continue
		}
		e.sub.done = make(chan struct{})
		w.wg.Go(func() {
			w.slots <- struct{}{}
			defer func() { <-w.slots }()
			w.read(e.sub)
			close(e.sub.done)
		})
	}
	return to
}

// wait makes sure that a folder has been read.
func (w *walker) wait(d *dir) error {
	if d.done == nil {
		w.read(d)
		return d.err
	}
	<-d.done
	return d.err
}

// read reads a folder. One that is not there is empty: it is so on S3, and it may have gone since its parent was read.
func (w *walker) read(d *dir) {
	if d.err = w.ctx.Err(); d.err != nil {
		return
	}
	names, err := os.ReadDir(d.path)
	if err = explainAt(d.path, err); err != nil {
		if !errors.Is(err, storage.ErrNotFound) {
			d.err = err
		}
		return
	}
	d.entries = make([]entry, 0, len(names))
	for _, name := range names {
		e, ok, err := w.entry(d, name)
		if err != nil {
			d.err = err
			return
		}
		if ok {
			d.entries = append(d.entries, e)
		}
	}
	slices.SortFunc(d.entries, func(a, b entry) int { return cmp.Compare(a.object.Key, b.object.Key) })
}

// entry looks at one name in a folder. ok is false for what is not listed.
func (w *walker) entry(d *dir, de fs.DirEntry) (e entry, ok bool, err error) {
	name, path := de.Name(), filepath.Join(d.path, de.Name())
	if de.IsDir() {
		name += "/"
	}
	_, suffix, hidden := splitHidden(name)
	if w.logs && !de.IsDir() {
		return entry{object: storage.Object{Key: d.prefix + name}}, suffix == partsSuffix, nil
	}
	if w.litter && !de.IsDir() {
		if suffix != tmpSuffix && suffix != pendingSuffix || !strings.HasPrefix(name, d.begins) {
			return entry{}, false, nil
		}
		return litter(d, path, de, suffix)
	}
	if hidden || !strings.HasPrefix(name, d.begins) || w.skip != nil && w.skip(name) {
		return entry{}, false, nil
	}
	if de.IsDir() {
		key := d.prefix + name
		return entry{storage.Object{Key: key, Size: -1}, &dir{path: path, prefix: key}}, true, nil
	}
	fi, err := fileInfo(path, de)
	if fi == nil || err != nil {
		return entry{}, false, explainAt(path, err)
	}
	if w.readable && fi.Mode()&0o444 != 0o444 {
		if err := unix.Access(path, unix.R_OK); err != nil {
			return entry{}, false, explainAt(path, err)
		}
	}
	return entry{object: describe(d.prefix+name, fi)}, true, nil
}

// litter describes a hidden file that no upload's log stands for.
func litter(d *dir, path string, de fs.DirEntry, suffix string) (e entry, ok bool, err error) {
	if suffix == pendingSuffix {
		logged, err := exists(strings.TrimSuffix(path, pendingSuffix) + partsSuffix)
		if logged || err != nil {
			return entry{}, false, explainAt(path, err)
		}
	}
	fi, err := de.Info()
	if errors.Is(err, fs.ErrNotExist) || err == nil && !fi.Mode().IsRegular() {
		return entry{}, false, nil
	}
	if err != nil {
		return entry{}, false, explainAt(path, err)
	}
	return entry{object: describe(d.prefix+de.Name(), fi)}, true, nil
}

// fileInfo describes a file, or the one that a link leads to. nil without an error means that there is none.
func fileInfo(path string, de fs.DirEntry) (fs.FileInfo, error) {
	fi, err := de.Info()
	if err == nil && fi.Mode()&fs.ModeSymlink != 0 {
		fi, err = os.Stat(path)
		if err == nil && fi.IsDir() || errors.Is(err, unix.ELOOP) {
			return nil, nil
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return fi, regular(fi.Mode())
}
