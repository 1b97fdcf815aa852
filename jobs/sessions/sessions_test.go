package sessions_test

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/jobstest"
	"github.com/millrace/millrace/jobs/sessions"
)

// day is the beginning of the test's time.
var day = time.Date(2025, 10, 10, 0, 0, 0, 0, time.UTC)

// line is a line of a log, at so many seconds of the day.
func line(host, user string, second, size int, agent string) string {
	at := day.Add(time.Duration(second) * time.Second).In(time.FixedZone("", -7*3600))
	return fmt.Sprintf("%s - %s [%s] \"GET / HTTP/1.1\" 200 %d \"-\" %q\n", host, user, at.Format("02/Jan/2006:15:04:05 -0700"), size, agent)
}

func row(key string, session, start, end, hits, bytes int) jobstest.Row {
	at := func(second int) time.Time { return day.Add(time.Duration(second) * time.Second) }
	return jobstest.Row{key, int64(session), at(start), at(end), int64(hits), int64(bytes)}
}

// A pause as long as idle is within a session, one longer by a second ends it. The order of the lines does not matter.
func TestPause(t *testing.T) {
	t.Parallel()
	a := line("h", "-", 0, 1, "a") + line("h", "-", 1800, 2, "a")
	b := line("h", "-", 3601, 4, "a") + line("h", "-", 3601, 8, "b") + line("g", "-", 5, 16, "a")
	want := []jobstest.Row{row("g", 1, 5, 5, 1, 16), row("h", 1, 0, 1800, 2, 3), row("h", 2, 3601, 3601, 2, 12)}
	jobstest.Equal(t, jobstest.Run(t, sessions.Job(), nil, a, b), want...)
	jobstest.Equal(t, jobstest.Run(t, sessions.Job(), nil, b, "", a), want...)
	jobstest.Equal(t, jobstest.Run(t, sessions.Job(), map[string]string{"idle": "1801s"}, b, a),
		row("g", 1, 5, 5, 1, 16), row("h", 1, 0, 3601, 4, 15))
}

// The sessions of random logs are those of a sorted list, for each kind of client.
func TestAgainstSort(t *testing.T) {
	t.Parallel()
	type hit struct {
		second, size int
	}
	rnd := rand.New(rand.NewPCG(41, 42))
	for _, by := range []string{"host", "user", "visitor"} {
		hits := map[string][]hit{}
		var logs [3]bytes.Buffer
		for range 3000 {
			host, user, agent := fmt.Sprint("h", rnd.IntN(5)), []string{"-", "ann", "bob b"}[rnd.IntN(3)], []string{"curl", "x y"}[rnd.IntN(2)]
			h := hit{rnd.IntN(80_000), rnd.IntN(100)}
			logs[rnd.IntN(3)].WriteString(line(host, user, h.second, h.size, agent))
			key := map[string]string{"host": host, "user": user, "visitor": host + " " + agent}[by]
			hits[key] = append(hits[key], h)
		}
		var want []jobstest.Row
		for key, list := range hits {
			slices.SortFunc(list, func(a, b hit) int { return a.second - b.second })
			for session, begin := 0, 0; begin < len(list); {
				end, size := begin, 0
				for end < len(list) && (end == begin || list[end].second-list[end-1].second <= 120) {
					size += list[end].size
					end++
				}
				session++
				want = append(want, row(key, session, list[begin].second, list[end-1].second, end-begin, size))
				begin = end
			}
		}
		slices.SortFunc(want, func(a, b jobstest.Row) int {
			return cmp.Or(strings.Compare(a[0].(string), b[0].(string)), cmp.Compare(a[1].(int64), b[1].(int64)))
		})
		got := jobstest.Run(t, sessions.Job(), map[string]string{"by": by, "idle": "2m"}, logs[0].String(), logs[1].String(), logs[2].String())
		jobstest.Equal(t, got, want...)
	}
}

// Lines and parameters that cannot be are refused, with what to do.
func TestErrors(t *testing.T) {
	t.Parallel()
	good := line("h", "-", 0, 0, "a")
	for bad, want := range map[string]string{"h - -": "is none of an access log", strings.Replace(good, "h ", "\xff ", 1): `the key "\xff" is not valid UTF-8`} {
		_, err := jobstest.RunObjects(sessions.Job(), nil, jobstest.Objects(good+bad), 1)
		record, ok := errors.AsType[*jobs.RecordError](err)
		if !ok || record.Offset != int64(len(good)) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v", bad, err)
		}
	}
	for _, idle := range []string{"0s", "-1m", "500ms", "1.5s"} {
		if _, err := sessions.Job().Bind(map[string]string{"idle": idle}); err == nil || !strings.Contains(err.Error(), "parameter idle: ") {
			t.Errorf("%s: got %v", idle, err)
		}
	}
}

func ExampleJob() {
	log := jobstest.Objects(
		`10.0.0.7 - - [10/Oct/2025:13:00:00 +0000] "GET / HTTP/1.1" 200 100`+"\n"+
			`10.0.0.7 - - [10/Oct/2025:15:00:00 +0000] "GET / HTTP/1.1" 200 100`+"\n",
		`10.0.0.7 - - [10/Oct/2025:13:20:00 +0000] "GET /news HTTP/1.1" 200 900`+"\n")
	result, err := jobstest.RunObjects(sessions.Job(), nil, log, 1)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, row := range result.Rows() {
		fmt.Println(row)
	}
	// Output:
	// {"10.0.0.7" 1 2025-10-10T13:00:00Z 2025-10-10T13:20:00Z 2 1000}
	// {"10.0.0.7" 2 2025-10-10T15:00:00Z 2025-10-10T15:00:00Z 1 100}
}
