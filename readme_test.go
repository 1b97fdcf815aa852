package millrace_test

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/millrace/millrace/jobs/builtin"
)

var update = flag.Bool("update", false, "rewrite what the commands of pages show")

// Proves that the README is true: its commands run, and those over the books give the tables that it shows; the commands,
// flags, variables, make targets, exit codes and files that it names exist; its program is the one that is tested.
func TestReadme(t *testing.T) {
	t.Parallel()
	r := openPage(t, "README.md")
	if len(r.calls) < 15 || len(r.programs) != 2 {
		t.Fatalf("found %d commands and %d programs: this is not the README", len(r.calls), len(r.programs))
	}
	t.Run("names", func(t *testing.T) { t.Parallel(); r.checkNames(t) })
	t.Run("links", func(t *testing.T) { t.Parallel(); r.checkLinks(t) })
	t.Run("program", func(t *testing.T) { t.Parallel(); r.checkProgram(t) })
	t.Run("commands", func(t *testing.T) { t.Parallel(); r.runCalls(t) })
}

// Proves the same of the page about the jobs, and that it has a section for each job that ships, which names the job's
// parameters and no others. What its commands print is shown there to the letter.
func TestJobsPage(t *testing.T) {
	t.Parallel()
	r := openPage(t, "docs/jobs.md")
	r.exact = true
	t.Run("names", func(t *testing.T) { t.Parallel(); r.checkNames(t) })
	t.Run("links", func(t *testing.T) { t.Parallel(); r.checkLinks(t) })
	t.Run("jobs", func(t *testing.T) { t.Parallel(); r.checkJobs(t) })
	t.Run("commands", func(t *testing.T) { t.Parallel(); r.runCalls(t) })
}

// Proves that the page about bad records is true.
func TestBadRecordsPage(t *testing.T) {
	t.Parallel()
	r := openPage(t, "docs/bad-records.md")
	r.exact, r.least = true, 5
	t.Run("names", func(t *testing.T) { t.Parallel(); r.checkNames(t) })
	t.Run("links", func(t *testing.T) { t.Parallel(); r.checkLinks(t) })
	t.Run("commands", func(t *testing.T) { t.Parallel(); r.runCalls(t) })
}

