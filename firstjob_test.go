package millrace_test

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var updateFirstJob = flag.Bool("update-first-job", false, "rewrite what the commands of docs/first-job.md show")

// guide is a page that is followed from its beginning to its end by somebody who has nothing but a clone of millrace.
type guide struct {
	t       *testing.T
	repo    string // ../millrace in the text
	home    string // /tmp in the text
	dir     string // where the reader is: a folder of its own in the beginning
	written []string
	text    strings.Builder // the page with what its commands gave
	ran     int
}

// fileName is how a line names the file that the block behind it is to be written into.
var fileName = regexp.MustCompile("this into `([a-z_.]+)`")

// TestFirstJob proves that the page docs/first-job.md is true: followed word for word in an empty folder, with its files written and
// each of its commands run in turn, every command succeeds and gives what the page shows, but for times and speeds. No network is
// asked: that a clone is there stands in for git clone.
func TestFirstJob(t *testing.T) {
	t.Parallel()
	const path = "docs/first-job.md"
	source, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	repo, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	g := &guide{t: t, repo: repo, home: t.TempDir()}
	g.dir = t.TempDir()
	g.follow(string(source))
	if g.ran < 12 || len(g.written) != 2 {
		t.Errorf("%d commands were run, the files %q written: this is not the page", g.ran, g.written)
	}
	if *updateFirstJob {
		if err := os.WriteFile(path, []byte(g.text.String()), 0o666); err != nil {
			t.Fatal(err)
		}
	} else if got, want := timeless(g.text.String()), timeless(string(source)); got != want {
		t.Errorf("the commands of %s give other things than it shows (go test -run TestFirstJob -update-first-job . rewrites it). It would be\n%s", path, got)
	}
	readme := &page{path: path, text: string(source)}
	readme.checkLinks(t)
}

// follow goes through a page: it writes blocks of Go into the files that are named before, and runs the commands of console blocks.
func (g *guide) follow(source string) {
	block, named, code := "", "", ""
	for line := range strings.Lines(source) {
		kind, fence := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "```")
		command, isCommand := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "$ ")
		if block != "console" || fence || isCommand { // what is shown is written anew
			g.text.WriteString(line)
		}
		switch {
		case fence && block == "go":
			g.write(named, code)
			block, named, code = "", "", ""
		case fence:
			block = kind
		case block == "go":
			code += line
		case block == "console" && isCommand:
			g.run(command)
		case block == "":
			if m := fileName.FindStringSubmatch(line); m != nil {
				named = m[1]
			}
		}
	}
}

func (g *guide) write(name, code string) {
	g.t.Helper()
	if name == "" {
		g.t.Fatalf("a block of Go belongs to no file:\n%s", code)
	}
	if err := os.WriteFile(filepath.Join(g.dir, name), []byte(code), 0o666); err != nil {
		g.t.Fatal(err)
	}
	g.written = append(g.written, name)
}

// run runs a command where the reader is, and notes what it gives.
func (g *guide) run(line string) {
	g.t.Helper()
	if strings.HasPrefix(line, "git clone ") {
		return
	}
	g.ran++
	where := filepath.Join(g.home, "where")
	script := strings.NewReplacer("../millrace", g.repo, "/tmp/", g.home+"/").Replace(line)
	cmd := exec.CommandContext(g.t.Context(), "bash", "-euc", script+"\npwd >"+where)
	cmd.Dir = g.dir
	cmd.Env = append(os.Environ(), "GOPROXY=off", "GOSUMDB=off", "GOFLAGS=-mod=mod", "GOWORK=off", "LC_ALL=C")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil || strings.Contains(stderr.String(), "Error: ") { // of a pipe, bash tells the last command's end only
		g.t.Fatalf("%s: %v\n%s%s", line, err, out, stderr.String())
	}
	dir, err := os.ReadFile(where)
	if err != nil {
		g.t.Fatal(err)
	}
	g.dir = strings.TrimSpace(string(dir))
	g.text.WriteString(strings.ReplaceAll(string(out), g.home+"/", "/tmp/"))
}

// measured is a time or a speed.
var measured = regexp.MustCompile(`[0-9][0-9.,]* ?(?:ms|s|[kMG]?B/s)\b`)

// timeless is a text with a mark in the place of each time and speed.
func timeless(text string) string { return measured.ReplaceAllString(text, "…") }
