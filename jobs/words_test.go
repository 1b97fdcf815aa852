package jobs

import (
	"slices"
	"strings"
	"testing"
	"unicode"
)

// plainWords is the reference of Words.
func plainWords(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return !unicode.IsLetter(r) })
}

func checkWords(t *testing.T, s string) {
	t.Helper()
	if got, want := slices.Collect(Words(s)), plainWords(s); !slices.Equal(got, want) {
		t.Fatalf("%q: got %q, want %q", s, got, want)
	}
}

var wordElements = []string{"a", "Z", " ", "1", "{", "@", "é", "\u00d7", "語", "\u2028", "𝒜", "😀", "\xff", "\xc3", "\xe8\xaa", "\u0301", "\ufffd"}

// Words finds what the plain tokenizer finds in every text of up to three of these elements: letters, marks and digits of one
// to four bytes, and bytes that are not UTF-8, alone and within characters.
func TestWordsExhaustive(t *testing.T) {
	t.Parallel()
	var check func(s string, left int)
	check = func(s string, left int) {
		checkWords(t, s)
		for _, e := range wordElements {
			if left > 0 {
				check(s+e, left-1)
			}
		}
	}
	check("", 3)
}

// The same of two elements at every place in a window, in words and between, with windows before and after.
func TestWordsAcrossWindows(t *testing.T) {
	t.Parallel()
	for _, x := range wordElements {
		for _, y := range wordElements {
			for _, fill := range []string{"w", "é", "ab c"} {
				before, after := strings.Repeat(fill, 140), strings.Repeat(fill, 70)
				for _, n := range []int{60, 61, 62, 63, 64, 124, 125, 126, 127, 128} {
					for _, m := range []int{0, 1, 61, 63, 64} {
						checkWords(t, before[:n]+x+y+after[:m])
					}
				}
			}
		}
	}
}

// Each byte by itself is a letter or not, wherever it stands in a word of the machine.
func TestLetterBits(t *testing.T) {
	t.Parallel()
	for c := range 256 {
		for i := range windowSize {
			var b [windowSize]byte
			b[i] = byte(c)
			m, foreign := letterBits(&b)
			if foreign != uint64(c>>7)<<i {
				t.Fatalf("byte %#x at %d: foreign is %#x", c, i, foreign)
			}
			want := uint64(0)
			if c < 0x80 && unicode.IsLetter(rune(c)) {
				want = 1 << i
			}
			if m&^foreign != want {
				t.Fatalf("byte %#x at %d: got %#x, want %#x", c, i, m, want)
			}
		}
	}
}

// A loop may be left at any word.
func TestWordsLeft(t *testing.T) {
	t.Parallel()
	for word := range Words("one two three") {
		if word == "three" {
			t.Error("the loop went on after it was left")
		}
		if word == "two" {
			break
		}
	}
}

func FuzzWords(f *testing.F) {
	f.Add("It's a truth, universally—acknowledged")
	f.Add("na\u00efve caf\u00e9\xff\xfe x\xc3")
	f.Add(strings.Repeat("é", 31) + "\xc3" + strings.Repeat("a語", 20))
	f.Fuzz(func(t *testing.T, s string) { checkWords(t, s) })
}

// Looping over words costs no allocation.
func TestWordsAllocateNothing(t *testing.T) {
	text, n := prose(2000), 0
	if allocs := testing.AllocsPerRun(10, func() {
		for line := range strings.Lines(text) {
			for word := range Words(line) {
				n += len(word)
			}
		}
	}); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

// loopWords is what Words was at first: a loop over characters.
func loopWords(s string, f func(string)) {
	begin := -1
	for i, r := range s {
		switch letter := unicode.IsLetter(r); {
		case letter && begin < 0:
			begin = i
		case !letter && begin >= 0:
			f(s[begin:i])
			begin = -1
		}
	}
	if begin >= 0 {
		f(s[begin:])
	}
}

// BenchmarkWords goes over the words of lines, as a map function does.
func BenchmarkWords(b *testing.B) {
	text := prose(1 << 20)
	n := 0
	count := func(string) { n++ }
	for name, f := range map[string]func(line string){
		"windows": func(line string) {
			for word := range Words(line) {
				count(word)
			}
		},
		"characters": func(line string) { loopWords(line, count) },
		"fields": func(line string) {
			for _, word := range plainWords(line) {
				count(word)
			}
		},
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			n = 0
			for b.Loop() {
				for line := range strings.Lines(text) {
					f(line)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/word")
		})
	}
}
