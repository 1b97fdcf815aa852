package millrace

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/plan"
	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/backends"
	"github.com/millrace/millrace/worker/program"
)

// What a job's inputs may be written as:
//
//	INPUT           a path, folder, glob or URL
//	@FILE, @URL, @- a list of those, one a line; @- is standard input. A file whose name begins with '@' is ./@name
//	NAME=INPUT      of a job with several inputs, for the input of that name; NAME=@FILE as well
//
// Only a job with several inputs has names here: of any other, a name with '=' in it is a file's.

const (
	// maxInputBytes bounds the names of a job's inputs together: they travel in one message, which has a limit of its own.
	maxInputBytes = 2 << 20
	// maxListBytes bounds a list with its comments.
	maxListBytes = 64 << 20
)

// ReadLists puts what lists name in the place of @LIST in o.Inputs and o.Named. A line is an input as it would be written on the
// command line, so a relative path is one of the working directory, wherever the list lies. Blank lines and those that begin
// with '#' are left out, and so is white space around a line. Lists do not name lists.
func (o *Options) ReadLists(ctx context.Context, reg *program.Registry, job string, stdin io.Reader) error {
	j, err := reg.Job(job)
	if err != nil {
		return err
	}
	info, err := bind(j, o.Params)
	if err != nil {
		return Usage(err)
	}
	lists := &lists{store: o.Store, stdin: stdin}
	var inputs []string
	for _, in := range o.Inputs {
		name, rest := "", in
		if n, r, ok := strings.Cut(in, "="); ok && len(info.Inputs) > 1 {
			name, rest = n+"=", r
		}
		entries, err := lists.read(ctx, rest)
		if err != nil {
			return err
		}
		for _, e := range entries {
			inputs = append(inputs, name+e)
		}
	}
	named := map[string][]string{}
	for _, name := range slices.Sorted(maps.Keys(o.Named)) {
		for _, in := range o.Named[name] {
			entries, err := lists.read(ctx, in)
			if err != nil {
				return err
			}
			named[name] = append(named[name], entries...)
		}
	}
	o.Inputs, o.Named = inputs, named
	return nil
}

// lists reads lists of inputs.
type lists struct {
	store *storage.Store // nil: that of the environment
	stdin io.Reader
	once  bool // stdin has been read
}

// read returns the inputs that a list names, and any other input as it is.
func (l *lists) read(ctx context.Context, input string) ([]string, error) {
	place, isList := strings.CutPrefix(input, "@")
	if !isList {
		return []string{input}, nil
	}
	text, err := l.load(ctx, place)
	if err != nil {
		return nil, fmt.Errorf("list of inputs %s: %w", input, err)
	}
	var entries []string
	scan := bufio.NewScanner(bytes.NewReader(text))
	scan.Buffer(nil, maxListBytes)
	for n := 1; scan.Scan(); n++ {
		switch line := strings.TrimSpace(scan.Text()); {
		case line == "" || line[0] == '#':
		case line[0] == '@':
			return nil, fmt.Errorf("list of inputs %s: line %d: %q names a list: give each list to the command itself, or write ./%[3]s for a file of that name", input, n, line)
		default:
			if _, err := storage.ParseURL(line); err != nil {
				return nil, fmt.Errorf("list of inputs %s: line %d: %w", input, n, err)
			}
			entries = append(entries, line)
		}
	}
	if err := scan.Err(); err != nil {
		return nil, fmt.Errorf("list of inputs %s: %w", input, err)
	}
	if len(entries) == 0 {
		return nil, fmt.Errorf("list of inputs %s: it names none", input)
	}
	return entries, nil
}

func (l *lists) load(ctx context.Context, place string) ([]byte, error) {
	if place == "-" {
		if l.once {
			return nil, fmt.Errorf("standard input has been read already: give it once")
		}
		l.once = true
		return limited(l.stdin)
	}
	if place == "" {
		return nil, Usage(fmt.Errorf("name the file behind the @, or - for standard input"))
	}
	if l.store == nil {
		l.store = backends.New(backends.Options{})
	}
	body, _, err := l.store.Read(ctx, place, 0, -1, "")
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return limited(body)
}

