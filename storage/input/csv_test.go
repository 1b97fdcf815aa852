package input_test

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/input"
)

// records cuts CSV into records in the plainest way: byte by byte from the beginning.
func records(text string, quotes bool) (out []line) {
	begin, field := 0, 0
	if strings.HasPrefix(text, "\ufeff") {
		field = 3
	}
	quoted := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '"' && i+1 < len(text) && text[i+1] == '"':
			i++
		case quoted && c == '"':
			quoted = false
		case quoted:
		case c == '"' && i == field && quotes:
			quoted = true
		case c == ',':
			field = i + 1
		case c == '\n':
			out = append(out, line{int64(begin), text[begin : i+1]})
			begin, field = i+1, i+1
		}
	}
	if begin < len(text) {
		out = append(out, line{int64(begin), text[begin:]})
	}
	return out
}

// readCSV reads the pieces of s one by one and returns what their blocks hold, checked for headers, and whether the pieces fit
// together as their cuts say.
func readCSV(t testing.TB, s *source, split int, f input.Format, o input.Options) (got []line, fits bool) {
	t.Helper()
	next, fits := int64(0), true
	text := string(s.objects[url])
	header, found := "", false
	for _, r := range records(text, f.Quotes) {
		if header += r.text; strings.Trim(strings.TrimPrefix(r.text, "\ufeff"), "\r\n") != "" {
			found = true
			break
		}
	}
	for _, p := range s.pieces(split) {
		p.Format = f
		r := input.Open(t.Context(), prompt{s}, []input.Piece{p}, o)
		for {
			b, err := r.Next()
			if err != nil {
				if err != io.EOF {
					t.Fatalf("text %q, piece at %d: %v", text, p.Offset, err)
				}
				break
			}
			for _, l := range records(string(b.Data), f.Quotes) {
				got = append(got, line{b.Offset + l.off, l.text})
			}
			if want := b.Offset > 0 && f.Header && found; want != (b.Header != nil) || want && string(b.Header) != header {
				t.Fatalf("text %q, block at %d: header %q, want %q", text, b.Offset, b.Header, header)
			}
		}
		if p.Length < p.Size && f.Quotes {
			switch c := r.Cut(); {
			case c == nil:
				t.Fatalf("text %q, piece at %d: no cut", text, p.Offset)
			case c.First < 0:
				fits = fits && next >= p.Offset+p.Length
			default:
				fits = fits && c.First == next
				next = c.Next
			}
		} else if r.Cut() != nil {
			t.Fatalf("text %q: a cut of a whole object, or of lines: %v", text, r.Cut())
		}
		r.Close()
	}
	if s.open != 0 {
		t.Fatalf("%d bodies are left open", s.open)
	}
	return got, fits
}

var (
	quoted   = input.Format{Kind: input.CSV, Comma: ',', Quotes: true}
	headed   = input.Format{Kind: input.CSV, Comma: ',', Quotes: true, Header: true}
	unquoted = input.Format{Kind: input.CSV, Comma: ',', Header: true}
)

// checkCSV reads text cut every split bytes: where its pieces fit together, they have exactly the records of the plain reader.
// It reports whether they do.
func checkCSV(t testing.TB, text string, split int, f input.Format, block int) bool {
	t.Helper()
	got, fits := readCSV(t, of(text), split, f, input.Options{BlockSize: block})
	if want := records(text, f.Quotes); fits && !reflect.DeepEqual(got, want) {
		t.Fatalf("text %q, split %d, block %d, %+v: the pieces fit together, but\n got %v\nwant %v", text, split, block, f, got, want)
	}
	return fits
}

// Every text of up to five of these bytes, cut at every split size and read in small blocks, has exactly the records of the plain
// reader, or is found out: with a header, without, and where quotes mean nothing, in which case nothing is to be guessed.
func TestCSVExhaustive(t *testing.T) {
	t.Parallel()
	most := 5
	if testing.Short() {
		most = 4
	}
	count, guessed := 0, 0
	var grow func(text string)
	grow = func(text string) {
		for split := 1; split <= len(text); split++ {
			block := 1 + (count+split)%4
			for _, f := range []input.Format{quoted, headed, unquoted} {
				count++
				switch {
				case checkCSV(t, text, split, f, block):
				case !f.Quotes || !strings.Contains(text, `"`):
					t.Fatalf("text %q, split %d, %+v: the pieces do not fit together", text, split, f)
				default:
					guessed++
				}
			}
		}
		for _, c := range "a,\"\n\r" {
			if len(text) < most {
				grow(text + string(c))
			}
		}
	}
	grow("")
	grow("\ufeff")
	if guessed*5 > count {
		t.Errorf("%d of %d cuts were guessed wrong", guessed, count)
	}
}

