package grep

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"regexp/syntax"
	"strings"
	"testing"
)

// print is what stepsOf finds in an expression: literals, those of one step with a bar between, those in either case with (i).
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
			if n.fold {
				n.text += "(i)"
			}
			any = append(any, n.text)
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
		{`"(GET|POST) /api/v[0-9]+/orders/[0-9]+ .* 5[0-9][0-9] `, `" GET|POST  /api/v /orders/    5  `},
		{``, ""}, {`.`, ""}, {`[ab]x`, "x"}, {`a.b`, "a b"}, {`a*b`, "b"}, {`a?b`, "b"}, {`x(ab)+y`, "xab y"}, {`(ab){2,}c`, "abab c"}, {`(ab){0,2}c`, "c"},
		{`(a)(?:b)(?P<n>c)`, "abc exact"}, {`^ab$`, "ab"}, {`a\bb`, "ab"}, {`(?m)^x`, "x"},
		{`foo|bar`, "foo|bar exact"}, {`fool|food|bar`, "foo|bar"}, {`foo|`, ""}, {`foo|[0-9]`, ""}, {`(foo|bar)x`, "foo|bar x"}, {`x(foo|bar)`, "x foo|bar"},
		{`foo|b.ring`, "foo|ring"}, {`foo(bar|(baz|qux)[0-9])`, "foo bar|baz|qux"}, {`a|b`, ""},
		{`é語`, "é語 exact"}, {"a\uFFFDb", "a b"}, {`a\x{FFFD}`, "a"}, {`a\xff`, "aÿ exact"},
		{`(?i)error-7`, "error-7(i) exact"}, {`(?i)disk`, "di(i)"}, {`(?i)été5`, "t(i) 5(i)"}, {`foo(?i)bar`, "foo bar(i)"}, {`(?i)Foo|bar`, "foo(i)|bar(i) exact"}, {`[aA]b`, "a(i) b"}, {`(?i)語-`, "語-(i) exact"},
		{`1.2.3.4.5.6.7.8.9.10`, "1 2 3 4 5 6 7 8"}, {`11|22|33|44|55|66|77|88|99`, ""}, {`[^\x00-\x{10FFFF}]a`, "a"},
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
			check("", 4)
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

// A literal is found where the library finds it, whichever of its bytes is searched for.
func TestFind(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(3, 4))
	text := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = "abAB-"[rnd.IntN(5)]
		}
		return string(b)
	}
	for range 20_000 {
		word, s := text(1+rnd.IntN(4)), text(rnd.IntN(30))
		var seen [256]uint32
		for _, c := range "abAB-" {
			seen[c] = rnd.Uint32N(5)
		}
		plain, folded := newNeedle(word, false), newNeedle(strings.ToLower(word), true)
		plain.aim(&seen)
		folded.aim(&seen)
		if got, want := plain.find(s), reference(s, word); got != want {
			t.Fatalf("%q in %q: got %d, want %d", word, s, got, want)
		}
		if got, want := folded.find(s), reference(strings.ToLower(s), strings.ToLower(word)); got != want {
			t.Fatalf("%q in %q in either case: got %d, want %d", word, s, got, want)
		}
	}
}

// reference is where word ends in s.
func reference(s, word string) int {
	if i := strings.Index(s, word); i >= 0 {
		return i + len(word)
	}
	return -1
}

// After the first lines, the byte that is rare in them is searched for, in the step that is rarest.
func TestLearn(t *testing.T) {
	t.Parallel()
	m, err := newMatcher("ab.*azb.*a")
	if err != nil {
		t.Fatal(err)
	}
	for range enoughBytes / 8 {
		m.match("aabb-ab")
	}
	if n := m.steps[1][0]; m.first != 1 || n.rare != 'z' || n.at != 1 || n.second == 1 {
		t.Errorf("first %d, %+v", m.first, n)
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
	"none":    `[0-9]{6}`,
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

func BenchmarkRegexp(b *testing.B) {
	benchmark(b, func(expression string) func(string) bool { return regexp.MustCompile(expression).MatchString })
}
