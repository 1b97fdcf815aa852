package output_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/arrowfile"
	"github.com/millrace/millrace/storage/manifest"
	"github.com/millrace/millrace/storage/memstore"
	"github.com/millrace/millrace/storage/output"
	"github.com/millrace/millrace/storage/storagetest"
)

const folder = "mem://b/out"

// bucket is a Store over memory that can be told to fail.
func bucket() (*storage.Store, *storagetest.FaultyBackend) {
	bad := storagetest.Faulty(memstore.New())
	return storage.New(storage.Options{Schemes: map[string]storage.Opener{"mem": bad.Opener()}}), bad
}

func put(t *testing.T, st *storage.Store, name string, body []byte) {
	t.Helper()
	if err := st.Put(t.Context(), folder+"/"+name, body, false); err != nil {
		t.Fatal(err)
	}
}

var schema = arrowfile.Schema{Fields: []arrowfile.Field{{Name: "n", Type: arrowfile.TypeInt64}}}

// part is an Arrow file with the numbers, a batch each.
func part(t *testing.T, numbers ...byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := arrowfile.NewWriter(&b, schema, arrowfile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range numbers {
		err := w.Write(arrowfile.Batch{Rows: 1, Columns: []arrowfile.Column{{Data: []byte{n, 0, 0, 0, 0, 0, 0, 0}}}})
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// commit writes an output of these parts.
func commit(t *testing.T, st *storage.Store, parts ...[]byte) {
	t.Helper()
	m := &manifest.Manifest{Version: manifest.Version, ID: "job"}
	for i, p := range parts {
		put(t, st, manifest.PartName(i), p)
		m.Parts = append(m.Parts, manifest.Part{Name: manifest.PartName(i), Bytes: int64(len(p)), Rows: 1})
		m.Rows++
	}
	if len(parts) == 1 {
		m.Rows = 0
	}
	body, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	put(t, st, manifest.Name, body)
}

// read returns the numbers of all rows in order, and how many batches they came in.
func read(ctx context.Context, st *storage.Store, url string, limit int) (numbers []byte, batches int, err error) {
	out, err := output.Open(ctx, st, url)
	if err != nil {
		return nil, 0, err
	}
	err = out.Batches(ctx, func(s arrowfile.Schema, b arrowfile.Batch) bool {
		if len(s.Fields) != 1 || s.Fields[0].Name != "n" || len(b.Columns) != 1 {
			numbers = append(numbers, 0xff)
		}
		for i := range b.Rows {
			numbers = append(numbers, b.Columns[0].Data[8*i])
		}
		batches++
		return batches != limit
	})
	return numbers, batches, err
}

// Parts are read in the manifest's order, to the end or as far as is wanted; a slash after the folder does not matter.
func TestBatches(t *testing.T) {
	t.Parallel()
	st, _ := bucket()
	commit(t, st, part(t, 1, 2), part(t), part(t, 3))
	put(t, st, "part-00009.arrow", []byte("not in the manifest"))
	for _, url := range []string{folder, folder + "/"} {
		got, n, err := read(t.Context(), st, url, -1)
		if err != nil || !bytes.Equal(got, []byte{1, 2, 3}) || n != 3 {
			t.Errorf("%s: got %v in %d batches, %v", url, got, n, err)
		}
	}
	if got, n, err := read(t.Context(), st, folder, 1); err != nil || len(got) == 0 || n != 1 {
		t.Errorf("the first batch alone: got %v in %d, %v", got, n, err)
	}
}

// An output without rows still tells its columns.
func TestNoRows(t *testing.T) {
	t.Parallel()
	st, _ := bucket()
	commit(t, st, part(t))
	if got, n, err := read(t.Context(), st, folder, -1); err != nil || len(got) != 0 || n != 1 {
		t.Errorf("got %v in %d batches, %v", got, n, err)
	}
}

// Where no job committed there is no output; what is there but cannot be one is named.
func TestOpenErrors(t *testing.T) {
	t.Parallel()
	st, bad := bucket()
	if _, err := output.Open(t.Context(), st, folder); !errors.Is(err, output.ErrNone) || !strings.Contains(err.Error(), manifest.Name) {
		t.Errorf("of an empty folder: %v", err)
	}
	put(t, st, manifest.PartName(0), part(t, 1))
	if _, err := output.Open(t.Context(), st, folder); !errors.Is(err, output.ErrNone) {
		t.Errorf("of parts without a manifest: %v", err)
	}
	if _, err := output.Open(t.Context(), st, "ftp://x/y"); err == nil {
		t.Error("an unknown scheme is opened")
	}
	put(t, st, manifest.Name, []byte("hadoop leaves this empty, or so"))
	if _, err := output.Open(t.Context(), st, folder); !errors.Is(err, output.ErrForeign) || !strings.Contains(err.Error(), folder+"/"+manifest.Name) {
		t.Errorf("of another program's manifest: %v", err)
	}
	commit(t, st, part(t, 1))
	bad.Plan(storagetest.Fault{Op: storagetest.OpRead, Err: fmt.Errorf("%w: no", storage.ErrDenied), Times: -1})
	if _, err := output.Open(t.Context(), st, folder); !errors.Is(err, storage.ErrDenied) || errors.Is(err, output.ErrNone) {
		t.Errorf("without permission: %v", err)
	}
	bad.Plan(storagetest.Fault{Op: storagetest.OpRead, Kind: storagetest.Cut, After: 5, Err: errors.New("torn"), Times: -1})
	if _, err := output.Open(t.Context(), st, folder); err == nil {
		t.Error("half a manifest is taken")
	}
}

// A part that is not the one that was committed is named, and none of its rows are believed.
func TestSpoiltParts(t *testing.T) {
	t.Parallel()
	whole := part(t, 7)
	for want, spoil := range map[string]func(*storage.Store) error{
		"not found": func(st *storage.Store) error { return st.Remove(t.Context(), folder+"/"+manifest.PartName(1)) },
		"the output was changed after its job": func(st *storage.Store) error {
			return st.Put(t.Context(), folder+"/"+manifest.PartName(1), whole[:len(whole)-1], false)
		},
		"arrow": func(st *storage.Store) error {
			return st.Put(t.Context(), folder+"/"+manifest.PartName(1), bytes.Repeat([]byte{9}, len(whole)), false)
		},
	} {
		st, _ := bucket()
		commit(t, st, part(t, 1), whole)
		if err := spoil(st); err != nil {
			t.Fatal(err)
		}
		got, _, err := read(t.Context(), st, folder, -1)
		if err == nil || !strings.Contains(strings.ToLower(err.Error()), want) || !strings.Contains(err.Error(), manifest.PartName(1)) {
			t.Errorf("got %v, want %q in it", err, want)
		}
		if !bytes.Equal(got, []byte{1}) {
			t.Errorf("%s: got the rows %v", want, got)
		}
	}
}

// A storage that fails in the middle of a part is an error, not a shorter output; so is the end of the context.
func TestReadFailures(t *testing.T) {
	t.Parallel()
	st, bad := bucket()
	commit(t, st, part(t, 1), part(t, 2))
	bad.Plan(storagetest.Fault{Op: storagetest.OpRead, Key: "**/part-00001*", Nth: 2, Err: fmt.Errorf("%w: no", storage.ErrDenied), Times: -1})
	if got, _, err := read(t.Context(), st, folder, -1); !errors.Is(err, storage.ErrDenied) {
		t.Errorf("got %v, %v", got, err)
	}
	bad.Plan()
	ctx, cancel := context.WithCancel(t.Context())
	out, err := output.Open(ctx, st, folder)
	if err != nil {
		t.Fatal(err)
	}
	err = out.Batches(ctx, func(arrowfile.Schema, arrowfile.Batch) bool {
		cancel()
		return true
	})
	if !errors.Is(err, context.Canceled) && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("after the context's end: %v", err)
	}
}
