package jobs

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// paramsOf is the parameters that a struct type declares.
func paramsOf[P any](t *testing.T) *paramSet {
	t.Helper()
	set, err := newParamSet(reflect.TypeFor[P]())
	if err != nil {
		t.Fatal(err)
	}
	return set
}

type level string

type everyParam struct {
	On    bool          `default:"true"`
	I     int           `default:"0"`
	I64   int64         `param:"i64" default:"-9223372036854775808"`
	U64   uint64        `param:"u64" default:"18446744073709551615"`
	U8    uint8         `param:"u8" default:"255"`
	F32   float32       `param:"f32" default:"1e30"`
	Level level         `default:"low" oneof:"low|high"`
	Tags  []level       `default:"" oneof:"low|high"`
	Wait  time.Duration `default:"-1.5s"`
	Room  Size          `default:"0"`
	note  string
}

// Each type of parameter takes its extremes, in its own named types too, and refuses what lies beyond them with a line that
// says what is allowed.
func TestParamValues(t *testing.T) {
	t.Parallel()
	set := paramsOf[everyParam](t)
	values, err := set.parse(map[string]string{"tags": "high, low,high", "level": "high", "on": "0"})
	if err != nil {
		t.Fatal(err)
	}
	var got everyParam
	if err := values.fill(reflect.ValueOf(&got).Elem()); err != nil {
		t.Fatal(err)
	}
	want := everyParam{false, 0, -1 << 63, 1<<64 - 1, 255, 1e30, "high", []level{"high", "low", "high"}, -1500 * time.Millisecond, 0, ""}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	for _, tt := range []struct{ name, value, want string }{
		{"on", "", `parameter on: "" is neither true nor false`},
		{"i", "1.5", `parameter i: "1.5" is not a whole number in range: allowed are whole numbers from -9223372036854775808 to 9223372036854775807`},
		{"i64", "9223372036854775808", `"9223372036854775808" is not in range`},
		{"u64", "18446744073709551616", `is not in range: allowed are whole numbers from 0 to 18446744073709551615`},
		{"u8", "256", `"256" is not in range: allowed are whole numbers from 0 to 255`},
		{"f32", "1e39", `"1e39" is not a number of type float32`},
		{"level", "hgih", `"hgih" is not allowed: did you mean high? Use one of low, high`},
		{"level", "", `"" is not allowed: use one of low, high`},
		{"tags", "low,no", `parameter tags: "no" is not allowed: use some of low, high`},
		{"tags", "low,", `parameter tags: "" is not allowed: use some of low, high`},
		{"wait", "1 minute", `is not a duration`},
		{"room", "-1", `"-1" is not a size`},
		{"note", "x", `unknown parameter "note": it takes: on, i, i64`},
	} {
		if _, err := set.parse(map[string]string{tt.name: tt.value}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s=%q: got error %v, want %q", tt.name, tt.value, err, tt.want)
		}
	}
}

// A declaration that could never be used as it stands is a mistake, said with the field.
func TestParamDeclarations(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		typ  reflect.Type
		want string
	}{
		{reflect.TypeFor[struct {
			A int `param:"a=b"`
		}](), `field A: parameter name "a=b": leave out spaces and '='`},
		{reflect.TypeFor[struct {
			A int `param:"a b"`
		}](), `leave out spaces`},
		{reflect.TypeFor[struct {
			A string `default:"up" oneof:"left|right"`
		}](), `field A: the default "up" is not allowed: use one of left, right`},
		{reflect.TypeFor[struct {
			A uint8 `default:"-1"`
		}](), `field A: the default "-1" is not a whole number in range`},
		{reflect.TypeFor[struct {
			A []int `default:""`
		}](), `field A: type []int cannot be a parameter: use bool`},
		{reflect.TypeFor[struct{ A *string }](), `type *string cannot be a parameter`},
		{reflect.TypeFor[struct{ A time.Time }](), `type time.Time cannot be a parameter`},
		{reflect.TypeFor[struct {
			UserID int
			B      int `param:"user-id"`
		}](), `field B: there is a parameter user-id already`},
		{reflect.TypeFor[*everyParam](), `it must be a struct whose exported fields are the parameters`},
	} {
		if set, err := newParamSet(tt.typ); err == nil || !strings.Contains(err.Error(), tt.want) || set == nil {
			t.Errorf("%v: got %v, %v, want %q", tt.typ, set, err, tt.want)
		}
	}
	if p := paramsOf[struct{ UserID, HTTPCode int }](t).list; p[0].Name != "user-id" || p[1].Name != "http-code" || !p[0].Required {
		t.Errorf("parameters %+v", p)
	}
}

type picky struct {
	N int `help:"how\nmany"`
}

func (p *picky) Validate() error {
	if p.N == 0 {
		panic("zero")
	}
	if p.N < 0 {
		return fmt.Errorf("n is %d: give 1 or more", p.N)
	}
	return nil
}

