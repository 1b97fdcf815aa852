package gen_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

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
		{"measurements", 2_345_600, 1, "2b0c46ef31cbd9203db874d511132f765778b6dd25011de1cdc64ce3e9410f74"},
		{"measurements", 2_345_600, 2, "4b96bf35aa6a45d3639c8c4dc2dc6d70cb9a94c3deff29c38164dfebaa5e2976"},
		{"access-log", 2_345_600, 1, "e98f7b85d18391c9fcf19a05178fe7653d850fc6ad667d5216cdfb0bcb52c394"},
		{"access-log", 2_345_600, 2, "f62e60bf19bd6a6d84e8eb826ea0897bacaaf20ccf76521d41cdb2867c6432c2"},
		{"numbers", 2_345_600, 1, "d29fd37c9d54e86fadca07406e8f233db28f0f470b7aec9d4fb6533597302d81"},
		{"numbers", 2_345_600, 2, "812118ac236e5e97d0add45c544c0ab26499d549b9960447cbf62ed064886bba"},
	} {
		data := generate(t, test.kind, test.size, test.seed)
		short := test.size - int64(len(data)) // what is less than a line, at the end of each of the three blocks
		if got := fmt.Sprintf("%x", sha256.Sum256(data)); got != test.want || short < 0 || short > 3*512 {
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
	for _, kind := range gen.Kinds() {
		whole := generate(t, kind, 3_000_000, 7)
		got := generate(t, kind, 1_234_567, 7)
		if n := 999_000; got[len(got)-1] != '\n' || !bytes.Equal(got[:n], whole[:n]) {
			t.Errorf("%s of 1,234,567 bytes ends with %q, or begins otherwise than a larger one", kind, got[len(got)-1])
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

// The same bytes come from one processor as from many.
func TestProcessors(t *testing.T) {
	for _, kind := range gen.Kinds() {
		want := generate(t, kind, 9_500_000, 5)
		before := runtime.GOMAXPROCS(1)
		got := generate(t, kind, 9_500_000, 5)
		runtime.GOMAXPROCS(before)
		if !bytes.Equal(got, want) {
			t.Errorf("%s: one processor makes other data than %d", kind, before)
		}
	}
}

// Measurements come from 413 stations about equally often, and spread around a mean of each by some 10 degrees.
func TestMeasurements(t *testing.T) {
	t.Parallel()
	data := generate(t, "measurements", 4_000_000, 3)
	form := regexp.MustCompile(`^[^;]+;-?[0-9]{1,2}\.[0-9]\n$`)
	values := map[string][]float64{}
	rows := 0
	for line := range strings.Lines(string(data)) {
		station, value, _ := strings.Cut(strings.TrimSpace(line), ";")
		v, err := strconv.ParseFloat(value, 64)
		if err != nil || !form.MatchString(line) {
			t.Fatalf("line %q: %v", line, err)
		}
		values[station] = append(values[station], v)
		rows++
	}
	if perRow := float64(len(data)) / float64(rows); len(values) != 413 || perRow < 13.5 || perRow > 14.5 {
		t.Errorf("%d stations, %.2f bytes a row", len(values), perRow)
	}
	var squares float64
	for station, vs := range values {
		if n := len(vs); n < rows/413*8/10 || n > rows/413*12/10 {
			t.Errorf("%s has %d of %d rows", station, n, rows)
		}
		mean := average(vs)
		for _, v := range vs {
			squares += (v - mean) * (v - mean)
		}
	}
	if deviation := math.Sqrt(squares / float64(rows)); deviation < 9.8 || deviation > 10.2 {
		t.Errorf("the standard deviation is %.2f °C", deviation)
	}
	if cold, hot := average(values["Oymyakon"]), average(values["Khartoum"]); cold > -15 || hot < 29 {
		t.Errorf("means of %.1f °C in Oymyakon and of %.1f in Khartoum", cold, hot)
	}
}

func average(vs []float64) float64 {
	var sum float64
	for _, v := range vs {
		sum += v
	}
	return sum / float64(len(vs))
}

// An access log is one that Apache could have written: times ascend, few clients come often and most rarely, and so do
// paths; few requests are for a login, few calls of the API fail.
func TestAccessLog(t *testing.T) {
	t.Parallel()
	data := string(generate(t, "access-log", 10_000_000, 3))
	form := regexp.MustCompile(`^(\d{1,3}(?:\.\d{1,3}){3}) - - \[(.{20} \+0000)\] "(GET|POST|PUT|DELETE) (/\S*) HTTP/1\.1" ` +
		`([2345]\d\d) (\d+|-) "(-|https://\S+)" "[^"]+"\n$`)
	clients, paths := map[string]int{}, map[string]int{}
	rows := 0
	var sizes []int
	before := time.Time{}
	for line := range strings.Lines(data) {
		m := form.FindStringSubmatch(line)
		if m == nil || len(line) > 512 {
			t.Fatalf("line %q", line)
		}
		clients[m[1]]++
		paths[m[4]]++
		if size, err := strconv.Atoi(m[6]); err == nil {
			sizes = append(sizes, size)
		} else if m[5] != "304" {
			t.Fatalf("line %q: %v", line, err)
		}
		now, err := time.Parse("02/Jan/2006:15:04:05 -0700", m[2])
		if err != nil || now.Before(before) {
			t.Fatalf("line %q: after %v came %v, %v", line, before, now, err)
		}
		before = now
		rows++
	}
	if perRow := len(data) / rows; perRow < 180 || perRow > 260 || before.Year() != 2026 {
		t.Errorf("%d bytes a row, until %v", perRow, before)
	}
	checkSizes(t, sizes)
	if most := slices.Max(slices.Collect(maps.Values(clients))); len(clients) < 15_000 || len(clients) > 200_000 || most < rows/30 || most > rows/12 {
		t.Errorf("%d clients, the most frequent one in %d of %d rows", len(clients), most, rows)
	}
	if most := slices.Max(slices.Collect(maps.Values(paths))); most < rows/20 || most > rows/8 {
		t.Errorf("the most frequent path is in %d of %d rows", most, rows)
	}
	logins := len(regexp.MustCompile(`/wp-login\.php`).FindAllString(data, -1))
	failed := len(regexp.MustCompile(`"(GET|POST) /api/v[0-9]+/users/[0-9]+ .* 5[0-9][0-9] `).FindAllString(data, -1))
	if logins < rows/500 || logins > rows/250 || failed < rows/1000 || failed > rows/200 {
		t.Errorf("of %d rows, %d are logins and %d failed calls of the API", rows, logins, failed)
	}
}

// checkSizes checks that sizes of responses have a heavy tail: most are one or two kilobytes, none is over 4 MiB, and the largest
// hundredth has a third of all bytes or more.
func checkSizes(t *testing.T, sizes []int) {
	t.Helper()
	slices.Sort(sizes)
	sum := func(list []int) (n int) {
		for _, size := range list {
			n += size
		}
		return n
	}
	rows := len(sizes)
	least, median, most := sizes[0], sizes[rows/2], sizes[rows-1]
	if least < 1024 || least > 1100 || median < 1900 || median > 2200 || most < 2<<20 || most > 4<<20 {
		t.Errorf("responses have from %d to %d bytes, and %d at the median", least, most, median)
	}
	if tail, all := sum(sizes[rows*99/100:]), sum(sizes); tail*3 < all || all/rows < 6000 || all/rows > 12_000 {
		t.Errorf("responses have %d bytes on average; a hundredth has %d of %d bytes", all/rows, tail, all)
	}
}

// Numbers are all of 64 bits, and different.
func TestNumbers(t *testing.T) {
	t.Parallel()
	seen := map[uint64]bool{}
	rows, large := 0, 0
	for line := range strings.Lines(string(generate(t, "numbers", 4_000_000, 3))) {
		n, err := strconv.ParseUint(strings.TrimSuffix(line, "\n"), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		seen[n] = true
		rows++
		if n >= 1<<63 {
			large++
		}
	}
	if len(seen) != rows || rows < 190_000 || large < rows*48/100 || large > rows*52/100 {
		t.Errorf("%d of %d numbers differ, %d have the highest bit", len(seen), rows, large)
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
		{"texts", 1, io.Discard, "gen texts: no such kind of data: use one of text, records, measurements, access-log, numbers"},
		{"text", -1, io.Discard, "gen text: size -1 is negative"},
		{"records", -1, io.Discard, "negative"},
		{"records", 99, io.Discard, "less than one line: ask for 100 or more"},
		{"measurements", 39, io.Discard, "less than one line: ask for 40 or more"},
		{"access-log", 100, io.Discard, "less than one line: ask for 512 or more"},
		{"numbers", 20, io.Discard, "less than one line: ask for 21 or more"},
		{"text", 5, &failing{0, full}, "gen text: at byte 0: disk full"},
		{"records", 9_000_000, &failing{2, full}, "gen records: at byte 2000000: disk full"},
	} {
		if err := gen.Write(test.w, test.kind, test.size, 1); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: got %v", test, err)
		}
	}
}

// failing takes so many writes and then none.
type failing struct {
	takes int
	err   error
}

func (f *failing) Write(b []byte) (int, error) {
	if f.takes--; f.takes < 0 {
		return 0, f.err
	}
	return len(b), nil
}

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
