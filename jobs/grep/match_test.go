package grep

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/jobs"
)

// print is what stepsOf finds in an expression: needles, with sets of bytes in brackets, those of one step with a bar between.
func print(t *testing.T, expression string) string {
	t.Helper()
	tree, err := syntax.Parse(expression, syntax.Perl)
	if err != nil {
		t.Fatal(err)
	}
	steps, exact := stepsOf(tree)
	var out []string
	for _, s := range steps {
		var any []string
		for _, n := range s {
			text := ""
			for _, set := range n.sets {
				switch list := string(set.bytes()); {
				case len(list) == 1:
					text += list
				case len(list) > 3:
					text += "[" + list[:1] + "-" + list[len(list)-1:] + "]"
				default:
					text += "[" + list + "]"
				}
			}
			any = append(any, text)
		}
		out = append(out, strings.Join(any, "|"))
	}
	if exact {
		out = append(out, "exact")
	}
	return strings.Join(out, " ")
}

// What an expression's matches contain is found through everything that expressions are made of, and no more than is certain.
func TestStepsOf(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ expression, want string }{
		{`/wp-login\.php`, "/wp-login.php exact"},
		{`"(GET|POST) /api/v[0-9]+/orders/[0-9]+ .* 5[0-9][0-9] `, `" GET|POST  /api/v[0-9] /orders/[0-9]    5[0-9][0-9] `},
		{``, ""}, {`.`, ""}, {`a.b`, "a b"}, {`a*b`, "b"}, {`a?b`, "b"}, {`x(ab)+y`, "xab y"}, {`(ab){2,}c`, "abab c"}, {`(ab){0,2}c`, "c"},
		{`(a)(?:b)(?P<n>c)`, "abc exact"}, {`^ab$`, "ab"}, {`a\bb`, "ab"}, {`(?m)^x`, "x"},
		{`foo|bar`, "foo|bar exact"}, {`fool|food|bar`, "foo[dl]|bar exact"}, {`foo|`, ""}, {`foo|[0-9]`, "foo|[0-9] exact"}, {`(foo|bar)x`, "foo|bar x"}, {`x(foo|bar)`, "x foo|bar"},
		{`foo|b.ring`, "foo|ring"}, {`foo(bar|(baz|qux)[0-9])`, "foo bar|baz|qux"}, {`foo(bar|(baz|qux)[xé])`, "foo bar|baz|qux"}, {`a|b`, "[ab] exact"},
		{`é語`, "é語 exact"}, {"a\uFFFDb", "a b"}, {`a\x{FFFD}`, "a"}, {`a\xff`, "aÿ exact"},
		{`(?i)error-7`, "[Ee][Rr][Rr][Oo][Rr]-7 exact"}, {`(?i)disk`, "[Dd][Ii]"}, {`(?i)été5`, "[Tt] 5"}, {`foo(?i)bar`, "foo[Bb][Aa][Rr] exact"},
		{`(?i)Foo|bar`, "[Ff][Oo][Oo]|[Bb][Aa][Rr] exact"}, {`[aA]b`, "[Aa]b exact"}, {`(?i)語-`, "語- exact"},
		{`1.2.3.4.5.6.7.8.9.10`, "1 2 3 4 5 6 7 8"}, {`11|22|33|44|55|66|77|88|99`, ""}, {`[^\x00-\x{10FFFF}]a`, "a"},
		{`[ab]x`, "[ab]x exact"}, {`[0-9]{3}`, "[0-9][0-9][0-9] exact"}, {`[0-9]+x`, "[0-9] x"}, {`[^x]y`, "y"}, {`[aé]y`, "y"}, {`[ab-]\d*x`, "[-ab] x"},
		{`a[0-9]{40}`, "a" + strings.Repeat("[0-9]", maxSets-1) + " " + strings.Repeat("[0-9]", 41-maxSets)},
		{strings.Repeat("a", 40), strings.Repeat("a", 40) + " exact"}, {strings.Repeat("a", 40) + "[ab]c", strings.Repeat("a", 40) + " [ab]c"},
	} {
		if got := print(t, test.expression); got != test.want {
			t.Errorf("%q: got %q, want %q", test.expression, got, test.want)
		}
	}
}

// same fails the test unless the matcher gives what the expression gives for the line, before it has learned and after.
func same(t *testing.T, expression, line string) {
	t.Helper()
	m, err := newMatcher(expression)
	if err != nil {
		t.Fatal(err)
	}
	want := regexp.MustCompile(expression).MatchString(line)
	if got := m.match(line); got != want {
		t.Fatalf("%q in %q: got %v, want %v", expression, line, got, want)
	}
	if m.learn(line + strings.Repeat(line+"abk", enoughBytes/(len(line)+3)+1)); m.learned != enoughBytes {
		t.Fatalf("it still learns after %d bytes", enoughBytes)
	}
	if got := m.match(line); got != want {
		t.Fatalf("%q in %q: got %v after learning, want %v", expression, line, got, want)
	}
}

