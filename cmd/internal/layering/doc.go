// Package layering keeps the house in order: which package may import which, through which door a dependency comes in, how
// long files and functions may be, and the other rules of style that a program can check. Its test runs the rules over
// the tree; it reads source files only and knows no package of the house, so that it also speaks when one does not compile.
//
// The tables in rules.go are statements of policy, not descriptions of the code. A new package gets a row; a row is
// widened because the design changed, not because a build failed.
package layering
