package command

import (
	"errors"
	"fmt"
	"path"
	"strings"
)

// File is a file that lies beside the commands when they run.
type File struct {
	URL  string
	Name string // in the commands' folder
}

// ParseFile reads PATH or PATH#NAME, where PATH is a path or URL. Without a name the file has its own.
func ParseFile(text string) (File, error) {
	f := File{URL: text}
	named := false
	if i := strings.LastIndexByte(text, '#'); i >= 0 {
		f.URL, f.Name, named = text[:i], text[i+1:], true
	}
	if f.URL == "" {
		return f, fmt.Errorf("file %q: nothing is named: write a path or URL, with #NAME behind it for another name", text)
	}
	if !named {
		f.Name = path.Base(f.URL)
	}
	if f.Name == "" || f.Name == "." || f.Name == ".." || strings.ContainsAny(f.Name, "/\x00\n") {
		if !named {
			return f, fmt.Errorf("file %q: it has no name: say under which one it is to lie beside the commands, as in %s#NAME", text, f.URL)
		}
		return f, fmt.Errorf("file %q: %q is no name of a file in the commands' folder: give a plain name without '/'", text, f.Name)
	}
	return f, nil
}

// String is the file as ParseFile reads it.
func (f File) String() string {
	if path.Base(f.URL) == f.Name && !strings.Contains(f.URL, "#") {
		return f.URL
	}
	return f.URL + "#" + f.Name
}

var escape = strings.NewReplacer(`\`, `\\`, ",", `\,`)

// FormatFiles writes files as one text, the parameter "files": with commas between them, and a backslash before a comma or backslash
// of a file's own.
func FormatFiles(files []File) string {
	var b strings.Builder
	for i, f := range files {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(escape.Replace(f.String()))
	}
	return b.String()
}

// ParseFiles reads what FormatFiles writes. Two files of one name are an error.
func ParseFiles(text string) (files []File, err error) {
	if text == "" {
		return nil, nil
	}
	names := map[string]string{}
	for rest, more := text, true; more; {
		var one string
		if one, rest, more, err = cutFile(rest); err != nil {
			return nil, err
		}
		f, err := ParseFile(one)
		if err != nil {
			return nil, err
		}
		if other, taken := names[f.Name]; taken {
			return nil, fmt.Errorf("files %s and %s would both be named %s: give one another name, as in %[2]s#NAME", other, f.URL, f.Name)
		}
		names[f.Name] = f.URL
		files = append(files, f)
	}
	return files, nil
}

// cutFile splits the text of the first file off. more says whether a comma follows it.
func cutFile(text string) (file, rest string, more bool, err error) {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == ',':
			return b.String(), text[i+1:], true, nil
		case c == '\\' && i+1 == len(text):
			return "", "", false, errors.New(`files: the text ends with a single backslash: write \\ for one`)
		case c == '\\':
			i++
			b.WriteByte(text[i])
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), "", false, nil
}
