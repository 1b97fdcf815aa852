package grep

import (
	"regexp"
	"regexp/syntax"

	"github.com/millrace/millrace/jobs"
)

// matcher finds the lines that match: by what every match contains first, which is searched for at several gigabytes a second
// and in many lines at a time, and by the expression, at some ten nanoseconds a byte, in the lines that contain it.
//
// How to search is chosen by how often each byte comes in the first lines that the matcher sees: a library search for a
// literal begins with its first byte, which may be a space or a slash. Measured on lines of a web server's log, one core
// (BenchmarkFind, line by line BenchmarkMatch, BenchmarkRegexp): a literal 9.7 GB/s, against 7.1 line by line and 1.3 for the
// expression alone; a real expression 2.0, 1.7 and 0.31; six digits 1.7, 1.9 and 0.04; either of three literals 2.6, 2.6 and
// 0.02.
//
// Like all that a map function has, a matcher belongs to one attempt.
type matcher struct {
	pattern *regexp.Regexp // nil: the steps decide
	steps   []step
	first   int  // the step to begin with: the cheapest to search for, with what it lets through
	dense   bool // it lets so much through that lines are best looked at one by one
	next    []int

	seen    [256]uint32
	passed  []int // of the first lines, those that each step let through
	lines   int   // of these lines
	learned int   // bytes of them; enoughBytes: it is done
}

// newMatcher returns a matcher that gives what regexp.MatchString gives for the expression.
func newMatcher(expression string) (*matcher, error) {
	pattern, err := regexp.Compile(expression)
	if err != nil {
		return nil, err
	}
	tree, err := syntax.Parse(expression, syntax.Perl)
	if err != nil {
		return nil, err
	}
	m := &matcher{pattern: pattern}
	var exact bool
	if m.steps, exact = stepsOf(tree); exact {
		m.pattern = nil
	}
	m.passed = make([]int, len(m.steps))
	return m, nil
}

// enoughBytes is how much text tells which bytes are rare: some hundred lines.
const enoughBytes = 32 << 10

// find calls found for each line that matches.
func (m *matcher) find(text jobs.Lines, found func(jobs.Line)) {
	at := 0
	for at < len(text.Text) && m.learned < enoughBytes {
		line, next := text.At(at)
		if m.match(line.Text) {
			found(line)
		}
		at = next
	}
	if at == len(text.Text) {
		return
	}
	text = jobs.Lines{URL: text.URL, Offset: text.Offset + int64(at), Text: text.Text[at:]}
	if m.dense || len(m.steps) == 0 {
		for line := range text.All() {
			if m.match(line.Text) {
				found(line)
			}
		}
		return
	}
	first := m.steps[m.first]
	for i := range m.next {
		m.next[i] = -1
	}
	for at := 0; ; {
		if at = first.search(text.Text, at, m.next); at == len(text.Text) {
			return
		}
		line, next := text.At(at)
		if m.match(line.Text) { // it is asked for the first step again, which may have been found across an end
			found(line)
		}
		at = next
	}
}

// others calls found for each line that does not match.
func (m *matcher) others(text jobs.Lines, found func(jobs.Line)) {
	for line := range text.All() {
		if !m.match(line.Text) {
			found(line)
		}
	}
}

// search returns where a needle of the step begins in s at from or later, len(s) if none does. next keeps what is known of
// each needle from the calls before, on the same s.
func (st step) search(s string, from int, next []int) int {
	least := len(s)
	for i := range st {
		if next[i] < from {
			if next[i] = st[i].find(s, from); next[i] < 0 {
				next[i] = len(s)
			}
		}
		least = min(least, next[i])
	}
	return least
}

// match reports whether the line matches.
func (m *matcher) match(line string) bool {
	if m.learned < enoughBytes {
		m.learn(line)
	}
	if len(m.steps) > 0 {
		if end := m.steps[m.first].find(line); end < 0 || len(m.steps) > 1 && !m.inOrder(line) {
			return false
		}
	}
	return m.pattern == nil || m.pattern.MatchString(line)
}

// inOrder reports whether the line contains a needle of each step, one after the other.
func (m *matcher) inOrder(line string) bool {
	for _, s := range m.steps {
		end := s.find(line)
		if end < 0 {
			return false
		}
		line = line[end:]
	}
	return true
}

// find returns where the first needle of the step ends that ends in s, -1 if there is none.
func (st step) find(s string) int {
	best := -1
	for i := range st {
		if at := st[i].find(s, 0); at >= 0 {
			if end := at + len(st[i].sets); best < 0 || end < best {
				best = end
			}
		}
	}
	return best
}

// What a line that a step lets through costs, in nanoseconds, and at which share of the lines they are looked at one by one.
const (
	costLine   = 100.0
	denseShare = 4
)

// learn looks at the first lines, and when these are enough, chooses what to search for.
func (m *matcher) learn(line string) {
	for i := range len(line) {
		m.seen[line[i]]++
	}
	for i, s := range m.steps {
		if s.find(line) >= 0 {
			m.passed[i]++
		}
	}
	m.lines++
	m.learned += len(line) + 1
	if m.learned < enoughBytes {
		return
	}
	m.learned = enoughBytes
	least := 0.0
	for i, s := range m.steps {
		cost := float64(m.passed[i]) * costLine
		for j := range s {
			cost += s[j].aim(&m.seen)
		}
		if i == 0 || cost < least {
			m.first, least = i, cost
		}
	}
	if len(m.steps) > 0 {
		m.dense = m.passed[m.first]*denseShare > m.lines
		m.next = make([]int, len(m.steps[m.first]))
	}
}
