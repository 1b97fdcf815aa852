package localstore

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"hash/fnv"
	"io"
	"os"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/millrace/millrace/storage"
)

// Uploads implements storage.Backend.
func (b *Backend) Uploads() storage.Uploads { return uploads{b} }

// uploads is the pending uploads below the root, as partlog.go lays them out. It also is a storage.Sealer and InOrder.
//
//	Create     log, then data           an upload is there while both are; half a log alone is listed, so it gets aborted
//	Part       data, then log           what the log does not name does not count
//	Complete   rename data, remove log  a log alone is what a crash left in between; it is listed, so it gets aborted
type uploads struct{ b *Backend }

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// PartsInOrder implements storage.InOrder: parts that come in order are the object's bytes already.
func (u uploads) PartsInOrder() bool { return true }

// files are the names of one upload.
type files struct{ object, data, log string }

// files gives the names of an upload. An id that is none of ours is ErrNotFound.
func (u uploads) files(key, id string) (files, error) {
	name, err := u.b.path(key)
	if err != nil {
		return files{}, err
	}
	if !isID(id) {
		return files{}, fmt.Errorf("%w: no upload %q", storage.ErrNotFound, id)
	}
	return files{name, hiddenName(name, id, pendingSuffix), hiddenName(name, id, partsSuffix)}, nil
}

// lock keeps the parts of an upload apart.
func (u uploads) lock(id string) *sync.Mutex {
	h := fnv.New32a()
	io.WriteString(h, id)
	mu := &u.b.uploads[h.Sum32()%uint32(len(u.b.uploads))]
	mu.Lock()
	return mu
}

func (u uploads) Create(ctx context.Context, key string) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	id := newID()
	f, err := u.files(key, id)
	if err != nil {
		return "", err
	}
	err = u.createFile(f.log, header(time.Now(), path.Base(key)))
	if err == nil {
		err = u.createFile(f.data, "")
	}
	if err != nil {
		os.Remove(f.log)
		return "", explain(err)
	}
	return id, nil
}

func (u uploads) createFile(name, text string) error {
	f, err := u.b.create(name)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// load reads an upload's log. ErrNotFound means that there is no such upload.
func (u uploads) load(key, id string) (files, *partLog, error) {
	f, err := u.files(key, id)
	if err != nil {
		return f, nil, err
	}
	there, err := exists(f.data)
	if err != nil {
		return f, nil, explain(err)
	}
	if !there {
		return f, nil, fmt.Errorf("%w: no upload %s", storage.ErrNotFound, id)
	}
	l, err := readLog(f.log)
	if err == nil && l.base != path.Base(key) { // two long names can be cut to one
		return f, nil, fmt.Errorf("%w: upload %s is of %q", storage.ErrNotFound, id, l.base)
	}
	return f, l, err
}

func (u uploads) Part(ctx context.Context, key, id string, n int, body []byte) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	if n < 1 {
		return "", fmt.Errorf("part %d: parts count from 1", n)
	}
	defer u.lock(id).Unlock()
	f, l, err := u.load(key, id)
	if err != nil {
		return "", err
	}
	crc := crc32.Checksum(body, castagnoli)
	e := extent{n, l.end, int64(len(body)), fmt.Sprintf("%08x-%x", crc, len(body))}
	if err := u.writeAt(f.data, body, e.off); err != nil {
		return "", explain(err)
	}
	return e.etag, explain(l.appendLine(f.log, e))
}

// writeBytes is how much is written at a time. The kernel takes page cache in pieces of that size at most, and so takes
// what was given back lately: memory that is in use by this machine, and partly in its caches. For one write of 6 MiB it took
// new pieces of 2 MiB each, on a virtual machine from its host; sorting 1 GB cost 2.7 s of CPU in the kernel in place of 1.6.
const writeBytes = 256 << 10

// writeAt writes a part. The disk begins with it at once, so that Seal has little left to wait for.
func (u uploads) writeAt(name string, body []byte, off int64) error {
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	for at := 0; at < len(body) && err == nil; at += writeBytes {
		_, err = f.WriteAt(body[at:min(at+writeBytes, len(body))], off+int64(at))
	}
	if err == nil && !u.b.o.NoSync {
		beginWriteback(f, off, int64(len(body)))
	}
	return errors.Join(err, f.Close())
}

// Seal implements storage.Sealer.
func (u uploads) Seal(ctx context.Context, key, id string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	f, _, err := u.load(key, id)
	if err != nil {
		return err
	}
	if err := errors.Join(u.syncFile(f.data), u.syncFile(f.log), u.b.syncDir(f.data)); err != nil {
		return explain(err)
	}
	return nil
}

