package grep

import (
	"math/bits"
	"regexp/syntax"
	"unicode"
	"unicode/utf8"
)

// maxSteps bounds what is looked for in a line before the expression itself: more of it seldom tells more.
const maxSteps = 8

// step is one thing that every match contains: one of these needles.
type step []needle

// byteSet is what a byte may be.
type byteSet [4]uint64

func (s *byteSet) add(c byte)     { s[c>>6] |= 1 << (c & 63) }
func (s byteSet) has(c byte) bool { return s[c>>6]>>(c&63)&1 == 1 }

func (s byteSet) len() int {
	return bits.OnesCount64(s[0]) + bits.OnesCount64(s[1]) + bits.OnesCount64(s[2]) + bits.OnesCount64(s[3])
}

// bytes returns the set's bytes.
func (s byteSet) bytes() []byte {
	var list []byte
	for c := range 256 {
		if s.has(byte(c)) {
			list = append(list, byte(c))
		}
	}
	return list
}

// stepsOf returns what every match of an expression contains, one after the other and apart, and whether a line that contains
// it matches: then nothing else need be asked.
//
// Characters are seen as their bytes in UTF-8, in which none's lie within another's. An expression sees bytes that are not
// UTF-8 as U+FFFD, so a needle ends where that character is asked for, and where one may be that is not ASCII and one of
// several.
func stepsOf(re *syntax.Regexp) (steps []step, exact bool) {
	r := reader{exact: true}
	r.read(re.Simplify())
	r.end()
	return r.steps, r.exact && len(r.steps) == 1
}

// reader reads needles off an expression.
type reader struct {
	steps []step
	sets  []byteSet // of a needle that may go on
	plain bool      // they are of one byte each
	exact bool      // so far the expression is no more than the steps
}

// end ends the needle.
func (r *reader) end() {
	if len(r.sets) > 0 && len(r.steps) < maxSteps {
		r.steps = append(r.steps, step{newNeedle(r.sets)})
	}
	r.sets = nil
}

// gap ends the needle: what follows says nothing that could be looked for.
func (r *reader) gap() {
	r.end()
	r.exact = false
}

// add adds a byte to the needle. One that is not plain text has a limit.
func (r *reader) add(s byteSet) {
	plain := s.len() == 1
	if len(r.sets) >= maxSets && !(r.plain && plain) {
		r.gap()
	}
	r.plain = plain && (r.plain || len(r.sets) == 0)
	r.sets = append(r.sets, s)
}

func (r *reader) read(re *syntax.Regexp) {
	switch re.Op {
	case syntax.OpEmptyMatch:
	case syntax.OpBeginLine, syntax.OpEndLine, syntax.OpBeginText, syntax.OpEndText, syntax.OpWordBoundary, syntax.OpNoWordBoundary:
		r.exact = false // but what is before and after it touches
	case syntax.OpLiteral:
		for _, c := range re.Rune {
			r.literal(c, re.Flags&syntax.FoldCase != 0)
		}
	case syntax.OpCharClass:
		r.class(re.Rune)
	case syntax.OpCapture:
		r.read(re.Sub[0])
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			r.read(sub)
		}
	case syntax.OpPlus:
		r.read(re.Sub[0])
		r.gap()
	case syntax.OpAlternate:
		r.alternate(re.Sub)
	default:
		r.gap()
	}
}

// literal adds a character, in either case if fold.
func (r *reader) literal(c rune, fold bool) {
	lower, one := caseOf(c)
	if c == utf8.RuneError || fold && !one {
		r.gap()
		return
	}
	if !fold || lower >= utf8.RuneSelf {
		for _, b := range utf8.AppendRune(nil, c) {
			var s byteSet
			s.add(b)
			r.add(s)
		}
		return
	}
	var s byteSet
	s.add(byte(lower))
	s.add(byte(unicode.SimpleFold(lower)))
	r.add(s)
}

// caseOf returns the lower case of a character, and whether its cases are one at most, or two ASCII letters. Those of k and s
// are three, with the Kelvin sign and the long s.
func caseOf(c rune) (lower rune, simple bool) {
	other := unicode.SimpleFold(c)
	if other == c {
		return c, true
	}
	return max(c, other), max(c, other) < utf8.RuneSelf && unicode.SimpleFold(other) == c
}

// class adds one of the characters of some ranges, if they are ASCII and so a byte each.
func (r *reader) class(ranges []rune) {
	var s byteSet
	for i := 0; i+1 < len(ranges); i += 2 {
		if ranges[i+1] >= utf8.RuneSelf {
			r.gap()
			return
		}
		for c := ranges[i]; c <= ranges[i+1]; c++ {
			s.add(byte(c))
		}
	}
	if s.len() == 0 { // nothing matches it, and what finds nothing is the expression's affair
		r.gap()
		return
	}
	r.add(s)
}

// alternate adds the step that one of these is there: of each the needle that tells most.
func (r *reader) alternate(subs []*syntax.Regexp) {
	r.end()
	r.exact = r.exact && len(r.steps) == 0
	var any step
	for _, sub := range subs {
		of := reader{exact: true}
		of.read(sub)
		of.end()
		if len(of.steps) == 0 {
			r.exact = false
			return
		}
		best := of.steps[0]
		for _, s := range of.steps {
			if s.tells() > best.tells() {
				best = s
			}
		}
		any = append(any, best...)
		r.exact = r.exact && of.exact && len(of.steps) == 1
	}
	if len(any) <= maxSteps && len(r.steps) < maxSteps {
		r.steps = append(r.steps, any)
		return
	}
	r.exact = false
}

// tells is how much the step tells: by its needle that tells least, in bits of which a byte has eight.
func (s step) tells() int {
	least := s[0].tells
	for _, n := range s {
		least = min(least, n.tells)
	}
	return least
}
