// Package localstore keeps objects as local files: a key is a path below a root folder.
//
// It is a storage.Backend and knows nothing of URLs or retries. Objects appear whole or not at all: they are written beside
// their place and renamed, or linked where they must be new. What it writes on the way there are hidden files that no
// listing shows:
//
//	.NAME.<id>.tmp             a small object being written, for a moment
//	.NAME.<id>.pending         the bytes of a pending upload
//	.NAME.<id>.pending.parts   which of those bytes are which part, see partlog.go
//
// with an id of 32 hexadecimal digits and a NAME cut to 200 bytes. Folders are made when the first file needs them and are
// removed only by RemoveFolders.
//
// Symbolic links to files are files. Links to folders are not followed below the folder that is listed, so that nothing is
// read twice or for ever; links to nothing are no objects. Sockets, devices and pipes are errors.
package localstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/millrace/millrace/storage"
)

// Options are the backend's settings. Zero values mean the defaults.
type Options struct {
	Root string // folder that keys are relative to (default "/")
	// NoSync leaves out fsync: faster, and what was written can be lost with the machine's power. For tests.
	NoSync bool
	// Private keeps the files and folders that it makes for the user alone. Default: as the user's umask says.
	Private bool
}

// Backend is the files below a root folder. It is safe for concurrent use, by several processes too, except that the parts
// of one upload must come from one process.
type Backend struct {
	o Options
	// uploads are the locks of pending uploads, by their ids' hash: a part's place in the file depends on those before.
	uploads [64]sync.Mutex
}

// New makes a backend. It touches no file.
func New(o Options) *Backend {
	if o.Root == "" {
		o.Root = "/"
	}
	o.Root = filepath.Clean(o.Root)
	return &Backend{o: o}
}

// Opener opens the files of this machine for file:// URLs.
func Opener(o Options) storage.Opener {
	b := New(o)
	return func(context.Context, string) (storage.Backend, error) { return b, nil }
}

// path is the file of a key.
func (b *Backend) path(key string) (string, error) {
	for seg := range strings.SplitSeq(key, "/") {
		if seg == "" || seg == "." || seg == ".." || strings.ContainsRune(seg, 0) {
			return "", fmt.Errorf("%w: %q is not a clean path below a folder", storage.ErrBadURL, key)
		}
	}
	return filepath.Join(b.o.Root, key), nil
}

// describe makes an Object of a file. The ETag is made of what changes when a file is written or replaced: its size, its
// time in nanoseconds and its inode.
func describe(key string, fi fs.FileInfo) storage.Object {
	var inode uint64
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		inode = st.Ino
	}
	etag := fmt.Sprintf("%x-%x-%x", fi.Size(), fi.ModTime().UnixNano(), inode)
	return storage.Object{Key: key, Size: fi.Size(), ETag: etag, Modified: fi.ModTime()}
}

// regular says what is wrong with reading a file that is none.
func regular(mode fs.FileMode) error {
	switch {
	case mode.IsRegular():
		return nil
	case mode.IsDir():
		return fmt.Errorf("%w: it is a folder", storage.ErrNotFound)
	default:
		return fmt.Errorf("not a regular file (%v)", mode.Type())
	}
}

// Prompt implements storage.Prompt.
func (b *Backend) Prompt() bool { return true }

// Read implements storage.Backend. A file that is changed while it is read ends in ErrChanged.
func (b *Backend) Read(ctx context.Context, key string, off, n int64, etag string) (io.ReadCloser, storage.Object, error) {
	if err := ctx.Err(); err != nil {
		return nil, storage.Object{}, err
	}
	name, err := b.path(key)
	if err != nil {
		return nil, storage.Object{}, err
	}
	f, o, err := open(name, key)
	if err != nil {
		return nil, storage.Object{}, err
	}
	if etag != "" && etag != o.ETag {
		f.Close()
		return nil, storage.Object{}, storage.ErrChanged
	}
	off = min(off, o.Size)
	if n < 0 || n > o.Size-off {
		n = o.Size - off
	}
	return &body{ctx: ctx, f: f, o: o, off: off, left: n}, o, nil
}

// open opens a regular file. It looks before it opens, since opening a pipe waits for its writer.
func open(name, key string) (*os.File, storage.Object, error) {
	fi, err := os.Stat(name)
	if err == nil {
		err = regular(fi.Mode())
	}
	if err != nil {
		return nil, storage.Object{}, explain(err)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, storage.Object{}, explain(err)
	}
	if fi, err = f.Stat(); err != nil {
		f.Close()
		return nil, storage.Object{}, explain(err)
	}
	return f, describe(key, fi), nil
}

// body is a range of a file.
type body struct {
	ctx       context.Context // a body ends with the call that opened it
	f         *os.File
	o         storage.Object // as it was when it was opened
	off, left int64
}

