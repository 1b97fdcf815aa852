package wordcount

import (
	"reflect"
	"strings"
	"testing"
	"unicode"
)

// reference finds words in the plainest way.
func reference(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return !unicode.IsLetter(r) })
}

func words(s string) []string {
	out := []string{}
	for word, rest := cutWord(s); word != ""; word, rest = cutWord(rest) {
		out = append(out, word)
	}
	return out
}

// cutWord finds what the plain tokenizer finds in every text of up to five of these elements: letters, marks and digits of
// one to four bytes, and bytes that are not UTF-8, alone and within characters.
func TestCutWordExhaustive(t *testing.T) {
	t.Parallel()
	elements := []string{"a", "Z", " ", "1", "{", "@", "é", "\u00d7", "語", "\u2028", "𝒜", "😀", "\xff", "\xc3", "\xe8\xaa", "\u0301", "\ufffd"}
	var check func(s string, left int)
	check = func(s string, left int) {
		if got, want := words(s), reference(s); !reflect.DeepEqual(got, want) {
			t.Fatalf("%q: got %q, want %q", s, got, want)
		}
		for _, e := range elements {
			if left > 0 {
				check(s+e, left-1)
			}
		}
	}
	check("", 4)
}

func FuzzCutWord(f *testing.F) {
	f.Add("It's a truth, universally—acknowledged")
	f.Add("na\u00efve caf\u00e9\xff\xfe x\xc3")
	f.Fuzz(func(t *testing.T, s string) {
		if got, want := words(s), reference(s); !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %q, want %q", s, got, want)
		}
	})
}

var text = strings.Repeat("The quick brown fox jumps over the lazy dog; and, being a fox of letters, it writes.\n", 1000)

func BenchmarkCutWord(b *testing.B) {
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		for word, rest := cutWord(text); word != ""; word, rest = cutWord(rest) {
		}
	}
}

func BenchmarkFieldsFunc(b *testing.B) {
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		for line := range strings.Lines(text) {
			reference(line)
		}
	}
}
