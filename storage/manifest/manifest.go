// Package manifest is the format of `_SUCCESS`, the object that makes an output complete: which parts belong to it, what
// they hold, and where they came from. Readers of an output follow the manifest, never a listing. The package turns a
// Manifest into bytes and back; it reads and writes no storage and knows no jobs.
package manifest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
)

// Name is the manifest's name in the output folder.
const Name = "_SUCCESS"

// Version is the format that this package writes. A reader refuses a higher one.
const Version = 1

// Manifest describes a committed output. Only ID and the times differ between two runs of the same job over the
// same input; writing it again after a lost answer writes the same bytes.
type Manifest struct {
	Version   int               `json:"version"`
	ID        string            `json:"id"` // the job's
	Job       string            `json:"job"`
	Params    map[string]string `json:"params,omitempty"`
	Program   string            `json:"program"`
	Inputs    Inputs            `json:"inputs"`
	Schema    json.RawMessage   `json:"schema"` // as jobs.Schema
	Parts     []Part            `json:"parts"`
	Rows      int64             `json:"rows"`
	Bytes     int64             `json:"bytes"`
	Counters  map[string]int64  `json:"counters,omitempty"`
	Rejected  int64             `json:"rejected_records"`
	Submitted time.Time         `json:"submitted"`
	Decided   time.Time         `json:"decided"`
}

// Inputs is what a job read.
type Inputs struct {
	URLs    []string `json:"urls"`    // as the submitter stated them
	Objects int      `json:"objects"` // that they named
	Bytes   int64    `json:"bytes"`
	Records int64    `json:"records"`
	Listed  []Input  `json:"listed,omitempty"` // at most MaxListed of the objects, in input order
	Digest  string   `json:"digest"`           // SHA-256 over URL, size and ETag of all objects
}

// MaxListed bounds Inputs.Listed, so that the manifest of a job over millions of objects stays small.
const MaxListed = 10_000

// Input is one object that was read.
type Input struct {
	URL  string `json:"url"`
	Size int64  `json:"size"`
	ETag string `json:"etag"`
}

// Part is one output file.
type Part struct {
	Name   string `json:"name"` // in the output folder
	Rows   int64  `json:"rows"`
	Bytes  int64  `json:"bytes"`
	CRC32C uint32 `json:"crc32c"` // Castagnoli, of the whole file
}

// PartName is the name of partition p's part.
func PartName(p int) string { return fmt.Sprintf("part-%05d.arrow", p) }

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
		return nil, fmt.Errorf("decode manifest: version %d, this millrace reads up to %d: use a newer millrace", m.Version, Version)
	}
	return m, nil
}