// The matcher gives what the expression gives, for each of these expressions on every line of up to four of these elements.
func TestMatchExhaustive(t *testing.T) {
	t.Parallel()
	most := 4
	if testing.Short() { // one goroutine: under the race detector shorter lines will do
		most = 3
	}
	elements := []string{"a", "b", "B", "k", "\u212a", "é", "É", "\xff", "\xc3", "\ufffd", "-"}
	expressions := []string{"ab", "a.*b", "a|b", "ab|ba", "ab|bé|k-", "(a|bb)-", "^a", "b$", `a\b-`, "a+b", "(ab)?k", "é", "é-|-é", "\ufffd", "a\ufffdb", `b\xff`, "-.-", "", "a.a"}
	for _, e := range expressions {
		for _, e := range []string{e, "(?i:" + e + ")"} {
			m, err := newMatcher(e)
			if err != nil {
				t.Fatal(err)
			}
			pattern := regexp.MustCompile(e)
			var check func(line string, left int)
			check = func(line string, left int) {
				if got, want := m.match(line), pattern.MatchString(line); got != want {
					t.Fatalf("%q in %q: got %v, want %v", e, line, got, want)
				}
				for _, more := range elements {
					if left > 0 {
						check(line+more, left-1)
					}
				}
			}
			check("", most)
		}
	}
}

func FuzzMatch(f *testing.F) {
	for _, expression := range []string{`/wp-login\.php`, `"(GET|POST) /api/v[0-9]+/users/[0-9]+ .* 5[0-9][0-9] `, `(?i)error|warn(ing)?`, `\bfoo\B.+x{2,3}`, `é|\xff`, `^$`, `(?i)disk`} {
		f.Add(expression, `1.2.3.4 - - [10/Oct/2000] "GET /api/v1/users/7 HTTP/1.1" 503 12`)
		f.Add(expression, "Warning: é\xff \u212a disk")
	}
	f.Fuzz(func(t *testing.T, expression, line string) {
		if _, err := regexp.Compile(expression); err == nil && len(expression) < 200 {
			same(t, expression, line)
			same(t, "(?i:"+expression+")", line)
			same(t, regexp.QuoteMeta(strings.ToValidUTF8(line, "\uFFFD")), line)
		}
	})
}

// A needle is found where it is in each place, by each way of searching, and in whichever of its bytes is searched for.
func TestNeedle(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 20_000 {
		text := make([]byte, rnd.IntN(40))
		for i := range text {
			text[i] = "abAB-"[rnd.IntN(5)]
		}
		sets := make([]byteSet, 1+rnd.IntN(4)*rnd.IntN(4))
		for i := range sets {
			for range 1 + rnd.IntN(3)*rnd.IntN(2) {
				sets[i].add("abAB-"[rnd.IntN(5)])
			}
		}
		var seen [256]uint32
		for _, c := range "abAB-" {
			seen[c] = rnd.Uint32N(5)
		}
		n := newNeedle(sets)
		n.aim(&seen)
		for from := range len(text) + 1 {
			want := reference(string(text), sets, from)
			if got := n.find(string(text), from); got != want {
				t.Fatalf("%+v in %q from %d: got %d, want %d", n, text, from, got, want)
			}
			if got := n.findWindow(string(text), from); got != want {
				t.Fatalf("%+v in %q from %d, by windows: got %d, want %d", n, text, from, got, want)
			}
		}
	}
}

// The longest needles that have masks are found by windows too.
func TestNeedleLong(t *testing.T) {
	t.Parallel()
	sets := make([]byteSet, maxSets)
	for i := range sets {
		sets[i].add("ab"[i%2])
		sets[i].add('c')
	}
	n := newNeedle(sets)
	text := strings.Repeat("x", 50) + strings.Repeat("ba", 10) + strings.Repeat("ab", maxSets/2) + "b"
	if got, want := n.findWindow(text, 0), reference(text, sets, 0); got != want || want != 70 {
		t.Errorf("got %d, want %d", got, want)
	}
}

// reference is where a series of sets begins in s.
func reference(s string, sets []byteSet, from int) int {
	for i := from; i+len(sets) <= len(s); i++ {
		all := true
		for j, set := range sets {
			all = all && set.has(s[i+j])
		}
		if all {
			return i
		}
	}
	return -1
}

// After the first lines, the byte that is rare in them is searched for, in the step that costs least; where that lets most
// lines through, they are looked at one by one.
func TestLearn(t *testing.T) {
	t.Parallel()
	m, err := newMatcher("ab.*azb.*a")
	if err != nil {
		t.Fatal(err)
	}
	for range enoughBytes / 8 {
		m.match("aabb-ab")
	}
	if n := m.steps[1][0]; m.first != 1 || string(n.rare) != "z" || n.at != 1 || n.windows || m.dense {
		t.Errorf("first %d, %+v", m.first, n)
	}
	if m, err = newMatcher("[a-d]{6}.*b"); err != nil {
		t.Fatal(err)
	}
	for range enoughBytes / 8 {
		m.match("aabb-ab")
	}
	if !m.steps[0][0].windows || m.first != 0 || m.dense {
		t.Errorf("%+v", m)
	}
	if m, err = newMatcher("b"); err != nil {
		t.Fatal(err)
	}
	for range enoughBytes / 8 {
		m.match("aabb-ab")
	}
	if !m.dense {
		t.Error("all lines have it, and are not dense")
	}
}

