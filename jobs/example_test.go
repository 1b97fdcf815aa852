package jobs_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/jobstest"
)

// show runs a job in memory and prints its rows; a test does the same with jobstest.Run.
func show(job *jobs.Job, params map[string]string, inputs ...string) {
	result, err := jobstest.RunObjects(job, params, jobstest.Objects(inputs...), 1)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, row := range result.Rows() {
		fmt.Println(row)
	}
	for name, n := range result.Counters {
		fmt.Println(name, n)
	}
}

// A word count: the types are inferred, the row struct is the schema.
func ExampleNew() {
	type Count struct {
		Word string
		N    int64
	}
	job := jobs.New("wordcount",
		func(line string, emit func(word string, n int64)) error {
			for word := range strings.FieldsSeq(line) {
				emit(word, 1)
			}
			return nil
		},
		func(word string, ns jobs.Values[int64], emit func(Count)) error {
			emit(Count{word, jobs.Total(ns)})
			return nil
		},
		jobs.Combine(jobs.Sum[int64]))
	show(job, nil, "to be or not\nto be")
	// Output:
	// {"be" 2}
	// {"not" 1}
	// {"or" 1}
	// {"to" 2}
}

// Words finds the words of any language.
func ExampleWords() {
	for word := range jobs.Words("Don't panic, 世界!") {
		fmt.Println(word)
	}
	// Output:
	// Don
	// t
	// panic
	// 世界
}

// A job with parameters and a counter. The build function runs for every attempt, so what it makes belongs to that attempt.
func ExampleDefine() {
	type params struct {
		Min  int    `param:"min" default:"3" help:"length of the shortest word, bytes"`
		Case string `param:"case" default:"keep" oneof:"keep|lower"`
	}
	job := jobs.Define("words", func(t *jobs.Task, p params) (jobs.Code, error) {
		short := t.Counter("short words")
		return jobs.MapReduce(
			func(line string, emit func(string, int64)) error {
				for word := range strings.FieldsSeq(line) {
					if len(word) < p.Min {
						short.Add(1)
						continue
					}
					if p.Case == "lower" {
						word = strings.ToLower(word)
					}
					emit(word, 1)
				}
				return nil
			},
			countReduce,
			jobs.Combine(jobs.Sum[int64])), nil
	}, jobs.Doc("Counts long words."))
	show(job, map[string]string{"case": "lower"}, "One is one")
	show(job, map[string]string{"cas": "lower"}, "")
	// Output:
	// {"one" 2}
	// short words 1
	// job words: unknown parameter "cas": did you mean case? It takes: min, case
}

// A combiner of one's own: values are joined before they travel.
func ExampleCombine() {
	type span struct{ First, Last int }
	type row struct {
		Word        string
		First, Last int
	}
	widen := func(a, b span) span { return span{min(a.First, b.First), max(a.Last, b.Last)} }
	job := jobs.New("spans",
		func(l jobs.Line, emit func(string, span)) error {
			emit(l.Text, span{int(l.Offset), int(l.Offset)})
			return nil
		},
		func(word string, spans jobs.Values[span], emit func(row)) error {
			all := span{First: 1 << 62}
			for s := range spans.All() {
				all = widen(all, s)
			}
			emit(row{word, all.First, all.Last})
			return nil
		},
		jobs.Combine(widen))
	show(job, nil, "a\nb\na\n")
	// Output:
	// {"a" 0 4}
	// {"b" 2 2}
}

// All keys of one site go to one partition.
func ExamplePartition() {
	type key struct{ Site, Page string }
	job := jobs.New("pages",
		func(line string, emit func(key, int64)) error {
			site, page, _ := strings.Cut(line, "/")
			emit(key{site, page}, 1)
			return nil
		},
		func(k key, ns jobs.Values[int64], emit func(key)) error { emit(k); return nil },
		jobs.Partition(func(k key, n int) int { return len(k.Site) % n }))
	result, err := jobstest.RunObjects(job, nil, jobstest.Objects("b.org/1\na.com/2\nx.example/3\nb.org/0"), 2)
	fmt.Println(result.Partitions, err)
	// Output: [[] [{"a.com" "2"} {"b.org" "0"} {"b.org" "1"} {"x.example" "3"}]] <nil>
}