// table makes CSV as programs write it: fields with separators, line ends and quotes are quoted, or all are.
func table(rnd *rand.Rand, rows int, all, crlf bool) string {
	words := []string{"", "a", "some words", "12.5", "one, two", "say \"yes\"", "\"", "two\nlines", "ends\r\n", "\"\"\n,", "ünï", strings.Repeat("long text, ", 20)}
	var b strings.Builder
	for range rows {
		for i := range 4 {
			if i > 0 {
				b.WriteByte(',')
			}
			w := words[rnd.IntN(len(words))]
			if all || strings.ContainsAny(w, ",\"\r\n") {
				w = `"` + strings.ReplaceAll(w, `"`, `""`) + `"`
			}
			b.WriteString(w)
		}
		if crlf {
			b.WriteByte('\r')
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// Of files such as programs write no cut is guessed wrong, at any split size.
func TestCSVOfPrograms(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(3, 4))
	for i := range 8 {
		text := table(rnd, 30, i%2 == 0, i%3 == 0)
		if i%4 == 0 {
			text = "\ufeff" + text
		}
		step := 1
		if testing.Short() {
			step = 211
		}
		for split := 1; split <= len(text); split += step {
			if !checkCSV(t, text, split, headed, 100+split%500) {
				t.Fatalf("file %d, split %d: the pieces do not fit together", i, split)
			}
		}
	}
}

// A few bad records near a cut do not lead the search astray: the guess that breaks the grammar less often is the right one.
func TestCSVWithBadRecords(t *testing.T) {
	t.Parallel()
	good := "12,\"a text, with commas\",x\n13,\"two\nlines\",y\n"
	for _, bad := range []string{"14,5\" disk,z\n", "14,\"a\"b,z\n", "14,\" \"\" \"c\",\n", "1,2\n", "\"\"x,\"\",\n"} {
		text := strings.Repeat(good, 40) + bad + strings.Repeat(good, 40)
		for split := 40*len(good) - 20; split <= 40*len(good)+50; split++ {
			if !checkCSV(t, text, split, quoted, 1000) {
				t.Errorf("bad record %q, split %d: the pieces do not fit together", bad, split)
			}
		}
	}
}

// A field that looks like records is guessed wrong, and found out; a piece as large as the object is read right.
func TestCSVGuessIsFoundOut(t *testing.T) {
	t.Parallel()
	text := "a,b\n1,\"" + strings.Repeat("x,y\n", 1<<20) + "\"\n2,z\n"
	s := of(text)
	if _, fits := readCSV(t, s, len(text)/2, headed, input.Options{}); fits {
		t.Error("a piece that begins in a field of 4 MiB without a quote fits to the one before")
	}
	if got, fits := readCSV(t, s, len(text), headed, input.Options{}); !fits || len(got) != 3 {
		t.Errorf("got %d records", len(got))
	}
	if n := len(s.requests); n > 12 {
		t.Errorf("%d requests: %v", n, s.requests)
	}
}

// A record is as long as the limit at most, header and quotes included, wherever it lies; a search does not keep what it reads.
func TestCSVLimits(t *testing.T) {
	t.Parallel()
	o := input.Options{BlockSize: 10, MaxRecord: 30}
	for text, want := range map[string]string{
		"h\n\"" + strings.Repeat("\n", 28) + "\"\nz\n":   "",
		"h\n\"" + strings.Repeat("\n", 28) + "\"\r\nz\n": "",
		"h\n\"" + strings.Repeat("\n", 29) + "\"\nz\n":   "the record at byte 2 is longer than 30 bytes",
		"h\n\"" + strings.Repeat("\n", 2900):             "the record at byte 2 is longer than 30 bytes",
		"\ufeff" + strings.Repeat("h", 30) + "\r\nz\n":   "",
		"\ufeff" + strings.Repeat("h", 31) + "\r\nz\n":   "the record at byte 0 is longer",
		"h\n" + strings.Repeat("z", 31):                  "the record at byte 2 is longer",
	} {
		_, err := readAll(t, of(text), of(text).pieces(len(text)), headed, o)
		if ok := errors.Is(err, io.EOF); ok != (want == "") || !ok && (!errors.Is(err, input.ErrRecord) || !strings.Contains(err.Error(), want)) {
			t.Errorf("%.40q: got %v, want %q", text, err, want)
		}
	}
}

// What is no CSV in UTF-8, or has no end of its header, is an error that says what to do, whichever piece finds it.
func TestCSVErrors(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("some text without an end, ", 1<<16)
	for _, c := range []struct{ text, want string }{
		{"\xff\xfea\x00,\x00b\x00\n\x00c\x00,\x00d\x00\n\x00", "UTF-16"},
		{"\xfe\xff\x00a\x00,\x00b\x00\n\x00c\x00,\x00d\x00\n", "UTF-16"},
		{"\"" + long + "\"", "its first record, the header, does not end within 1048576 bytes"},
		{strings.Repeat("\n", 3<<20), "its first record"},
	} {
		for _, split := range []int{len(c.text), len(c.text)/2 + 1} {
			pieces := of(c.text).pieces(split)
			_, err := readAll(t, of(c.text), pieces[len(pieces)-1:], headed, input.Options{})
			if c.want == "" && !errors.Is(err, io.EOF) || c.want != "" && (!errors.Is(err, input.ErrRecord) || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%.20q, split %d: got %v, want %q", c.text, split, err, c.want)
			}
		}
	}
	for _, comma := range []byte{0, '"', '\n', '\r', 0xff} {
		f := quoted
		f.Comma = comma
		if _, err := readAll(t, of("a"), of("a").pieces(1), f, input.Options{}); err == nil || !strings.Contains(err.Error(), "separator") {
			t.Errorf("separator %q: got %v", comma, err)
		}
	}
	s := of(strings.Repeat("a,b\n", 100))
	s.fail = func(_ string, off int64) error {
		if off == 0 {
			return errors.New("no such luck")
		}
		return nil
	}
	if _, err := readAll(t, s, s.pieces(200)[1:], headed, input.Options{}); err == nil || !strings.Contains(err.Error(), "header: input at byte 0: no such luck") {
		t.Errorf("got %v", err)
	}
	s = of(strings.Repeat("a,b\n", 100))
	s.short = 100
	if _, err := readAll(t, s, s.pieces(200)[1:], headed, input.Options{}); !errors.Is(err, storage.ErrChanged) {
		t.Errorf("got %v", err)
	}
}

// Several objects in one split each have their own header in their first block.
func TestCSVObjectsTogether(t *testing.T) {
	t.Parallel()
	s := of("a,b\n1,2\n")
	s.objects["mem://t/b"] = []byte("c\n" + strings.Repeat("123456\n", 10))
	s.objects["mem://t/c"] = []byte("\n\n")
	var pieces []input.Piece
	for _, u := range []string{url, "mem://t/b", "mem://t/c"} {
		n := int64(len(s.objects[u]))
		pieces = append(pieces, input.Piece{URL: u, ETag: "v1", Size: n, Length: n})
	}
	var text strings.Builder
	for _, b := range mustRead(t, s, pieces, headed, input.Options{BlockSize: 24}) {
		fmt.Fprintf(&text, "%s %d %d %q\n", b.URL, b.Offset, len(b.Data), b.Header)
	}
	want := "mem://t/a 0 8 \"\"\nmem://t/b 0 23 \"\"\nmem://t/b 23 21 \"c\\n\"\nmem://t/b 44 28 \"c\\n\"\nmem://t/c 0 2 \"\"\n"
	if text.String() != want {
		t.Errorf("got\n%swant\n%s", text.String(), want)
	}
}

// encoding/csv reads the same records from files that keep to the grammar.
func TestCSVAgreesWithStandardLibrary(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(7, 8))
	text := table(rnd, 200, false, false)
	r := csv.NewReader(strings.NewReader(text))
	want, err := r.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var got [][]string
	for _, b := range mustRead(t, of(text), of(text).pieces(500), quoted, input.Options{BlockSize: 300}) {
		part, err := csv.NewReader(bytes.NewReader(b.Data)).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, part...)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %d records, want %d", len(got), len(want))
	}
}