// A text's lines are found as the expression finds them one by one, those that match and the others, in the first lines and
// later, with needles across their ends.
func TestFind(t *testing.T) {
	t.Parallel()
	rnd, texts := rand.New(rand.NewPCG(7, 8)), 20
	if testing.Short() {
		texts = 5
	}
	elements := []string{"a", "b", "ab", "\n", "\r\n", "7", "42", "é", "\xff", " ", "xxxxxxxxxxxxxxxxxxxxxxxx"}
	for _, expression := range []string{"ab", "a|7", "(?i)AB.*4", "[0-9]{2}", "[0-9]{2}.*a", "b\\r", "a\\n", "a\\s", "é$", "^a", "", "x{24}[0-9]", "[0-9]+x+b", "[ab][ab]\\z|42"} {
		pattern := regexp.MustCompile(expression)
		for _, sparse := range []bool{false, true} {
			m, err := newMatcher(expression)
			if err != nil {
				t.Fatal(err)
			}
			for range texts {
				text := []byte{}
				for range rnd.IntN(3000) {
					if n := rnd.IntN(len(elements)); n < 3 || !sparse || rnd.IntN(20) == 0 {
						text = append(text, elements[n]...)
					} else {
						text = append(text, "--------------------\n"...)
					}
				}
				lines := jobs.Lines{URL: "u", Offset: 5, Text: string(text)}
				var got, others, want, rest []jobs.Line
				m.find(lines, func(l jobs.Line) { got = append(got, l) })
				m.others(lines, func(l jobs.Line) { others = append(others, l) })
				for line := range lines.All() {
					if pattern.MatchString(line.Text) {
						want = append(want, line)
					} else {
						rest = append(rest, line)
					}
				}
				if !slices.Equal(got, want) || !slices.Equal(others, rest) {
					t.Fatalf("%q: got %d of %d, and %d of %d others", expression, len(got), len(want), len(others), len(rest))
				}
			}
		}
	}
}

// benchLines are lines like those of a web server's log.
func benchLines() (lines []string, bytes int64) {
	rnd := rand.New(rand.NewPCG(5, 6))
	pages := []string{"/", "/images/logo.png", "/static/js/app.ece52f44.js", "/products/1234", "/search?q=shoes+and+socks", "/api/v2/orders/537429", "/api/v1/users/88231"}
	for i := range 4096 {
		page, status := pages[rnd.IntN(len(pages))], []int{200, 200, 200, 304, 404, 503}[rnd.IntN(6)]
		if i%300 == 0 {
			page = "/wp-login.php"
		}
		line := fmt.Sprintf(`%d.%d.%d.%d - - [01/Jan/2026:00:%02d:%02d +0000] "GET %s HTTP/1.1" %d %d "https://www.example.org/" "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36"`,
			rnd.IntN(256), rnd.IntN(256), rnd.IntN(256), rnd.IntN(256), i/60%60, i%60, page, status, rnd.IntN(100_000))
		lines, bytes = append(lines, line), bytes+int64(len(line))+1
	}
	return lines, bytes
}

var benchExpressions = map[string]string{
	"literal": `/wp-login\.php`,
	"regex":   `"(GET|POST) /api/v[0-9]+/users/[0-9]+ .* 5[0-9][0-9] `,
	"fold":    `(?i)/WP-login\.php`,
	"either":  `wp-login|xmlrpc|\.git/`,
	"class":   `[0-9]{6}`,
	"gaps":    `[a-f]+[0-9]+[a-f]+[0-9]{2}[a-f]`,
	"none":    `\bj[^ ]*\s`,
}

func benchmark(b *testing.B, matcher func(expression string) func(string) bool) {
	lines, bytes := benchLines()
	for name, expression := range benchExpressions {
		b.Run(name, func(b *testing.B) {
			match := matcher(expression)
			b.SetBytes(bytes)
			b.ReportAllocs()
			for b.Loop() {
				for _, line := range lines {
					match(line)
				}
			}
		})
	}
}

func BenchmarkMatch(b *testing.B) {
	benchmark(b, func(expression string) func(string) bool {
		m, err := newMatcher(expression)
		if err != nil {
			b.Fatal(err)
		}
		return m.match
	})
}

func BenchmarkFind(b *testing.B) {
	lines, bytes := benchLines()
	text := jobs.Lines{Text: strings.Join(lines, "\n") + "\n"}
	for name, expression := range benchExpressions {
		b.Run(name, func(b *testing.B) {
			m, err := newMatcher(expression)
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(bytes)
			b.ReportAllocs()
			for b.Loop() {
				m.find(text, func(jobs.Line) {})
			}
		})
	}
}

func BenchmarkRegexp(b *testing.B) {
	benchmark(b, func(expression string) func(string) bool { return regexp.MustCompile(expression).MatchString })
}
