package output_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/arrowfile"
	"github.com/millrace/millrace/storage/manifest"
	"github.com/millrace/millrace/storage/memstore"
	"github.com/millrace/millrace/storage/output"
)

func memory() *storage.Store {
	return storage.New(storage.Options{Schemes: map[string]storage.Opener{"mem": memstore.Opener()}, Attempts: 1})
}

func put(t *testing.T, st *storage.Store, url string, body []byte) {
	t.Helper()
	if err := st.Put(t.Context(), url, body, false); err != nil {
		t.Fatal(err)
	}
}

// part is an Arrow file of batches of the numbers given.
func part(t *testing.T, batches ...[]int64) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := arrowfile.NewWriter(&b, arrowfile.Schema{Fields: []arrowfile.Field{{Name: "n", Type: arrowfile.TypeInt64}}}, arrowfile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, numbers := range batches {
		var c arrowfile.Column
		for _, n := range numbers {
			c.Data = binary.LittleEndian.AppendUint64(c.Data, uint64(n))
		}
		if err := w.Write(arrowfile.Batch{Rows: len(numbers), Columns: []arrowfile.Column{c}}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// commit puts parts and their manifest, and returns it.
func commit(t *testing.T, st *storage.Store, folder string, parts ...[]byte) *manifest.Manifest {
	t.Helper()
	m := &manifest.Manifest{Version: manifest.Version, ID: "id", Job: "job"}
	for i, body := range parts {
		put(t, st, folder+"/"+manifest.PartName(i), body)
		m.Parts = append(m.Parts, manifest.Part{Name: manifest.PartName(i), Bytes: int64(len(body))})
	}
	write(t, st, folder, m)
	return m
}

func write(t *testing.T, st *storage.Store, folder string, m *manifest.Manifest) {
	t.Helper()
	b, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	put(t, st, folder+"/"+manifest.Name, b)
}

// numbers reads an output until enough numbers have come (0: all), and returns them with the number of batches.
func numbers(ctx context.Context, out *output.Output, enough int) (got []int64, batches int, err error) {
	err = out.Batches(ctx, func(s arrowfile.Schema, b arrowfile.Batch) bool {
		batches++
		for i := range b.Rows {
			got = append(got, int64(binary.LittleEndian.Uint64(b.Columns[0].Data[8*i:])))
		}
		return enough == 0 || len(got) < enough
	})
	return got, batches, err
}

// An output is read part by part and batch by batch in the manifest's order, objects that it does not name are none of it,
// and the reader may stop at any batch.
func TestBatches(t *testing.T) {
	t.Parallel()
	st := memory()
	m := commit(t, st, "mem://x/out", part(t, []int64{1, 2}, []int64{3}), part(t), part(t, []int64{4}))
	m.Rows = 4
	write(t, st, "mem://x/out", m)
	put(t, st, "mem://x/out/part-00003.arrow", part(t, []int64{99}))
	out, err := output.Open(t.Context(), st, "mem://x/out/")
	if err != nil {
		t.Fatal(err)
	}
	if out.URL != "mem://x/out" || out.Manifest.Job != "job" {
		t.Errorf("opened %s of job %s", out.URL, out.Manifest.Job)
	}
	for enough, want := range map[int][]int64{0: {1, 2, 3, 4}, 1: {1, 2}, 3: {1, 2, 3}, 4: {1, 2, 3, 4}} {
		if got, _, err := numbers(t.Context(), out, enough); err != nil || !slices.Equal(got, want) {
			t.Errorf("until %d numbers: got %v, %v, want %v", enough, got, err, want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := numbers(ctx, out, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// An output without rows yields one batch, which tells its columns; however many parts it has.
func TestNoRows(t *testing.T) {
	t.Parallel()
	st := memory()
	commit(t, st, "mem://x/out", part(t), part(t))
	out, err := output.Open(t.Context(), st, "mem://x/out")
	if err != nil {
		t.Fatal(err)
	}
	var seen []string
	if err := out.Batches(t.Context(), func(s arrowfile.Schema, b arrowfile.Batch) bool {
		seen = append(seen, fmt.Sprint(s.Fields[0].Name, " ", b.Rows, " ", len(b.Columns)))
		return true
	}); err != nil || !slices.Equal(seen, []string{"n 0 1"}) {
		t.Errorf("got %q, %v", seen, err)
	}
}

// A large part is read whole, over many reads of its pieces.
func TestLargePart(t *testing.T) {
	t.Parallel()
	st := memory()
	var batches [][]int64
	for i := range int64(12) {
		batch := make([]int64, 40_000)
		for j := range batch {
			batch[j] = i*40_000 + int64(j)
		}
		batches = append(batches, batch)
	}
	commit(t, st, "mem://x/out", part(t, batches...)).Rows = 480_000
	out, err := output.Open(t.Context(), st, "mem://x/out")
	if err != nil {
		t.Fatal(err)
	}
	out.Manifest.Rows = 480_000
	got, n, err := numbers(t.Context(), out, 0)
	if err != nil || len(got) != 480_000 || n != 12 {
		t.Fatalf("%d numbers in %d batches, %v", len(got), n, err)
	}
	for i, x := range got {
		if x != int64(i) {
			t.Fatalf("number %d is %d", i, x)
		}
	}
}

// What is no committed output, or was changed after its job, is refused with the URL and what to do.
func TestRefuses(t *testing.T) {
	t.Parallel()
	st := memory()
	put(t, st, "mem://x/none/part-00000.arrow", []byte("half a job"))
	put(t, st, "mem://x/other/_SUCCESS", nil)
	put(t, st, "mem://x/newer/_SUCCESS", []byte(`{"version": 1000}`))
	put(t, st, "mem://x/text/_SUCCESS", []byte("done"))
	for folder, want := range map[string]string{
		"mem://x/none":  "mem://x/none: no committed output there (no _SUCCESS): name the folder that a finished job wrote to",
		"mem://x/other": "mem://x/other/_SUCCESS: decode manifest: it is empty: the output was written by another program",
		"mem://x/newer": "mem://x/newer/_SUCCESS: decode manifest: version 1000, this millrace reads up to 1: use a newer millrace",
		"mem://x/text":  "mem://x/text/_SUCCESS: decode manifest: invalid character",
		"ftp://x/y":     "ftp",
		"":              "",
	} {
		if _, err := output.Open(t.Context(), st, folder); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got error %v, want %q", folder, err, want)
		}
	}
	if _, err := output.Open(t.Context(), st, "mem://x/none"); !errors.Is(err, output.ErrNone) {
		t.Errorf("got %v, want ErrNone", err)
	}
	for name, tt := range map[string]struct {
		change func(folder string)
		want   string
	}{
		"longer": {func(f string) { put(t, st, f+"/part-00001.arrow", part(t, []int64{1, 2, 3}, []int64{4})) },
			"read mem://x/longer/part-00001.arrow: it has"},
		"gone":    {func(f string) { _ = st.Remove(t.Context(), f+"/part-00001.arrow") }, "part-00001.arrow: not found"},
		"damaged": {func(f string) { put(t, st, f+"/part-00001.arrow", make([]byte, len(part(t, []int64{2})))) }, "read mem://x/damaged/part-00001.arrow: "},
	} {
		folder := "mem://x/" + name
		commit(t, st, folder, part(t, []int64{1}), part(t, []int64{2}))
		out, err := output.Open(t.Context(), st, folder)
		if err != nil {
			t.Fatal(err)
		}
		tt.change(folder)
		got, _, err := numbers(t.Context(), out, 0)
		if err == nil || !strings.Contains(err.Error(), tt.want) || !slices.Equal(got, []int64{1}) {
			t.Errorf("%s: got %v, error %v, want %q", name, got, err, tt.want)
		}
	}
}
