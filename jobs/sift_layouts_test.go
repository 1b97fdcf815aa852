package jobs_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/millrace/millrace/jobs"
)

// inBlocks lays records out in objects, of which each begins with head, and cuts these into blocks of whole records.
func inBlocks(rnd *rand.Rand, in []record, head func() string, between func() string) (out []jobs.Block, bad []placed) {
	for object := 0; len(in) > 0; object++ {
		n := 1 + rnd.IntN(len(in))
		url := fmt.Sprintf("mem://input/%d", object)
		first := head()
		offset := int64(0)
		text := first
		header := []byte(nil)
		for _, r := range in[:n] {
			text += between()
			if r.err != "" {
				bad = append(bad, placed{r, url, offset + int64(len(text))})
			}
			text += r.raw
			if rnd.IntN(4) == 0 {
				text += between()
				out = append(out, jobs.Block{URL: url, Offset: offset, Data: []byte(text), Header: header})
				offset += int64(len(text))
				text, header = "", []byte(first)
			}
		}
		if text != "" {
			out = append(out, jobs.Block{URL: url, Offset: offset, Data: []byte(text), Header: header})
		}
		in = in[n:]
	}
	return out, bad
}

func nothing() string { return "" }

func lineEnd(rnd *rand.Rand) string { return []string{"\n", "\n", "\r\n"}[rnd.IntN(3)] }

// textLines are scripts as lines.
func textLines() layout {
	return layout{
		raw: func(rnd *rand.Rand, s string) string { return s + lineEnd(rnd) },
		cut: func(rnd *rand.Rand, in []record) ([]jobs.Block, []placed) {
			out, bad := inBlocks(rnd, in, nothing, nothing)
			if n := len(out); n > 0 && rnd.IntN(2) == 0 { // the last line lacks its end
				last := out[n-1].Data
				trimmed := strings.TrimRight(string(last), "\r\n")
				if i := len(in) - 1; trimmed != "" && strings.TrimRight(in[i].raw, "\r\n") != "" {
					out[n-1].Data = []byte(trimmed)
					if in[i].err != "" {
						bad[len(bad)-1].raw = strings.TrimRight(in[i].raw, "\r\n")
					}
				}
			}
			return out, bad
		},
	}
}

const fixedLength = 80

// fixedRecords are scripts with blanks behind.
func fixedRecords() layout {
	return layout{
		raw: func(_ *rand.Rand, s string) string { return fmt.Sprintf("%-*s", fixedLength, s) },
		cut: func(rnd *rand.Rand, in []record) ([]jobs.Block, []placed) { return inBlocks(rnd, in, nothing, nothing) },
	}
}

// wholeFiles are scripts in objects of their own; some are empty.
func wholeFiles() layout {
	return layout{
		raw: func(_ *rand.Rand, s string) string { return s },
		cut: func(_ *rand.Rand, in []record) (out []jobs.Block, bad []placed) {
			for i, r := range in {
				url := fmt.Sprintf("mem://input/%d", i)
				out = append(out, jobs.Block{URL: url, Data: []byte(r.raw)})
				if r.err != "" {
					bad = append(bad, placed{r, url, 0})
				}
			}
			return out, bad
		},
	}
}

type csvRow struct {
	ID     int64
	Script string
	Note   *string
}

// csvRecords are scripts as a column of CSV, with empty lines between records, notes with line ends in them, and records that do not
// keep to the grammar.
func csvRecords(header, quotes bool) layout {
	notes := []string{"", "n", "a note"}
	scripts := "%s"
	odd := []struct{ raw, err string }{{"1,", "fields"}, {"1,a,b,c", "fields"}, {"1,a,b\rc", "carriage return"}}
	if quotes {
		notes = append(notes, "\"a,\"\"\nnote\n\n\"", `""`)
		scripts = `"%s"`
		odd = append(odd, []struct{ raw, err string }{{`1,"a" b,c`, "closing quote"}, {`1,a"b,c`, "quote"}, {"1,a,\"b\n\n\"c", "closing quote"}}...)
	}
	return layout{
		raw: func(rnd *rand.Rand, s string) string {
			return fmt.Sprintf("%d,"+scripts+",%s%s", rnd.IntN(100), s, notes[rnd.IntN(len(notes))], lineEnd(rnd))
		},
		odd: func(rnd *rand.Rand) (string, string) {
			o := odd[rnd.IntN(len(odd))]
			return o.raw + "\n", o.err
		},
		cut: func(rnd *rand.Rand, in []record) ([]jobs.Block, []placed) {
			empty := func() string { return strings.Repeat(lineEnd(rnd), max(0, rnd.IntN(6)-3)) }
			return inBlocks(rnd, in, func() string {
				head := []string{"", "\ufeff"}[rnd.IntN(2)]
				if header {
					head += empty() + "id,script,note" + lineEnd(rnd)
				}
				return head
			}, empty)
		},
	}
}

type tableRow struct {
	ID     int64
	Script string
	Flag   *bool
}

// tableRows are scripts as a column; where records are structs, one may be null, which they do not take.
func tableRows(nulls bool) layout {
	type nullRow struct {
		ID     int64
		Script *string
		Flag   *bool
	}
	l := layout{
		raw: func(rnd *rand.Rand, s string) string {
			raw, _ := json.Marshal(map[string]any{"s": s, "id": rnd.IntN(100), "flag": []any{nil, true, false}[rnd.IntN(3)]})
			return string(raw)
		},
		cut: func(rnd *rand.Rand, in []record) (out []jobs.Block, bad []placed) {
			var plain []tableRow
			var rows []nullRow
			at, null := int64(0), false
			flush := func() {
				schema, columns, err := jobs.ColumnsOf(plain...)
				if null {
					schema, columns, err = jobs.ColumnsOf(rows...)
				}
				if err != nil {
					panic(err)
				}
				out = append(out, jobs.Block{URL: "mem://table", Offset: at, Schema: schema, Columns: columns})
				at += int64(len(rows))
				plain, rows, null = nil, nil, false
			}
			for i, r := range in {
				var v struct {
					S    string
					ID   int64
					Flag *bool
				}
				if err := json.Unmarshal([]byte(r.raw), &v); err != nil {
					panic(err)
				}
				row := nullRow{v.ID, &v.S, v.Flag}
				if r.null {
					row.Script, null = nil, true
				}
				if r.err != "" {
					r.raw = rowJSON(row.ID, row.Script, row.Flag)
					bad = append(bad, placed{r, "mem://table", at + int64(len(rows))})
				}
				plain, rows = append(plain, tableRow{v.ID, v.S, v.Flag}), append(rows, row)
				if i == len(in)-1 || rnd.IntN(8) == 0 {
					flush()
				}
			}
			return out, bad
		},
	}
	if nulls {
		l.odd = func(*rand.Rand) (string, string) { return "", "column script: it is null" }
	}
	return l
}

// rowJSON is a row as the records set aside have it.
func rowJSON(id int64, script *string, flag *bool) string {
	text := func(v any) string { b, _ := json.Marshal(v); return string(b) }
	return fmt.Sprintf(`{"id":%d,"script":%s,"flag":%s}`, id, text(script), text(flag))
}
