// Package manifest is the format of `_SUCCESS`, the object that makes an output complete: which parts belong to it, what
// they hold, and where they came from. Readers of an output follow the manifest, never a listing. The package turns a
// Manifest into bytes and back; it reads and writes no storage and knows no jobs.
package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"
)

// Name is the manifest's name in the output folder.
const Name = "_SUCCESS"

// Version is the format that this package writes. A reader refuses a higher one.
const Version = 1

// ErrNewer says that a manifest is of a version that this package does not know.
var ErrNewer = errors.New("use a newer millrace")

// Manifest describes a committed output. Only ID and the times differ between two runs of the same job over the
// same input; writing it again after a lost answer writes the same bytes.
type Manifest struct {
	Version   int               `json:"version"`
	ID        string            `json:"id"` // the job's
	Job       string            `json:"job"`
	Params    map[string]string `json:"params,omitempty"`
	Program   string            `json:"program"`
	Spec      json.RawMessage   `json:"spec,omitempty"` // as plan.Spec with its defaults, without Info: what running its tasks again takes
	Inputs    Inputs            `json:"inputs"`
	Schema    json.RawMessage   `json:"schema"` // as jobs.Schema
	Parts     []Part            `json:"parts"`  // of the job's rows, in their order
	Rows      int64             `json:"rows"`   // of Parts
	Bytes     int64             `json:"bytes"`
	Outputs   []Output          `json:"outputs,omitempty"` // beside them, by name
	Counters  map[string]int64  `json:"counters,omitempty"`
	Rejected  int64             `json:"rejected_records"`
	Submitted time.Time         `json:"submitted"`
	Decided   time.Time         `json:"decided"`
}

// Inputs is what a job read.
type Inputs struct {
	URLs    []string     `json:"urls"`              // as the submitter stated them
	Named   []NamedInput `json:"named,omitempty"`   // of a job with several inputs, in the order in which it has them
	Exclude []string     `json:"exclude,omitempty"` // patterns of objects that were left out
	Objects int          `json:"objects"`           // that they named
	Bytes   int64        `json:"bytes"`
	Records int64        `json:"records"`
	Listed  []Input      `json:"listed,omitempty"` // at most MaxListed of the objects, in input order
	Digest  string       `json:"digest"`           // SHA-256 over URL, size and ETag of all objects
	Side    []SideInput  `json:"side,omitempty"`   // small files that every task could read, beside the objects
}

// SideInput is a file that a parameter of the job named for every task to read.
type SideInput struct {
	Name string `json:"name"` // the parameter's
	URL  string `json:"url"`
	Size int64  `json:"size"`
	ETag string `json:"etag"`
}

// NamedInput is one input of a job that has several.
type NamedInput struct {
	Name    string   `json:"name"`
	URLs    []string `json:"urls"`
	Objects int      `json:"objects"`
	Bytes   int64    `json:"bytes"`
}

// MaxListed bounds Inputs.Listed, so that the manifest of a job over millions of objects stays small.
const MaxListed = 10_000

// Input is one object that was read.
type Input struct {
	URL  string `json:"url"`
	Size int64  `json:"size"`
	ETag string `json:"etag"`
	// Input is which of the job's inputs it belongs to, from 0, as Inputs.Named lists them.
	Input int `json:"input,omitempty"`
}

// Output is a side output of the job: rows of another kind, in a folder of its own below the job's.
type Output struct {
	Name   string          `json:"name"`
	Schema json.RawMessage `json:"schema"` // as jobs.Schema
	Parts  []Part          `json:"parts"`  // those of the map tasks, then those of the reduce tasks; tasks without rows have none
	Rows   int64           `json:"rows"`
	Bytes  int64           `json:"bytes"`
}

// Output returns the side output of that name.
func (m *Manifest) Output(name string) (Output, bool) {
	i := slices.IndexFunc(m.Outputs, func(o Output) bool { return o.Name == name })
	if i < 0 {
		return Output{}, false
	}
	return m.Outputs[i], true
}

// All iterates over the parts of all outputs: every file that the job left.
func (m *Manifest) All() iter.Seq[Part] {
	return func(yield func(Part) bool) {
		for _, list := range slices.Concat([]Output{{Parts: m.Parts}}, m.Outputs) {
			for _, p := range list.Parts {
				if !yield(p) {
					return
				}
			}
		}
	}
}

// Part is one output file.
type Part struct {
	Name   string `json:"name"` // in the output folder, "errors/part-00000.arrow" of a side output
	Rows   int64  `json:"rows"`
	Bytes  int64  `json:"bytes"`
	CRC32C uint32 `json:"crc32c"` // Castagnoli, of the whole file
}

// Encode returns m's bytes.
func (m *Manifest) Encode() ([]byte, error) {
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode manifest of job %s: %w", m.ID, err)
	}
	return append(b, '\n'), nil
}

// Decode reads a manifest's bytes. An empty one is that of another engine.
func Decode(b []byte) (*Manifest, error) {
	if len(bytes.TrimSpace(b)) == 0 {
		return nil, fmt.Errorf("decode manifest: it is empty: the output was written by another program")
	}
	m := new(Manifest)
	if err := json.Unmarshal(b, m); err != nil {
		return nil, fmt.Errorf("decode manifest: %w", err)
	}
	if m.Version < 1 || m.Version > Version {
		return nil, fmt.Errorf("decode manifest: version %d, this millrace reads up to %d: %w", m.Version, Version, ErrNewer)
	}
	return m, nil
}
