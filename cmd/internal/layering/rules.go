package layering

import "strings"

// edges lists the millrace packages that each package may import. "" is the front door, at the top of the tree; "none" is
// nothing. A row for "x/..." holds for every package below x that has none of its own. The order is from the ground up.
const edges = `
	# What a job's author imports.
	jobs                     < jobs/internal/codec
	jobs/internal/codec      < none
	jobs/jobstest            < jobs jobs/internal/codec
	jobs/plan                < jobs
	jobs/builtin             < jobs jobs/...
	jobs/access              < jobs jobs/accesslog
	jobs/accesslog           < none
	jobs/internal/best       < none
	jobs/exact               < none
	jobs/sessions            < jobs jobs/accesslog
	jobs/termvector          < jobs jobs/internal/best
	jobs/topk                < jobs jobs/internal/best
	jobs/...                 < jobs jobs/exact

	# Bytes at rest. They know no jobs, master or worker.
	storage                  < none
	storage/localstore       < storage
	storage/memstore         < storage
	storage/s3store          < storage
	storage/backends         < storage storage/localstore storage/memstore storage/s3store
	storage/storagetest      < storage
	storage/storagetest/...  < storage storage/storagetest
	storage/encoding         < none
	storage/input            < storage storage/encoding
	storage/runfile          < none
	storage/arrowfile        < none
	storage/parquetfile      < storage/arrowfile
	storage/columns          < storage storage/arrowfile storage/parquetfile
	storage/manifest         < none
	storage/output           < storage storage/arrowfile storage/manifest
	storage/doctor           < storage
	storage/leftovers        < storage storage/manifest
	storage/verify           < storage storage/arrowfile storage/manifest storage/output

	# The control plane.
	master/sched             < none
	master/wire              < jobs/plan master/sched storage
	master/journal           < master/sched
	master/journal/journaltest < master/journal
	master/memha             < master/journal
	master/etcdha            < master/journal
	master/etcdha/member     < none
	master/etcdha/backup     < master/journal storage
	master/etcdha/state      < master/etcdha master/etcdha/backup master/etcdha/member master/journal master/wire storage
	master/records           < jobs jobs/plan master/sched master/wire storage
	master                   < jobs jobs/plan master/journal master/records master/sched master/wire storage storage/arrowfile storage/encoding storage/manifest storage/output
	master/status            < jobs/plan master master/sched master/wire
	master/web               < master/status
	master/console           < jobs jobs/plan master/wire storage storage/arrowfile storage/manifest storage/output

	# The data plane. It meets the control plane in master/wire only.
	worker                   < jobs jobs/plan master/wire storage storage/arrowfile storage/columns storage/encoding storage/input storage/manifest worker/laps worker/shuffle
	worker/shuffle           < jobs storage storage/runfile worker/laps
	worker/laps              < none
	worker/program           < jobs jobs/plan worker/program/command
	worker/program/command   < jobs
	worker/program/...       < jobs worker/program

	# The front door and the commands.
	millrace                 < jobs jobs/plan master master/console master/memha master/sched master/wire storage storage/backends storage/manifest storage/output worker worker/program worker/program/command
	cmd/internal/layering    < none
	cmd/internal/demo        < jobs cmd/internal/procs storage/storagetest/servers
	cmd/...                  < millrace jobs jobs/... master master/... storage storage/... worker worker/... cmd/internal/...
`

// testEdges lists what the tests of a package may import beyond edges, the suites for tests (packages named ...test and
// what is below them) and the implementations in memory.
const testEdges = `
	millrace                 < jobs/... storage/arrowfile storage/manifest
	storage                  < storage/localstore
	storage/...              < storage/localstore
	master/wire              < jobs
	master/sched             < master/journal
	master/records           < storage/manifest
	worker/...               < storage/backends storage/localstore
	worker/program/command   < jobs/...
	master/console           < storage storage/manifest
	master                   < jobs/... storage/backends storage/localstore worker worker/program
	worker                   < jobs/... master master/journal master/sched storage/backends storage/localstore worker/program
`

// inMemory are the implementations that the tests of any package may stand on.
var inMemory = []string{"storage/memstore", "master/memha"}