// limited reads all of a list.
func limited(r io.Reader) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxListBytes+1))
	if err == nil && len(text) > maxListBytes {
		err = fmt.Errorf("it is larger than %v: use folders and globs", jobs.Size(maxListBytes))
	}
	return text, err
}

// stateInputs checks the inputs and states them to the master, which may run in another folder: what is relative here is made
// absolute here.
func (o *Options) stateInputs(spec *plan.Spec) error {
	if _, err := storage.NewExclusion(o.Exclude); err != nil {
		return err
	}
	spec.Exclude = o.Exclude
	s := inputStatement{spec: spec}
	for _, in := range o.Inputs {
		if err := s.add(in); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(o.Named)) {
		i := slices.IndexFunc(spec.Info.Inputs, func(in jobs.Input) bool { return in.Name == name })
		if i < 0 {
			return fmt.Errorf("there is no input %q: %s", name, s.takes())
		}
		for _, in := range o.Named[name] {
			if err := s.url(in, i); err != nil {
				return err
			}
		}
	}
	if s.bytes > maxInputBytes {
		return fmt.Errorf("the names of the %d inputs take %v, more than %v: use folders and globs, with --exclude for what does not belong",
			len(spec.Inputs), jobs.Size(s.bytes), jobs.Size(maxInputBytes))
	}
	return s.missing()
}

// inputStatement puts inputs into a spec.
type inputStatement struct {
	spec  *plan.Spec
	bytes int64
}

// several says whether the job has inputs to tell apart.
func (s *inputStatement) several() bool { return len(s.spec.Info.Inputs) > 1 }

// add adds INPUT or NAME=INPUT.
func (s *inputStatement) add(in string) error {
	if !s.several() {
		return s.url(in, 0)
	}
	name, url, _ := strings.Cut(in, "=")
	for i, input := range s.spec.Info.Inputs {
		if input.Name == name && strings.Contains(in, "=") {
			if url == "" {
				return fmt.Errorf("input %s: nothing is named: write %[1]s=FILE", name)
			}
			return s.url(url, i)
		}
	}
	if strings.Contains(in, "=") && !strings.Contains(name, "/") {
		return fmt.Errorf("there is no input %q: %s", name, s.takes())
	}
	return fmt.Errorf("input %s: to which input does it belong? %s", in, s.takes())
}

// takes says what the job's inputs are.
func (s *inputStatement) takes() string {
	var names []string
	for _, in := range s.spec.Info.Inputs {
		names = append(names, in.Name+"=INPUT")
	}
	if !s.several() {
		return fmt.Sprintf("job %s has one input: leave the name out", s.spec.Job)
	}
	return fmt.Sprintf("job %s reads %s", s.spec.Job, strings.Join(names, " "))
}

// url adds what belongs to the i-th input of the job.
func (s *inputStatement) url(in string, i int) error {
	u, err := storage.ParseURL(in)
	if err != nil {
		return fmt.Errorf("input: %w", err)
	}
	s.spec.Inputs = append(s.spec.Inputs, u.String())
	s.bytes += int64(len(u.String()))
	if s.several() {
		s.spec.InputOf = append(s.spec.InputOf, i)
	}
	return nil
}

// missing names the inputs of the job to which nothing belongs.
func (s *inputStatement) missing() error {
	var names []string
	for i, in := range s.spec.Info.Inputs {
		if s.several() && len(s.spec.InputURLs(i)) == 0 {
			names = append(names, in.Name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return fmt.Errorf("nothing is named for input %s: %s", strings.Join(names, ", "), s.takes())
}

// stateSideInputs states the side inputs among a job's parameters as stateInputs states inputs: what is relative here is made
// absolute here. The caller's map stays as it is.
func stateSideInputs(j *jobs.Job, params map[string]string) (map[string]string, error) {
	for _, p := range j.Params() {
		text, given := params[p.Name]
		if !given {
			text = p.Default
		}
		if p.Type != "file" || text == "" {
			continue
		}
		u, err := storage.ParseURL(text)
		if err != nil {
			return nil, fmt.Errorf("parameter %s: side input: %w", p.Name, err)
		}
		if params = maps.Clone(params); params == nil {
			params = map[string]string{}
		}
		params[p.Name] = u.String()
	}
	return params, nil
}