// A Validate method of the pointer is called too; what it says, and its panic, are errors of the parameters.
func TestValidate(t *testing.T) {
	t.Parallel()
	set := paramsOf[picky](t)
	for text, want := range map[string]string{"1": "", "-1": "parameters: n is -1: give 1 or more", "0": "parameters: Validate panicked: zero"} {
		if _, err := set.parse(map[string]string{"n": text}); fmt.Sprint(err) != want && !(err == nil && want == "") {
			t.Errorf("n=%s: got %v, want %q", text, err, want)
		}
	}
	if _, err := set.parse(nil); err == nil || err.Error() != "parameter n is missing: give n=INT, how many" {
		t.Errorf("no n: %v", err)
	}
	if _, err := paramsOf[struct{ N int }](t).parse(nil); err == nil || err.Error() != "parameter n is missing: give n=INT" {
		t.Errorf("no n, no help: %v", err)
	}
}

// plainDistance is the edit distance by its definition.
func plainDistance(a, b string) int {
	if a == "" || b == "" {
		return len(a) + len(b)
	}
	x, y := a[:len(a)-1], b[:len(b)-1]
	cost := 1
	if a[len(a)-1] == b[len(b)-1] {
		cost = 0
	}
	d := min(plainDistance(x, b)+1, plainDistance(a, y)+1, plainDistance(x, y)+cost)
	if len(a) > 1 && len(b) > 1 && a[len(a)-1] == b[len(b)-2] && a[len(a)-2] == b[len(b)-1] {
		d = min(d, plainDistance(a[:len(a)-2], b[:len(b)-2])+1)
	}
	return d
}

// The edit distance is that of its definition; nearest finds a mistyped word, the closest one, whatever its case, and none
// when nothing is near.
func TestNearest(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(2, 3))
	word := func() string {
		b := make([]byte, rng.IntN(6))
		for i := range b {
			b[i] = "abc"[rng.IntN(3)]
		}
		return string(b)
	}
	for range 2_000 {
		a, b := word(), word()
		if got, want := editDistance(a, b), plainDistance(a, b); got != want {
			t.Fatalf("%q to %q: %d edits, want %d", a, b, got, want)
		}
	}
	words := []string{"reducers", "pattern", "on", "lower-case"}
	for typed, want := range map[string]string{
		"pattren": "pattern", "PATTERN": "pattern", "paterns": "pattern", "reducer": "reducers", "no": "on", "o": "on",
		"lowercase": "lower-case", "zzz": "", "": "", "split": "",
	} {
		if got := nearest(typed, words); got != want {
			t.Errorf("%q: got %q, want %q", typed, got, want)
		}
	}
}

// The first mistake among options is the one that is told, and every option leaves its mark.
func TestCollect(t *testing.T) {
	t.Parallel()
	s := collect([]Option{Reducers(-1), FixedLength(-5), Doc("d")})
	if s.err == nil || !strings.Contains(s.err.Error(), "option Reducers: -1: it must be 1 or more") || s.doc != "d" {
		t.Errorf("got %v, doc %q", s.err, s.doc)
	}
	s = collect([]Option{Combine(Sum[int]), Partition(func(k string, n int) int { return n }), TotalOrder(), FixedLength(3), Reducers(4), Doc("two\nlines")})
	if s.err != nil || s.length != 3 || s.reducers != 4 || !s.totalOrder || s.doc != "two\nlines" {
		t.Errorf("got %+v", s)
	}
	if f, ok := s.combine.(func(a, b int) int); !ok || f(2, 3) != 5 {
		t.Errorf("combiner %T", s.combine)
	}
	if f, ok := s.partition.(func(string, int) int); !ok || f("", 9) != 9 {
		t.Errorf("partition function %T", s.partition)
	}
	for i, twice := range []Option{Combine(Sum[int]), TotalOrder(), FixedLength(1), Reducers(0), Doc("")} {
		if s := collect([]Option{twice, twice}); s.err == nil || !strings.HasSuffix(s.err.Error(), "is given twice") {
			t.Errorf("option %d twice: %v", i, s.err)
		}
	}
	if s := collect(nil); s.err != nil || s.reducers != 0 || len(s.given) != 0 {
		t.Errorf("no options: %+v", s)
	}
}

// A Size is a flag as it is: Set takes what ParseSize takes but nothing, keeps the old value when it refuses, and String
// prints what Set reads.
func TestSizeFlag(t *testing.T) {
	t.Parallel()
	s := Size(7)
	for _, bad := range []string{"0", "0KiB", "", "x"} {
		if err := s.Set(bad); err == nil || s != 7 {
			t.Errorf("%q: size %d, %v", bad, s, err)
		}
	}
	if err := s.Set("0"); err == nil || !strings.Contains(err.Error(), "give 1 byte or more, as in 64MiB") {
		t.Errorf("0: %v", err)
	}
	if err := s.Set("1.5GiB"); err != nil || s != 3<<29 || s.Type() != "SIZE" || s.String() != "1536MiB" {
		t.Errorf("%v %s %s, %v", int64(s), s, s.Type(), err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 1_000 {
		want := Size(rng.Uint64() >> (1 + rng.UintN(63)))
		if want == 0 {
			continue
		}
		if err := s.Set(want.String()); err != nil || s != want {
			t.Fatalf("%d prints as %s, which reads as %d, %v", int64(want), want, int64(s), err)
		}
	}
	got := []string{}
	for _, n := range []Size{0, 1, 1023, 1024, 1025, 1 << 20, 5 << 30, 3 << 40, 1000} {
		got = append(got, n.String())
	}
	if want := []string{"0B", "1B", "1023B", "1KiB", "1025B", "1MiB", "5GiB", "3TiB", "1000B"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