// A join: two inputs, each with a map function of its own. A person comes before the orders, since that input is the first one.
func ExampleMapReduceFrom() {
	people := func(line string, emit func(string, string)) error {
		id, name, _ := strings.Cut(line, ",")
		emit(id, name)
		return nil
	}
	orders := func(line string, emit func(string, string)) error {
		id, item, _ := strings.Cut(line, ";")
		emit(id, "buys "+item)
		return nil
	}
	list := func(_ string, values jobs.Values[string], emit func(string)) error {
		var words []string
		for v := range values.All() {
			words = append(words, v)
		}
		emit(strings.Join(words, " "))
		return nil
	}
	job := jobs.NewFrom("orders", jobs.Inputs(jobs.From("people", people), jobs.From("orders", orders)), list)
	result, err := jobstest.RunObjects(job, nil, []jobstest.Object{
		{URL: "mem://orders/0", Input: 1, Data: []byte("7;tea\n9;salt\n7;jam\n")},
		{URL: "mem://people/0", Input: 0, Data: []byte("7,Ann\n9,Bob\n")},
	}, 1)
	fmt.Println(result.Rows(), err)
	// Output: [{"Ann buys tea buys jam"} {"Bob buys salt"}] <nil>
}

// Secondary sort: the visits of each user come in the order of their times, without being collected.
func ExampleOrderBy() {
	type visit struct {
		Time int64
		Page string
	}
	type row struct{ User, Path string }
	job := jobs.New("paths",
		func(line string, emit func(string, visit)) error {
			f := strings.Fields(line)
			time, err := strconv.ParseInt(f[1], 10, 64)
			emit(f[0], visit{time, f[2]})
			return err
		},
		func(user string, visits jobs.Values[visit], emit func(row)) error {
			path := ""
			for v := range visits.All() {
				path += v.Page
			}
			emit(row{user, path})
			return nil
		},
		jobs.OrderBy(func(v visit) int64 { return v.Time }))
	show(job, nil, "bo 30 /pay\nal 10 /\nbo 9 /\n", "bo 20 /cart\nal 12 /help\n")
	// Output:
	// {"al" "//help"}
	// {"bo" "//cart/pay"}
}

// Sorting: records of fixed length, ordered over all parts.
func ExampleTotalOrder() {
	job := jobs.New("sort",
		func(record []byte, emit func([2]byte, []byte)) error {
			emit([2]byte(record), record)
			return nil
		},
		func(_ [2]byte, records jobs.Values[[]byte], emit func(string)) error {
			for r := range records.All() {
				emit(string(r))
			}
			return nil
		},
		jobs.FixedLength(3), jobs.TotalOrder())
	show(job, nil, "bb1ab2aa3ab1")
	// Output:
	// {"aa3"}
	// {"ab2"}
	// {"ab1"}
	// {"bb1"}
}

func ExampleFixedLength() {
	job := jobs.New("halves",
		func(record []byte, emit func(string, int)) error { emit(string(record), 1); return nil },
		func(k string, _ jobs.Values[int], emit func(string)) error { emit(k); return nil },
		jobs.FixedLength(4))
	show(job, nil, "leftsamemore")
	// Output:
	// {"left"}
	// {"more"}
	// {"same"}
}

// The number of parts, unless the submitter states one.
func ExampleReducers() {
	prog, _ := jobs.New("one", countMap, countReduce, jobs.Reducers(1)).Bind(nil)
	fmt.Println(prog.Info().Reducers)
	// Output: 1
}

func ExampleDoc() {
	fmt.Println(jobs.New("wordcount", countMap, countReduce, jobs.Doc("Counts words.")).Doc())
	// Output: Counts words.
}

func ExampleTask_Counter() {
	job := jobs.Define("lines", func(t *jobs.Task, _ struct{}) (jobs.Code, error) {
		blank := t.Counter("blank lines")
		return jobs.MapReduce(func(line string, emit func(string, int64)) error {
			if line == "" {
				blank.Add(1)
			}
			return countMap(line, emit)
		}, countReduce), nil
	})
	show(job, nil, "\na\n\n")
	// Output:
	// {"a" 1}
	// blank lines 2
}

func ExampleJob_Params() {
	type params struct {
		Pattern string        `param:"pattern" help:"regular expression"`
		Within  time.Duration `default:"24h"`
	}
	job := jobs.Define("grep", func(*jobs.Task, params) (jobs.Code, error) {
		return jobs.MapReduce(countMap, countReduce), nil
	})
	for _, p := range job.Params() {
		fmt.Println(p.Name, p.Type, cmp.Or(p.Default, "required"))
	}
	// Output:
	// pattern string required
	// within duration 24h
}

