package grep

import (
	"regexp/syntax"
	"unicode"
	"unicode/utf8"
)

// maxSteps bounds what is looked for in a line before the expression itself: more of it seldom tells more.
const maxSteps = 8

// step is one thing that every match contains: one of these literals.
type step []needle

// stepsOf returns what every match of an expression contains, one after the other and apart, and whether a line that contains
// it matches: then nothing else need be asked.
//
// The literals are in UTF-8, in which no character's bytes lie within another's. An expression sees bytes that are not UTF-8
// as U+FFFD, so a literal ends where that character is asked for.
func stepsOf(re *syntax.Regexp) (steps []step, exact bool) {
	r := reader{exact: true}
	r.read(re.Simplify())
	r.end()
	return r.steps, r.exact && len(r.steps) == 1
}

// reader reads literals off an expression.
type reader struct {
	steps []step
	text  []byte // of a literal that may go on
	fold  bool   // its letters match in either case
	exact bool   // so far the expression is no more than the steps
}

// end ends the literal.
func (r *reader) end() {
	if len(r.text) > 0 && len(r.steps) < maxSteps {
		r.steps = append(r.steps, step{newNeedle(string(r.text), r.fold)})
	}
	r.text = r.text[:0]
}

// gap ends the literal: what follows says nothing that could be looked for.
func (r *reader) gap() {
	r.end()
	r.exact = false
}

func (r *reader) read(re *syntax.Regexp) {
	switch re.Op {
	case syntax.OpEmptyMatch:
	case syntax.OpBeginLine, syntax.OpEndLine, syntax.OpBeginText, syntax.OpEndText, syntax.OpWordBoundary, syntax.OpNoWordBoundary:
		r.exact = false // but what is before and after it touches
	case syntax.OpLiteral:
		r.literal(re.Rune, re.Flags&syntax.FoldCase != 0)
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

func (r *reader) literal(runes []rune, fold bool) {
	for _, c := range runes {
		lower, one := caseOf(c)
		if c == utf8.RuneError || fold && !one {
			r.gap()
			continue
		}
		if fold != r.fold {
			r.end()
			r.exact = r.exact && len(r.steps) == 0
			r.fold = fold
		}
		if fold {
			c = lower
		}
		r.text = utf8.AppendRune(r.text, c)
	}
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

// alternate adds the step that one of these is there: of each the longest literal.
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
			if s.shortest() > best.shortest() {
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

// shortest is the length of the step's shortest literal: how much it tells.
func (s step) shortest() int {
	n := len(s[0].text)
	for _, l := range s {
		n = min(n, len(l.text))
	}
	return n
}
