package plan

import (
	"fmt"
	"slices"
	"strings"
)

// The kinds of code that a job can be.
const (
	// Builtin is code that was compiled into the program that masters and workers run.
	Builtin = "builtin"
	// Command is commands of the submitter's, which may do whatever the workers' user may. It is also the name of the job that runs
	// them (package worker/program/command).
	Command = "command"
)

// The parameters of the job that have its command lines.
var commandParams = []string{"mapper", "combiner", "reducer"}

// Allow is which jobs a cluster runs: its operator's choice. The zero value allows what is built in, and nothing else.
type Allow struct {
	Kinds    []string // of Builtin and Command; none: Builtin, and Command if Commands has any
	Commands []string // patterns, of which each command line must match one; none: all commands, if their kind is allowed
}

// AllowAll allows everything, for who runs jobs as oneself.
func AllowAll() Allow { return Allow{Kinds: []string{Builtin, Command}} }

// Validate checks the words.
func (a Allow) Validate() error {
	for _, k := range a.Kinds {
		if k != Builtin && k != Command {
			return fmt.Errorf("%q is no kind of code: allow some of %s, %s", k, Builtin, Command)
		}
	}
	for _, p := range a.Commands {
		if strings.TrimSpace(p) == "" {
			return fmt.Errorf("the pattern of commands %q matches nothing: write one like 'python3 *'", p)
		}
	}
	return nil
}

// kinds are those that are allowed, with the defaults.
func (a Allow) kinds() []string {
	kinds := a.Kinds
	if len(kinds) == 0 {
		kinds = []string{Builtin}
	}
	if len(a.Commands) > 0 && !slices.Contains(kinds, Command) {
		kinds = append(slices.Clone(kinds), Command)
	}
	return kinds
}

// Check says why a job may not run, or nil. Who refuses, "this master" or "this worker", is who has the flags that the error names.
func (a Allow) Check(s Spec, who string) error {
	kind := Builtin
	if s.Job == Command {
		kind = Command
	}
	kinds := a.kinds()
	if !slices.Contains(kinds, kind) {
		what := "jobs that are built in"
		if kind == Command {
			what = "jobs of commands (--mapper)"
		}
		return fmt.Errorf("%s does not run %s: it is started with --allow %s, and --allow %s,%s admits them",
			who, what, strings.Join(kinds, ","), strings.Join(kinds, ","), kind)
	}
	if kind != Command || len(a.Commands) == 0 {
		return nil
	}
	for _, name := range commandParams {
		line := s.Params[name]
		if name == "reducer" && strings.EqualFold(strings.TrimSpace(line), "none") || line == "" {
			continue
		}
		if !slices.ContainsFunc(a.Commands, func(p string) bool { return matchCommand(p, line) }) {
			return fmt.Errorf("%s does not run the %s %.100q: it runs the commands that match %s; --allow-command with a pattern for it admits it",
				who, name, line, strings.Join(a.Commands, " or "))
		}
	}
	return nil
}

// shellWords are the characters by which a shell's line becomes more than one command, or the output of another one.
const shellWords = ";&|`$()<>\n\r"

// matchCommand matches a whole command line. A '*' of the pattern stands for any text without shellWords, so that a pattern of one
// command does not admit another behind it; all other characters stand for themselves.
//
// What follows a star is looked for at its first place: a later one would leave less to the stars behind, and would have this one stand
// for what they cannot stand for either.
func matchCommand(pattern, line string) bool {
	star, from := -1, 0 // the last star of the pattern so far, and where in the line the text begins that it does not stand for
	for p, i := 0, 0; i < len(line) || p < len(pattern); {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, from = p, i
			p++
		case p < len(pattern) && i < len(line) && pattern[p] == line[i]:
			p, i = p+1, i+1
		case star < 0 || from == len(line) || strings.IndexByte(shellWords, line[from]) >= 0:
			return false
		default:
			from++
			p, i = star+1, from
		}
	}
	return true
}
