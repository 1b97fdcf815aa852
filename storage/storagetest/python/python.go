//go:build unix

// Package python gives tests a Python interpreter with pinned libraries, so that they can read millrace's files with the
// programs that its users read them with. It is for tests only and knows nothing of the files.
//
// The libraries lie in a virtual environment in the user's cache folder, which is made once per list of requirements and
// shared by all test binaries. Without Python or without a way to install from PyPI a test is left out, and says so with a
// line that begins with "LEFT OUT: ", which `make test` shows and continuous integration takes as a failure.
package python

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Interpreter returns the path of a Python interpreter that can import what the requirements file lists. It skips the
// test, with that line, when there is none and none can be made.
func Interpreter(t testing.TB, requirements string) string {
	t.Helper()
	list, err := os.ReadFile(requirements)
	if err != nil {
		t.Fatal(err)
	}
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("LEFT OUT: python3 is not installed")
	}
	version, err := exec.Command(python, "--version").Output()
	if err != nil {
		t.Skip("LEFT OUT: python3 does not start: " + err.Error())
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	home := filepath.Join(cache, "millrace", "python-"+digest(version, list))
	if err := once(home, func() error { return install(python, home, requirements) }); err != nil {
		t.Skip("LEFT OUT: " + err.Error())
	}
	return filepath.Join(home, "bin", "python")
}

// digest names an environment by what it is made of.
func digest(parts ...[]byte) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	return hex.EncodeToString(h.Sum(nil))[:16]
}

// once runs make unless it has already succeeded for home, in this process or any other. The lock is the file's, so it
// goes with the process that holds it.
func once(home string, make func() error) error {
	if err := os.MkdirAll(filepath.Dir(home), 0o777); err != nil {
		return err
	}
	lock, err := os.OpenFile(home+".lock", os.O_CREATE|os.O_RDWR, 0o666)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	done := filepath.Join(home, "complete")
	if _, err := os.Stat(done); err == nil {
		return nil
	}
	if err := os.RemoveAll(home); err != nil { // what an interrupted attempt left
		return err
	}
	if err := make(); err != nil {
		return err
	}
	return os.WriteFile(done, nil, 0o666)
}

func install(python, home, requirements string) error {
	for _, command := range [][]string{
		{python, "-m", "venv", home},
		{filepath.Join(home, "bin", "python"), "-m", "pip", "install", "--no-input", "--disable-pip-version-check",
			"--only-binary", ":all:", "--quiet", "--requirement", requirements},
	} {
		if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", strings.Join(command[1:4], " "), err, lastLine(out))
		}
	}
	return nil
}

func lastLine(out []byte) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return lines[len(lines)-1]
}