func (b *body) Read(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	if b.left == 0 {
		return 0, b.end(io.EOF)
	}
	n, err := b.f.ReadAt(p[:min(int64(len(p)), b.left)], b.off)
	b.off += int64(n)
	b.left -= int64(n)
	if n > 0 {
		return n, nil
	}
	if err == io.EOF {
		return 0, b.end(io.ErrUnexpectedEOF)
	}
	return 0, explain(err)
}

// end gives err, the end of the range or of the file, unless the file is another than the one that was opened.
func (b *body) end(err error) error {
	fi, statErr := b.f.Stat()
	if statErr != nil {
		return explain(statErr)
	}
	if describe(b.o.Key, fi).ETag != b.o.ETag {
		return storage.ErrChanged
	}
	return err
}

func (b *body) Close() error { return b.f.Close() }

// Put implements storage.Backend. The object appears whole: by link(2), which fails if the name is taken, or by rename(2).
func (b *Backend) Put(ctx context.Context, key string, body []byte, ifAbsent bool) (storage.Object, error) {
	if err := ctx.Err(); err != nil {
		return storage.Object{}, err
	}
	name, err := b.path(key)
	if err != nil {
		return storage.Object{}, err
	}
	tmp := hiddenName(name, newID(), tmpSuffix)
	fi, err := b.writeFile(tmp, body)
	if err != nil {
		os.Remove(tmp) // what is left of it has no name that anyone looks for; the error before it counts
		return storage.Object{}, explain(err)
	}
	if ifAbsent {
		err = link(tmp, name)
		os.Remove(tmp)
	} else if err = os.Rename(tmp, name); err != nil {
		os.Remove(tmp)
	}
	if err == nil {
		err = b.syncDir(name)
	}
	if err != nil {
		return storage.Object{}, explain(err)
	}
	return describe(key, fi), nil
}

// link gives a written file its name, which must be free.
func link(tmp, name string) error {
	err := os.Link(tmp, name)
	switch {
	case errors.Is(err, fs.ErrExist):
		return storage.ErrPrecondition
	case errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOTSUP) || errors.Is(err, syscall.ENOSYS):
		return fmt.Errorf("the file system knows no hard links, which a write without replacing needs: "+
			"write to another one: %w", cause(err))
	}
	return err
}

// writeFile writes a new file and makes it durable.
func (b *Backend) writeFile(name string, body []byte) (fs.FileInfo, error) {
	f, err := b.create(name)
	if err != nil {
		return nil, err
	}
	_, err = f.Write(body)
	if err == nil {
		err = b.sync(f)
	}
	fi, statErr := f.Stat()
	return fi, errors.Join(err, statErr, f.Close())
}

// create makes a new file, and its folder if that is missing.
func (b *Backend) create(name string) (*os.File, error) {
	const flags = os.O_RDWR | os.O_CREATE | os.O_EXCL
	file, folder := fs.FileMode(0o666), fs.FileMode(0o777)
	if b.o.Private {
		file, folder = 0o600, 0o700
	}
	f, err := os.OpenFile(name, flags, file)
	if !errors.Is(err, fs.ErrNotExist) {
		return f, err
	}
	if err := os.MkdirAll(filepath.Dir(name), folder); err != nil {
		return nil, err
	}
	return os.OpenFile(name, flags, file)
}

func (b *Backend) sync(f *os.File) error {
	if b.o.NoSync {
		return nil
	}
	return f.Sync()
}

// syncDir makes the names in a file's folder durable.
func (b *Backend) syncDir(name string) error {
	if b.o.NoSync {
		return nil
	}
	d, err := os.Open(filepath.Dir(name))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Remove implements storage.Backend. Folders stay.
func (b *Backend) Remove(ctx context.Context, key string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	name, err := b.path(key)
	if err != nil {
		return err
	}
	if fi, err := os.Lstat(name); err == nil && fi.IsDir() {
		return nil // a folder is no object
	}
	return removeFile(name)
}

// RemoveFolders implements storage.Folders.
func (b *Backend) RemoveFolders(ctx context.Context, prefix string) error {
	top, err := b.path(strings.TrimSuffix(prefix, "/"))
	if err != nil {
		return err
	}
	var folders []string // each before those in it
	err = filepath.WalkDir(top, func(name string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			folders = append(folders, name)
		}
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return errors.Join(err, ctx.Err())
	})
	for _, name := range slices.Backward(folders) {
		_ = os.Remove(name) // fails, and is to, where something lies in it
	}
	return explain(err)
}

// removeFile removes a file that may be gone already.
func removeFile(name string) error {
	err := explain(os.Remove(name))
	if errors.Is(err, storage.ErrNotFound) {
		return nil
	}
	return err
}
