package gen_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/millrace/millrace/cmd/internal/gen"
)

func generate(t testing.TB, kind string, size int64, seed uint64) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := gen.Write(&b, kind, size, seed); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// The bytes of each kind are these for ever: people compare results over generated data.
func TestGolden(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		kind string
		size int64
		seed uint64
		want string
	}{
		{"text", 2_345_678, 1, "8bf7b43153f7cdac6df54d56efc6995af971c56301835b57169a5a9dff03d158"},
		{"text", 2_345_678, 2, "f88dc01476c8f2dfab27d200bd93301c5ce7429b63ee8cb1d7d75e8de468848d"},
		{"records", 2_345_600, 1, "34bc9687490cdd6f5a90e67d76d5688f75c488e752c9a4c737a04b889c265fe4"},
		{"records", 2_345_600, 2, "0ec52f54eaa1c77e29d6dea4cea4680800919ac714ffca08f2a465e398cc5b87"},
	} {
		data := generate(t, test.kind, test.size, test.seed)
		if got := fmt.Sprintf("%x", sha256.Sum256(data)); got != test.want || int64(len(data)) != test.size {
			t.Errorf("%s seed %d: got %d bytes, %q, want %q", test.kind, test.seed, len(data), got, test.want)
		}
	}
}

// Every size is exact, ends with a line, and begins with what a smaller size has in its whole blocks.
func TestSizes(t *testing.T) {
	t.Parallel()
	whole := generate(t, "text", 3_000_000, 7)
	for _, size := range []int64{0, 1, 2, 33, 34, 35, 100, 999_999, 1_000_000, 1_000_001, 2_000_050} {
		got := generate(t, "text", size, 7)
		if int64(len(got)) != size || size > 0 && got[size-1] != '\n' {
			t.Errorf("text of %d bytes: got %d", size, len(got))
		}
		if n := size / 1_000_000 * 1_000_000; !bytes.Equal(got[:n], whole[:n]) {
			t.Errorf("text of %d bytes begins otherwise than a larger one", size)
		}
	}
	for size, want := range map[int64]int{0: 0, 100: 100, 199: 100, 1_000_099: 1_000_000, 1_000_100: 1_000_100} {
		if got := generate(t, "records", size, 7); len(got) != want {
			t.Errorf("records of %d bytes: got %d, want %d", size, len(got), want)
		}
	}
}

// Text has lines, words and sentences as prose has: lines of some 75 bytes, few words very often and very many rarely.
func TestTextIsLikeProse(t *testing.T) {
	t.Parallel()
	text := string(generate(t, "text", 8_000_000, 3))
	if n := len(text) / strings.Count(text, "\n"); n < 70 || n > 80 {
		t.Errorf("a line has %d bytes on average", n)
	}
	for line := range strings.Lines(text) {
		if len(line) > 110 || strings.Trim(line, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ., \n") != "" {
			t.Fatalf("line %q", line)
		}
	}
	counts := map[string]int{}
	words := strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune("., \n", r) })
	for _, word := range words {
		counts[strings.ToLower(word)]++
	}
	if len(counts) < 12_000 || len(counts) > 100_000 {
		t.Errorf("%d words are different ones", len(counts))
	}
	first, tenth := counts["the"], counts["for"] // ranks 1 and 11
	if share := float64(first) / float64(len(words)); share < 0.06 || share > 0.15 {
		t.Errorf("the most frequent word is %.3f of all", share)
	}
	if ratio := float64(first) / float64(tenth); ratio < 8 || ratio > 14 {
		t.Errorf("the word of rank 11 is %.1f times as rare as the first", ratio)
	}
	if n := strings.Count(text, ". ") + strings.Count(text, ".\n"); n < len(words)/30 || n > len(words)/8 {
		t.Errorf("%d sentences of %d words", n, len(words))
	}
}

// A record is a printable key, a number that no other one has, and a line end; keys are spread over all characters.
func TestRecords(t *testing.T) {
	t.Parallel()
	data := generate(t, "records", 2_000_000, 3)
	seen := [128]int{}
	for i := range len(data) / 100 {
		r := data[100*i : 100*i+100]
		for _, c := range r[:10] {
			seen[c]++
		}
		if bytes.IndexByte(r, '\n') != 99 || string(r[10:31]) != fmt.Sprintf(" %020d", i) {
			t.Fatalf("record %d: %q", i, r)
		}
	}
	for c, n := range seen {
		if printable := c >= ' ' && c <= '~'; printable != (n > 0) || printable && (n < 1700 || n > 2500) {
			t.Errorf("character %q is in keys %d times", rune(c), n)
		}
	}
}

// What cannot be generated is refused, and an error of the writer is passed on.
func TestErrors(t *testing.T) {
	t.Parallel()
	full := errors.New("disk full")
	for _, test := range []struct {
		kind string
		size int64
		w    io.Writer
		want string
	}{
		{"texts", 1, io.Discard, "gen texts: no such kind of data: use text or records"},
		{"text", -1, io.Discard, "gen text: size -1 is negative"},
		{"records", -1, io.Discard, "negative"},
		{"records", 99, io.Discard, "less than one record: ask for 100 or more"},
		{"text", 5, failing{full}, "gen text: at byte 0: disk full"},
	} {
		if err := gen.Write(test.w, test.kind, test.size, 1); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: got %v", test, err)
		}
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func BenchmarkWrite(b *testing.B) {
	for _, kind := range gen.Kinds() {
		b.Run(kind, func(b *testing.B) {
			b.SetBytes(100_000_000)
			for b.Loop() {
				if err := gen.Write(io.Discard, kind, 100_000_000, 1); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
