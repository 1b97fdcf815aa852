// Package command runs commands as a job's code, by the contract of Hadoop Streaming: the mapper gets the lines of the input on its
// standard input and writes pairs, `key<TAB>value`, a line each; the reducer gets the pairs so, sorted, and writes rows. So scripts in
// any language that were written for Hadoop Streaming run as they are. It stands behind jobs.Program; package program knows it by
// Name. It knows no master, worker or storage.
//
//	what                gets on standard input                       writes to standard output
//	mapper              the lines of one object of the split         key<TAB>value; without a tab a key with an empty value
//	combiner            sorted pairs of some keys                    pairs of the same keys
//	reducer             all pairs of its partition, sorted by key    rows: fields separated by tabs
//	mapper, no reducer  the lines of one object of the split         rows
//
// Lines end with LF on both sides; CR LF in the input becomes LF, as in Hadoop. Keys are sorted by their bytes, and of one key the
// pairs come in the order of the map tasks. A pair goes to the reducer as key<TAB>value also if the value is empty.
//
// A command runs through sh -c, in a folder of its own, with a clean environment (see environment) and in a process group of its
// own, which is killed as a whole when the command has ended or the attempt is given up. It has succeeded when it ends with exit code
// 0, whether or not it read all of its input, as in a shell's pipe. On standard error, lines reporter:counter:GROUP,NAME,N and
// reporter:status:TEXT are understood; of the others the last ones tell why a command failed.
//
// In the pairs between mapper, combiner and reducer, the key is the key's bytes, as a Go job encodes a string, so that both give the
// same partitions and order. The value is the value's bytes; see combined for the pair that stands for several.
package command

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/millrace/millrace/jobs"
)

const (
	// Name is the name of the job that runs commands.
	Name = "command"
	// Contract is the version of what this package promises to commands: a job submitted by one millrace runs on workers of another
	// if their contracts are the same.
	Contract = "command 1"
)

// Params are the parameters of the job. Their texts stand in manifests, so that a task can be run again.
type Params struct {
	Mapper   string `param:"mapper" help:"command that gets lines of the input and writes KEY<TAB>VALUE lines; cat passes them on"`
	Reducer  string `param:"reducer" default:"" help:"command that gets the sorted KEY<TAB>VALUE lines and writes rows; none or NONE: the mapper's lines are the rows"`
	Combiner string `param:"combiner" default:"" help:"command that gets sorted lines of some keys and writes fewer lines of the same keys"`
	Columns  string `param:"columns" default:"" help:"fields of a row, NAME:TYPE,... with types string, bytes, int64, float64, bool (default: key:string,value:string)"`
	Files    string `param:"files" default:"" help:"files for the commands, separated by commas: URL or URL#NAME"`
}

// Job is the job that runs commands: always the same one.
var Job = sync.OnceValue(func() *jobs.Job {
	return jobs.DefineProgram(Name, func(p Params) (jobs.Program, error) { return New(p) }, jobs.Doc(doc))
})

const doc = `Run any commands as mapper and reducer, by the contract of Hadoop Streaming.

Give the parameters as flags, without a JOB: run --mapper COMMAND --reducer COMMAND [--combiner COMMAND] [--columns NAME:TYPE,...]
[--file FILE]... INPUT... -o OUTPUT. The mapper gets the input's lines and writes KEY<TAB>VALUE lines; the reducer gets these, sorted by
key, and writes rows.`

// Program is a job of commands. It never changes: any number of attempts use it at a time.
type Program struct {
	mapper, combiner, reducer command
	columns                   columns
	files                     []File
	limits                    limits
}

// limits are what a command may do; tests have others.
type limits struct {
	linger time.Duration // lingerFor
	line   int           // maxLine
}

// command is a command line and what it is in the job.
type command struct {
	role string
	line string
}

func (c command) String() string { return fmt.Sprintf("%s %s", c.role, quoted(c.line)) }

// quoted is a command line for a message: short, and on one line.
func quoted(line string) string {
	const most = 120
	if len(line) > most {
		line = line[:most] + "..."
	}
	return "`" + strings.ToValidUTF8(strings.ReplaceAll(line, "\n", "; "), "?") + "`"
}

