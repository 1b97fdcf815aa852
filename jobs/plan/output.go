package plan

import (
	"fmt"
	"path"
	"strings"
)

// CheckOutput reports an output folder that is, holds or lies within what the job reads: the job would read its own
// parts the next time, or replace its input. Inputs and Output are full URLs without "." and ".." in their paths, as the
// storage gives them; objects is the listing of Inputs.
func CheckOutput(spec Spec, objects []Object) error {
	out := folder(spec.Output)
	if out == "" {
		return fmt.Errorf("output: none given: name the folder for the parts, for example -o file:///tmp/out or -o s3://bucket/out")
	}
	for _, o := range objects {
		if folder(o.URL) == out {
			return fmt.Errorf("output %s: is an input of the job: choose another folder", spec.Output)
		}
		if within(o.URL, out) {
			return fmt.Errorf("output %s: holds the input %s: choose another folder", spec.Output, o.URL)
		}
	}
	for _, in := range spec.SideInputs {
		if within(in.URL, out) {
			return fmt.Errorf("output %s: holds the side input %s: choose another folder", spec.Output, in.URL)
		}
	}
	for _, in := range spec.Inputs {
		switch {
		case isGlob(in):
			if reaches(in, out+"/part-00000.arrow") {
				return fmt.Errorf("output %s: would match the input %s of the next run: choose a folder outside of it",
					spec.Output, in)
			}
		case folder(in) == out:
			return fmt.Errorf("output %s: is an input of the job: choose another folder", spec.Output)
		case within(out, folder(in)):
			return fmt.Errorf("output %s: lies inside the input %s: choose a folder outside of it", spec.Output, in)
		}
	}
	return nil
}

// folder returns a URL without the slashes at its end.
func folder(url string) string { return strings.TrimRight(url, "/") }

// within reports whether a URL lies below a folder.
func within(url, folder string) bool {
	return len(url) > len(folder) && strings.HasPrefix(url, folder) && url[len(folder)] == '/'
}

func isGlob(url string) bool { return strings.ContainsAny(url, "*?[{") }

// reaches reports whether a glob matches a URL or a folder that the URL lies below: such a folder is an input as a whole.
func reaches(glob, url string) bool {
	for ; url != ""; url = url[:max(0, strings.LastIndexByte(url, '/'))] {
		if matches(glob, url) {
			return true
		}
	}
	return false
}

// matches reports whether a glob may match a URL: name by name, with ** for any number of names. Where it cannot tell
// (a list of alternatives), it says yes: refusing an output folder too much costs a person a moment, one too few an input.
func matches(glob, url string) bool {
	return matchNames(strings.Split(glob, "/"), strings.Split(url, "/"))
}

func matchNames(globs, names []string) bool {
	for i, g := range globs {
		if g == "**" {
			for n := range len(names) - i + 1 {
				if matchNames(globs[i+1:], names[i+n:]) {
					return true
				}
			}
			return false
		}
		if i == len(names) {
			return false
		}
		if strings.ContainsAny(g, "{}") {
			continue
		}
		if ok, err := path.Match(g, names[i]); err == nil && !ok {
			return false
		}
	}
	return len(globs) == len(names)
}
