//go:build unix

package columns_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/millrace/millrace/storage/storagetest/python"
)

// Files that pyarrow, DuckDB and Polars write, of all types, encodings, codecs and page versions in use, read as these programs
// read them themselves, at every split size and with little memory.
func TestInterop(t *testing.T) {
	t.Parallel()
	interpreter := python.Interpreter(t, filepath.Join("testdata", "requirements.txt"))
	dir := t.TempDir()
	cmd := exec.Command(interpreter, filepath.Join("testdata", "write.py"), dir)
	cmd.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1", "PYTHONUTF8=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("write.py: %v\n%s", err, out)
	}
	for i, path := range dataFiles(t, dir) {
		if testing.Short() && i%4 > 0 { // reading them takes minutes under the race detector, and all are read the same way
			continue
		}
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			compare(t, path)
		})
	}
}