// New checks the parameters. Its errors name them.
func New(p Params) (*Program, error) {
	if Reducers(p.Reducer) == 0 {
		p.Reducer = ""
	}
	prog := &Program{
		mapper: command{"mapper", p.Mapper}, combiner: command{"combiner", p.Combiner}, reducer: command{"reducer", p.Reducer},
		limits: limits{linger: lingerFor, line: maxLine},
	}
	if strings.TrimSpace(p.Mapper) == "" {
		return nil, errors.New("mapper: the command is empty: cat passes each line on")
	}
	for _, c := range prog.commands() {
		if err := c.check(); err != nil {
			return nil, err
		}
	}
	if prog.combiner.line != "" && prog.mapOnly() {
		return nil, errors.New("combiner: without a reducer there are no pairs to combine: leave it out, or give a reducer")
	}
	var err error
	if prog.columns, err = parseColumns(p.Columns); err != nil {
		return nil, err
	}
	prog.files, err = ParseFiles(p.Files)
	return prog, err
}

// Reducers says whether a reducer is one: 0 for the words that stand for none, which Hadoop knows too.
func Reducers(reducer string) int {
	if r := strings.TrimSpace(reducer); r == "" || strings.EqualFold(r, "none") {
		return 0
	}
	return 1
}

// maxCommand bounds a command line, bytes: what Linux allows one argument.
const maxCommand = 128<<10 - 1

func (c command) check() error {
	switch {
	case strings.TrimSpace(c.line) == "":
		return fmt.Errorf("%s: the command is empty: leave it out", c.role)
	case strings.ContainsRune(c.line, 0):
		return fmt.Errorf("%s: a command line cannot have a zero byte in it", c.role)
	case len(c.line) > maxCommand:
		return fmt.Errorf("%s: the command line has %d bytes, and %d are the most: put it into a script, and name that with --file", c.role, len(c.line), maxCommand)
	}
	return nil
}

// commands are those that the job has.
func (p *Program) commands() []command {
	list := []command{p.mapper}
	for _, c := range []command{p.combiner, p.reducer} {
		if c.line != "" {
			list = append(list, c)
		}
	}
	return list
}

// Lines are the job's command lines, for who decides whether they may run.
func (p *Program) Lines() (lines []string) {
	for _, c := range p.commands() {
		lines = append(lines, c.line)
	}
	return lines
}

func (p *Program) mapOnly() bool { return p.reducer.line == "" }

// combineBatch is how much a combiner should get at a time: it is a process for each batch.
const combineBatch = 16 << 20

// Info implements jobs.Program.
func (p *Program) Info() jobs.Info {
	info := jobs.Info{
		Inputs:   []jobs.Input{{Format: jobs.Format{Kind: jobs.FormatLines}}},
		Combines: p.combiner.line != "", CombineBatch: combineBatch,
		MapOnly: p.mapOnly(), Schema: p.columns.schema(),
	}
	for _, f := range p.files {
		info.SideInputs = append(info.SideInputs, jobs.SideFile{Name: f.Name, URL: f.URL, Max: jobs.DefaultSideInput})
	}
	return info
}

// Map implements jobs.Program: the mapper runs once for each object of the split.
func (p *Program) Map(ctx context.Context, t *jobs.Task, in jobs.BlockSource, out jobs.PairSink) error {
	place, err := p.open(t)
	if err != nil {
		return err
	}
	defer place.close()
	var to lineSink = &pairWriter{task: t, out: out}
	if p.mapOnly() {
		if t.Sinks.Rows == nil {
			return errors.New("the engine gives the rows no sink")
		}
		to = newRowWriter(p.columns, t, t.Sinks.Rows)
	}
	blocks := &objects{task: t, in: in}
	for {
		first, err := blocks.nextObject()
		if err != nil || !first {
			if err == nil {
				err = to.end()
			}
			return err
		}
		env := place.environment(t, true, blocks.variables()...)
		run := &run{command: p.mapper, at: blocks.where(), place: place, env: env, task: t, limits: p.limits}
		if err := run.do(ctx, blocks.next, to.lines); err != nil {
			return err
		}
		if err := blocks.skip(); err != nil { // what the mapper did not read
			return err
		}
	}
}

// Reduce implements jobs.Program.
func (p *Program) Reduce(ctx context.Context, t *jobs.Task, in jobs.PairSource, out jobs.RowSink) error {
	place, err := p.open(t)
	if err != nil {
		return err
	}
	defer place.close()
	rows := newRowWriter(p.columns, t, out)
	groups := &groups{task: t, in: in}
	run := &run{command: p.reducer, at: "reduce", place: place, env: place.environment(t, false), task: t, limits: p.limits}
	if err := run.do(ctx, groups.next, rows.lines); err != nil {
		return err
	}
	if err := groups.skip(); err != nil {
		return err
	}
	t.Hot = groups.hot()
	return rows.end()
}

// lineSink takes what a command writes: whole lines with their ends, the last of which may lack it. It keeps none of them.
type lineSink interface {
	lines(data []byte) error
	end() error
}