func ExampleJob_Bind() {
	_, err := jobs.New("wordcount", countMap, countReduce, jobs.Combine(jobs.Sum[int])).Bind(nil)
	fmt.Println(err)
	// Output: job wordcount: option Combine: the function is a func(int, int) int, but the values are int64: give a func(a, b int64) int64
}

// Whole objects as records.
func ExampleFile() {
	job := jobs.New("sizes",
		func(f jobs.File, emit func(string, int)) error { emit(f.URL, len(f.Data)); return nil },
		func(url string, sizes jobs.Values[int], emit func(string)) error {
			emit(fmt.Sprintf("%s: %d bytes", url, jobs.Total(sizes)))
			return nil
		})
	show(job, nil, "a\nb\n", "")
	// Output:
	// {"mem://input/0: 4 bytes"}
	// {"mem://input/1: 0 bytes"}
}

func ExampleParseSize() {
	for _, text := range []string{"64MiB", "10kB", "64 cows"} {
		fmt.Println(jobs.ParseSize(text))
	}
	// Output:
	// 64MiB <nil>
	// 10000B <nil>
	// 0B "64 cows" is not a size: write bytes like 4096, 64KiB, 64MiB or 1GB
}

func ExampleMin() {
	fmt.Println(jobs.Min(3, 2), jobs.Max("a", "b"), jobs.Sum(0.5, 1))
	// Output: 2 b 1.5
}

func ExampleFold() {
	product := jobs.Fold(jobs.ValuesOf(2, 3, 4), func(a, b int) int { return a * b })
	fmt.Println(product)
	// Output: 24
}

func ExampleCutPair() {
	batch := jobs.AppendPair(nil, []byte("key"), []byte("one"))
	batch = jobs.AppendSame(batch, []byte("two"))
	var key, value []byte
	var err error
	for len(batch) > 0 {
		if key, value, batch, err = jobs.CutPair(batch, key); err != nil {
			break
		}
		fmt.Printf("%s %s\n", key, value)
	}
	// Output:
	// key one
	// key two
}

// An error of a map function says which record it was.
func ExampleRecordError() {
	job := jobs.New("strict",
		func(line string, emit func(string, int64)) error {
			if line == "" {
				return errors.New("empty line")
			}
			return nil
		}, countReduce)
	prog, _ := job.Bind(nil)
	err := prog.Map(context.Background(), &jobs.Task{Reducers: 1}, &blocks{{URL: "s3://logs/1", Offset: 4096, Data: []byte("ok\n\n")}}, &pairs{})
	if e, ok := errors.AsType[*jobs.RecordError](err); ok && err != io.EOF {
		fmt.Println(e, e.Offset)
	}
	// Output: map s3://logs/1 at byte 4099: empty line 4099
}

// Lines of a key and a fixed-point number, such as "Oslo;-3.1", become pairs; sums of such numbers are exact.
func ExampleFixedCutter() {
	cut, err := jobs.FixedCutter(";", 1)
	if err != nil {
		panic(err)
	}
	for _, line := range []string{"Oslo;-3.1", "Paris;Texas;17", "Rome"} {
		place, tenths, err := cut(line)
		fmt.Printf("%q %d %v\n", place, tenths, err)
	}
	// Output:
	// "Oslo" -31 <nil>
	// "Paris;Texas" 170 <nil>
	// "" 0 the line "Rome" has no separator ";"
}

func ExampleParseFixed() {
	cents, err := jobs.ParseFixed("19.9", 2)
	fmt.Println(cents, err)
	// Output: 1990 <nil>
}