// Proves that the page about commands is true.
func TestCommandsPage(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("LEFT OUT: python3 is not installed")
	}
	r := openPage(t, "docs/commands.md")
	r.exact, r.least = true, 7
	for name, script := range r.scripts {
		if err := os.WriteFile(strings.Replace(name, "/tmp", r.home, 1), []byte(script), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("names", func(t *testing.T) { t.Parallel(); r.checkNames(t) })
	t.Run("links", func(t *testing.T) { t.Parallel(); r.checkLinks(t) })
	t.Run("commands", func(t *testing.T) { t.Parallel(); r.runCalls(t) })
}

// page is a text for users taken apart.
type page struct {
	path     string
	least    int  // commands that run
	exact    bool // what every command gives is shown, to the letter
	text     string
	home     string            // holds the binary, and what /tmp is in the text
	calls    []call            // in the order of the text
	programs []string          // blocks of Go
	scripts  map[string]string // blocks of Python, by the name of the file in their first line
	help     map[string]string // by subcommand; "" is the binary's own
}

// call is a command line in a block of the text, with the output that it shows.
type call struct {
	line   string
	output []string
}

// openPage reads a page and builds the binary that it speaks of.
func openPage(t *testing.T, path string) *page {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r := &page{path: path, text: string(b), least: 8, home: t.TempDir(), scripts: map[string]string{}}
	r.parse()
	if out, err := exec.Command("go", "build", "-o", r.home, "./cmd/millrace").CombinedOutput(); err != nil {
		t.Fatalf("build millrace: %v\n%s", err, out)
	}
	r.askForHelp(t)
	return r
}

// parse finds the blocks. In a console block a line that begins with "$ " is a command, and so is one of millrace's that make
// shows before it runs it; the rest is output. In an sh block every line is a command.
func (r *page) parse() {
	block, script := "", ""
	for line := range strings.Lines(r.text) {
		line = strings.TrimSuffix(line, "\n")
		kind, fence := strings.CutPrefix(line, "```")
		command, isCommand := strings.CutPrefix(line, "$ ")
		switch {
		case fence:
			if block = kind; kind == "go" {
				r.programs = append(r.programs, "")
			}
		case block == "python":
			if name, ok := strings.CutPrefix(line, "# /"); ok {
				script = "/" + name
			}
			r.scripts[script] += line + "\n"
		case block == "go":
			r.programs[len(r.programs)-1] += line + "\n"
		case block == "sh" && line == "": // between commands
		case block == "sh", block == "console" && strings.HasPrefix(line, "./millrace "):
			r.calls = append(r.calls, call{line: strings.TrimPrefix(line, "./")})
		case block == "console" && isCommand:
			r.calls = append(r.calls, call{line: command})
		case block == "console":
			last := &r.calls[len(r.calls)-1]
			last.output = append(last.output, line)
		}
	}
}

// askForHelp collects the help texts of the binary and of its subcommands.
func (r *page) askForHelp(t *testing.T) {
	t.Helper()
	ask := func(args ...string) string {
		out, err := exec.Command(filepath.Join(r.home, "millrace"), append(args, "--help")...).Output()
		if err != nil {
			t.Errorf("millrace %v --help: %v", args, err)
		}
		return string(out)
	}
	r.help = map[string]string{"": ask()}
	_, list, _ := strings.Cut(r.help[""], "Available Commands:\n")
	list, _, _ = strings.Cut(list, "\n\n")
	var g sync.WaitGroup
	var mu sync.Mutex
	for line := range strings.Lines(list) {
		name := strings.Fields(line)[0]
		g.Go(func() {
			text := ask(name)
			mu.Lock()
			defer mu.Unlock()
			r.help[name] = text
		})
	}
	g.Wait()
}

var (
	millraceCall = regexp.MustCompile(`(?m)(?:^|[ /` + "`" + `])millrace ([a-z]+)([^` + "`" + `\n|]*)`)
	flagName     = regexp.MustCompile(`--[a-z][a-z-]+`)
	codeSpan     = regexp.MustCompile("`[^`\n]+`")
	variable     = regexp.MustCompile(`MILLRACE_([A-Z_]+)`)
	makeTarget   = regexp.MustCompile("(?:`|\\$ )make ([a-z]+)")
	exitCode     = regexp.MustCompile(`(?m)^\| ([0-9]+) \| (.*) \|$`)
	link         = regexp.MustCompile(`\]\(([^)#]+)\)`)
)

// checkNames looks up every name of the command line that the text uses.
func (r *page) checkNames(t *testing.T) {
	code := strings.Join(codeSpan.FindAllString(r.text, -1), "\n")
	for _, c := range r.calls {
		code += "\n" + c.line
	}
	for _, m := range millraceCall.FindAllStringSubmatch(code, -1) {
		help, ok := r.help[m[1]]
		if !ok {
			t.Errorf("there is no command millrace %s", m[1])
		}
		for _, flag := range flagName.FindAllString(m[2], -1) {
			if !strings.Contains(help, flag) {
				t.Errorf("millrace %s has no flag %s", m[1], flag)
			}
		}
	}
	var all strings.Builder
	for _, help := range r.help {
		all.WriteString(help)
	}
	for _, flag := range flagName.FindAllString(code, -1) {
		if !strings.Contains(all.String(), flag) {
			t.Errorf("no command has the flag %s", flag)
		}
	}
	for _, m := range variable.FindAllStringSubmatch(r.text, -1) {
		flag := "--" + strings.ToLower(strings.ReplaceAll(m[1], "_", "-"))
		if !strings.Contains(all.String(), flag) {
			t.Errorf("%s: no command has the flag %s", m[0], flag)
		}
	}
	for _, m := range exitCode.FindAllStringSubmatch(r.text, -1) {
		if !strings.Contains(r.help[""], m[1]+" "+m[2]) {
			t.Errorf("exit code %s, %s: millrace --help says otherwise", m[1], m[2])
		}
	}
	makefile, err := os.ReadFile("Makefile")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range makeTarget.FindAllStringSubmatch(r.text, -1) {
		if !strings.Contains(string(makefile), "\n"+m[1]+":") {
			t.Errorf("make has no target %s", m[1])
		}
	}
}

// checkLinks looks up every file that the text leads to.
func (r *page) checkLinks(t *testing.T) {
	for _, m := range link.FindAllStringSubmatch(r.text, -1) {
		if _, err := os.Stat(filepath.Join(filepath.Dir(r.path), m[1])); err != nil && !strings.Contains(m[1], "://") {
			t.Errorf("a link leads nowhere: %v", err)
		}
	}
}

// show writes into an exact page what a command gives, in place of what it shows.
func (r *page) show(t *testing.T, c call, output string) {
	t.Helper()
	old := strings.Join(append([]string{"$ " + c.line}, c.output...), "\n") + "\n"
	if strings.Count(r.text, old) != 1 {
		t.Fatalf("%s: %s is there %d times: change one", r.path, c.line, strings.Count(r.text, old))
	}
	r.text = strings.Replace(r.text, old, "$ "+c.line+"\n"+output, 1)
	if err := os.WriteFile(r.path, []byte(r.text), 0o666); err != nil {
		t.Fatal(err)
	}
}

var (
	section      = regexp.MustCompile("(?m)^## `([a-z-]+)`\n")
	parameterRow = regexp.MustCompile("(?m)^\\| `([a-z-]+)` \\|")
)

// checkJobs compares the sections with the jobs that ship: "## `job`", with a row for each parameter, in their order.
func (r *page) checkJobs(t *testing.T) {
	sections := map[string]string{}
	places := section.FindAllStringSubmatchIndex(r.text, -1)
	for i, at := range places {
		end := len(r.text)
		if i+1 < len(places) {
			end = places[i+1][0]
		}
		sections[r.text[at[2]:at[3]]] = r.text[at[1]:end]
	}
	for _, job := range builtin.All() {
		text, ok := sections[job.Name()]
		delete(sections, job.Name())
		if !ok {
			t.Errorf("%s has no section ## `%s`", r.path, job.Name())
			continue
		}
		var shown, want []string
		for _, m := range parameterRow.FindAllStringSubmatch(text, -1) {
			shown = append(shown, m[1])
		}
		for _, p := range job.Params() {
			want = append(want, p.Name)
		}
		if !slices.Equal(shown, want) {
			t.Errorf("%s: the section of %s has a table of the parameters %q, want %q", r.path, job.Name(), shown, want)
		}
		if !strings.Contains(text, "$ millrace run "+job.Name()+" ") {
			t.Errorf("%s: the section of %s runs it nowhere", r.path, job.Name())
		}
	}
	for name := range sections {
		t.Errorf("%s has a section of %s: there is no such job", r.path, name)
	}
}

// checkProgram compares the program in the text with the one in testdata, and runs that one's test.
func (r *page) checkProgram(t *testing.T) {
	for i, file := range []string{"testdata/imports/main.go", "testdata/imports/main_test.go"} {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(source), r.programs[i]) {
			t.Errorf("%s is not as the README shows it: change both", file)
		}
	}
	if out, err := exec.Command("go", "test", "./testdata/imports").CombinedOutput(); err != nil {
		t.Errorf("go test ./testdata/imports: %v\n%s", err, out)
	}
}

