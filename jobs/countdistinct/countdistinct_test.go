package countdistinct

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/jobstest"
)

func setOf(hashes ...uint64) (s set) {
	for _, h := range hashes {
		s.add(h)
	}
	return s
}

func encoded(t testing.TB, s set) []byte {
	t.Helper()
	b, err := s.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// However values are dealt out to sets and in which order these are joined, the result is the same to the byte: below, at and
// above the number that is counted exactly.
func TestJoinInAnyOrder(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(21, 22))
	for _, n := range []int{1, 2, 100, maxExact - 1, maxExact, maxExact + 1, 3000, 20_000} {
		values := make([]uint64, n)
		for i := range values {
			values[i] = rnd.Uint64()
		}
		want := encoded(t, setOf(values...))
		if exact := n <= maxExact; (want[0] == encodedHashes) != exact {
			t.Errorf("%d values are encoded as %d", n, want[0])
		}
		for range 10 {
			all := append(slices.Clone(values), values[:n/3]...) // some come again
			rnd.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
			var sets []set
			for len(all) > 0 {
				k := 1 + rnd.IntN(min(len(all), 1+n/3))
				sets, all = append(sets, setOf(all[:k]...)), all[k:]
			}
			for len(sets) > 1 {
				i := rnd.IntN(len(sets) - 1)
				b := encoded(t, sets[i+1])
				sets[i] = join(sets[i], sets[i+1])
				if !bytes.Equal(encoded(t, sets[i+1]), b) {
					t.Fatal("join changed its second argument")
				}
				sets = slices.Delete(sets, i+1, i+2)
			}
			if !bytes.Equal(encoded(t, sets[0]), want) {
				t.Fatalf("%d values in another order make another set", n)
			}
		}
	}
}

// What was joined shares no memory with either set's encoding or with the second set.
func TestJoinKeepsNothing(t *testing.T) {
	t.Parallel()
	var many []uint64
	for i := range uint64(2 * maxExact) {
		many = append(many, i*0x9e3779b97f4a7c15)
	}
	few := setOf(1, 2, 3)
	b := setOf(many...)
	got := join(few, b)
	before := encoded(t, got)
	b.add(math.MaxUint64)
	for i := range uint64(10_000) {
		b.add(i << 40)
	}
	if !bytes.Equal(encoded(t, got), before) {
		t.Error("the union changes with its second set")
	}
}

// Up to 1,024 values the count is exact; beyond it is within five standard errors, as a rule within two.
func TestError(t *testing.T) {
	t.Parallel()
	const standard = 0.0081
	off := 0
	sizes := []int{1025, 1500, 3000, 10_000, 30_000, 45_000, 100_000}
	for _, n := range sizes {
		var lines bytes.Buffer
		for i := range n {
			fmt.Fprintf(&lines, "user-%d\n", i)
		}
		rows := jobstest.Run(t, Job(), nil, lines.String(), "user-1\nuser-2\n")
		got := float64(rows[0][1].(int64))
		if rows[0][2] != false || rows[0][3] != int64(n+2) {
			t.Errorf("%d values: got %v", n, rows[0])
		}
		e := math.Abs(got-float64(n)) / float64(n)
		t.Logf("%d values: %.0f, an error of %.2f %%", n, got, 100*e)
		if e > 5*standard {
			t.Errorf("of %d values %.0f are counted", n, got)
		}
		if e > 2*standard {
			off++
		}
	}
	if off > 1 {
		t.Errorf("%d of %d estimates are off by more than two standard errors", off, len(sizes))
	}
	var lines bytes.Buffer
	for i := range 5000 {
		fmt.Fprintf(&lines, "%d\n", i%1024)
	}
	jobstest.Equal(t, jobstest.Run(t, Job(), nil, lines.String()), jobstest.Row{"", int64(1024), true, int64(5000)})
}

// Values are counted for each key; any bytes are a value.
func TestKeys(t *testing.T) {
	t.Parallel()
	text := "GET,a\nPUT,b\nGET,b\nGET,a\nPUT,\xff\nPUT,\n"
	jobstest.Equal(t, jobstest.Run(t, Job(), map[string]string{"key": "1", "field": "2", "separator": ","}, text),
		jobstest.Row{"GET", int64(2), true, int64(3)}, jobstest.Row{"PUT", int64(3), true, int64(3)})
	jobstest.Equal(t, jobstest.Run(t, Job(), nil, text), jobstest.Row{"", int64(5), true, int64(6)})
}

// Lines and parameters that cannot be are refused, with what to do.
func TestErrors(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"a": `the line "a" has no field 2: state another with -p field`, "a\tb": "has no field 3: state another with -p key",
		"a\tb\t\xff": `the key "\xff" is not valid UTF-8`,
	} {
		_, err := jobstest.RunObjects(Job(), map[string]string{"field": "2", "key": "3"}, jobstest.Objects("a\tb\tc\n"+line), 1)
		bad, ok := errors.AsType[*jobs.RecordError](err)
		if !ok || bad.Offset != 6 || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v", line, err)
		}
	}
	for want, params := range map[string]map[string]string{"field=-1": {"field": "-1"}, "key=-2": {"key": "-2"}, `separator=""`: {"separator": ""}} {
		if _, err := Job().Bind(params); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: got %v", params, err)
		}
	}
}

// FuzzSet proves that bytes are refused or are exactly the encoding of the set that they are read as.
func FuzzSet(f *testing.F) {
	var many []uint64
	for i := range uint64(maxExact + 5) {
		many = append(many, i*0x9e3779b97f4a7c15)
	}
	for _, s := range []set{{}, setOf(1), setOf(math.MaxUint64, 5), setOf(many[:maxExact]...), setOf(many...)} {
		b := encoded(f, s)
		f.Add(b)
		f.Add(append(b, 0))
		f.Add(b[:len(b)-1])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var s set
		if err := s.UnmarshalBinary(b); err != nil {
			if !errors.Is(err, errNoSet) {
				t.Errorf("got %v", err)
			}
			return
		}
		if !bytes.Equal(encoded(t, s), b) {
			t.Errorf("%x is read as another set, %x", b, encoded(t, s))
		}
		if n, exact := s.count(); n < 0 || exact && n > maxExact {
			t.Errorf("%d values", n)
		}
	})
}

func ExampleJob() {
	visits := jobstest.Objects("/ ann\n/news bob\n", "/ ann\n/ bob\n")
	result, err := jobstest.RunObjects(Job(), map[string]string{"key": "1", "field": "2", "separator": " "}, visits, 1)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, row := range result.Rows() {
		fmt.Println(row)
	}
	// Output:
	// {"/" 2 true 3}
	// {"/news" 1 true 1}
}
