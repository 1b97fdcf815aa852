package sched_test

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"runtime/debug"
	"time"
)

// world is one seed's simulated cluster: its time, its processes, its network. All that happens in it is an event at a time,
// done by one goroutine in the order of time; chance comes from one generator. So a seed is a whole history.
type world struct {
	rng   *rand.Rand
	now   time.Duration // true time, which no process knows
	queue eventQueue
	seq   uint64
	over  bool  // the run has ended
	err   error // the first violation

	trace uint64    // hash of all that has happened
	out   io.Writer // of -sim.trace; nil: none

	chances  chances
	mutation mutation // what is broken on purpose
	cuts     map[[2]endpoint]time.Duration
	threads  []*thread
	running  *thread // the one that runs just now
	removing bool    // the next call removes an object: those that come late do the most harm

	etcd    *etcd
	bucket  *bucket
	masters []*master // by host; dead ones are replaced
	workers []*simWorker
	names   int
	jobs    []*simJob
	check   *checker
	stats   *simStats
}

// endpoint is a place in the network.
type endpoint int

const (
	atEtcd endpoint = iota
	atBucket
	atClients
	atMasters // and those after it
	atWorkers = atMasters + 8
)

// event is something that happens at a time.
type event struct {
	at  time.Duration
	seq uint64
	do  func()
}

// eventQueue is a binary heap of events, the next one first; container/heap would allocate for each.
type eventQueue []event

func (e *event) before(o *event) bool { return e.at < o.at || e.at == o.at && e.seq < o.seq }

func (q *eventQueue) push(e event) {
	*q = append(*q, e)
	h := *q
	i := len(h) - 1
	for i > 0 {
		up := (i - 1) / 2
		if !e.before(&h[up]) {
			break
		}
		h[i] = h[up]
		i = up
	}
	h[i] = e
}

func (q *eventQueue) pop() event {
	h := *q
	first, last := h[0], h[len(h)-1]
	h[len(h)-1] = event{}
	h = h[:len(h)-1]
	*q = h
	i := 0
	for {
		down := 2*i + 1
		if down >= len(h) {
			break
		}
		if down+1 < len(h) && h[down+1].before(&h[down]) {
			down++
		}
		if !h[down].before(&last) {
			break
		}
		h[i] = h[down]
		i = down
	}
	if len(h) > 0 {
		h[i] = last
	}
	return first
}

// after makes something happen when true time has passed.
func (w *world) after(d time.Duration, do func()) {
	w.seq++
	w.queue.push(event{at: w.now + max(d, 0), seq: w.seq, do: do})
}

// run lets everything happen until stop says so or time is over. A panic of the code under test is a violation.
func (w *world) run(until time.Duration, stop func() bool) {
	defer w.close()
	defer func() {
		if r := recover(); r != nil {
			w.fail("panic: %v\n%s", r, debug.Stack())
		}
	}()
	for len(w.queue) > 0 && w.err == nil && !stop() {
		e := w.queue.pop()
		if e.at > until {
			return
		}
		w.now = e.at
		w.mix(uint64(e.at))
		w.mix(e.seq)
		e.do()
	}
}

// close ends all threads: they are goroutines, and would stay.
func (w *world) close() {
	w.over = true
	for _, t := range w.threads {
		t.stop()
	}
	w.threads = nil
}

// fail notes a violation; the first one ends the run.
func (w *world) fail(format string, args ...any) {
	if w.err == nil {
		w.err = fmt.Errorf("at %v: "+format, append([]any{w.now}, args...)...)
		w.log("VIOLATION %v", w.err)
	}
}

// mix takes something into the hash of the trace (FNV-1a over words).
func (w *world) mix(v uint64) { w.trace = (w.trace ^ v) * 1099511628211 }

func (w *world) log(format string, args ...any) {
	if w.out != nil {
		fmt.Fprintf(w.out, "%12v  "+format+"\n", append([]any{w.now.Truncate(time.Microsecond)}, args...)...)
	}
}

func (w *world) chance(p float64) bool { return p > 0 && w.rng.Float64() < p }