// runCalls runs the commands that need nothing but this machine, one after the other.
func (r *page) runCalls(t *testing.T) {
	here := []string{"run", "cat", "plan", "jobs", "version", "gen"}
	tools := []string{"cut", "awk"} // which make an input of another file
	ran := 0
	for _, c := range r.calls {
		fields := strings.Fields(c.line)
		if strings.Contains(c.line, "s3://") || !(fields[0] == "millrace" && slices.Contains(here, fields[1]) || strings.HasPrefix(c.line, "go run ") || slices.Contains(tools, fields[0])) {
			continue
		}
		ran++
		cmd := exec.Command("bash", "-euc", strings.ReplaceAll(c.line, "/tmp/", r.home+"/"))
		cmd.Env = append(os.Environ(), "PATH="+r.home+string(os.PathListSeparator)+os.Getenv("PATH"), "LC_ALL=C")
		var stderr strings.Builder
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil || strings.Contains(stderr.String(), "Error: ") { // of a pipe, bash tells the last command's end only
			t.Errorf("%s: %v\n%s", c.line, err, stderr.String())
		}
		if shown := strings.Join(append(c.output, ""), "\n"); r.exact && shown != string(out) {
			if *update {
				r.show(t, c, string(out))
			} else {
				t.Errorf("%s: %s shows\n%s\nbut it gave\n%s\n(go test -run Page -update . rewrites it)", c.line, r.path, shown, out)
			}
		}
		if !strings.Contains(c.line, "testdata/text") {
			continue // what it gives depends on the version of Go
		}
		for _, line := range c.output {
			if strings.HasPrefix(line, "│") && !strings.Contains(string(out), line+"\n") {
				t.Errorf("%s: %s shows the row %s, but it gave\n%s", c.line, r.path, line, out)
			}
		}
	}
	if ran < r.least {
		t.Errorf("ran only %d commands of %d", ran, len(r.calls))
	}
}
