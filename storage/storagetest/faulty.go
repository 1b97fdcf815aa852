package storagetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"syscall"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/millrace/millrace/storage"
)

// Op is an operation of a Backend or of its Uploads.
type Op string

// The operations, as Fault.Op names them.
const (
	OpList     Op = "list"
	OpRead     Op = "read"
	OpPut      Op = "put"
	OpRemove   Op = "remove"
	OpCreate   Op = "create"
	OpPart     Op = "part"
	OpComplete Op = "complete"
	OpAbort    Op = "abort"
	OpUploads  Op = "uploads" // Uploads.List
)

// Kind is what goes wrong.
type Kind int

const (
	// Fail answers Fault.Err (default: a transient 500) without doing anything.
	Fail Kind = iota
	// SlowDown answers storage.ErrSlowDown without doing anything.
	SlowDown
	// LoseAnswer does what is asked and answers a reset connection.
	LoseAnswer
	// Stall waits for the end of the call's context; a Read stalls in its body, after Fault.After bytes.
	Stall
	// Cut ends the body of a Read or a List after Fault.After bytes or objects with Fault.Err (default: a reset; io.EOF:
	// a body that is short without saying so).
	Cut
	// Flip turns one bit of the body of a Read, in the byte Fault.After behind its beginning.
	Flip
)

// Fault says which calls go wrong and how. Calls are counted per fault among those that its Op and Key fit, from 1.
type Fault struct {
	Op    Op     // "": any
	Key   string // doublestar pattern of the key; "": any
	Nth   int    // the first call that is hit; 0: the first
	Times int    // how many calls are hit; 0: one; negative: all from Nth on
	Every int    // of those, only each Every-th; 0: each
	Kind  Kind
	Err   error
	After int64
}

// FaultyBackend is a Backend with faults. Which calls they hit depends on the order of calls alone.
type FaultyBackend struct {
	b storage.Backend

	mu    sync.Mutex
	plan  []Fault
	fits  []int // per fault: calls that fitted so far
	hits  int
	calls map[Op]int
}

// Faulty wraps a backend so that calls fail as planned. The first fault that hits a call counts. Seal counts
// as a Part. It hides that a backend is a storage.InputLister: inputs are listed as those of any bucket.
func Faulty(b storage.Backend, plan ...Fault) *FaultyBackend {
	f := &FaultyBackend{b: b, calls: map[Op]int{}}
	f.Plan(plan...)
	return f
}

// Plan replaces the faults and begins their counts anew.
func (f *FaultyBackend) Plan(plan ...Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.plan, f.fits = plan, make([]int, len(plan))
}

// Calls tells how often an operation was called, with or without a fault.
func (f *FaultyBackend) Calls(op Op) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[op]
}

// Hits tells how many calls were hit by a fault.
func (f *FaultyBackend) Hits() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.hits
}

// Opener gives this backend for every host.
func (f *FaultyBackend) Opener() storage.Opener {
	return func(context.Context, string) (storage.Backend, error) { return f, nil }
}

// count counts a call and picks the fault that hits it, or nil.
func (f *FaultyBackend) count(op Op, key string) *Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls[op]++
	var hit *Fault
	for i := range f.plan {
		fault := &f.plan[i]
		if !fault.fits(op, key) {
			continue
		}
		f.fits[i]++
		if hit == nil && fault.hits(f.fits[i]) {
			hit = fault
			f.hits++
		}
	}
	return hit
}

func (f *Fault) fits(op Op, key string) bool {
	return (f.Op == "" || f.Op == op) && (f.Key == "" || doublestar.MatchUnvalidated(f.Key, key))
}

// hits tells whether the nth call that fits is hit.
func (f *Fault) hits(n int) bool {
	n -= max(f.Nth, 1)
	if n < 0 || f.Every > 1 && n%f.Every != 0 {
		return false
	}
	return f.Times < 0 || n/max(f.Every, 1) < max(f.Times, 1)
}

// reset is what a broken connection looks like.
func reset() error {
	return storage.Transient(fmt.Errorf("injected: %w", syscall.ECONNRESET))
}

// err is what Fail and Cut answer.
func (f *Fault) err(def error) error {
	if f.Err != nil {
		return f.Err
	}
	return def
}

var errInjected = errors.New("injected: 500 internal error")

// call runs a call that is all or nothing under the fault that hits it.
func (f *FaultyBackend) call(ctx context.Context, op Op, key string, do func() error) error {
	fault := f.count(op, key)
	if fault == nil {
		return do()
	}
	switch fault.Kind {
	case SlowDown:
		return fmt.Errorf("injected: %w", storage.ErrSlowDown)
	case Stall:
		<-ctx.Done()
		return ctx.Err()
	case LoseAnswer:
		if err := do(); err != nil {
			return err
		}
		return reset()
	case Fail:
		return fault.err(storage.Transient(errInjected))
	default:
		return do() // Cut and Flip are of bodies
	}
}

