package input_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/encoding"
	"github.com/millrace/millrace/storage/input"
)

// packedFiles are the files that other programs made of one text: see the folder's make.sh.
func packedFiles(t testing.TB) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	names, err := filepath.Glob("../encoding/testdata/*.*")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		base := filepath.Base(name)
		if strings.HasPrefix(base, "empty") || strings.HasPrefix(base, "skipped") || strings.HasPrefix(base, "blocks") || strings.HasPrefix(base, "planted") || !slices.Contains([]string{".gz", ".bz2", ".zst", ".lz4", ".sz"}, filepath.Ext(base)) {
			continue
		}
		if files[base], err = os.ReadFile(name); err != nil {
			t.Fatal(err)
		}
	}
	if len(files) < 10 {
		t.Fatalf("only %d files", len(files))
	}
	return files
}

func packedText(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile("../encoding/testdata/text")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// zipped is a text in gzip.
func zipped(t testing.TB, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// Lines, fixed records and whole files of a compressed object are those of the plain one, with their offsets in the plain
// bytes, whatever the size of a block and the pace of the source, and whether the caller knows how it is compressed or not.
func TestPackedRecords(t *testing.T) {
	t.Parallel()
	text := packedText(t)
	for name, data := range packedFiles(t) {
		for _, block := range []int{1, 7, 100, 1 << 20} {
			s := of(string(data))
			s.slow = block == 100
			pieces := s.pieces(len(data))
			if block == 7 {
				pieces[0].Encoding = encoding.Detect(data)
			}
			o := input.Options{BlockSize: block}
			if got := linesOf(mustRead(t, s, pieces, input.Format{}, o)); !reflect.DeepEqual(got, reference(text)) {
				t.Errorf("%s, block %d: %d lines, or others", name, block, len(got))
			}
			csv := input.Format{Kind: input.CSV, Comma: ',', Header: true} // of lines without quotes
			if got := linesOf(mustRead(t, s, pieces, csv, o)); !reflect.DeepEqual(got, reference(text)) {
				t.Errorf("%s, block %d, as CSV: %d lines, or others", name, block, len(got))
			}
			for _, format := range []input.Format{{Kind: input.Fixed, Length: 3}, {Kind: input.Fixed, Length: 100}, {Kind: input.File}} {
				var got []byte
				blocks := mustRead(t, s, pieces, format, o)
				for _, b := range blocks {
					if b.Offset != int64(len(got)) || format.Kind == input.Fixed && len(b.Data)%format.Length != 0 {
						t.Fatalf("%s, block %d, %v: %d bytes at %d", name, block, format, len(b.Data), b.Offset)
					}
					got = append(got, b.Data...)
				}
				if string(got) != text || format.Kind == input.File && len(blocks) != 1 {
					t.Errorf("%s, block %d, %v: got %d bytes in %d blocks", name, block, format, len(got), len(blocks))
				}
			}
		}
	}
}

// Compressed and plain objects of all sizes stand side by side in a split, in order, in few requests: one for a plain object,
// and for a compressed one no more.
func TestPackedAmongOthers(t *testing.T) {
	t.Parallel()
	text := packedText(t)
	s := of(text)
	var pieces []input.Piece
	var want string
	add := func(data, plain string) {
		name := fmt.Sprint("mem://t/", len(pieces))
		s.objects[name] = []byte(data)
		pieces = append(pieces, input.Piece{URL: name, ETag: s.etag, Size: int64(len(data)), Length: int64(len(data))})
		want += plain
	}
	for name, data := range packedFiles(t) {
		add(string(data), text)
		add(name+"\n", name+"\n")
	}
	add(zipped(t, ""), "")
	add("\n", "\n")
	for _, ahead := range []int{1, 4, 100} {
		var got []byte
		blocks := mustRead(t, s, pieces, input.Format{}, input.Options{ReadAhead: ahead, BlockSize: 512})
		for _, b := range blocks {
			got = append(got, b.Data...)
		}
		if string(got) != want {
			t.Errorf("ahead %d: got %d bytes, want %d", ahead, len(got), len(want))
		}
		if len(s.requests) > len(pieces) {
			t.Errorf("ahead %d: %d requests for %d objects", ahead, len(s.requests), len(pieces))
		}
	}
}

// An object that begins as a compressed one and is not fails, by name and with what to do; raw, it is read as it is.
func TestPackedByChance(t *testing.T) {
	t.Parallel()
	data := "\x1f\x8b\x08\x00 and something else\n"
	s := of(data)
	for _, f := range []input.Format{{}, {Kind: input.Fixed, Length: len(data)}, {Kind: input.Fixed, Length: 7}, {Kind: input.Fixed, Length: 1}, {Kind: input.File}} {
		_, err := readAll(t, s, s.pieces(len(data)), f, input.Options{BlockSize: 4})
		if !errors.Is(err, input.ErrRecord) || !strings.Contains(err.Error(), url) || !strings.Contains(err.Error(), "--decompress none") {
			t.Errorf("%v: got %v", f, err)
		}
		if f.Length == 7 {
			continue
		}
		pieces := s.pieces(len(data))
		pieces[0].Raw = true
		var got string
		for _, b := range mustRead(t, s, pieces, f, input.Options{}) {
			got += string(b.Data)
		}
		if got != data {
			t.Errorf("%v, raw: got %q", f, got)
		}
	}
	// A piece of it was cut by somebody who had to look first.
	if _, err := readAll(t, s, s.pieces(20), input.Format{}, input.Options{}); err == nil || !strings.Contains(err.Error(), "no piece") {
		t.Errorf("cut: got %v", err)
	}
}

// Text that is compressed in a way that is not known is refused by name, cut or whole; as files it is what it is, and raw.
func TestForeign(t *testing.T) {
	t.Parallel()
	for name, data := range map[string]string{"xz": "\xfd7zXZ\x00\x00\x04rest\n", "legacy lz4": "\x02\x21\x4c\x18rest of it\n"} {
		s := of(data)
		for _, f := range []input.Format{{}, {Kind: input.CSV, Comma: ','}} {
			for _, split := range []int{len(data), 12} {
				_, err := readAll(t, s, s.pieces(split), f, input.Options{})
				if !errors.Is(err, input.ErrRecord) || !strings.Contains(err.Error(), "it is "+name+" data") || !strings.Contains(err.Error(), "--decompress none") {
					t.Errorf("%s, %v, split %d: got %v", name, f, split, err)
				}
			}
			pieces := s.pieces(len(data))
			pieces[0].Raw = true
			mustRead(t, s, pieces, f, input.Options{})
		}
		if b := mustRead(t, s, s.pieces(len(data)), input.Format{Kind: input.File}, input.Options{}); string(b[0].Data) != data {
			t.Errorf("%s as a file: got %q", name, b[0].Data)
		}
	}
}

// A compressed object that is cut off, damaged, too large, or whose source fails, ends the reading with an error that names it.
func TestPackedFaults(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("0123456789abcdef\n", 50_000)
	packed := zipped(t, text)
	boom := errors.New("boom")
	for _, test := range []struct {
		name   string
		change func(*source, *input.Options) input.Format
		is     error
		want   string
	}{
		{"cut off", func(s *source, _ *input.Options) input.Format {
			s.objects[url] = s.objects[url][:len(packed)-5]
			return input.Format{}
		}, input.ErrRecord, "too early, at byte"},
		{"a bit is turned", func(s *source, _ *input.Options) input.Format {
			s.objects[url][len(packed)-7] ^= 1
			return input.Format{}
		}, input.ErrRecord, "checksum"},
		{"no whole records", func(*source, *input.Options) input.Format { return input.Format{Kind: input.Fixed, Length: 32} }, input.ErrRecord,
			"850000 decompressed bytes are not a whole number of 32-byte records"},
		{"a large file", func(_ *source, o *input.Options) input.Format {
			o.MaxFile = 849_999
			return input.Format{Kind: input.File}
		}, input.ErrRecord, "more than 849999 bytes"},
		{"over the limit", func(_ *source, o *input.Options) input.Format { o.Unpacked.Plain = 849_999; return input.Format{} }, input.ErrRecord, "--max-decompressed"},
		{"a failing source", func(s *source, _ *input.Options) input.Format { s.late = boom; return input.Format{} }, boom, "boom"},
		{"a change", func(s *source, _ *input.Options) input.Format {
			s.late = fmt.Errorf("%s: %w", url, storage.ErrChanged)
			return input.Format{}
		}, storage.ErrChanged, "input changed"},
		{"a short body", func(s *source, _ *input.Options) input.Format { s.short = 100; return input.Format{} }, storage.ErrChanged, "ends at byte 100"},
		{"a long line", func(_ *source, o *input.Options) input.Format { o.MaxRecord = 15; return input.Format{} }, input.ErrRecord, "the line at byte 0"},
	} {
		s := of(packed)
		o := input.Options{BlockSize: 64 << 10}
		f := test.change(s, &o)
		_, err := readAll(t, s, s.pieces(len(s.objects[url])), f, o)
		if !errors.Is(err, test.is) || !strings.Contains(err.Error(), test.want) || strings.Count(err.Error(), url) != 1 && test.is != boom {
			t.Errorf("%s: got %v", test.name, err)
		}
	}
}

// However many compressed objects are read ahead, one is decompressed at a time: the others wait with what was read of them.
func TestOneDecoderAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		packed := zipped(t, strings.Repeat("0123456789abcdef\n", 100_000))
		s := of(packed)
		piece := s.pieces(len(packed))[0]
		r := input.Open(t.Context(), s, slices.Repeat([]input.Piece{piece}, 8), input.Options{BlockSize: 64, ReadAhead: 100})
		synctest.Wait()
		if s.open != 8 || s.bytes > 8*encoding.HeadBytes+8*64 {
			t.Errorf("%d objects are open, %d bytes are read", s.open, s.bytes)
		}
		if _, err := r.Next(); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if n := s.bytes; n > len(packed)+8*64 {
			t.Errorf("%d bytes are read for the first of them, which has %d", n, len(packed))
		}
		if err := r.Close(); err != nil || s.open != 0 {
			t.Errorf("Close: %v, %d are open", err, s.open)
		}
	})
}