// Records of CSV as structs: the header says which column is which field.
func ExampleCSV() {
	type sale struct {
		Shop   string
		Day    time.Time `layout:"2006-01-02"`
		Amount *float64  `column:"amount (EUR)"` // nil where it is empty
	}
	type row struct {
		Month string
		EUR   float64
	}
	job := jobs.New("sales",
		func(s sale, emit func(month string, amount float64)) error {
			if s.Amount != nil {
				emit(s.Day.Format("2006-01"), *s.Amount)
			}
			return nil
		},
		func(month string, amounts jobs.Values[float64], emit func(row)) error {
			emit(row{month, jobs.Total(amounts)})
			return nil
		},
		jobs.CSV(jobs.CSVOptions{Comma: ';'}))
	show(job, nil, "day;shop;amount (EUR)\n2026-07-01;\"Miller; Sons\";10.5\n2026-07-02;\"The \"\"Mill\"\"\";\n2026-08-01;X;2\n2026-08-31;X;0.25\n")
	show(job, nil, "day;shop;amount (EUR)\n2026-07-01;X;1,5\n")
	show(job, nil, "day,shop,amount (EUR)\n2026-07-01,X,1.5\n")
	// Output:
	// {"2026-07" 10.5}
	// {"2026-08" 2.25}
	// map mem://input/0 at byte 22: csv: column 3 (amount (EUR)): "1,5" does not fit *float64
	// map mem://input/0 at byte 0: columns do not fit the job: the header has no column "shop": the columns are ["day,shop,amount (EUR)"]
}

// Rows of Arrow and Parquet files come into a struct: its fields name the columns, and only these are read.
func ExampleTable() {
	type trip struct {
		Pickup   time.Time `column:"pickup_datetime"`
		Distance float64   `column:"trip_distance"`
		Tip      *float64  // nil where it is null
	}
	type tips struct {
		Hour  int
		Trips int64
		Tip   float64
	}
	job := jobs.New("tips",
		func(t trip, emit func(hour int, tip float64)) error {
			if t.Tip != nil && t.Distance > 0 {
				emit(t.Pickup.Hour(), *t.Tip)
			}
			return nil
		},
		func(hour int, all jobs.Values[float64], emit func(tips)) error {
			row := tips{Hour: hour}
			for tip := range all.All() {
				row.Trips++
				row.Tip += tip
			}
			emit(row)
			return nil
		}, jobs.Table())

	at, one, two := time.Date(2026, 3, 1, 8, 15, 0, 0, time.UTC), 1.0, 2.5
	file := jobstest.TableOf("2026-03", trip{at, 3.2, &one}, trip{at, 0.4, nil}, trip{at, 7, &two}, trip{at.Add(time.Hour), 1, &one})
	result, err := jobstest.RunObjects(job, nil, []jobstest.Object{file}, 1)
	fmt.Println(result.Rows(), err)
	// Output: [{8 2 3.5} {9 1 1}] <nil>
}

// A function that works on whole columns gets batches of them, in the memory layout of Apache Arrow.
func ExampleBatch() {
	job := jobs.New("nulls",
		func(b jobs.Batch, emit func(column string, nulls int64)) error {
			for i, f := range b.Schema.Fields {
				emit(f.Name, int64(b.Columns.Columns[i].Nulls))
			}
			return nil
		},
		countReduce, jobs.Table())
	type row struct {
		ID   int64
		Name *string
	}
	file := jobstest.TableOf("people", row{ID: 1}, row{ID: 2})
	result, err := jobstest.RunObjects(job, nil, []jobstest.Object{file}, 1)
	fmt.Println(result.Rows(), err)
	// Output: [{"id" 0} {"name" 2}] <nil>
}

// A side input is a small file that all tasks read: here the names of stations, parsed once for all of them.
func ExampleSideInput() {
	type params struct {
		Stations jobs.SideInput `help:"lines id=name"`
	}
	parse := func(data []byte) (map[string]string, error) {
		names := map[string]string{}
		for line := range strings.Lines(string(data)) {
			id, name, _ := strings.Cut(strings.TrimSpace(line), "=")
			names[id] = name
		}
		return names, nil
	}
	job := jobs.Define("trips", func(t *jobs.Task, p params) (jobs.Code, error) {
		names := jobs.Shared(t, p.Stations, parse)
		return jobs.MapReduce(
			func(id string, emit func(string, int64)) error { emit(names.Get()[id], 1); return nil },
			func(name string, trips jobs.Values[int64], emit func(string)) error {
				emit(fmt.Sprint(name, ": ", jobs.Total(trips)))
				return nil
			}), nil
	})

	// On the command line: run trips trips.txt -p stations=stations.txt -o out
	stations := jobstest.Files{"stations.txt": "7=Mitte\n9=Tegel\n"}
	input := append(stations.Objects(), jobstest.Objects("9\n7\n9\n")...)
	result, err := jobstest.RunObjects(job, map[string]string{"stations": "stations.txt"}, input, 1)
	fmt.Println(result.Rows(), err)
	// Output: [{"Mitte: 1"} {"Tegel: 2"}] <nil>
}