// fault is a chance of something bad: there is none in the calm that ends each run.
func (w *world) fault(p float64) bool { return !w.calm() && w.chance(p) }

func (w *world) calm() bool { return w.now >= w.chances.faultsEnd }

// between returns a time in [low, high).
func (w *world) between(low, high time.Duration) time.Duration {
	return low + time.Duration(w.rng.Int64N(int64(high-low)))
}

// proc is a process: what it does stops with it, waits while it is paused, and sees time by a clock of its own.
type proc struct {
	w       *world
	name    string
	at      endpoint
	resumes time.Duration // paused until then
	rate    float64       // its monotonic clock's speed
	zero    time.Duration // true time at which its clock showed base
	base    time.Duration
	root    scope
}

func (w *world) newProc(name string, at endpoint) *proc {
	p := &proc{w: w, name: name, at: at, rate: 1 + w.chances.drift*(2*w.rng.Float64()-1), zero: w.now, base: w.between(0, time.Hour)}
	p.root.p = p
	return p
}

// clock is the process's monotonic clock.
func (p *proc) clock() time.Duration {
	return p.base + time.Duration(float64(p.w.now-p.zero)*p.rate)
}

// jump moves the process's clock forward, as a virtual machine's does that was suspended; or, back, lets it have stood
// still, as the monotonic clock of a suspended machine does.
func (p *proc) jump(d time.Duration) { p.base += d }

func (p *proc) paused() bool { return p.resumes > p.w.now }

// pause stops the process, as SIGSTOP does: when it goes on it believes what it believed.
func (p *proc) pause(d time.Duration) { p.resumes = max(p.resumes, p.w.now+d) }

// scope is a part of a process that ends as a whole: a reign, or the process itself.
type scope struct {
	p       *proc
	over    bool
	threads []*thread
}

// do does something in the process, now or when it is no longer paused; or never, if the scope has ended by then.
func (s *scope) do(f func()) {
	switch {
	case s.over || s.p.root.over:
	case s.p.paused():
		s.p.w.after(s.p.resumes-s.p.w.now, func() { s.do(f) })
	default:
		f()
	}
}

// after does something when the process's clock has moved on by d.
func (s *scope) after(d time.Duration, f func()) {
	s.p.w.after(time.Duration(float64(max(d, 0))/s.p.rate), func() { s.do(f) })
}

// end stops all of the scope between two of its steps. It must not be called from a thread of it.
func (s *scope) end() {
	if s.over {
		return
	}
	s.over = true
	for _, t := range s.threads {
		t.stop()
	}
	s.threads = nil
}

// thread is a sequence of steps in a process, written as straight code: a coroutine that the world resumes. Others happen
// between its steps, and the process may end or pause there.
type thread struct {
	s      *scope
	next   func() (struct{}, bool)
	stop   func()
	yield  func(struct{}) bool
	ticket uint64 // of the wait that goes on
}

// errKilled unwinds a thread whose process has ended.
var errKilled = errors.New("killed")

// start begins a thread of the scope.
func (s *scope) start(body func(t *thread)) {
	t := &thread{s: s}
	t.next, t.stop = iter.Pull(func(yield func(struct{}) bool) {
		defer func() {
			if r := recover(); r != nil && r != any(errKilled) {
				s.p.w.fail("panic: %v\n%s", r, debug.Stack())
			}
		}()
		t.yield = yield
		body(t)
	})
	s.threads = append(s.threads, t)
	w := s.p.w
	w.threads = append(w.threads, t)
	w.after(0, func() { s.do(t.resume) })
}

func (t *thread) resume() {
	w := t.s.p.w
	was := w.running
	w.running = t
	if _, more := t.next(); !more {
		t.s.threads = removed(t.s.threads, t)
		w.threads = removed(w.threads, t)
	}
	w.running = was
}

// removed takes v out of list; the order does not count.
func removed[T comparable](list []T, v T) []T {
	for i := range list {
		if list[i] == v {
			last := len(list) - 1
			list[i] = list[last]
			var zero T
			list[last] = zero
			return list[:last]
		}
	}
	return list
}