// List implements storage.Backend.
func (f *FaultyBackend) List(ctx context.Context, prefix, delim string, yield func(storage.Object) bool) error {
	fault := f.count(OpList, prefix)
	if fault == nil || fault.Kind == Flip {
		return f.b.List(ctx, prefix, delim, yield)
	}
	switch fault.Kind {
	case SlowDown:
		return fmt.Errorf("injected: %w", storage.ErrSlowDown)
	case Fail:
		return fault.err(storage.Transient(errInjected))
	}
	left, stopped := fault.After, false
	err := f.b.List(ctx, prefix, delim, func(o storage.Object) bool {
		if left--; left < 0 && fault.Kind != LoseAnswer {
			return false
		}
		stopped = !yield(o)
		return !stopped
	})
	if err != nil || stopped {
		return err
	}
	if fault.Kind == Stall {
		<-ctx.Done()
		return ctx.Err()
	}
	return fault.err(reset())
}

// Read implements storage.Backend.
func (f *FaultyBackend) Read(ctx context.Context, key string, off, n int64, etag string) (io.ReadCloser, storage.Object, error) {
	fault := f.count(OpRead, key)
	if fault == nil {
		return f.b.Read(ctx, key, off, n, etag)
	}
	switch fault.Kind {
	case SlowDown:
		return nil, storage.Object{}, fmt.Errorf("injected: %w", storage.ErrSlowDown)
	case LoseAnswer:
		return nil, storage.Object{}, reset()
	case Fail:
		return nil, storage.Object{}, fault.err(storage.Transient(errInjected))
	}
	inner, o, err := f.b.Read(ctx, key, off, n, etag)
	if err != nil {
		return nil, storage.Object{}, err
	}
	return &faultyBody{ReadCloser: inner, ctx: ctx, fault: fault, left: fault.After}, o, nil
}

// faultyBody is a body that goes wrong after left more bytes.
type faultyBody struct {
	io.ReadCloser
	ctx   context.Context // the backend's, whose end a stalled body waits for
	fault *Fault
	left  int64
}

func (b *faultyBody) Read(p []byte) (int, error) {
	if b.fault.Kind == Flip {
		n, err := b.ReadCloser.Read(p)
		if b.left >= 0 && b.left < int64(n) {
			p[b.left] ^= 1
		}
		b.left -= int64(n)
		return n, err
	}
	if b.left == 0 {
		if b.fault.Kind == Stall {
			<-b.ctx.Done()
			return 0, b.ctx.Err()
		}
		return 0, b.fault.err(reset())
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

// Put implements storage.Backend.
func (f *FaultyBackend) Put(ctx context.Context, key string, body []byte, ifAbsent bool) (o storage.Object, err error) {
	err = f.call(ctx, OpPut, key, func() error {
		o, err = f.b.Put(ctx, key, body, ifAbsent)
		return err
	})
	return o, err
}

// Remove implements storage.Backend.
func (f *FaultyBackend) Remove(ctx context.Context, key string) error {
	return f.call(ctx, OpRemove, key, func() error { return f.b.Remove(ctx, key) })
}

// Uploads implements storage.Backend.
func (f *FaultyBackend) Uploads() storage.Uploads { return faultyUploads{f} }

type faultyUploads struct{ f *FaultyBackend }

func (u faultyUploads) Create(ctx context.Context, key string) (id string, err error) {
	err = u.f.call(ctx, OpCreate, key, func() error {
		id, err = u.f.b.Uploads().Create(ctx, key)
		return err
	})
	return id, err
}

func (u faultyUploads) Part(ctx context.Context, key, id string, n int, body []byte) (etag string, err error) {
	err = u.f.call(ctx, OpPart, key, func() error {
		etag, err = u.f.b.Uploads().Part(ctx, key, id, n, body)
		return err
	})
	return etag, err
}

func (u faultyUploads) Complete(ctx context.Context, key, id string, parts []storage.Part) (o storage.Object, err error) {
	err = u.f.call(ctx, OpComplete, key, func() error {
		o, err = u.f.b.Uploads().Complete(ctx, key, id, parts)
		return err
	})
	return o, err
}

func (u faultyUploads) Abort(ctx context.Context, key, id string) error {
	return u.f.call(ctx, OpAbort, key, func() error { return u.f.b.Uploads().Abort(ctx, key, id) })
}

func (u faultyUploads) List(ctx context.Context, prefix, id string, yield func(storage.Part) bool) error {
	return u.f.call(ctx, OpUploads, prefix, func() error { return u.f.b.Uploads().List(ctx, prefix, id, yield) })
}

// PartsETag implements storage.PartsETag if the backend does.
func (u faultyUploads) PartsETag(parts []storage.Part) string {
	if b, ok := u.f.b.Uploads().(storage.PartsETag); ok {
		return b.PartsETag(parts)
	}
	return ""
}

// PartsInOrder implements storage.InOrder if the backend does.
func (u faultyUploads) PartsInOrder() bool {
	b, ok := u.f.b.Uploads().(storage.InOrder)
	return ok && b.PartsInOrder()
}

// Seal implements storage.Sealer if the backend does.
func (u faultyUploads) Seal(ctx context.Context, key, id string) error {
	b, ok := u.f.b.Uploads().(storage.Sealer)
	if !ok {
		return nil
	}
	return u.f.call(ctx, OpPart, key, func() error { return b.Seal(ctx, key, id) })
}
