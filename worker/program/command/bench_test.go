package command

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace/jobs"
)

// droppedPairs takes pairs and forgets them.
type droppedPairs struct{}

func (droppedPairs) Put(b jobs.Pairs) (jobs.Pairs, error) { return jobs.Pairs{Data: b.Data[:0]}, nil }

// BenchmarkMapper compares mappers with the same commands in a shell's pipe, which reads a file and drops what comes out: the
// difference is what the engine's side of the pipes costs.
func BenchmarkMapper(b *testing.B) {
	text := []byte(strings.Repeat("the quick brown fox jumps over the lazy dog and runs away\n", 300_000))
	file := filepath.Join(b.TempDir(), "text")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		b.Fatal(err)
	}
	var list []jobs.Block
	for rest := text; len(rest) > 0; { // blocks of about 1 MiB, as the engine has them
		n := len(rest)
		if n > 1<<20 {
			n = strings.LastIndexByte(string(rest[:1<<20]), '\n') + 1
		}
		list, rest = append(list, jobs.Block{URL: "mem://text", Data: rest[:n]}), rest[n:]
	}
	for name, mapper := range map[string]string{"awk": words, "cat": "cat", "grep": "grep -c fox"} {
		b.Run(name+"/mapper", func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			p := program(b, Params{Mapper: mapper, Reducer: "cat"})
			task := taskIn(b.TempDir())
			for b.Loop() {
				if err := p.Map(b.Context(), task, &blocks{list: list}, droppedPairs{}); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+"/shell", func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				if out, err := exec.Command("/bin/sh", "-c", "cat "+file+" | "+mapper+" | cat >/dev/null").CombinedOutput(); err != nil {
					b.Fatal(err, string(out))
				}
			}
		})
	}
}
