package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/backends"
)

// splitBytes is the size of a split of the pretended input.
const splitBytes = 64 << 20

// pretended is a bucket of input of which only the listing exists: objects of so many splits each, as many as a job of that
// many tasks takes. A URL pretend://TASKS/in/ names it, so that master and workers need to be told nothing.
type pretended struct {
	tasks  int // splits in all
	splits int // of an object
}

// newStore is a Store for pretended inputs and real local outputs.
func newStore(splits int) *storage.Store {
	open := func(_ context.Context, host string) (storage.Backend, error) {
		p := &pretended{splits: splits}
		_, err := fmt.Sscanf(host, "%d", &p.tasks)
		return p, err
	}
	return backends.New(backends.Options{Store: storage.Options{Schemes: map[string]storage.Opener{"pretend": open}}})
}

func (p *pretended) object(i int) storage.Object {
	n := min(p.splits, p.tasks-i*p.splits)
	return storage.Object{
		Key: fmt.Sprintf("in/2026-11-27/host-%03d-access-log-%08d.log", i%1000, i), Size: int64(n) * splitBytes,
		ETag: fmt.Sprintf("%032x-%d", i, n),
	}
}

// List implements storage.Backend. The keys come in the order of their hosts, as they must.
func (p *pretended) List(ctx context.Context, prefix, delim string, yield func(storage.Object) bool) error {
	count := (p.tasks-1)/p.splits + 1
	last := ""
	for host := range min(1000, count) {
		for i := host; i < count; i += 1000 {
			o := p.object(i)
			if !strings.HasPrefix(o.Key, prefix) {
				continue
			}
			if at := strings.Index(o.Key[len(prefix):], delim); delim != "" && at >= 0 {
				o = storage.Object{Key: o.Key[:len(prefix)+at+len(delim)], Size: -1}
				if o.Key == last {
					continue
				}
				last = o.Key
			}
			if !yield(o) {
				return nil
			}
		}
	}
	return ctx.Err()
}

// Read implements storage.Backend: the master looks at the beginning of each object, for how it is compressed.
func (p *pretended) Read(_ context.Context, key string, off, n int64, _ string) (io.ReadCloser, storage.Object, error) {
	var i int
	if _, err := fmt.Sscanf(key[strings.LastIndexByte(key, '-')+1:], "%d", &i); err != nil || i*p.splits >= p.tasks {
		return nil, storage.Object{}, fmt.Errorf("read %s: %w", key, storage.ErrNotFound)
	}
	o := p.object(i)
	if n < 0 || n > 1<<20 {
		return nil, storage.Object{}, fmt.Errorf("read %s: only the first bytes exist", key)
	}
	n = max(0, min(n, o.Size-off))
	return io.NopCloser(bytes.NewReader(bytes.Repeat([]byte{'a'}, int(n)))), o, nil
}

var errReadOnly = errors.New("the input is only pretended: nothing can be written to it")

// Put implements storage.Backend.
func (p *pretended) Put(context.Context, string, []byte, bool) (storage.Object, error) {
	return storage.Object{}, errReadOnly
}

// Remove implements storage.Backend.
func (p *pretended) Remove(context.Context, string) error { return errReadOnly }

// Uploads implements storage.Backend.
func (p *pretended) Uploads() storage.Uploads { return nil }
