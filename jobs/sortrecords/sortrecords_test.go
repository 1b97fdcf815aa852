package sortrecords_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/jobstest"
	"github.com/millrace/millrace/jobs/sortrecords"
)

// Lines of real text come out as slices.Sort orders them, each as often as it was there.
func TestLines(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("../../testdata/text/opticks.txt")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(data), "\n") // the text ends without a line end
	slices.Sort(lines)
	var text, raw []jobstest.Row
	for _, line := range lines {
		text, raw = append(text, jobstest.Row{line}), append(raw, jobstest.Row{[]byte(line)})
	}
	jobstest.Equal(t, jobstest.Run(t, sortrecords.Job(), nil, string(data)), text...)
	jobstest.Equal(t, jobstest.Run(t, sortrecords.Job(), map[string]string{"format": "bytes"}, string(data)), raw...)
}

// Records come out as a stable sort by key orders them: those with one key in the order of the input.
func TestRecords(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(7, 8))
	for _, test := range []struct{ record, key int }{{100, 10}, {4, 1}, {3, 3}, {1, 1}} {
		data := make([]byte, 500*test.record)
		for i := range data {
			data[i] = byte(rnd.IntN(3)) * 127 // 0, 127, 254: few values, so that keys repeat
		}
		records := slices.Collect(slices.Chunk(data, test.record))
		slices.SortStableFunc(records, func(a, b []byte) int { return bytes.Compare(a[:test.key], b[:test.key]) })
		var want []jobstest.Row
		for _, r := range records {
			want = append(want, jobstest.Row{r})
		}
		params := map[string]string{"format": "records", "record-length": fmt.Sprint(test.record), "key-length": fmt.Sprint(test.key)}
		half := len(data) / 2
		jobstest.Equal(t, jobstest.Run(t, sortrecords.Job(), params, string(data[:half]), string(data[half:])), want...)
	}
}

// A line that is not text fails by its place and with the way out, which works.
func TestNotText(t *testing.T) {
	t.Parallel()
	objects := jobstest.Objects("b\na\n", "fine\nbad \xff\n")
	_, err := jobstest.RunObjects(sortrecords.Job(), nil, objects, 1)
	bad, ok := errors.AsType[*jobs.RecordError](err)
	if !ok || bad.URL != "mem://input/1" || bad.Offset != 5 || !strings.Contains(err.Error(), "-p format=bytes") {
		t.Errorf("got %v", err)
	}
	result, err := jobstest.RunObjects(sortrecords.Job(), map[string]string{"format": "bytes"}, objects, 1)
	if err != nil {
		t.Fatal(err)
	}
	jobstest.Equal(t, result.Rows(), jobstest.Row{[]byte("a")}, jobstest.Row{[]byte("b")}, jobstest.Row{[]byte("bad \xff")}, jobstest.Row{[]byte("fine")})
}

// What the engine plans with follows from the parameters.
func TestInfo(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		format string
		want   jobs.Format
		column jobs.Field
	}{
		{"lines", jobs.Format{}, jobs.Field{Name: "line", Type: jobs.TypeString}},
		{"bytes", jobs.Format{}, jobs.Field{Name: "line", Type: jobs.TypeBytes}},
		{"records", jobs.Format{Kind: jobs.FormatFixed, Length: 100}, jobs.Field{Name: "record", Type: jobs.TypeBytes}},
	} {
		prog, err := sortrecords.Job().Bind(map[string]string{"format": test.format})
		if err != nil {
			t.Fatal(err)
		}
		info := prog.Info()
		if !info.TotalOrder || info.Combines || info.Reducers != 0 || !reflect.DeepEqual(info.Inputs[0].Format, test.want) {
			t.Errorf("%s: got %+v", test.format, info)
		}
		if f := info.Schema.Fields; len(f) != 1 || f[0].Name != test.column.Name || f[0].Type != test.column.Type {
			t.Errorf("%s: got columns %+v, want %+v", test.format, f, test.column)
		}
	}
}

// Parameters that fit no record are refused by name.
func TestBadParams(t *testing.T) {
	t.Parallel()
	for _, params := range []map[string]string{
		{"format": "csv"}, {"record-length": "0"}, {"key-length": "0"}, {"key-length": "101"}, {"record-length": "9"},
	} {
		_, err := sortrecords.Job().Bind(params)
		if err == nil || !strings.Contains(err.Error(), "job sort: ") {
			t.Errorf("%v: got %v", params, err)
		}
	}
}

func ExampleJob() {
	result, err := jobstest.RunObjects(sortrecords.Job(), nil, jobstest.Objects("pear\napple\n", "fig\napple\n"), 1)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, row := range result.Rows() {
		fmt.Println(row[0])
	}
	// Output:
	// apple
	// apple
	// fig
	// pear
}
