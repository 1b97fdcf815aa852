// Command imports counts how often each package is imported by Go source files.
package main

import (
	"go/parser"
	"go/token"
	"strconv"
	"unicode/utf8"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/jobs"
)

// Import is a row of the result: its fields are the columns of the Arrow files.
type Import struct {
	Package string
	Files   int64
}

// find is the map function: it gets one file and emits a pair for each import.
func find(f jobs.File, emit func(pkg string, files int64)) error {
	// Some files of Go's own tests are not valid Go, or name packages that are no text: what can be read counts.
	file, _ := parser.ParseFile(token.NewFileSet(), f.URL, f.Data, parser.ImportsOnly)
	for _, spec := range file.Imports {
		if pkg, err := strconv.Unquote(spec.Path.Value); err == nil && utf8.ValidString(pkg) {
			emit(pkg, 1)
		}
	}
	return nil
}

// add is the reduce function: it gets one key with all its values, and emits rows.
func add(pkg string, files jobs.Values[int64], emit func(Import)) error {
	emit(Import{pkg, jobs.Total(files)})
	return nil
}

func job() *jobs.Job {
	return jobs.New("imports", find, add, jobs.Combine(jobs.Sum[int64]))
}

func main() {
	millrace.Main(job())
}
