package jobs

import (
	"encoding/csv"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// csvRecord is a record as the plain reader has it.
type csvRecord struct {
	begin, next int
	fields      []string
	fault       csvFaultKind
}

// plainCSV is the reference of csvCutter.record: byte by byte, a state for each place in a field.
func plainCSV(text string) (out []csvRecord) {
	for at := 0; at < len(text); {
		r := csvRecord{begin: at}
		field, state := "", "start"
		fail := func(kind csvFaultKind) {
			if r.fault == 0 {
				r.fault = kind
			}
		}
		i, ended := at, false
		for ; i < len(text) && !ended; i++ {
			b := text[i]
			lineEnd := b == '\n' || b == '\r' && (i+1 == len(text) || text[i+1] == '\n')
			switch {
			case state == "quoted" && b == '"':
				state = "closing"
			case state == "quoted":
				field += text[i : i+1]
			case state == "closing" && b == '"':
				field, state = field+`"`, "quoted"
			case b == ',' || lineEnd:
				if r.fault == 0 {
					r.fields = append(r.fields, field)
				}
				field, state = "", "start"
				if ended = b != ','; b == '\r' && i+1 < len(text) {
					i++
				}
			case state == "start" && b == '"':
				state = "quoted"
			default:
				switch {
				case b == '\r':
					fail(csvBareCR)
				case state == "closing":
					fail(csvAfterQuote)
				case b == '"':
					fail(csvBareQuote)
				}
				field, state = field+text[i:i+1], "plain"
			}
		}
		if !ended {
			if state == "quoted" {
				fail(csvOpenQuote)
			}
			if r.fault == 0 {
				r.fields = append(r.fields, field)
			}
		}
		r.next, at = i, i
		if !slices.Equal(r.fields, []string{""}) || r.fault != 0 || strings.Trim(text[r.begin:r.next], "\r\n") != "" {
			out = append(out, r)
		}
	}
	return out
}

// cutRecords reads a text as eachCSV does.
func cutRecords(text string) (out []csvRecord) {
	c := newCSVCutter(',', true)
	for at := skipEmpty(text, 0); at < len(text); {
		next, fault := c.record(text, at)
		out = append(out, csvRecord{at, next, slices.Clone(c.fields), fault.kind})
		at = skipEmpty(text, next)
	}
	return out
}

func checkCSV(t *testing.T, text string) {
	t.Helper()
	got, want := cutRecords(text), plainCSV(text)
	if len(got) != len(want) {
		t.Fatalf("%q: got %v, want %v", text, got, want)
	}
	for i := range got {
		g, w := got[i], want[i]
		if g.begin != w.begin || g.next != w.next || g.fault != w.fault || !slices.Equal(g.fields, w.fields) {
			t.Fatalf("%q, record %d: got %+v, want %+v", text, i, g, w)
		}
	}
}

// Every text of up to six of these bytes is taken apart as by the plain reader, faults and the records after them included.
func TestCSVCutterExhaustive(t *testing.T) {
	t.Parallel()
	var check func(s string, left int)
	check = func(s string, left int) {
		checkCSV(t, s)
		for _, c := range "a,\"\n\r" {
			if left > 0 {
				check(s+string(c), left-1)
			}
		}
	}
	check("", 6)
}

// On texts that both take, encoding/csv has the same records: all of up to six of these bytes, without CR, which it drops also
// within quotes.
func TestCSVCutterAgreesWithStandardLibrary(t *testing.T) {
	t.Parallel()
	same := 0
	var check func(s string, left int)
	check = func(s string, left int) {
		r := csv.NewReader(strings.NewReader(s))
		r.FieldsPerRecord = -1
		want, err := r.ReadAll()
		got := cutRecords(s)
		bad := slices.ContainsFunc(got, func(r csvRecord) bool { return r.fault != 0 })
		if bad != (err != nil) {
			t.Fatalf("%q: got %v, encoding/csv has the error %v", s, got, err)
		}
		if err == nil {
			same++
			var fields [][]string
			for _, r := range got {
				fields = append(fields, r.fields)
			}
			if !reflect.DeepEqual(fields, want) {
				t.Fatalf("%q: got %q, encoding/csv has %q", s, fields, want)
			}
		}
		for _, c := range "a,\"\n" {
			if left > 0 {
				check(s+string(c), left-1)
			}
		}
	}
	check("", 6)
	if same < 1000 {
		t.Errorf("both took %d texts alone", same)
	}
}

func FuzzCSVCutter(f *testing.F) {
	f.Add("a,b\r\n\"x\"\"y\",\n\"open")
	f.Add("\"a\"b,c\nd\"e\r\n\r")
	f.Add("ünï,\"\r\n\",\x00\xff\n,,")
	f.Fuzz(func(t *testing.T, text string) { checkCSV(t, text) })
}

// sale is a record of the benchmark.
type sale struct {
	ID      int64
	Name    string
	Address string
	Amount  float64
	Paid    bool
}

// BenchmarkCSV is the reading of records into structs, and by encoding/csv with the same conversions left out.
func BenchmarkCSV(b *testing.B) {
	row := "1027,\"Smith, John\",12 High Street,2026-07-01,4711.50,true,some text that nobody reads\n"
	text := "id,name,address,day,amount,paid,note\n" + strings.Repeat(row, 10_000)
	fields, err := csvFields(reflect.TypeFor[sale]())
	if err != nil {
		b.Fatal(err)
	}
	total := int64(0)
	emit := func(k int64, v int64) { total += k + v }
	each := eachCSV(func(s sale, emit func(int64, int64)) error { emit(s.ID, int64(len(s.Name))); return nil }, &CSVOptions{Comma: ','}, fields)
	cells := eachCells(func(c Cells, emit func(int64, int64)) error { emit(1, int64(len(c.Values))); return nil }, &CSVOptions{Comma: ','})
	for name, each := range map[string]blockMapper[int64, int64]{"struct": each, "cells": cells} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			var at int64
			for b.Loop() {
				if n, err := each(Block{Data: []byte(text)}, &at, emit); err != nil || n != 10_000 {
					b.Fatal(n, err)
				}
			}
		})
	}
	b.Run("encoding_csv", func(b *testing.B) {
		b.SetBytes(int64(len(text)))
		b.ReportAllocs()
		for b.Loop() {
			r := csv.NewReader(strings.NewReader(text))
			r.ReuseRecord = true
			for {
				if _, err := r.Read(); err == io.EOF {
					break
				} else if err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}
