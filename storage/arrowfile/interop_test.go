//go:build unix

package arrowfile

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/storage/storagetest/python"
)

// interopFiles writes files of all types under each compression and pattern of nulls, with several batches and with none,
// and returns what testdata/check.py must print of each file's rows.
func interopFiles(t *testing.T, dir string) map[string][]any {
	t.Helper()
	s, want := everyType(), map[string][]any{}
	write := func(name string, o Options, batches ...Batch) {
		if err := os.WriteFile(filepath.Join(dir, name), writeFile(t, s, o, batches...), 0o666); err != nil {
			t.Fatal(err)
		}
		want[name] = []any{}
		for _, b := range batches {
			for row := range b.Rows {
				want[name] = append(want[name], exactStruct(s.Fields, b.Columns, row))
			}
		}
	}
	for _, compression := range compressions {
		o := Options{Compression: compression}
		for pattern, null := range nullPatterns {
			write(compression+"-"+pattern+".arrow", o, fill(s, 70, null, 1), fill(s, 0, null, 2), fill(s, 9, null, 3))
		}
		write(compression+"-empty.arrow", o)
	}
	return want
}

// The files read back equal, value by value, in the libraries that users open them with.
func TestInterop(t *testing.T) {
	t.Parallel()
	interpreter := python.Interpreter(t, filepath.Join("testdata", "requirements.txt"))
	dir := t.TempDir()
	want := interopFiles(t, dir)
	for _, library := range []string{"pyarrow", "polars", "duckdb"} {
		t.Run(library, func(t *testing.T) {
			t.Parallel()
			got := runCheck(t, interpreter, library, dir, want)
			for name, rows := range want {
				if len(got[name]) != len(rows) {
					t.Errorf("%s: %d rows: want %d", name, len(got[name]), len(rows))
					continue
				}
				for i, row := range rows {
					if !reflect.DeepEqual(got[name][i], row) {
						t.Fatalf("%s: row %d is\n%v\nwant\n%v", name, i, got[name][i], row)
					}
				}
			}
		})
	}
}

// momentTypes is what each library makes of a timestamp: the type that is lost most easily.
var momentTypes = map[string]string{
	"pyarrow": "timestamp_ns timestamp[ns, tz=UTC]",
	"polars":  "timestamp_ns Datetime(time_unit='ns', time_zone='UTC')",
	"duckdb":  "timestamp_ns TIMESTAMPTZ_NS",
}

// runCheck runs testdata/check.py over all files and returns the rows of each.
func runCheck(t *testing.T, interpreter, library, dir string, files map[string][]any) map[string][]any {
	t.Helper()
	args := []string{filepath.Join("testdata", "check.py"), library}
	for name := range files {
		args = append(args, filepath.Join(dir, name))
	}
	slices.Sort(args[2:])
	var errOut bytes.Buffer
	cmd := exec.Command(interpreter, args...)
	cmd.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1", "PYTHONUTF8=1")
	cmd.Stderr = &errOut
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", library, err, errOut.String())
	}
	rows, name := map[string][]any{}, ""
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		d := json.NewDecoder(bytes.NewReader(lines.Bytes()))
		d.UseNumber()
		var row map[string]any
		if err := d.Decode(&row); err != nil {
			t.Fatalf("%s: %v: %s", library, err, lines.Text())
		}
		if file, ok := row["file"].(string); ok {
			name = file
			if kinds := fmt.Sprint(row["types"]); !strings.Contains(kinds, momentTypes[library]) {
				t.Errorf("%s: types are %s: want a column %s", name, kinds, momentTypes[library])
			}
			continue
		}
		rows[name] = append(rows[name], row)
	}
	return rows
}

// exact returns a cell as testdata/check.py prints it and as a JSON decoder reads that.
func exact(f Field, c Column, row int) any {
	if c.IsNull(row) {
		return nil
	}
	switch f.Type {
	case TypeBool:
		return bit(c.Data, row)
	case TypeString:
		return string(c.Raw(row))
	case TypeBytes:
		return "bytes " + hex.EncodeToString(c.Raw(row))
	case TypeFloat32, TypeFloat64:
		v := floatAt(f.Type, c.Data, row)
		if math.IsNaN(v) {
			return "float nan"
		}
		return fmt.Sprintf("float %016x", math.Float64bits(v))
	case TypeTimestamp:
		return json.Number(fmt.Sprint(int64(binary.LittleEndian.Uint64(c.Data[8*row:]))))
	case TypeStruct:
		return exactStruct(f.Fields, c.Children, row)
	case TypeList:
		list := []any{}
		for i := c.Offsets[row]; i < c.Offsets[row+1]; i++ {
			list = append(list, exact(f.Fields[0], c.Children[0], int(i)))
		}
		return list
	}
	return json.Number(appendInt(nil, f.Type, c.Data, row))
}

func exactStruct(fields []Field, columns []Column, row int) map[string]any {
	object := map[string]any{}
	for i, f := range fields {
		object[f.Name] = exact(f, columns[i], row)
	}
	return object
}
