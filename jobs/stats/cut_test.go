package stats

import (
	"fmt"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"
)

// sameCut fails the test unless cut does what cutPlain does.
func sameCut(t *testing.T, f *fixed, line string) {
	t.Helper()
	key, v, err := f.cut(line)
	wantKey, want, wantErr := f.cutPlain(line)
	if key != wantKey || v != want || fmt.Sprint(err) != fmt.Sprint(wantErr) {
		t.Errorf("%q, %d decimals: got %q %d %v, want %q %d %v", line, f.decimals, key, v, err, wantKey, want, wantErr)
	}
}

// The fast way does what the plain one does, for every value of up to five of these characters after keys of every length,
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
		f := newFixed(";", decimals)
		for i, value := range values {
			key := "key:key;é"[:i%10]
			sameCut(t, f, key+";"+value)
			sameCut(t, f, key+value)
		}
	}
}

// Every value of up to six digits is read, in its shortest form and with all its decimals.
func TestCutNumbers(t *testing.T) {
	t.Parallel()
	for decimals := range 6 {
		f := newFixed(";", decimals)
		for n := int64(-9_999); n <= 99_999; n++ {
			text := big.NewRat(n, pow10(decimals)).FloatString(decimals)
			if key, v, err := f.cut("a key;" + text); key != "a key" || v != n || err != nil {
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
	f.Fuzz(func(t *testing.T, line, separator string, decimals int) {
		p := Params{separator, decimals}
		if p.Validate() == nil && decimals >= 0 {
			sameCut(t, newFixed(separator, decimals), line)
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

// benchLines are lines like those of weather stations: 14 bytes each on average.
func benchLines() (lines []string, bytes int64) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 4096 {
		line := fmt.Sprintf("%s;%.1f", strings.Repeat("x", 3+rnd.IntN(12)), 12+10*rnd.NormFloat64())
		lines, bytes = append(lines, line), bytes+int64(len(line))+1
	}
	return lines, bytes
}

func benchmarkCut(b *testing.B, cut func(string) (string, int64, error)) {
	lines, bytes := benchLines()
	b.SetBytes(bytes)
	b.ReportAllocs()
	for b.Loop() {
		for _, line := range lines {
			if _, _, err := cut(line); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(lines)), "ns/line")
}

func BenchmarkCut(b *testing.B)      { benchmarkCut(b, newFixed(";", 1).cut) }
func BenchmarkCutPlain(b *testing.B) { benchmarkCut(b, newFixed(";", 1).cutPlain) }