// wait stops the thread until the function that it gives to arm is called. Only the first call counts. A thread that wakes
// another goes on first.
func (t *thread) wait(arm func(wake func())) {
	t.ticket++
	mine := t.ticket
	arm(func() {
		if t.ticket == mine {
			t.ticket++
			if w := t.s.p.w; w.running != nil {
				w.after(0, func() { t.s.do(t.resume) })
				return
			}
			t.s.do(t.resume)
		}
	})
	if !t.yield(struct{}{}) {
		panic(errKilled)
	}
}

// sleep waits by the process's clock.
func (t *thread) sleep(d time.Duration) {
	t.wait(func(wake func()) { t.s.after(d, wake) })
}

// call asks a server and waits. nil: apply was done there. errRefused: it was not. errUnknown: it may have been, or will be.
func (t *thread) call(to *server, apply func()) (err error) {
	t.wait(func(wake func()) {
		t.s.rpc(to, apply, func(e error) {
			err = e
			wake()
		})
	})
	return err
}

var (
	errRefused = errors.New("the server refused the request: nothing was done")
	errUnknown = errors.New("no answer: whether it was done is not known")
)

// server is a store that many processes use. It never loses what it has; it may be slow.
type server struct {
	w       *world
	at      endpoint
	slow    time.Duration // its disk is slow until then
	timeout time.Duration // after which a caller gives an answer up
}

// maxLate is how long after it was sent a request may still be done: the assumption about networks and stores on which the
// replacement of outputs rests. It includes the slowest message.
const maxLate = 30 * time.Second

// rpc sends a request to a server: answered is called once, in the scope. The request may be lost, refused, or be done without
// its answer arriving, also long after the caller has given up.
func (s *scope) rpc(to *server, apply func(), answered func(error)) {
	w, from := s.p.w, s.p.at
	done := false
	finish := func(err error) {
		if !done {
			done = true
			answered(err)
		}
	}
	s.after(to.timeout, func() { finish(errUnknown) })
	if w.fault(w.chances.refuse) {
		w.stats.count(statRefusedCalls)
		w.after(w.latency(), func() { s.do(func() { finish(errRefused) }) })
		return
	}
	late := time.Duration(0)
	likely := w.chances.late
	if w.removing {
		likely *= 6
		w.removing = false
	}
	if w.fault(likely) {
		w.stats.count(statLateWrites)
		late = w.between(0, maxLate-10*time.Second)
	}
	w.send(from, to.at, late, func() {
		apply()
		reply := time.Duration(0)
		if w.now < to.slow {
			reply = w.between(0, 3*time.Second)
		}
		if w.fault(w.chances.lostAnswer) {
			w.stats.count(statLostAnswers)
			return
		}
		w.send(to.at, from, reply, func() { s.do(func() { finish(nil) }) })
	})
}

// latency is how long a message takes.
func (w *world) latency() time.Duration {
	if w.fault(w.chances.slowNet) {
		w.stats.count(statSlowMessages)
		return w.between(0, 10*time.Second)
	}
	return w.between(200*time.Microsecond, 20*time.Millisecond)
}

// send carries a message, unless it is lost or the way is cut.
func (w *world) send(from, to endpoint, more time.Duration, arrive func()) {
	if w.cut(from, to) || w.fault(w.chances.loss) {
		w.stats.count(statLostMessages)
		return
	}
	w.after(more+w.latency(), func() {
		if w.cut(from, to) {
			w.stats.count(statLostMessages)
			return
		}
		arrive()
	})
}

func (w *world) cut(from, to endpoint) bool {
	if len(w.cuts) == 0 || w.calm() {
		return false
	}
	return w.now < w.cuts[[2]endpoint{from, to}]
}

// cutOff cuts a way for a while, in both directions or one.
func (w *world) cutOff(a, b endpoint, d time.Duration, both bool) {
	w.stats.count(statCuts)
	w.cuts[[2]endpoint{a, b}] = w.now + d
	if both {
		w.cuts[[2]endpoint{b, a}] = w.now + d
	}
}