// Of a sample's piece a small block is given every so many plain bytes, up to the most; what is not compressed is given whole. The
// rest of the object is not read.
func TestPackedSample(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("0123456789abcde\n", 1<<16)
	for _, f := range []input.Format{{}, {Kind: input.Fixed, Length: 16}} {
		s := of(zipped(t, text))
		pieces := s.pieces(len(s.objects[url]))
		pieces[0].Most, pieces[0].Every = 512<<10, 64<<10
		blocks := mustRead(t, s, pieces, f, input.Options{})
		if len(blocks) != 8 {
			t.Errorf("%v: %d blocks, want 8", f, len(blocks))
		}
		for i, b := range blocks {
			if at := int64(i * 64 << 10); b.Offset < at || b.Offset > at+16<<10 || len(b.Data) > 8<<10 || string(b.Data) != text[b.Offset:b.Offset+int64(len(b.Data))] {
				t.Errorf("%v: block %d is %d bytes at %d", f, i, len(b.Data), b.Offset)
			}
		}
		s = of(text)
		pieces = s.pieces(len(text))
		pieces[0].Most, pieces[0].Every = 512<<10, 64<<10
		if blocks := mustRead(t, s, pieces, f, input.Options{BlockSize: 256 << 10}); len(blocks) != 4 {
			t.Errorf("%v, plain: %d blocks, want 4", f, len(blocks))
		}
	}
}

// A small compressed object takes no block's worth of memory.
func TestPackedBlockFits(t *testing.T) {
	t.Parallel()
	packed := zipped(t, "tiny\n")
	s := of(packed)
	if b := mustRead(t, s, s.pieces(len(packed)), input.Format{}, input.Options{}); len(b) != 1 || cap(b[0].Data) != 5 {
		t.Errorf("%d blocks, the first of capacity %d", len(b), cap(b[0].Data))
	}
}
