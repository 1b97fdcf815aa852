package console

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"time"
	"unicode"

	"github.com/millrace/millrace/master/wire"
)

// Report is the summary for scripts, what --json writes. Fields are added to it but never renamed or removed; lists and
// maps are present also when they are empty.
type Report struct {
	ID          string            `json:"id"`
	Job         string            `json:"job"`
	State       string            `json:"state"`           // running, committing, committed, failed or cancelled
	Error       string            `json:"error,omitempty"` // of a failed job
	Params      map[string]string `json:"params"`          // as the job ran with them
	Inputs      []string          `json:"inputs"`          // URLs, globs and prefixes
	Output      string            `json:"output"`          // URL of the folder of the parts
	Parts       []string          `json:"parts"`           // URLs in order; of very many only the first ones
	NumParts    int               `json:"num_parts"`
	Objects     int               `json:"objects"`          // input objects
	Bytes       int64             `json:"bytes"`            // of the input
	Records     int64             `json:"records"`          // of the input
	Pairs       int64             `json:"pairs"`            // after combining
	Shuffled    int64             `json:"shuffled"`         // bytes of the pairs
	Spilled     int64             `json:"spilled"`          // bytes written to disk beyond those
	Rows        int64             `json:"rows"`             // of the output
	OutputBytes int64             `json:"output_bytes"`     // of the parts
	Outputs     []ReportOutput    `json:"outputs"`          // the side outputs, by name
	Rejected    int64             `json:"rejected_records"` // bad ones that were set aside
	Seconds     float64           `json:"seconds"`          // to the millisecond
	MBPerS      float64           `json:"mb_per_s"`         // input, 1 MB = 1,000,000 bytes
	Tasks       ReportTasks       `json:"tasks"`
	Retries     int               `json:"retries"` // failed attempts that were tried again
	Counters    map[string]int64  `json:"counters"`
	Stages      []ReportStage     `json:"stages,omitempty"` // of a chain; of very many only the newest
	NumStages   int               `json:"num_stages,omitempty"`
	Explained   *Explained        `json:"explained,omitempty"` // with run --explain
	Warnings    []string          `json:"warnings"`            // what its user should know though it went on
}

// ReportOutput is a side output.
type ReportOutput struct {
	Name  string `json:"name"`
	Parts int    `json:"num_parts"`
	Rows  int64  `json:"rows"`
	Bytes int64  `json:"bytes"`
}

// ReportTasks is the number of tasks of each phase.
type ReportTasks struct {
	Map    int `json:"map"`
	Reduce int `json:"reduce"`
}

// ReportStage is one stage of a chain.
type ReportStage struct {
	N       int     `json:"n"` // from 1
	Job     string  `json:"job"`
	State   string  `json:"state"`
	Reused  bool    `json:"reused,omitempty"` // an earlier chain ran it
	Records int64   `json:"records"`
	Rows    int64   `json:"rows"`
	Bytes   int64   `json:"output_bytes"`
	Seconds float64 `json:"seconds"`
}

// NewReport returns the report of a job.
func NewReport(st wire.JobStatus, elapsed time.Duration) Report {
	r := Report{
		ID: string(st.ID), Job: st.Job, State: st.State.String(), Error: st.Error,
		Params: st.Params, Inputs: st.Inputs, Output: st.Output, Parts: st.Parts, NumParts: st.NumParts,
		Objects: st.Objects, Bytes: st.InBytes, Records: st.Records,
		Pairs: st.Pairs, Shuffled: st.Shuffled, Spilled: st.Spilled, Rows: st.Rows, OutputBytes: st.OutBytes, Rejected: st.Rejected,
		Seconds: math.Round(1e3*elapsed.Seconds()) / 1e3,
		Tasks:   ReportTasks{st.Map.Tasks, st.Reduce.Tasks}, Retries: st.Retries, Counters: st.Counters, Warnings: st.Warnings,
	}
	r.NumStages = st.NumStages
	for _, s := range st.Stages {
		r.Stages = append(r.Stages, ReportStage{
			N: s.N + 1, Job: s.Job, State: s.State.String(), Reused: s.Reused, Records: s.Records, Rows: s.Rows, Bytes: s.OutBytes,
			Seconds: math.Round(1e3*s.Elapsed.Seconds()) / 1e3,
		})
	}
	r.Outputs = make([]ReportOutput, len(st.Outputs))
	for i, o := range st.Outputs {
		r.Outputs[i] = ReportOutput(o)
	}
	if elapsed > 0 {
		r.MBPerS = math.Round(float64(st.InBytes)/elapsed.Seconds()/1e3) / 1e3
	}
	if r.Params == nil {
		r.Params = map[string]string{}
	}
	if r.Inputs == nil {
		r.Inputs = []string{}
	}
	if r.Parts == nil {
		r.Parts = []string{}
	}
	if r.Warnings == nil {
		r.Warnings = []string{}
	}
	if r.Counters == nil {
		r.Counters = map[string]int64{}
	}
	return r
}

// Write writes the report as one indented JSON object and a line end.
func (r Report) Write(out io.Writer) error {
	if err := WriteJSON(out, r); err != nil {
		return fmt.Errorf("write report of job %s: %w", r.ID, err)
	}
	return nil
}

// WriteJSON writes v as one indented JSON value and a line end, for programs, and safe to show on a terminal.
func WriteJSON(out io.Writer, v any) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return err
	}
	_, err := out.Write(escapeControls(b.Bytes()))
	return err
}

// escapeControls escapes what JSON allows in a string but a terminal obeys: U+007F to U+009F and marks that reorder text.
func escapeControls(text []byte) []byte {
	out := make([]byte, 0, len(text))
	for _, r := range string(text) {
		if r >= 0x7f && r <= 0x9f || unicode.Is(unicode.Bidi_Control, r) {
			out = fmt.Appendf(out, `\u%04x`, r)
			continue
		}
		out = append(out, string(r)...)
	}
	return out
}
