package e2e

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/jobstest"
	"github.com/millrace/millrace/storage/arrowfile"
)

// sale is a row of the files of columns.
type sale struct {
	ID    int64
	Word  string
	Price *float64
	At    time.Time
}

// sold is a row of the job "tables".
type sold struct {
	Word  string
	IDs   []int64
	Total float64
	Last  time.Time
}

// tables is a job over rows: it groups sales by their word, with the ids as they come, so that the order shows.
func tables(opts ...jobs.Option) *jobs.Job {
	return jobs.Define("tables", func(t *jobs.Task, _ struct{}) (jobs.Code, error) {
		free := t.Counter("without a price")
		m := func(s sale, emit func(string, sale)) error {
			if s.Price == nil {
				free.Add(1)
			}
			emit(s.Word, s)
			return nil
		}
		r := func(word string, sales jobs.Values[sale], emit func(sold)) error {
			row := sold{Word: word}
			for s := range sales.All() {
				row.IDs = append(row.IDs, s.ID)
				if s.Price != nil {
					row.Total += *s.Price
				}
				row.Last = s.At
			}
			emit(row)
			return nil
		}
		return jobs.MapReduce(m, r, append(opts, jobs.Table())...), nil
	})
}

// batches is a job over whole columns: it adds up the ids by the parity of their row.
func batches() *jobs.Job {
	type parity struct {
		Odd bool
		Sum int64
	}
	m := func(b jobs.Batch, emit func(bool, int64)) error {
		_, id, ok := b.Column("id")
		if !ok || len(b.Columns.Columns) != 1 {
			return fmt.Errorf("a batch of %d columns", len(b.Columns.Columns))
		}
		for row := range b.Rows {
			var v int64
			for i := range 8 {
				v |= int64(id.Data[8*row+i]) << (8 * i)
			}
			emit((b.Row+int64(row))%2 == 1, v)
		}
		return nil
	}
	r := func(odd bool, ids jobs.Values[int64], emit func(parity)) error {
		emit(parity{odd, jobs.Total(ids)})
		return nil
	}
	return jobs.New("batches", m, r, jobs.Table("id"), jobs.Combine(jobs.Sum[int64]))
}

// duckSales is what DuckDB says of its own file, beside which its rows lie as JSON.
func duckSales(t *testing.T, path string) (rows []sale) {
	t.Helper()
	text, err := os.ReadFile(path + ".json")
	if err != nil {
		t.Fatal(err)
	}
	var in []struct {
		ID    int64
		Word  string
		Price *string
		At    int64
	}
	if err := json.Unmarshal(text, &in); err != nil {
		t.Fatal(err)
	}
	for _, r := range in {
		s := sale{r.ID, r.Word, nil, time.Unix(0, r.At).UTC()}
		if r.Price != nil {
			bits, err := hex.DecodeString(strings.TrimPrefix(*r.Price, "float "))
			if err != nil {
				t.Fatal(err)
			}
			n, err := strconv.ParseUint(hex.EncodeToString(bits), 16, 64)
			if err != nil {
				t.Fatal(err)
			}
			price := math.Float64frombits(n)
			s.Price = &price
		}
		rows = append(rows, s)
	}
	return rows
}

// arrowSales writes sales as millrace writes its outputs, in batches of so many rows.
func arrowSales(t *testing.T, rows []sale, batch int, compression string) []byte {
	t.Helper()
	var file bytes.Buffer
	var w *arrowfile.Writer
	for part := range slices.Chunk(rows, batch) {
		schema, columns, err := jobs.ColumnsOf(part...)
		if err != nil {
			t.Fatal(err)
		}
		if w == nil {
			var s arrowfile.Schema
			for _, f := range schema.Fields {
				s.Fields = append(s.Fields, arrowfile.Field{Name: f.Name, Type: arrowfile.Type(f.Type), Nullable: f.Nullable})
			}
			if w, err = arrowfile.NewWriter(&file, s, arrowfile.Options{Compression: compression}); err != nil {
				t.Fatal(err)
			}
		}
		b := arrowfile.Batch{Rows: columns.Rows}
		for _, c := range columns.Columns {
			b.Columns = append(b.Columns, arrowfile.Column{Nulls: c.Nulls, Valid: c.Valid, Offsets: c.Offsets, Data: c.Data})
		}
		if err := w.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

// Jobs over Parquet files of DuckDB's and Arrow files of millrace's give the bytes of the baseline however they are run, and the
// oracle's rows, which come from DuckDB itself.
func TestTables(t *testing.T) {
	t.Parallel()
	const name = "duckdb-V2-zstd.parquet"
	path := filepath.Join("../../../storage/columns/testdata", name)
	parquet, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	duck := duckSales(t, path)
	var made []sale
	for i := range 3000 {
		s := sale{int64(1000 + i*7), fmt.Sprintf("word %d", i*i%17), nil, time.Unix(int64(i)*60, 5).UTC()}
		if i%3 > 0 {
			price := float64(i) / 8
			s.Price = &price
		}
		made = append(made, s)
	}
	files := []file{
		{"a.parquet", parquet}, {"b.arrow", arrowSales(t, made[:1000], 64, "lz4")},
		{"c.parquet", parquet}, {"d.arrow", arrowSales(t, made[1000:], 150, "none")},
	}
	tabled := map[string]jobstest.Object{
		"a.parquet": jobstest.TableOf("a", duck...), "b.arrow": jobstest.TableOf("b", made[:1000]...),
		"c.parquet": jobstest.TableOf("c", duck...), "d.arrow": jobstest.TableOf("d", made[1000:]...),
	}
	list := []workload{
		{name: "tables", job: tables(), reducers: 2},
		{name: "tables-total", job: tables(jobs.TotalOrder()), reducers: 3, sorted: true},
		{name: "batches", job: batches(), reducers: 2},
	}
	for i := range list {
		list[i].files, list[i].tables = files, tabled
	}
	d := dimensions{allWorkers, allSlots, []int64{500, 2000, 30 << 10, whole}, allMemory, both, shuffles, allPacked}
	settings := d.pairwise(seed)
	if testing.Short() {
		settings = settings[:4]
	}
	eachJob(t, list, func(t *testing.T, _ int, w workload) {
		newBench(t, w, inMemory()).checkAll(t, slices.Values(settings))
	})
}
