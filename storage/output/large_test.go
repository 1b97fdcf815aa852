package output_test

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/millrace/millrace/storage/arrowfile"
	"github.com/millrace/millrace/storage/manifest"
	"github.com/millrace/millrace/storage/output"
)

// A part larger than what is read at a time comes whole, each number at its place.
func TestLargePart(t *testing.T) {
	t.Parallel()
	const batches, rows = 12, 40_000
	var file bytes.Buffer
	w, err := arrowfile.NewWriter(&file, schema, arrowfile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range uint64(batches) {
		var data []byte
		for j := range uint64(rows) {
			data = binary.LittleEndian.AppendUint64(data, i*rows+j)
		}
		if err := w.Write(arrowfile.Batch{Rows: rows, Columns: []arrowfile.Column{{Data: data}}}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Close(); err != nil {
		t.Fatal(err)
	}
	st, _ := bucket()
	commit(t, st, file.Bytes(), part(t))
	out, err := output.Open(t.Context(), st, folder)
	if err != nil {
		t.Fatal(err)
	}
	next := uint64(0)
	if err := out.Batches(t.Context(), func(_ arrowfile.Schema, b arrowfile.Batch) bool {
		for i := range b.Rows {
			if n := binary.LittleEndian.Uint64(b.Columns[0].Data[8*i:]); n != next {
				t.Errorf("number %d is %d", next, n)
				return false
			}
			next++
		}
		return true
	}); err != nil || next != batches*rows {
		t.Errorf("%d numbers, %v", next, err)
	}
}

// Several parts without rows tell their columns once.
func TestNoRowsInManyParts(t *testing.T) {
	t.Parallel()
	st, _ := bucket()
	commit(t, st, part(t), part(t), part(t))
	out, err := output.Open(t.Context(), st, folder)
	if err != nil {
		t.Fatal(err)
	}
	out.Manifest = &manifest.Manifest{Parts: out.Manifest.Parts}
	n := 0
	if err := out.Batches(t.Context(), func(s arrowfile.Schema, b arrowfile.Batch) bool {
		n++
		return len(s.Fields) == 1 && len(b.Columns) == 1 && b.Rows == 0
	}); err != nil || n != 1 {
		t.Errorf("%d batches, %v", n, err)
	}
}