func (u uploads) syncFile(name string) error {
	if u.b.o.NoSync {
		return nil
	}
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func (u uploads) Complete(ctx context.Context, key, id string, parts []storage.Part) (storage.Object, error) {
	if err := ctx.Err(); err != nil {
		return storage.Object{}, err
	}
	defer u.lock(id).Unlock()
	f, l, err := u.load(key, id)
	if err != nil {
		return storage.Object{}, err
	}
	extents, err := l.find(parts)
	if err != nil {
		return storage.Object{}, err
	}
	whole, err := u.whole(ctx, f, extents)
	if err == nil {
		err = os.Rename(whole, f.object)
	}
	if err != nil {
		if whole != f.data {
			os.Remove(whole) // a copy, of no use to anyone
		}
		return storage.Object{}, explain(err)
	}
	// The object is visible now. What follows is repeated or cleared away if it does not come about.
	fi, err := os.Stat(f.object)
	err = errors.Join(err, removeFile(f.data), removeFile(f.log), u.b.syncDir(f.object))
	if err != nil {
		return storage.Object{}, explain(err)
	}
	return describe(key, fi), nil
}

// whole makes one durable file of the parts and gives its name: the upload's own file if they lie in it in order, else a
// new one.
func (u uploads) whole(ctx context.Context, f files, extents []extent) (string, error) {
	ordered, size := inOrder(extents)
	fi, err := os.Stat(f.data)
	if err != nil {
		return f.data, err
	}
	for _, e := range extents {
		if e.off+e.size > fi.Size() {
			return f.data, fmt.Errorf("%w: part %d ends at byte %d of a file of %d", storage.ErrPendingLost, e.number,
				e.off+e.size, fi.Size())
		}
	}
	if !ordered {
		tmp := hiddenName(f.object, newID(), tmpSuffix) // of its own: another process may be completing as well
		return tmp, u.rewrite(ctx, f.data, tmp, extents)
	}
	if fi.Size() > size { // a part that failed, or was replaced by a shorter one
		if err := os.Truncate(f.data, size); err != nil {
			return f.data, err
		}
	}
	return f.data, u.syncFile(f.data)
}

// rewrite copies parts that came out of order into a file of their own.
func (u uploads) rewrite(ctx context.Context, from, to string, extents []extent) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close() // only read from
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	for _, e := range extents {
		if err := ctx.Err(); err != nil {
			return err
		}
		if _, err := in.Seek(e.off, io.SeekStart); err != nil {
			return err
		}
		if _, err := io.CopyN(out, in, e.size); err != nil { // the kernel copies; some file systems share the blocks
			return err
		}
	}
	return u.b.sync(out)
}

func (u uploads) Abort(ctx context.Context, key, id string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	defer u.lock(id).Unlock()
	f, err := u.files(key, id)
	if errors.Is(err, storage.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	// The log goes last: while it is there the upload is listed, and someone will abort it again.
	if err := removeFile(f.data); err != nil {
		return err
	}
	return removeFile(f.log)
}

func (u uploads) List(ctx context.Context, prefix, id string, yield func(storage.Part) bool) error {
	if id == "" {
		return u.list(ctx, prefix, yield)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	f, l, err := u.load(prefix, id)
	if err != nil {
		return err
	}
	written := l.begun
	if fi, err := os.Stat(f.log); err == nil { // the last part was; gone meanwhile: its parts are then told as they were
		written = fi.ModTime()
	}
	for _, e := range l.parts {
		if !yield(storage.Part{Key: prefix, ID: id, Number: e.number, Size: e.size, ETag: e.etag, Begun: written}) {
			return nil
		}
	}
	return nil
}

// list finds the logs below prefix.
func (u uploads) list(ctx context.Context, prefix string, yield func(storage.Part) bool) error {
	var failed error
	err := u.b.walk(ctx, &walker{logs: true}, prefix, "", func(o storage.Object) bool {
		name := u.b.o.Root + "/" + o.Key
		dir, base := path.Split(o.Key)
		id, suffix, _ := splitHidden(base)
		l, err := readLog(name)
		if errors.Is(err, errTorn) {
			// Perhaps cut, but as good as the whole name: both lead to the same files.
			l = &partLog{base: strings.TrimSuffix(base[len("."):], "."+id+suffix)}
			var fi os.FileInfo
			if fi, err = os.Stat(name); err == nil {
				l.begun = fi.ModTime()
			}
			err = explain(err)
		}
		if errors.Is(err, storage.ErrNotFound) {
			return true // ended meanwhile
		}
		if err != nil {
			failed = err
			return false
		}
		key := dir + l.base
		return !strings.HasPrefix(key, prefix) || yield(storage.Part{Key: key, ID: id, Begun: l.begun})
	})
	return errors.Join(failed, err)
}
