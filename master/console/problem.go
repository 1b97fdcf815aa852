package console

import "strings"

// Problem is an error's text for a terminal: safe to show, and local files by their paths, as their users name them.
func Problem(err error) string {
	return strings.ReplaceAll(strings.TrimSpace(Lines(err.Error())), "file:///", "/")
}
