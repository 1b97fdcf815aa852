// Command byhand does single jobs of millrace as plain tuned Go, written for that job alone: the mark that the framework's
// cost is measured against. It knows nothing of millrace, and its ideas are those of the public programs for such jobs. It
// checks its input no more than the job needs.
//
//	byhand wordcount|stats|sort|grep|grep-literal INPUT OUTPUT [PATTERN]
//
// An input is a file, which is mapped into memory, or a URL, which is fetched into memory first.
package main

import (
	"bufio"
	"bytes"
	"log"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("byhand: ")
	if len(os.Args) < 4 {
		log.Fatal("usage: byhand JOB INPUT OUTPUT [PATTERN]")
	}
	data := read(os.Args[2])
	out := os.Args[3]
	switch os.Args[1] {
	case "wordcount":
		wordcount(data, out)
	case "stats":
		stats(data, out)
	case "sort":
		sortRecords(data, out)
	case "grep":
		grep(data, out, matcher(os.Args[4]))
	case "grep-literal":
		grep(data, out, finder(os.Args[4]))
	default:
		log.Fatalf("unknown job %q", os.Args[1])
	}
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// chunks cuts data at line ends into about n pieces.
func chunks(data []byte, n int) [][]byte {
	var out [][]byte
	size := len(data)/n + 1
	for len(data) > 0 {
		end := min(size, len(data))
		if i := bytes.IndexByte(data[end:], '\n'); i >= 0 {
			end += i + 1
		} else {
			end = len(data)
		}
		out = append(out, data[:end])
		data = data[end:]
	}
	return out
}

// workers is how many goroutines parallel has.
func workers() int { return runtime.GOMAXPROCS(0) }

// parallel calls f for the tasks 0 to n-1, each on one of the workers.
func parallel(n int, f func(worker, task int)) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for w := range workers() {
		wg.Go(func() {
			for {
				task := int(next.Add(1)) - 1
				if task >= n {
					return
				}
				f(w, task)
			}
		})
	}
	wg.Wait()
}

func writeTo(path string, write func(w *bufio.Writer)) {
	f, err := os.Create(path)
	must(err)
	w := bufio.NewWriterSize(f, 1<<20)
	write(w)
	must(w.Flush())
	must(f.Close())
}
