package plan

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/millrace/millrace/jobs"
)

const (
	// MaxReducers is the most partitions of a job: each run has an index entry for each of them.
	MaxReducers = 10_000
	// MaxWeight is the largest share that a job can have relative to another one.
	MaxWeight = 1000

	defaultAttempts = 4
	maxAttempts     = 100
)

// Spec is a job as its submitter states it.
type Spec struct {
	Job     string            // the job's name
	Params  map[string]string // as given; the job's defaults fill the rest
	Program string            // digest of what carries the code
	Info    jobs.Info         // of the program bound to Params
	Inputs  []string          // URLs, globs, prefixes
	InputOf []int             // which of Info.Inputs each of Inputs belongs to; nil: all to the first
	Exclude []string          // patterns of objects that Inputs name and that are left out
	// SideInputs are those of Info as they were found when the job was planned.
	SideInputs []SideInput `json:",omitempty"`

	Output    string // URL of the folder of the parts
	Overwrite bool

	Chain      bool // the job is a chain: of Info it has the side inputs alone, its stages have the rest
	KeepStages bool // of a chain: what its stages wrote stays in the output
	Resume     bool // of a chain: stages that an earlier one left in the output are not run again

	Reducers    int    // 0: Info.Reducers, and if that is 0 too, by input size; none in a job of maps only
	SplitSize   int64  // bytes; 0: by input size, DefaultSplitSize at most
	Shuffle     string // "local" or "bucket"; "": local
	Compression string // "none", "lz4" or "zstd"; "": none
	MaxAttempts int    // per task; 0: 4

	Decompress      string // "auto", by an object's first bytes, or "none"; "": auto
	MaxDecompressed int64  // bytes that one object, or a piece of it, may come to; 0: storage/encoding's limits

	SkipBad Tolerance // how many bad records are set aside before the job fails

	Backup bool // run backup attempts of slow tasks
	Weight int  // share of the slots relative to other jobs; 0: 1
}

// SideInput is a small file that every task may read.
type SideInput struct {
	Name string // of the job's parameter
	URL  string
	Size int64
	ETag string
}

// Check reports the first value of the spec that no job can have, by its name and with what to do instead. It looks at
// neither inputs nor output: see Make and CheckOutput.
func (s Spec) Check() error {
	if len(s.Info.Inputs) == 0 && !s.Chain {
		return errors.New("the job declares no input: make it with package jobs")
	}
	for _, in := range s.Info.Inputs {
		if err := checkFormat(in.Format); err != nil {
			return err
		}
	}
	if err := s.checkInputs(); err != nil {
		return err
	}
	switch {
	case s.Reducers < 0:
		return fmt.Errorf("reducers %d: must be at least 1; leave it out to let millrace choose by the size of the input",
			s.Reducers)
	case max(s.Reducers, s.Info.Reducers) > MaxReducers:
		return fmt.Errorf("reducers %d: at most %d are possible; one for every 64 MiB of intermediate data is plenty",
			max(s.Reducers, s.Info.Reducers), MaxReducers)
	case s.Info.MapOnly && max(s.Reducers, s.Info.Reducers) > 0:
		return fmt.Errorf("reducers %d: the job has no reduce function, each split makes one part: leave it out, and choose a split size if need be",
			max(s.Reducers, s.Info.Reducers))
	case s.SplitSize < 0:
		return fmt.Errorf("split size %d: must be at least 1 byte; leave it out for up to %d MiB", s.SplitSize, DefaultSplitSize>>20)
	case s.MaxAttempts < 0 || s.MaxAttempts > maxAttempts:
		return fmt.Errorf("max attempts %d: must be between 1 and %d; leave it out for %d",
			s.MaxAttempts, maxAttempts, defaultAttempts)
	case s.MaxDecompressed < 0:
		return fmt.Errorf("max decompressed %d: must be at least 1 byte; leave it out for the default", s.MaxDecompressed)
	case s.Weight < 0 || s.Weight > MaxWeight:
		return fmt.Errorf("weight %d: must be between 1 and %d; leave it out for 1", s.Weight, MaxWeight)
	}
	if err := s.SkipBad.check(); err != nil {
		return err
	}
	if err := oneOf("shuffle", s.Shuffle, "local", "bucket"); err != nil {
		return err
	}
	if err := oneOf("decompress", s.Decompress, "auto", "none"); err != nil {
		return err
	}
	return oneOf("compression", s.Compression, "none", "lz4", "zstd")
}

// InputURLs returns those of Inputs that belong to the i-th of Info.Inputs.
func (s Spec) InputURLs(i int) []string {
	if s.InputOf == nil && i == 0 {
		return s.Inputs
	}
	var urls []string
	for k, of := range s.InputOf {
		if of == i {
			urls = append(urls, s.Inputs[k])
		}
	}
	return urls
}

// NamedInputs returns Inputs as people write them: with the name of the input they belong to before them, NAME=URL, if the job
// has several.
func (s Spec) NamedInputs() []string {
	if s.InputOf == nil {
		return s.Inputs
	}
	named := make([]string, len(s.Inputs))
	for i, url := range s.Inputs {
		named[i] = s.Info.Inputs[s.InputOf[i]].Name + "=" + url
	}
	return named
}

// checkInputs reports an input that belongs to none of the job's, and one of the job's to which nothing belongs.
func (s Spec) checkInputs() error {
	if s.InputOf != nil && len(s.InputOf) != len(s.Inputs) {
		return fmt.Errorf("inputs: %d are named, and of %d it is known to which input of the job they belong", len(s.Inputs), len(s.InputOf))
	}
	for k, of := range s.InputOf {
		if of < 0 || of >= len(s.Info.Inputs) {
			return fmt.Errorf("input %s: it belongs to input %d of a job that has %d", s.Inputs[k], of, len(s.Info.Inputs))
		}
	}
	for i, in := range s.Info.Inputs {
		if len(s.Info.Inputs) > 1 && len(s.InputURLs(i)) == 0 {
			return fmt.Errorf("input %s is missing: say what belongs to it, as in %[1]s=FILE", in.Name)
		}
	}
	return nil
}

// oneOf checks that a value is empty or one of those that its name may have.
func oneOf(name, value string, may ...string) error {
	if value == "" || slices.Contains(may, value) {
		return nil
	}
	return fmt.Errorf("%s %q: must be %s or %s", name, value, strings.Join(may[:len(may)-1], ", "), may[len(may)-1])
}

// checkFormat reports a way to cut records that no code can follow: a mistake in the job's code.
func checkFormat(f jobs.Format) error {
	switch f.Kind {
	case jobs.FormatLines, jobs.FormatFile, jobs.FormatCSV, jobs.FormatColumns:
		return nil
	case jobs.FormatFixed:
		if f.Length < 1 {
			return fmt.Errorf("record length %d: must be at least 1 byte", f.Length)
		}
		return nil
	}
	return fmt.Errorf("record format %d: not known to this version", f.Kind)
}

// filled returns the spec with its defaults, except for reducers that depend on the input's size.
func (s Spec) filled(input int64) Spec {
	if s.SplitSize == 0 {
		s.SplitSize = splitSize(input, !s.Info.Combines && !s.Info.MapOnly)
	}
	s.Reducers = cmp.Or(s.Reducers, s.Info.Reducers)
	s.Shuffle = cmp.Or(s.Shuffle, "local")
	s.Decompress = cmp.Or(s.Decompress, "auto")
	s.Compression = cmp.Or(s.Compression, "none")
	s.MaxAttempts = cmp.Or(s.MaxAttempts, defaultAttempts)
	s.Weight = cmp.Or(s.Weight, 1)
	return s
}
