package worker

import (
	"fmt"
	"os"
)

// scratch is the folder of one attempt for what its code writes, in the worker's own. It is made when the code asks for it, which
// Go functions never do. The goroutine of the attempt uses it.
type scratch struct {
	parent string
	path   string // "": not made
}

func (w *Worker) scratch() *scratch { return &scratch{parent: w.dir} }

// folder is jobs.Task.Scratch.
func (s *scratch) folder() (string, error) {
	if s.path == "" {
		path, err := os.MkdirTemp(s.parent, "attempt-")
		if err != nil {
			return "", fmt.Errorf("make the attempt's folder: %w", err)
		}
		s.path = path
	}
	return s.path, nil
}

// remove deletes it. What cannot be deleted, because a process that got away still writes there, goes with the worker's folder: an
// attempt that succeeded is none the worse for it.
func (s *scratch) remove() {
	if s.path != "" {
		_ = os.RemoveAll(s.path)
	}
}
