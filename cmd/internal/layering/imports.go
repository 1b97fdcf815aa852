package layering

import (
	"fmt"
	"slices"
)

// checkEdges reports imports within the tree that edges and testEdges do not allow, and packages without a row. A suite for
// tests, which sources must not import, needs its full name in the row.
func checkEdges(t *tree) []string {
	rows, testRows := parse(edges), parse(testEdges)
	var out []string
	noRow := map[string]bool{}
	for _, f := range t.files {
		r, found := find(rows, f.pkg)
		if !found && !noRow[f.pkg] {
			noRow[f.pkg] = true
			out = append(out, fmt.Sprintf("%s: no row for this package: say in rules.go, edges, what it may import", f.pkg))
		}
		tests, _ := find(testRows, f.pkg)
		for _, path := range f.imports {
			pkg, mine := own(path)
			switch {
			case !mine || !found || pkg == f.pkg || covers(r.allowed, pkg) && (f.test || !forTests(pkg) || slices.Contains(r.allowed, pkg)):
			case f.test && (covers(tests.allowed, pkg) || forTests(pkg) || slices.Contains(inMemory, pkg)) && sameGround(f.pkg, pkg):
			default:
				out = append(out, fmt.Sprintf("%s imports %s: %s may import %v (rules.go, edges): "+
					"move the code to where it may, or hand it in from above", f.path, pkg, f.pkg, r.allowed))
			}
		}
	}
	return out
}

// sameGround says whether a test of pkg keeps to the ground rules, which no suite for tests may break either: jobs stands on
// nothing but jobs, and storage knows no one above it.
func sameGround(pkg, imported string) bool {
	switch {
	case within(pkg, "jobs"):
		return within(imported, "jobs")
	case within(pkg, "storage"):
		return within(imported, "storage")
	}
	return true
}

// checkDoors reports imports of other modules where doors does not allow them.
func checkDoors(t *tree) []string {
	rows := parse(doors)
	var out []string
	for _, f := range t.files {
		for _, path := range f.imports {
			if !outside(path) {
				continue
			}
			i := slices.IndexFunc(rows, func(r row) bool { return within(path, r.name) })
			if i < 0 {
				out = append(out, fmt.Sprintf("%s imports %s: no row for this module: say in rules.go, doors, which package is its door", f.path, path))
				continue
			}
			anyone := slices.Contains(rows[i].allowed, "any") && (!covers(closed, f.pkg) || f.inTest)
			if !anyone && !covers(rows[i].allowed, f.pkg) {
				out = append(out, fmt.Sprintf("%s imports %s: only %v may (rules.go, doors): use what that package offers",
					f.path, path, rows[i].allowed))
			}
		}
	}
	return out
}

// checkStandard reports imports of the standard library that foreign or only forbids. Tests may import what they like.
func checkStandard(t *tree) []string {
	foreignRows, onlyRows := parse(foreign), parse(only)
	var out []string
	for _, f := range t.files {
		if f.inTest {
			continue
		}
		r, _ := find(foreignRows, f.pkg)
		for _, path := range f.imports {
			if slices.ContainsFunc(r.allowed, func(no string) bool { return within(path, no) }) {
				out = append(out, fmt.Sprintf("%s imports %s: %s must not (rules.go, foreign): have the caller do it", f.path, path, f.pkg))
			}
			i := slices.IndexFunc(onlyRows, func(r row) bool { return within(path, r.name) })
			if i >= 0 && !covers(onlyRows[i].allowed, f.pkg) && !f.test {
				out = append(out, fmt.Sprintf("%s imports %s: only %v may (rules.go, only)", f.path, path, onlyRows[i].allowed))
			}
		}
	}
	return out
}

// checkApart reports what packages link by way of others although apart keeps it from them, with the way.
func checkApart(t *tree) []string {
	imports := map[string][]string{} // of a package's sources
	for _, f := range t.files {
		if !f.inTest {
			imports[f.pkg] = append(imports[f.pkg], f.imports...)
		}
	}
	var out []string
	for _, r := range parse(apart) {
		for _, no := range r.allowed {
			if way := wayTo(imports, r.name, no, map[string]bool{}); way != nil {
				out = append(out, fmt.Sprintf("%s links %s by way of %v (rules.go, apart): hand it in from cmd instead", r.name, no, way))
			}
		}
	}
	return out
}

// wayTo returns the packages from pkg to an import of the module no, nil if there is no way.
func wayTo(imports map[string][]string, pkg, no string, seen map[string]bool) []string {
	if seen[pkg] {
		return nil
	}
	seen[pkg] = true
	for _, path := range imports[pkg] {
		if next, mine := own(path); mine {
			if way := wayTo(imports, next, no, seen); way != nil {
				return append([]string{pkg}, way...)
			}
		} else if within(path, no) {
			return []string{pkg, path}
		}
	}
	return nil
}
