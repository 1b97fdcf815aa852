package stats

import (
	"fmt"
	"io"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/millrace/millrace/jobs"
)

// cutBy returns what a map function makes of a line.
func cutBy(read func(string, func(string, group[int64])) error, line string) (key string, v int64, err error) {
	calls := 0
	err = read(line, func(k string, g group[int64]) {
		key, v = k, g.Sum
		if calls++; calls > 1 || g != (group[int64]{1, v, v, v}) {
			err = fmt.Errorf("call %d of emit: %+v", calls, g)
		}
	})
	return key, v, err
}

// sameCut fails the test unless the reader does what plain does.
func sameCut(t *testing.T, f fixed, read func(string, func(string, group[int64])) error, line string) {
	t.Helper()
	key, v, err := cutBy(read, line)
	wantKey, want, wantErr := cutBy(f.plain, line)
	if key != wantKey || v != want || fmt.Sprint(err) != fmt.Sprint(wantErr) {
		t.Errorf("%q, %d decimals: got %q %d %v, want %q %d %v", line, f.decimals, key, v, err, wantKey, want, wantErr)
	}
}

// The fast way does what the plain one does, for every value of up to four of these characters after keys of every length,
// and for every number of decimals.
func TestCutExhaustive(t *testing.T) {
	t.Parallel()
	characters := "-+.;059 \x3a\xb0"
	var values []string
	level := []string{""}
	for range 5 {
		values = append(values, level...)
		var next []string
		for _, v := range level {
			for i := range len(characters) {
				next = append(next, v+characters[i:i+1])
			}
		}
		level = next
	}
	for decimals := range 8 {
		f := fixed{separator: ";", decimals: decimals}
		read := f.reader()
		for i, value := range values {
			key := "key:key;é"[:i%11]
			sameCut(t, f, read, key+";"+value)
			sameCut(t, f, read, key+value)
		}
	}
}

// Every value of up to six digits is read, in its shortest form and with all its decimals.
func TestCutNumbers(t *testing.T) {
	t.Parallel()
	for decimals := range 6 {
		read := fixed{separator: ";", decimals: decimals}.reader()
		for n := int64(-9_999); n <= 99_999; n++ {
			text := big.NewRat(n, pow10(decimals)).FloatString(decimals)
			if key, v, err := cutBy(read, "a key;"+text); key != "a key" || v != n || err != nil {
				t.Fatalf("%s with %d decimals: got %q, %d, %v, want %d", text, decimals, key, v, err, n)
			}
		}
	}
}

func pow10(n int) int64 {
	p := int64(1)
	for range n {
		p *= 10
	}
	return p
}

func FuzzCut(f *testing.F) {
	for _, line := range []string{"Hamburg;12.0", "São Paulo;-3.4", "k;7", "a;b;1.55", "x;", ";1.0", "no mark", "k;-.5", "k;1234.5", "k;12345678901234567890.1"} {
		f.Add(line, ";", 1)
	}
	f.Add("k::5", "::", 0)
	f.Add("00000000", "0", 0)
	f.Add("lines--5--", "-", 0)
	f.Fuzz(func(t *testing.T, line, separator string, decimals int) {
		p := Params{separator, decimals}
		if p.Validate() == nil && decimals >= 0 {
			f := fixed{separator: separator, decimals: decimals}
			sameCut(t, f, f.reader(), line)
		}
	})
}

// A plain number is read with its sign, missing decimals are zeros, and what is no number or does not fit says what to do.
func TestParseFixed(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		text     string
		decimals int
		want     int64
		err      string
	}{
		{"12.3", 1, 123, ""}, {"-12.3", 1, -123, ""}, {"+7", 2, 700, ""}, {"-.5", 1, -5, ""}, {"5.", 1, 50, ""}, {"0012", 0, 12, ""},
		{"9223372036854775807", 0, 9223372036854775807, ""}, {"-9.223372036854775807", 18, -9223372036854775807, ""},
		{"9223372036854775808", 0, 0, "does not fit into 64 bits: state fewer with -p decimals"}, {"10", 18, 0, "does not fit"},
		{"1.25", 1, 0, `"1.25" has more decimals than 1: state how many there are with -p decimals=2`},
		{"", 1, 0, `"" is no fixed-point number: correct the line`}, {"-", 0, 0, "is no fixed"}, {".", 0, 0, "is no fixed"},
		{"1e3", 1, 0, "-p decimals=-1"}, {"--1", 1, 0, "is no"}, {"+-1", 1, 0, "is no"}, {"1.2.3", 5, 0, "is no"}, {"1_0", 0, 0, "is no"}, {" 1", 0, 0, "is no"}, {"1\u0663", 0, 0, "is no"},
	} {
		v, err := parseFixed(test.text, test.decimals)
		if v != test.want || (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
			t.Errorf("%q, %d decimals: got %d, %v, want %d, %q", test.text, test.decimals, v, err, test.want, test.err)
		}
	}
}

// benchLines are lines like those of weather stations: 14 bytes each on average, of 400 stations.
func benchLines() (lines []string, bytes int64) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var stations []string
	for i := range 400 {
		stations = append(stations, fmt.Sprintf("%.*s", 3+rnd.IntN(12), fmt.Sprint(i, "th station")))
	}
	for range 1 << 16 { // too many for a processor to learn their lengths by heart
		line := fmt.Sprintf("%s;%.1f", stations[rnd.IntN(len(stations))], 12+10*rnd.NormFloat64())
		lines, bytes = append(lines, line), bytes+int64(len(line))+1
	}
	return lines, bytes
}

func benchmark(b *testing.B, read func(string, func(string, group[int64])) error) {
	lines, bytes := benchLines()
	b.SetBytes(bytes)
	b.ReportAllocs()
	emit := func(string, group[int64]) {}
	for b.Loop() {
		for _, line := range lines {
			if err := read(line, emit); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(lines)), "ns/line")
}

func BenchmarkShort(b *testing.B) { benchmark(b, fixed{separator: ";", decimals: 1}.reader()) }
func BenchmarkPlain(b *testing.B) { benchmark(b, fixed{separator: ";", decimals: 1}.plain) }

// memory is a source of the same blocks again and again.
type memory struct {
	block jobs.Block
	left  int
}

func (m *memory) Next() (jobs.Block, error) {
	if m.left--; m.left < 0 {
		return jobs.Block{}, io.EOF
	}
	return m.block, nil
}

// nowhere keeps no pairs.
type nowhere struct{}

func (nowhere) Put(p jobs.Pairs) (jobs.Pairs, error) { return jobs.Pairs{Data: p.Data[:0]}, nil }

// BenchmarkMap is the whole map side: lines, values, the combine table.
func BenchmarkMap(b *testing.B) {
	lines, bytes := benchLines()
	prog, err := Job().Bind(map[string]string{"decimals": "1"})
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(bytes)
	b.ReportAllocs()
	in := &memory{jobs.Block{URL: "mem://lines", Data: []byte(strings.Join(lines, "\n") + "\n")}, b.N}
	b.ResetTimer()
	if err := prog.Map(b.Context(), &jobs.Task{Reducers: 1}, in, nowhere{}); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(lines)), "ns/line")
}
