package layering

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// module is the import path that the tree's packages share; frontDoor is the name in the tables for the package at its top.
const (
	module    = "github.com/millrace/millrace"
	frontDoor = "millrace"
)

// tree is the source as the rules see it.
type tree struct {
	files []*file // Go files, by path
	texts []text  // all text files
}

// file is a Go file.
type file struct {
	path    string
	pkg     string // its package's folder, as the tables name it
	test    bool   // a test, or in a package for tests
	inTest  bool   // its name ends in _test.go
	lines   int
	fset    *token.FileSet
	syntax  *ast.File
	imports []string
}

// text is a text file.
type text struct {
	path string
	data []byte
}

// load reads a tree. Folders that begin with "." or "_", and Go files in testdata, are not part of it.
func load(root fs.FS) (*tree, error) {
	t := &tree{}
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != "." && strings.ContainsAny(d.Name()[:1], "._") && d.Name() != ".ci":
			return fs.SkipDir
		case !d.Type().IsRegular():
			return nil
		}
		data, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		if !bytes.Contains(data[:min(len(data), 8000)], []byte{0}) {
			t.texts = append(t.texts, text{name, data})
		}
		if strings.HasSuffix(name, ".go") && !strings.Contains("/"+name, "/testdata/") {
			return t.add(name, data)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the tree: %w", err)
	}
	return t, nil
}

func (t *tree) add(name string, data []byte) error {
	fset := token.NewFileSet()
	syntax, err := parser.ParseFile(fset, name, data, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	f := &file{
		path: name, pkg: path.Dir(name), fset: fset, syntax: syntax,
		inTest: strings.HasSuffix(name, "_test.go"),
		lines:  bytes.Count(data, []byte("\n")),
	}
	if f.pkg == "." {
		f.pkg = frontDoor
	}
	f.test = f.inTest || forTests(f.pkg)
	for _, spec := range syntax.Imports {
		f.imports = append(f.imports, strings.Trim(spec.Path.Value, `"`))
	}
	t.files = append(t.files, f)
	return nil
}

// forTests says whether a package is there for the tests of others: its name, or that of a folder above, ends in "test".
func forTests(pkg string) bool {
	return slices.ContainsFunc(strings.Split(pkg, "/"), func(dir string) bool {
		return strings.HasSuffix(dir, "test") && dir != "test"
	})
}

// own returns the name in the tables of an import path in the tree.
func own(imported string) (pkg string, ok bool) {
	if imported == module {
		return frontDoor, true
	}
	return strings.CutPrefix(imported, module+"/")
}

// outside says whether an import path is of another module; otherwise it is the tree's or the standard library's.
func outside(imported string) bool {
	first, _, _ := strings.Cut(imported, "/")
	return strings.Contains(first, ".") && !within(imported, module)
}

// at names a place in a file.
func (f *file) at(n ast.Node) string {
	return fmt.Sprintf("%s:%d", f.path, f.fset.Position(n.Pos()).Line)
}

// length is the number of lines of a node.
func (f *file) length(n ast.Node) int {
	return f.fset.Position(n.End()).Line - f.fset.Position(n.Pos()).Line + 1
}

// calls yields the calls "x.name(...)" in n where x is an identifier.
func calls(n ast.Node, yield func(call *ast.CallExpr, x, name string)) {
	ast.Inspect(n, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok {
			if sel, ok := call.Fun.(*ast.SelectorExpr); ok {
				if x, ok := sel.X.(*ast.Ident); ok {
					yield(call, x.Name, sel.Sel.Name)
				}
			}
		}
		return true
	})
}
