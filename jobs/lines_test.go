package jobs

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// place is a line and where it begins.
type place struct {
	begin int
	line  string
}

// plainLines is the reference of lines.
func plainLines(data []byte) (out []place) {
	for begin := 0; begin < len(data); {
		line, _, ended := bytes.Cut(data[begin:], []byte("\n"))
		next := begin + len(line)
		if ended {
			next++
			line = bytes.TrimSuffix(line, []byte("\r"))
		}
		out = append(out, place{begin, string(line)})
		begin = next
	}
	return out
}

func checkLines(t *testing.T, data []byte) {
	t.Helper()
	var got []place
	for begin, line := range lines(data) {
		got = append(got, place{begin, strings.Clone(line)})
	}
	if want := plainLines(data); !slices.Equal(got, want) {
		t.Fatalf("%q: got %v, want %v", data, got, want)
	}
	for i := range data {
		if got, want := lineStart(view(data), i), bytes.LastIndexByte(data[:i], '\n')+1; got != want {
			t.Fatalf("%q: the line of byte %d starts at %d, want %d", data, i, got, want)
		}
	}
}

// lines finds the lines of every text of up to six of these characters, alone and behind short and long lines.
func TestLinesExhaustive(t *testing.T) {
	t.Parallel()
	fronts := []string{"", strings.Repeat("short\n", 9), strings.Repeat("ten bytes\n", 6), strings.Repeat("x", 70) + "\n", strings.Repeat("y", 61)}
	var check func(s string, left int)
	check = func(s string, left int) {
		for _, front := range fronts {
			checkLines(t, []byte(front+s))
		}
		for _, c := range []string{"\n", "\r", "a"} {
			if left > 0 {
				check(s+c, left-1)
			}
		}
	}
	check("", 6)
}

// The same with lines of all lengths in any order, and every byte but a newline in them.
func TestLinesRandom(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(5, 5))
	for range 300 {
		var data []byte
		longest := 1 + rng.IntN(150)
		for len(data) < 2000 {
			for range rng.IntN(longest) {
				data = append(data, byte(11+rng.IntN(255)))
			}
			data = append(data, "\r\n"[rng.IntN(2):]...)
		}
		checkLines(t, data[:len(data)-rng.IntN(3)])
	}
}

// Each byte by itself is a newline or not, wherever it stands.
func TestNewlineBits(t *testing.T) {
	t.Parallel()
	for c := range 256 {
		for _, around := range []byte{0, '\n' - 1, '\n' + 1, '\n' | 0x80, 0xff} {
			for i := range windowSize {
				b := [windowSize]byte(bytes.Repeat([]byte{around}, windowSize))
				b[i] = byte(c)
				want := uint64(0)
				if c == '\n' {
					want = 1 << i
				}
				if got := newlineBits(&b); got != want {
					t.Fatalf("byte %#x at %d: got %#x, want %#x", c, i, got, want)
				}
			}
		}
	}
}

func FuzzLines(f *testing.F) {
	f.Add([]byte("a\nb\r\n\r\n\rc"))
	f.Add(bytes.Repeat([]byte("\n"), 200))
	f.Add(append(bytes.Repeat([]byte("line\r\n"), 20), bytes.Repeat([]byte("z"), 100)...))
	f.Fuzz(func(t *testing.T, data []byte) { checkLines(t, data) })
}

// Looping over lines costs no allocation.
func TestLinesAllocateNothing(t *testing.T) {
	data, n := []byte(prose(2000)), 0
	if allocs := testing.AllocsPerRun(10, func() {
		for begin, line := range lines(data) {
			n += begin + len(line)
		}
	}); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

// BenchmarkLines cuts short lines, such as measurements, and long ones, such as a server's log.
func BenchmarkLines(b *testing.B) {
	rng := rand.New(rand.NewPCG(6, 6))
	for name, mean := range map[string]int{"14": 14, "74": 74, "200": 200} {
		var data []byte
		for len(data) < 256<<10 {
			data = append(append(data, bytes.Repeat([]byte{'x'}, mean*2/3+rng.IntN(mean*2/3))...), '\n')
		}
		count := bytes.Count(data, []byte("\n"))
		run := func(name string, f func() int) {
			b.Run(name, func(b *testing.B) {
				b.SetBytes(int64(len(data)))
				b.ReportAllocs()
				n := 0
				for b.Loop() {
					n += f()
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*count), "ns/line")
			})
		}
		run(name+"/lines", func() (n int) {
			for begin, line := range lines(data) {
				n += begin + len(line)
			}
			return n
		})
		run(name+"/search", func() (n int) {
			for rest := data; len(rest) > 0; {
				i := bytes.IndexByte(rest, '\n')
				n += i
				rest = rest[i+1:]
			}
			return n
		})
	}
}

// BenchmarkLineStart looks for the starts of lines from places within them.
func BenchmarkLineStart(b *testing.B) {
	for _, length := range []int{20, 100, 200} {
		s := strings.Repeat(strings.Repeat("x", length-1)+"\n", (256<<10)/length)
		for name, start := range map[string]func(string, int) int{
			"lineStart": lineStart, "search": func(s string, i int) int { return strings.LastIndexByte(s[:i], '\n') + 1 },
		} {
			b.Run(fmt.Sprintf("%d/%s", length, name), func(b *testing.B) {
				b.SetBytes(int64(len(s)))
				b.ReportAllocs()
				for b.Loop() {
					for i := length / 2; i < len(s); i += length {
						start(s, i)
					}
				}
			})
		}
	}
}