// doors lists which packages may import a dependency: a module's path, or the beginning of it. "any" is every package but
// those of closed. Tests may use what the packages they test may, and errgroup.
const doors = `
	github.com/apache/arrow          < storage/arrowfile storage/parquetfile
	github.com/andybalholm/brotli    < storage/parquetfile
	github.com/pierrec/lz4           < storage/arrowfile storage/encoding storage/parquetfile
	github.com/google/flatbuffers    < storage/arrowfile
	github.com/minio/minio-go        < storage/s3store
	gopkg.in/ini.v1                  < storage/s3store
	go.etcd.io                       < master/etcdha master/etcdha/member master/etcdha/state
	go.uber.org/zap                  < master/etcdha master/etcdha/member
	google.golang.org/grpc           < master/etcdha
	github.com/gin-gonic             < master/web
	github.com/tetratelabs/wazero    < worker/program worker/program/...
	github.com/prometheus            < master/web cmd/millrace
	github.com/spf13                 < millrace cmd/...
	github.com/bmatcuk/doublestar    < storage storage/storagetest
	github.com/dustin/go-humanize    < millrace master/console cmd/...
	github.com/jedib0t/go-pretty     < millrace master/console cmd/...
	github.com/klauspost/compress    < master/records storage/arrowfile storage/encoding storage/parquetfile storage/runfile
		github.com/zeebo/xxh3            < storage/runfile worker/shuffle jobs/internal/codec jobs/countdistinct
	github.com/axiomhq/hyperloglog   < jobs/countdistinct
	github.com/DataDog/sketches-go   < jobs/quantiles
	github.com/go-json-experiment    < jobs/jsonlines
	github.com/google/uuid           < millrace cmd/...
	golang.org/x/term                < millrace master/console cmd/...
	golang.org/x/sys                 < master/etcdha storage/localstore worker worker/program/command worker/shuffle cmd/...
	golang.org/x/tools               < cmd/internal/layering
	github.com/vishvananda           < cmd/internal/netns
	golang.org/x/sync                < any
`

// closed are the packages that import the standard library only, whatever doors says of "any". What doors names one of them
// for, it may import.
var closed = []string{"jobs", "jobs/...", "master/sched"}

// foreign lists what packages must not import of the standard library ("net" stands also for what is below it).
const foreign = `
	master/sched < net os io sync context log math/rand syscall runtime
	jobs         < net os log syscall
	jobs/...     < net log syscall
	storage      < log
	storage/...  < log
	master/wire  < log os/exec
	master/journal < log net os
	master/memha < log net os
	master/records < log net os
	worker/shuffle < log
`

// only lists the packages that may import a part of the standard library at all.
const only = `
	net/rpc      < master/wire
	encoding/gob < master/wire
	os/exec      < cmd/... worker/program worker/program/... storage/storagetest/...
	unsafe       < jobs jobs/internal/codec storage/arrowfile storage/input worker/shuffle
	flag         < none
`

// apart lists what a program that imports a package must not be made to link, by way of whatever it imports.
const apart = `
	millrace < go.etcd.io github.com/gin-gonic github.com/DataDog github.com/axiomhq
	worker   < go.etcd.io github.com/gin-gonic
	jobs     < golang.org github.com gopkg.in
`

// timeless are packages that are told the time, and what of package time they must not use.
var (
	timeless  = []string{"master/sched", "jobs/plan"}
	timeCalls = []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick"}
)

// Bounds on sizes.
const (
	maxFileLines  = 600 // of a source file, tests not counted
	maxFuncLines  = 70  // of a function, tests not counted
	maxMethods    = 5   // of an interface
	minTestsRatio = 0.8 // lines of tests to lines of source, over the whole tree
)

// namesNothing are package names that say nothing of what is inside.
var namesNothing = []string{"util", "utils", "common", "helper", "helpers", "types", "base", "misc", "lib", "shared"}

// bannedWords must not stand in any text file of the tree, whatever their case, but those of wordsAllowed. A word that begins
// with "/" is a path's beginning: after a letter, a digit or the end of a pattern, as in an API's URL, it may stand.
var bannedWords = []string{
	"/root/", "/home/", "/users/", // paths of somebody's machine
	"fixme", "xxx:", "hack:", // a name for the problem, and an issue, say more
}

// wordsAllowed are the files in which bannedWords may stand: this list, and texts that somebody else wrote.
var wordsAllowed = []string{"cmd/internal/layering/", "testdata/text/", "go.sum", "LICENSE", ".git/"}

// skipMark begins the reason of every test that is left out, so that a run's log can be searched for what it did not prove.
const skipMark = "LEFT OUT: "

// row is a line of a table.
type row struct {
	name    string
	allowed []string
}

// parse reads a table of lines "name < word word ...", with comments after "#".
func parse(table string) []row {
	var rows []row
	for line := range strings.Lines(table) {
		line, _, _ = strings.Cut(line, "#")
		name, words, found := strings.Cut(line, "<")
		if found {
			rows = append(rows, row{strings.TrimSpace(name), strings.Fields(words)})
		}
	}
	return rows
}

// find returns the row for a package: its own, or that of the longest "x/..." above it.
func find(rows []row, pkg string) (row, bool) {
	var best row
	found := false
	for _, r := range rows {
		if r.name == pkg {
			return r, true
		}
		if matches(r.name, pkg) && len(r.name) > len(best.name) {
			best, found = r, true
		}
	}
	return best, found
}

// matches says whether a pattern, a package or "x/..." for those below x, covers a package.
func matches(pattern, pkg string) bool {
	if above, ok := strings.CutSuffix(pattern, "..."); ok {
		return strings.HasPrefix(pkg, above) && len(pkg) > len(above)
	}
	return pattern == pkg
}

// covers says whether one of the patterns covers a package.
func covers(patterns []string, pkg string) bool {
	for _, p := range patterns {
		if matches(p, pkg) {
			return true
		}
	}
	return false
}

// within says whether an import path is name or below it.
func within(path, name string) bool {
	return path == name || strings.HasPrefix(path, name+"/")
}
