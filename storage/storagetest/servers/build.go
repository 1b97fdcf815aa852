package servers

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
)

// packages are the main packages of the servers, as the go command names them.
func packages() map[Kind]string {
	return map[Kind]string{
		KindMinIO:     "github.com/minio/minio",
		KindVersityGW: "github.com/versity/versitygw/cmd/versitygw",
	}
}

// build returns the path of a server's binary, building it when the user's cache has none of this pin and Go version. A cold
// build of MinIO takes minutes; test binaries that run at the same time build once and the others wait.
func build(ctx context.Context, kind Kind) (string, error) {
	module, err := moduleFolder(kind)
	if err != nil {
		return "", err
	}
	folder, err := cacheFolder(kind, module)
	if err != nil {
		return "", fmt.Errorf("build %s: %w", kind, err)
	}
	binary := filepath.Join(folder, string(kind))
	if _, err := os.Stat(binary); err == nil {
		return binary, nil
	}
	unlock, err := lock(ctx, folder+".lock")
	if err != nil {
		return "", fmt.Errorf("build %s: %w", kind, err)
	}
	defer unlock()
	if _, err := os.Stat(binary); err == nil { // built while we waited
		return binary, nil
	}
	// A rename makes a half-written binary, of a build that was killed, impossible.
	half := binary + ".new"
	cmd := exec.CommandContext(ctx, "go", "build", "-o", half, packages()[kind])
	cmd.Dir = module
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=readonly", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s in %s: %w\n%s", kind, module, err, out)
	}
	if err := os.Rename(half, binary); err != nil {
		return "", fmt.Errorf("build %s: %w", kind, err)
	}
	return binary, nil
}

// cacheFolder is where the binary of a module's present pin and of this Go version lies.
func cacheFolder(kind Kind, module string) (string, error) {
	pin := sha256.New()
	for _, name := range []string{"go.mod", "go.sum"} {
		text, err := os.ReadFile(filepath.Join(module, name))
		if err != nil {
			return "", err
		}
		pin.Write(text)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	name := fmt.Sprintf("%s-%.6x-%s", kind, pin.Sum(nil), runtime.Version())
	folder := filepath.Join(cache, "millrace", "servers", name)
	return folder, os.MkdirAll(folder, 0o755)
}

// moduleFolder finds testdata/servers/KIND above the working folder: a test runs in its package's folder, a demonstration
// anywhere in the repository.
func moduleFolder(kind Kind) (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("build %s: %w", kind, err)
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		module := filepath.Join(dir, "testdata", "servers", string(kind))
		if _, err := os.Stat(filepath.Join(module, "go.mod")); err == nil {
			return module, nil
		}
		if dir == filepath.Dir(dir) {
			break
		}
	}
	return "", fmt.Errorf("build %s: %w", kind, errors.New("no testdata/servers above "+start+": run it in millrace's repository"))
}
