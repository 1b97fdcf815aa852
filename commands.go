package millrace

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/worker/program"
	streaming "github.com/millrace/millrace/worker/program/command"
)

// commandFlags say what a job of commands runs. They stand in the place of JOB and its parameters.
type commandFlags struct {
	mapper, combiner, reducer, columns string
	files                              []string
}

// define defines the flags.
func (f *commandFlags) define(c *cobra.Command) {
	fs := c.Flags()
	fs.StringVar(&f.mapper, "mapper", "", "in place of JOB: `COMMAND` that gets the input's lines and writes KEY<TAB>VALUE lines, as for Hadoop Streaming")
	fs.StringVar(&f.reducer, "reducer", "", "`COMMAND` that gets these lines, sorted, and writes rows (default: none, the mapper's lines are the rows)")
	fs.StringVar(&f.combiner, "combiner", "", "`COMMAND` that gets some of these lines, sorted, and writes fewer of the same keys")
	fs.StringVar(&f.columns, "columns", "", "fields of a row, `NAME:TYPE,...`: string, bytes, int64, float64 or bool (default key:string,value:string)")
	fs.StringArrayVar(&f.files, "file", nil, "`FILE` that lies beside the commands where they run, a path or URL, #NAME behind it for another name; may be repeated")
	_ = c.RegisterFlagCompletionFunc("columns", cobra.NoFileCompletions) // fails only for an unknown name
}

// given says which of the flags is given, "" if none is.
func (f *commandFlags) given() string {
	for _, flag := range []struct {
		name  string
		given bool
	}{{"mapper", f.mapper != ""}, {"reducer", f.reducer != ""}, {"combiner", f.combiner != ""}, {"columns", f.columns != ""}, {"file", len(f.files) > 0}} {
		if flag.given {
			return "--" + flag.name
		}
	}
	return ""
}

// takes says whether a command line is one of commands, by its flags: then it names no JOB.
func (f *commandFlags) takes() bool { return f.mapper != "" }

// params are the parameters of the job that runs the commands. What is relative is made absolute here.
func (f *commandFlags) params() (map[string]string, error) {
	files := make([]streaming.File, len(f.files))
	for i, text := range f.files {
		file, err := streaming.ParseFile(text)
		if err != nil {
			return nil, fmt.Errorf("--file: %w", err)
		}
		u, err := storage.ParseURL(file.URL)
		if err != nil {
			return nil, fmt.Errorf("--file %s: %w", text, err)
		}
		files[i] = streaming.File{URL: u.String(), Name: file.Name}
	}
	params := map[string]string{}
	for name, value := range map[string]string{"mapper": f.mapper, "combiner": f.combiner, "reducer": f.reducer, "columns": f.columns, "files": streaming.FormatFiles(files)} {
		if value != "" {
			params[name] = value
		}
	}
	return params, nil
}

// TakeArguments takes the arguments of run, submit and plan, and returns the job's name. Of a job of commands, all arguments are
// inputs.
func (o *Options) TakeArguments(args []string) (job string, err error) {
	if !o.commands.takes() {
		o.Inputs = args[1:]
		return args[0], nil
	}
	o.Inputs = args
	o.Params, err = o.commands.params()
	return streaming.Name, Usage(err)
}

// checkArguments checks what commands and a job have for arguments together. done: there is no more to check.
func (f *commandFlags) checkArguments(c *cobra.Command, reg *program.Registry, params map[string]string, args []string) (done bool, err error) {
	if !f.takes() {
		if len(args) > 0 && args[0] == streaming.Name {
			return true, fmt.Errorf("%s %s: a job of commands is told by its flags: write %s", c.CommandPath(), streaming.Name, commandUse(c))
		}
		if flag := f.given(); flag != "" {
			return true, fmt.Errorf("%s: %s is about a job of commands: say with --mapper what maps (cat passes lines on as they are), or leave it out", c.CommandPath(), flag)
		}
		return false, nil
	}
	switch {
	case len(params) > 0:
		return true, fmt.Errorf("%s: -p is about the parameters of a JOB: with --mapper there are none; write what a command needs behind it, as in --mapper 'python3 map.py --lower'", c.CommandPath())
	case len(args) == 0:
		return true, fmt.Errorf("%s: no input: name files, folders, globs or URLs: write %s", c.CommandPath(), commandUse(c))
	}
	if _, err := reg.Job(args[0]); err == nil {
		if _, err := os.Stat(args[0]); errors.Is(err, os.ErrNotExist) {
			return true, fmt.Errorf("%s: there is no file %s: if that is meant as a JOB, leave it out, since --mapper stands in its place", c.CommandPath(), args[0])
		}
	}
	return true, nil
}

// commandUse is how a job of commands is written.
func commandUse(c *cobra.Command) string {
	use := c.CommandPath() + " --mapper COMMAND --reducer COMMAND INPUT..."
	if strings.Contains(c.Use, "-o OUTPUT") {
		use += " -o OUTPUT"
	}
	return use
}

// Explained adds to the error of a failed job what the files that its commands name may have to do with it.
func (o *Options) Explained(err error) error {
	if err == nil || !errors.Is(err, ErrJobFailed) || !o.commands.takes() {
		return err
	}
	if left := o.commands.unnamed(); len(left) > 0 {
		return fmt.Errorf("%w\n(the commands name %s, which lies here but not where they run: add --file %s)", err, left[0], left[0])
	}
	return err
}

// unnamed lists the words of the commands that are files here, and are not among those that lie beside the commands.
func (f *commandFlags) unnamed() (list []string) {
	named := map[string]bool{}
	for _, text := range f.files {
		if file, err := streaming.ParseFile(text); err == nil {
			named[file.Name] = true
		}
	}
	for _, line := range []string{f.mapper, f.combiner, f.reducer} {
		for _, word := range strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(" \t\n'\"|;&<>()", r) }) {
			info, err := os.Stat(word)
			if err == nil && info.Mode().IsRegular() && !path.IsAbs(word) && !named[path.Clean(word)] {
				list = append(list, word)
				named[path.Clean(word)] = true
			}
		}
	}
	return list
}

// errNoSkipping is why bad records of a job of commands cannot be set aside.
var errNoSkipping = errors.New("skip bad records: which line a command fails on nobody knows: leave the option out, and let the command itself leave bad lines out " +
	"and count them, with reporter:counter:GROUP,NAME,1 on its standard error")
