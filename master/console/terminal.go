package console

import (
	"os"

	"golang.org/x/term"
)

// Terminal says whether f is a terminal, and how many columns it has: 0 for no limit if it is none.
func Terminal(f *os.File) (is bool, width int) {
	if !term.IsTerminal(int(f.Fd())) {
		return false, 0
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return true, 80
	}
	return true, width
}
