package jobs

import (
	"fmt"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"
)

// sameCut fails the test unless the function of a FixedCutter does what the plain way does.
func sameCut(t *testing.T, cut func(string) (string, int64, error), line, separator string, decimals int) {
	t.Helper()
	key, v, err := cut(line)
	wantKey, want, wantErr := cutFixed(line, separator, decimals)
	if key != wantKey || v != want || fmt.Sprint(err) != fmt.Sprint(wantErr) {
		t.Errorf("%q, %d decimals: got %q %d %v, want %q %d %v", line, decimals, key, v, err, wantKey, want, wantErr)
	}
}

// fixedCutter is FixedCutter for what it accepts.
func fixedCutter(t testing.TB, separator string, decimals int) func(string) (string, int64, error) {
	t.Helper()
	cut, err := FixedCutter(separator, decimals)
	if err != nil {
		t.Fatal(err)
	}
	return cut
}

// The fast way does what the plain one does, for every value of up to four of these characters after keys of every length,
// and for every number of decimals.
func TestFixedCutterExhaustive(t *testing.T) {
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
		cut := fixedCutter(t, ";", decimals)
		for i, value := range values {
			key := "key:key;é"[:i%11]
			sameCut(t, cut, key+";"+value, ";", decimals)
			sameCut(t, cut, key+value, ";", decimals)
		}
	}
}

// Every value of up to six digits is read, in its shortest form and with all its decimals.
func TestFixedCutterNumbers(t *testing.T) {
	t.Parallel()
	step := int64(1)
	if testing.Short() { // one goroutine: under the race detector a part of the numbers will do
		step = 11
	}
	for decimals := range 6 {
		cut, one := fixedCutter(t, ";", decimals), int64(1)
		for range decimals {
			one *= 10
		}
		for n := int64(-9_999); n <= 99_999; n += step {
			text := big.NewRat(n, one).FloatString(decimals)
			if key, v, err := cut("a key;" + text); key != "a key" || v != n || err != nil {
				t.Fatalf("%s with %d decimals: got %q, %d, %v, want %d", text, decimals, key, v, err, n)
			}
		}
	}
}

func FuzzFixedCutter(f *testing.F) {
	for _, line := range []string{"Hamburg;12.0", "São Paulo;-3.4", "k;7", "a;b;1.55", "x;", ";1.0", "no mark", "k;-.5", "k;1234.5", "k;12345678901234567890.1"} {
		f.Add(line, ";", 1)
	}
	f.Add("k::5", "::", 0)
	f.Add("00000000", "0", 0)
	f.Add("lines--5--", "-", 0)
	f.Add("no separator", "", 0)
	f.Add("no decimals;1", ";", -1)
	f.Fuzz(func(t *testing.T, line, separator string, decimals int) {
		cut, err := FixedCutter(separator, decimals)
		if accepted := separator != "" && decimals >= 0 && decimals <= MaxDecimals; (err == nil) != accepted {
			t.Fatalf("separator %q, %d decimals: %v", separator, decimals, err)
		}
		if err == nil {
			sameCut(t, cut, line, separator, decimals)
		}
	})
}

// A number is read with its sign, missing decimals are zeros, and what is no number or does not fit says what is wrong.
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
		{"9223372036854775808", 0, 0, `"9223372036854775808" with 0 decimals does not fit into 64 bits`}, {"10", 18, 0, "does not fit"},
		{"1.25", 1, 0, `"1.25" has 2 decimals, more than 1`},
		{"", 1, 0, `"" is no fixed-point number`}, {"-", 0, 0, "is no fixed"}, {".", 0, 0, "is no fixed"},
		{"1e3", 1, 0, "is no fixed"}, {"--1", 1, 0, "is no"}, {"+-1", 1, 0, "is no"}, {"1.2.3", 5, 0, "is no"}, {"1_0", 0, 0, "is no"}, {" 1", 0, 0, "is no"}, {"1\u0663", 0, 0, "is no"},
		{"1", -1, 0, "decimals: -1: must be from 0 to 18"}, {"1", 19, 0, "decimals: 19: must be"},
	} {
		v, err := ParseFixed(test.text, test.decimals)
		if v != test.want || (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
			t.Errorf("%q, %d decimals: got %d, %v, want %d, %q", test.text, test.decimals, v, err, test.want, test.err)
		}
	}
}

// A floating-point number is finite, and stands after the last separator.
func TestFloatCutter(t *testing.T) {
	t.Parallel()
	if _, err := FloatCutter(""); err == nil || !strings.Contains(err.Error(), "separator: it is empty") {
		t.Errorf("no separator: %v", err)
	}
	cut, err := FloatCutter(" = ")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		line, key string
		want      float64
		err       string
	}{
		{"a = b = -1.5e3", "a = b", -1500, ""}, {" = 7", "", 7, ""}, {"k = NaN", "", 0, `the value "NaN" is no finite number`},
		{"k = 1e999", "", 0, "no finite"}, {"k = -Inf", "", 0, "no finite"}, {"k = ", "", 0, `"" is no finite`}, {"k=1", "", 0, `the line "k=1" has no separator " = "`},
	} {
		key, v, err := cut(test.line)
		if key != test.key || v != test.want || (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
			t.Errorf("%q: got %q, %v, %v, want %q, %v, %q", test.line, key, v, err, test.key, test.want, test.err)
		}
	}
}

// BenchmarkFixedCutter compares the ways on lines like those of weather stations: 14 bytes each on average, of 400 stations.
func BenchmarkFixedCutter(b *testing.B) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var stations, lines []string
	for i := range 400 {
		stations = append(stations, fmt.Sprintf("%.*s", 3+rnd.IntN(12), fmt.Sprint(i, "th station")))
	}
	bytes := 0
	for range 1 << 16 { // too many for a processor to learn their lengths by heart
		line := fmt.Sprintf("%s;%.1f", stations[rnd.IntN(len(stations))], 12+10*rnd.NormFloat64())
		lines, bytes = append(lines, line), bytes+len(line)+1
	}
	plain := func(line string) (string, int64, error) { return cutFixed(line, ";", 1) }
	for name, cut := range map[string]func(string) (string, int64, error){"short": fixedCutter(b, ";", 1), "plain": plain} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(bytes))
			b.ReportAllocs()
			for b.Loop() {
				for _, line := range lines {
					if _, _, err := cut(line); err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(lines)), "ns/line")
		})
	}
}
