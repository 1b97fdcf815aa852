package grep

import (
	"regexp"
	"regexp/syntax"
	"strings"
)

// matcher decides for each line whether it matches: by the literals that every match contains first, which are searched for
// at several gigabytes a second, and by the expression, at some ten nanoseconds a byte, for the lines that contain them.
//
// A literal is searched for by one byte of it, the one that is rarest in the first lines that the matcher sees: a library
// search for the whole literal begins with its first byte, which may be a space or a slash. Measured on lines of a web
// server's log, one core (BenchmarkMatch, BenchmarkRegexp): a literal 7.5 GB/s, against 1.2 for the expression alone; a real
// expression 1.0 against 0.27; either of three literals 2.5 against 0.02.
//
// Like all that a map function has, a matcher belongs to one attempt.
type matcher struct {
	pattern *regexp.Regexp // nil: the literals decide
	steps   []step
	first   int // the step to begin with, which is expected to fail most often
	seen    [256]uint32
	learned int // bytes counted in seen; enoughBytes: it is done
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
	return m, nil
}

// enoughBytes is how much text tells which bytes are rare: a few dozen lines.
const enoughBytes = 8 << 10

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

// inOrder reports whether the line contains a literal of each step, one after the other.
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

// find returns where the first literal of the step ends that ends in s, -1 if there is none.
func (st step) find(s string) int {
	if len(st) == 1 {
		return st[0].find(s)
	}
	best := -1
	for i := range st {
		if end := st[i].find(s); end >= 0 && (best < 0 || end < best) {
			best = end
		}
	}
	return best
}

// needle is a literal and how to search for it.
type needle struct {
	text   string
	fold   bool // text is in lower case, and its ASCII letters match in either case
	at     int  // position of the byte to search for
	rare   byte // that byte
	upper  byte // its other case, or the same
	second int  // position of the byte to look at next
}

func newNeedle(text string, fold bool) needle {
	n := needle{text: text, fold: fold}
	n.aim(new([256]uint32))
	return n
}

// aim chooses the bytes to search for by how often each was seen.
func (n *needle) aim(seen *[256]uint32) {
	often := func(i int) uint32 {
		c := n.text[i]
		if n.fold && isLower(c) {
			return 2 * (seen[c] + seen[c-'a'+'A'] + 1) // and two searches cost more than one
		}
		return seen[c]
	}
	n.at, n.second = 0, 0
	for i := range len(n.text) {
		if often(i) < often(n.at) {
			n.at = i
		}
	}
	for i := range len(n.text) {
		if n.second == n.at || i != n.at && often(i) < often(n.second) {
			n.second = i
		}
	}
	n.rare = n.text[n.at]
	n.upper = n.rare
	if n.fold && isLower(n.rare) {
		n.upper = n.rare - 'a' + 'A'
	}
}

func isLower(c byte) bool { return c-'a' < 26 }

// find returns where the first occurrence in s ends, -1 if there is none.
func (n *needle) find(s string) int {
	if n.fold {
		return n.findFold(s)
	}
	last := len(s) - len(n.text) // where it may begin
	for i := 0; i <= last; i++ {
		j := strings.IndexByte(s[i+n.at:last+n.at+1], n.rare)
		if j < 0 {
			return -1
		}
		i += j
		if s[i+n.second] == n.text[n.second] && s[i:i+len(n.text)] == n.text {
			return i + len(n.text)
		}
	}
	return -1
}

// findFold is find for a literal whose letters match in either case.
func (n *needle) findFold(s string) int {
	last := len(s) - len(n.text)
	if last < 0 {
		return -1
	}
	within := s[n.at : last+n.at+1]
	lower, upper := indexFrom(within, n.rare, 0), len(within)
	if n.upper != n.rare {
		upper = indexFrom(within, n.upper, 0)
	}
	for {
		i := min(lower, upper)
		if i == len(within) {
			return -1
		}
		if equalFold(s[i:i+len(n.text)], n.text) {
			return i + len(n.text)
		}
		if i == lower {
			lower = indexFrom(within, n.rare, i+1)
		} else {
			upper = indexFrom(within, n.upper, i+1)
		}
	}
}

// indexFrom returns where c is in s from i on, len(s) if it is not.
func indexFrom(s string, c byte, i int) int {
	if j := strings.IndexByte(s[i:], c); j >= 0 {
		return i + j
	}
	return len(s)
}

// equalFold compares s with a text of the same length in which letters are lower-case ASCII.
func equalFold(s, lower string) bool {
	for i := range len(lower) {
		c := s[i]
		if c-'A' < 26 {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// learn counts the bytes of the first lines, and when these are enough, chooses what to search for.
func (m *matcher) learn(line string) {
	for i := range len(line) {
		m.seen[line[i]]++
	}
	m.learned += len(line) + 1
	if m.learned < enoughBytes {
		return
	}
	m.learned = enoughBytes
	rarest := 0.0
	for i, s := range m.steps {
		often := 0.0
		for j := range s {
			s[j].aim(&m.seen)
			often += s[j].expected(&m.seen)
		}
		if i == 0 || often < rarest {
			m.first, rarest = i, often
		}
	}
}

// expected is how often the literal were to be found in the bytes seen, if they came in a random order.
func (n *needle) expected(seen *[256]uint32) float64 {
	often := float64(enoughBytes)
	for i := range len(n.text) {
		c := n.text[i]
		count := float64(seen[c]) + 0.5
		if n.fold && isLower(c) {
			count += float64(seen[c-'a'+'A'])
		}
		often *= count / enoughBytes
	}
	return often
}
