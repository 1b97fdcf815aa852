package layering

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/token"
	"maps"
	"path"
	"slices"
	"strings"
)

// checkSizes reports files, functions and interfaces beyond the bounds.
func checkSizes(t *tree) []string {
	var out []string
	for _, f := range t.files {
		if f.inTest {
			continue
		}
		if f.lines > maxFileLines {
			out = append(out, fmt.Sprintf("%s has %d lines, at most %d: a second subject wants a file of its own", f.path, f.lines, maxFileLines))
		}
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				if lines := f.length(n); lines > maxFuncLines && !f.test {
					out = append(out, fmt.Sprintf("%s: %s has %d lines, at most %d: leave the decisions here, move the work to functions",
						f.at(n), n.Name.Name, lines, maxFuncLines))
				}
			case *ast.TypeSpec:
				if i, ok := n.Type.(*ast.InterfaceType); ok && i.Methods.NumFields() > maxMethods {
					out = append(out, fmt.Sprintf("%s: interface %s has %d methods, at most %d: which of its users need all of them?",
						f.at(n), n.Name.Name, i.Methods.NumFields(), maxMethods))
				}
			}
			return true
		})
	}
	return out
}

// checkPackages reports packages without a comment, and names that say nothing.
func checkPackages(t *tree) []string {
	comments := map[string]int{}
	for _, f := range t.files {
		comments[f.pkg] += 0
		if f.syntax.Doc != nil && (!f.inTest || !strings.HasSuffix(f.syntax.Name.Name, "_test")) {
			comments[f.pkg]++
		}
	}
	var out []string
	for _, pkg := range slices.Sorted(maps.Keys(comments)) {
		switch n := comments[pkg]; {
		case n == 0:
			out = append(out, fmt.Sprintf("%s has no package comment: say its one job, what it does not know, and who calls it", pkg))
		case n > 1:
			out = append(out, fmt.Sprintf("%s has %d package comments: leave one", pkg, n))
		}
		if slices.Contains(namesNothing, path.Base(pkg)) {
			out = append(out, fmt.Sprintf("%s: the name says nothing: which word of the domain is missing?", pkg))
		}
	}
	return out
}

// checkCalls reports init functions, clocks where time is handed in, sleeping tests and tests left out without the mark.
func checkCalls(t *tree) []string {
	var out []string
	for _, f := range t.files {
		for _, decl := range f.syntax.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok {
				continue
			}
			if fn.Name.Name == "init" && fn.Recv == nil {
				out = append(out, fmt.Sprintf("%s: func init: what it sets up belongs into a constructor that its user calls", f.at(fn)))
			}
			out = append(out, checkFunc(f, fn)...)
		}
	}
	return out
}

func checkFunc(f *file, fn *ast.FuncDecl) []string {
	var out []string
	bubble := false
	calls(fn, func(_ *ast.CallExpr, x, _ string) { bubble = bubble || x == "synctest" })
	calls(fn, func(call *ast.CallExpr, x, name string) {
		switch {
		case x == "time" && !f.inTest && slices.Contains(timeless, f.pkg) && slices.Contains(timeCalls, name):
			out = append(out, fmt.Sprintf("%s: time.%s: %s is told the time, so that the same calls give the same result", f.at(call), name, f.pkg))
		case x == "time" && name == "Sleep" && f.test && !bubble:
			out = append(out, fmt.Sprintf("%s: time.Sleep in a test: wait for the event itself, or use testing/synctest", f.at(call)))
		case f.test && (name == "Skip" || name == "Skipf" || name == "SkipNow") && !marked(call):
			out = append(out, fmt.Sprintf("%s: %s.%s: begin the reason with %q, so that what was not proved can be found", f.at(call), x, name, skipMark))
		}
	})
	return out
}

// marked says whether a call's first argument is a string that begins with skipMark.
func marked(call *ast.CallExpr) bool {
	if len(call.Args) == 0 {
		return false
	}
	arg := call.Args[0]
	for {
		sum, ok := arg.(*ast.BinaryExpr)
		if !ok {
			break
		}
		arg = sum.X
	}
	lit, ok := arg.(*ast.BasicLit)
	return ok && lit.Kind == token.STRING && strings.HasPrefix(lit.Value[1:], skipMark)
}

// checkWords reports banned words.
func checkWords(t *tree) []string {
	var out []string
	for _, f := range t.texts {
		if slices.ContainsFunc(wordsAllowed, func(p string) bool {
			return strings.HasPrefix(f.path, p) || path.Base(f.path) == p
		}) {
			continue
		}
		n := 0
		for line := range bytes.Lines(f.data) {
			n++
			line = bytes.ToLower(line)
			for _, word := range bannedWords {
				if banned(line, word) {
					out = append(out, fmt.Sprintf("%s:%d: %q must not stand in the tree: say it without", f.path, n, word))
				}
			}
		}
	}
	return out
}

// banned says whether a word is in a line, both in lower case; one that begins with "/" only where a path may begin.
func banned(line []byte, word string) bool {
	for from := 0; ; {
		i := bytes.Index(line[from:], []byte(word))
		if i < 0 {
			return false
		}
		at := from + i
		if word[0] != '/' || at == 0 || !bytes.ContainsAny(line[at-1:at], "abcdefghijklmnopqrstuvwxyz0123456789+]}") {
			return true
		}
		from = at + 1
	}
}

// checkRatio reports a tree with too few lines of tests, and the packages that lack most.
func checkRatio(t *tree) []string {
	source, tests := map[string]int{}, map[string]int{}
	var allSource, allTests int
	for _, f := range t.files {
		if f.test {
			tests[f.pkg] += f.lines
			allTests += f.lines
		} else {
			source[f.pkg] += f.lines
			allSource += f.lines
		}
	}
	if float64(allTests) >= minTestsRatio*float64(allSource) {
		return nil
	}
	lack := func(pkg string) int { return int(minTestsRatio*float64(source[pkg])) - tests[pkg] }
	worst := slices.SortedFunc(maps.Keys(source), func(a, b string) int { return lack(b) - lack(a) })
	var most []string
	for _, pkg := range worst[:min(5, len(worst))] {
		most = append(most, fmt.Sprintf("%s %d for %d", pkg, tests[pkg], source[pkg]))
	}
	return []string{fmt.Sprintf("%d lines of tests for %d of source, at least %.1f are wanted; most are lacking in: %s",
		allTests, allSource, minTestsRatio, strings.Join(most, ", "))}
}
