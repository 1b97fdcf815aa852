package plan

import (
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"time"
)

func commands(mapper, reducer string) Spec {
	return Spec{Job: Command, Params: map[string]string{"mapper": mapper, "reducer": reducer}}
}

// Whatever is not named is refused, and the refusal names the flag that admits it; the zero value allows what is built in alone.
func TestAllow(t *testing.T) {
	t.Parallel()
	builtin := Spec{Job: "wordcount"}
	scripts := Allow{Commands: []string{"python3 *.py", "sort"}}
	for _, row := range []struct {
		allow Allow
		spec  Spec
		want  string // in the refusal; "": none
	}{
		{Allow{}, builtin, ""},
		{Allow{}, commands("cat", ""), "this master does not run jobs of commands (--mapper): it is started with --allow builtin, and --allow builtin,command admits them"},
		{Allow{Kinds: []string{Command}}, commands("rm -rf /", "cat"), ""},
		{Allow{Kinds: []string{Command}}, builtin, "jobs that are built in: it is started with --allow command, and --allow command,builtin admits them"},
		{AllowAll(), builtin, ""},
		{AllowAll(), commands("cat", "wc"), ""},
		{scripts, builtin, ""},
		{scripts, commands("python3 map.py", "sort"), ""},
		{scripts, commands("python3 map.py", " None "), ""},
		{scripts, commands("python3 map.py", "sort -u"), `this master does not run the reducer "sort -u": it runs the commands that match python3 *.py or sort; --allow-command`},
		{scripts, commands("perl map.pl", "sort"), `the mapper "perl map.pl"`},
		{scripts, Spec{Job: Command, Params: map[string]string{"mapper": "sort", "combiner": "cat"}}, `the combiner "cat"`},
		{Allow{Kinds: []string{Builtin}, Commands: []string{"sort"}}, commands("sort", ""), ""},
	} {
		err := row.allow.Check(row.spec, "this master")
		if got := errorText(err); (row.want == "") != (err == nil) || !strings.Contains(got, row.want) {
			t.Errorf("%+v of %s %v: got %q, want %q", row.allow, row.spec.Job, row.spec.Params, got, row.want)
		}
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// A list of allowed things has only words that mean something.
func TestAllowIsChecked(t *testing.T) {
	t.Parallel()
	for want, a := range map[string]Allow{
		"": {Kinds: []string{Builtin, Command}, Commands: []string{"cat", "*"}},
		`"wsam" is no kind of code: allow some of builtin, command`: {Kinds: []string{Builtin, "wsam"}},
		`the pattern of commands " " matches nothing`:               {Commands: []string{"cat", " "}},
	} {
		if got := errorText(a.Validate()); (want == "") != (got == "") || !strings.Contains(got, want) {
			t.Errorf("%+v: got %q, want %q", a, got, want)
		}
	}
}

// A star stands for any text of one command, and for none that makes two of it.
func TestMatchCommand(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		pattern, line string
		want          bool
	}{
		{"cat", "cat", true}, {"cat", "cat ", false}, {"cat", "ca", false}, {"cat", "", false},
		{"python3 *", "python3 map.py --lower 'a b' \"c\"", true}, {"python3 *", "python3 ", true}, {"python3 *", "python3", false},
		{"python3 *", "python3 x; curl evil", false}, {"python3 *", "python3 x|sh", false}, {"python3 *", "python3 x&", false},
		{"python3 *", "python3 $(sh)", false}, {"python3 *", "python3 `sh`", false}, {"python3 *", "python3 x\nsh", false},
		{"python3 *", "python3 x > /etc/passwd", false}, {"python3 *", "python3 <x", false},
		{"*", "anything at/all", true}, {"*", "a;b", false}, {"*|*", "cut -f 1|sort", true}, {"*|*", "cut|sort|sh", false},
		{"a*b*c", "a b b c c", true}, {"a*b*c", "abb", false}, {"", "", true},
	} {
		if got := matchCommand(row.pattern, row.line); got != row.want {
			t.Errorf("%q of %q: got %v", row.pattern, row.line, got)
		}
	}
}

// It gives what the regular expression gives that says the same, for any pattern of few letters.
func TestMatchCommandEqualsRegexp(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	text := func(letters string, n int) string {
		var b strings.Builder
		for range r.IntN(n) {
			b.WriteByte(letters[r.IntN(len(letters))])
		}
		return b.String()
	}
	matched := 0
	for range 20_000 {
		pattern, line := text("ab;*", 7), text("aab;", 9)
		parts := strings.Split(pattern, "*")
		for i := range parts {
			parts[i] = regexp.QuoteMeta(parts[i])
		}
		want := regexp.MustCompile("^" + strings.Join(parts, "[^;]*") + "$").MatchString(line)
		if got := matchCommand(pattern, line); got != want {
			t.Fatalf("pattern %q, line %q: got %v, want %v", pattern, line, got, want)
		}
		if want {
			matched++
		}
	}
	if matched < 200 {
		t.Errorf("only %d matched", matched)
	}
}

// A command line made to take long does not: the master matches what strangers submit.
func TestMatchCommandIsQuick(t *testing.T) {
	t.Parallel()
	start := time.Now()
	if matchCommand("*a*a*a*a*a*a*a*b", strings.Repeat("a", 128<<10)) {
		t.Error("matched")
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
}