// FuzzCSV proves that no text, cut anywhere, is read other than by the plain reader without being found out.
func FuzzCSV(f *testing.F) {
	f.Add("a,b\n\"1\n2\",\"\"\"\"\n", uint8(2), uint8(3), true)
	f.Add("\ufeff\"a\n\",b\r\n\r\n1,2", uint8(1), uint8(1), false)
	f.Add(table(rand.New(rand.NewPCG(1, 1)), 20, true, true), uint8(40), uint8(50), true)
	f.Fuzz(func(t *testing.T, text string, split, block uint8, header bool) {
		if strings.HasPrefix(text, "\xff\xfe") || strings.HasPrefix(text, "\xfe\xff") {
			return // UTF-16, which is an error
		}
		text = text[:min(len(text), 500)] // more takes long, byte by byte
		f := quoted
		f.Header = header
		checkCSV(t, text, 1+int(split), f, 1+int(block))
	})
}

// BenchmarkCSV is the cutting of CSV into blocks, beside that of the same text into lines.
func BenchmarkCSV(b *testing.B) {
	text := strings.Repeat("1027,\"Smith, John\",2026-07-01T12:00:00Z,\"12 High Street\",4711.50,true\n", 100_000)
	s := of(text)
	for name, f := range map[string]input.Format{"csv": headed, "unquoted": unquoted, "lines": {}} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				pieces := s.pieces(len(text))
				pieces[0].Format = f
				r := input.Open(b.Context(), prompt{s}, pieces, input.Options{})
				for {
					if _, err := r.Next(); err == io.EOF {
						break
					} else if err != nil {
						b.Fatal(err)
					}
				}
				r.Close()
			}
		})
	}
}
