// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// KubernetesVersion is what the nodes run.
const KubernetesVersion = "v1.34.4"

// coreDNSVersion is the one that tests/kubernetes/go.mod requires.
const coreDNSVersion = "1.13.1"

// Binaries are the programs that a cluster is made of, by path.
type Binaries struct {
	Kubernetes, CoreDNS, Host, Pause, Shop string
}

// program is how one of them is built. Inputs are folders and files below the module; a change in them means a new
// build.
type program struct {
	name, module, pkg, ldflags string
	inputs                     []string
	path                       *string
}

func (b *Binaries) programs() []program {
	version := "k8s.io/component-base/version."
	minor := strings.Split(strings.TrimPrefix(KubernetesVersion, "v"), ".")[1]
	kubernetes := fmt.Sprintf("-s -w -X %[1]sgitVersion=%[2]s -X %[1]sgitMajor=1 -X %[1]sgitMinor=%[3]s -X %[1]sgitTreeState=clean",
		version, KubernetesVersion, minor)
	return []program{
		{"cluster-host", ".", "./tests/cluster/cmd/cluster-host", "-s -w",
			[]string{"go.mod", "go.sum", "tests/cluster/cmd/cluster-host", "tests/cluster/host", "tests/cluster/impair", "tests/cluster/internet"}, &b.Host},
		{"pause", ".", "./tests/cluster/cmd/pause", "-s -w", []string{"tests/cluster/cmd/pause"}, &b.Pause},
		{"shop", ".", "./tests/shop", "-s -w", []string{"go.mod", "go.sum", "tests/shop"}, &b.Shop},
		{"coredns", "tests/kubernetes", "./cmd/coredns", "-s -w", []string{"go.mod", "go.sum", "cmd/coredns"}, &b.CoreDNS},
		{"kubernetes", "tests/kubernetes", "./cmd/kubernetes", kubernetes, []string{"go.mod", "go.sum", "cmd/kubernetes"}, &b.Kubernetes},
	}
}

// Build builds what is not built yet into .cluster/bin of the repository at root, and says so on progress. Several
// processes may do it at once.
func Build(ctx context.Context, root string, progress io.Writer) (Binaries, error) {
	var binaries Binaries
	folder := filepath.Join(root, ".cluster", "bin")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return binaries, fmt.Errorf("create folder for programs: %w", err)
	}
	unlock, err := lockFile(filepath.Join(folder, ".lock"))
	if err != nil {
		return binaries, err
	}
	defer unlock()
	for _, program := range binaries.programs() {
		if *program.path, err = program.build(ctx, root, folder, progress); err != nil {
			return binaries, err
		}
	}
	return binaries, nil
}

func (p program) build(ctx context.Context, root, folder string, progress io.Writer) (string, error) {
	module := filepath.Join(root, p.module)
	key, err := p.key(module)
	if err != nil {
		return "", err
	}
	target := filepath.Join(folder, p.name+"-"+key)
	if _, err := os.Stat(target); err == nil {
		return target, nil
	}
	hint := ""
	if p.name == "kubernetes" {
		hint = " (about 5 minutes the first time)"
	}
	fmt.Fprintf(progress, "build %s%s\n", p.name, hint)
	temporary := target + ".new"
	// Niced and two at a time: this may be a machine that someone works on.
	command := exec.CommandContext(ctx, "nice", "-n", "5", "go", "build", "-p", "2", "-trimpath", "-ldflags", p.ldflags, "-o", temporary, p.pkg)
	command.Dir = module
	command.Env = append(os.Environ(), "CGO_ENABLED=0")
	quiet := stillAtIt(progress, p.name)
	output, err := command.CombinedOutput()
	quiet()
	if err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", p.name, err, bytes.TrimSpace(output))
	}
	if err := os.Rename(temporary, target); err != nil {
		return "", fmt.Errorf("put %s in place: %w", p.name, err)
	}
	return target, nil
}

// stillAtIt says every half minute that a program is still being built, until the returned function is called.
func stillAtIt(progress io.Writer, name string) (quiet func()) {
	began, done, over := time.Now(), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(over)
		ticker := time.NewTicker(30 * time.Second)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				fmt.Fprintf(progress, "  still building %s, for %s\n", name, time.Since(began).Round(time.Second))
			case <-done:
				return
			}
		}
	}()
	return func() { close(done); <-over }
}

// key is a hash of everything that the program is built from.
func (p program) key(module string) (string, error) {
	hash := sha256.New()
	fmt.Fprintln(hash, runtime.Version(), p.pkg, p.ldflags)
	for _, input := range p.inputs {
		err := filepath.WalkDir(filepath.Join(module, input), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || strings.HasSuffix(path, "_test.go") {
				return err
			}
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(hash, "%s %d\n", entry.Name(), len(data))
			hash.Write(data)
			return nil
		})
		if err != nil {
			return "", fmt.Errorf("read sources of %s: %w", p.name, err)
		}
	}
	return hex.EncodeToString(hash.Sum(nil))[:12], nil
}

// lockFile takes an exclusive lock on the file at path, waiting for it, and returns how to give it back.
func lockFile(path string) (func(), error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|syscall.O_CLOEXEC, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open lock file: %w", err)
	}
	for {
		err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return func() { file.Close() }, nil
}
