package storagetest_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"syscall"
	"testing"

	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/memstore"
	"github.com/millrace/millrace/storage/storagetest"
)

// Without faults the wrapper is a Backend like any other.
func TestFaultyWithoutFaults(t *testing.T) {
	storagetest.Run(t, func(t *testing.T) storage.Backend { return storagetest.Faulty(memstore.New()) })
}

// Nth, Times, Every, Op and Key choose the calls that are hit, by the order of calls alone.
func TestFaultChoosesCalls(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		fault storagetest.Fault
		want  []int // calls hit, of 8 removals of k
	}{
		{storagetest.Fault{}, []int{1}},
		{storagetest.Fault{Nth: 3}, []int{3}},
		{storagetest.Fault{Nth: 3, Times: 2}, []int{3, 4}},
		{storagetest.Fault{Nth: 7, Times: -1}, []int{7, 8}},
		{storagetest.Fault{Every: 3, Times: -1}, []int{1, 4, 7}},
		{storagetest.Fault{Nth: 2, Every: 2, Times: 3}, []int{2, 4, 6}},
		{storagetest.Fault{Op: storagetest.OpRemove, Key: "*"}, []int{1}},
		{storagetest.Fault{Op: storagetest.OpPut}, nil},
		{storagetest.Fault{Key: "other/**"}, nil},
	} {
		b := storagetest.Faulty(memstore.New(), c.fault)
		var got []int
		for i := 1; i <= 8; i++ {
			if b.Remove(t.Context(), "k") != nil {
				got = append(got, i)
			}
		}
		if !slices.Equal(got, c.want) || b.Calls(storagetest.OpRemove) != 8 || b.Hits() != len(c.want) {
			t.Errorf("%+v hit %v of %d calls (%d), want %v", c.fault, got, b.Calls(storagetest.OpRemove), b.Hits(), c.want)
		}
	}
}

// The first of several faults that hits a call counts, and a new plan counts anew.
func TestPlans(t *testing.T) {
	t.Parallel()
	b := storagetest.Faulty(memstore.New(), storagetest.Fault{Err: io.EOF}, storagetest.Fault{Err: io.ErrClosedPipe, Times: 2})
	for _, want := range []error{io.EOF, io.ErrClosedPipe, nil} {
		if err := b.Remove(t.Context(), "k"); !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
	}
	b.Plan(storagetest.Fault{})
	if err := b.Remove(t.Context(), "k"); err == nil || !storage.IsTransient(err) {
		t.Errorf("got %v, want a transient error", err)
	}
}

// A lost answer is of a call that was done; every operation can lose its answer or fail before it is done.
func TestFaultsOfCalls(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	for _, op := range []storagetest.Op{storagetest.OpPut, storagetest.OpRemove, storagetest.OpCreate, storagetest.OpPart,
		storagetest.OpComplete, storagetest.OpAbort, storagetest.OpUploads, storagetest.OpList, storagetest.OpRead} {
		for _, kind := range []storagetest.Kind{storagetest.Fail, storagetest.SlowDown, storagetest.LoseAnswer} {
			mem := memstore.New()
			mem.Put(ctx, "k", []byte("v"), false)
			id, _ := mem.Uploads().Create(ctx, "k")
			b := storagetest.Faulty(mem, storagetest.Fault{Op: op, Kind: kind})
			err := call(ctx, b, op, id)
			if err == nil || !storage.IsTransient(err) {
				t.Errorf("%s, kind %d: %v, want a transient error", op, kind, err)
			}
			if err := call(ctx, b, op, id); err != nil && !errors.Is(err, storage.ErrNotFound) {
				t.Errorf("%s, kind %d, again: %v", op, kind, err)
			}
		}
	}
	mem := memstore.New()
	b := storagetest.Faulty(mem, storagetest.Fault{Kind: storagetest.LoseAnswer})
	if _, err := b.Put(ctx, "k", []byte("v"), true); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("Put = %v, want a reset", err)
	}
	if _, _, err := mem.Read(ctx, "k", 0, 0, ""); err != nil {
		t.Errorf("a write whose answer was lost was not done: %v", err)
	}
}

// call makes one call of an operation.
func call(ctx context.Context, b storage.Backend, op storagetest.Op, id string) (err error) {
	switch op {
	case storagetest.OpPut:
		_, err = b.Put(ctx, "k", nil, false)
	case storagetest.OpRemove:
		err = b.Remove(ctx, "k")
	case storagetest.OpCreate:
		_, err = b.Uploads().Create(ctx, "k")
	case storagetest.OpPart:
		_, err = b.Uploads().Part(ctx, "k", id, 1, nil)
	case storagetest.OpComplete:
		_, err = b.Uploads().Complete(ctx, "k", id, nil)
	case storagetest.OpAbort:
		err = b.Uploads().Abort(ctx, "k", id)
	case storagetest.OpUploads:
		err = b.Uploads().List(ctx, "", "", func(storage.Part) bool { return true })
	case storagetest.OpList:
		err = b.List(ctx, "", "", func(storage.Object) bool { return true })
	case storagetest.OpRead:
		_, _, err = b.Read(ctx, "k", 0, -1, "")
	}
	return err
}

// Bodies are cut, flipped and stalled at the byte that was asked for.
func TestFaultsOfBodies(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		fault storagetest.Fault
		want  string
		err   error
	}{
		{storagetest.Fault{Kind: storagetest.Cut, After: 3}, "abc", syscall.ECONNRESET},
		{storagetest.Fault{Kind: storagetest.Cut, After: 3, Err: io.EOF}, "abc", nil},
		{storagetest.Fault{Kind: storagetest.Cut}, "", syscall.ECONNRESET},
		{storagetest.Fault{Kind: storagetest.Flip, After: 2}, "abbdef", nil},
		{storagetest.Fault{Kind: storagetest.Flip, After: 100}, "abcdef", nil},
		{storagetest.Fault{Kind: storagetest.Stall, After: 4}, "abcd", context.Canceled},
	} {
		mem := memstore.New()
		mem.Put(t.Context(), "k", []byte("abcdef"), false)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		body, _, err := storagetest.Faulty(mem, c.fault).Read(ctx, "k", 0, -1, "")
		if err != nil {
			t.Fatal(err)
		}
		var got []byte
		for one := make([]byte, 1); err == nil; {
			if len(got) == 4 && c.fault.Kind == storagetest.Stall {
				cancel()
			}
			var n int
			n, err = body.Read(one)
			got = append(got, one[:n]...)
		}
		if err == io.EOF {
			err = nil
		}
		if string(got) != c.want || !errors.Is(err, c.err) {
			t.Errorf("%+v: read %q, %v; want %q, %v", c.fault, got, err, c.want, c.err)
		}
	}
}
