// SPDX-License-Identifier: Apache-2.0

// Package osservice makes the helper a service of the operating system: systemd, SysV init or launchd, or a service of
// Windows.
//
// It owns where the helper's files are, the text of the service's definition, and the steps of install and uninstall.
// It must not know what the service does, and leaves nothing behind when it is uninstalled.
package osservice

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/kardianos/service"

	"github.com/fairlead-dev/fairlead/helper/authorization"
	"github.com/fairlead-dev/fairlead/helper/restore"
)

// Layout is where everything is. Programs that run as root are in folders that only root writes.
type Layout struct {
	Program string // the service's own copy of the program
	// Packaged is the program where a package of the system puts it, whose scripts then own the service's definition.
	// It is empty where there are no such packages.
	Packaged string
	Policy   string // who may use it
	State    string // folder of the journal
	// Leftovers are files and folders that the system makes around the service, removed with it.
	Leftovers []string
}

// Installer installs and uninstalls the service. Report is told each step in a sentence.
type Installer struct {
	Report func(format string, args ...any)
}

// What a package of the system is called, and how a person removes it.
const (
	packageName = "fairlead"
	removeHint  = "sudo apt purge fairlead, or sudo dnf remove fairlead"
)

// program satisfies the library, which wants something to run even where it only installs.
type program struct{ start, stop func() error }

func (p program) Start(service.Service) error { return p.start() }

func (p program) Stop(service.Service) error { return p.stop() }

// definition describes the service to the library.
func definition() *service.Config {
	return &service.Config{
		Name:        serviceName,
		DisplayName: "Fairlead helper",
		Description: "Tunnel, routes and names of a Kubernetes cluster",
		Executable:  Files.Program,
		Arguments:   []string{"run"},
		Option:      options(),
	}
}

func open() (service.Service, error) {
	nothing := func() error { return nil }
	s, err := service.New(program{nothing, nothing}, definition())
	if err != nil {
		return nil, fmt.Errorf("find the service manager of this machine: %w", err)
	}
	return s, nil
}

// Install copies this program to where only root writes, adds policy's users and groups to those who may use it, and
// makes the service run, now and after each start of the machine. An installed one is replaced. A program that came with
// a package stays where it is.
func (i Installer) Install(ctx context.Context, policy authorization.Policy) error {
	packaged, err := fromPackage()
	if err != nil {
		return err
	}
	if packaged {
		if err := i.Allow(policy); err != nil {
			return err
		}
		return startPackaged(ctx)
	}
	merged, err := mergePolicy(policy)
	if err != nil {
		return err
	}
	s, err := open()
	if err != nil {
		return err
	}
	if err := i.remove(ctx, s); err != nil {
		return err
	}
	if err := copyProgram(); err != nil {
		return err
	}
	i.Report("installed %s", Files.Program)
	if err := i.writePolicy(merged); err != nil {
		return err
	}
	if err := s.Install(); err != nil {
		return fmt.Errorf("install service: %w", err)
	}
	if err := s.Start(); err != nil {
		return fmt.Errorf("start service: %w", err)
	}
	i.Report("started the service %s (%s)", serviceName, s.Platform())
	return nil
}

// Allow adds policy's users and groups to those who may use the helper. It counts at once, also for a helper that runs.
func (i Installer) Allow(policy authorization.Policy) error {
	merged, err := mergePolicy(policy)
	if err != nil {
		return err
	}
	return i.writePolicy(merged)
}

// Uninstall stops the service, which puts everything back, calls restore in case the service could not, and removes all
// that Install and the service made.
func (i Installer) Uninstall(ctx context.Context, restore func(context.Context) error) error {
	packaged, err := fromPackage()
	if err != nil {
		return err
	}
	if packaged {
		return fmt.Errorf("%s belongs to the package %s, which removes it: %s", Files.Packaged, packageName, removeHint)
	}
	s, err := open()
	if err != nil {
		return err
	}
	_, statErr := os.Lstat(Files.Program)
	there := isInstalled(s) || statErr == nil
	if err := i.remove(ctx, s); err != nil {
		return err
	}
	if err := restore(ctx); err != nil {
		return fmt.Errorf("put back what the helper changed: %w", err)
	}
	errs := []error{removeProgram()}
	for _, path := range append([]string{Files.Policy, Files.State}, Files.Leftovers...) {
		errs = append(errs, os.RemoveAll(path))
	}
	for _, folder := range []string{filepath.Dir(Files.Program), filepath.Dir(filepath.Dir(Files.Program)), filepath.Dir(Files.Policy)} {
		errs = append(errs, removeEmpty(folder))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("remove the helper's files: %w", err)
	}
	if there {
		i.Report("removed the helper")
	} else {
		i.Report("no helper is installed; there was nothing to remove")
	}
	return nil
}

// remove stops and removes the service, if there is one.
func (i Installer) remove(_ context.Context, s service.Service) error {
	if !isInstalled(s) {
		return nil
	}
	if err := s.Stop(); err != nil {
		// It may have been stopped already. What counts is that it can be removed.
		i.Report("the service did not stop: %v", err)
	}
	if err := s.Uninstall(); err != nil {
		return fmt.Errorf("remove service: %w", err)
	}
	return tidy()
}

// fromPackage reports whether this very program came with a package. While there is one, a program from elsewhere must
// not touch the service.
func fromPackage() (bool, error) {
	if Files.Packaged == "" {
		return false, nil
	}
	if _, err := os.Lstat(Files.Packaged); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	own, err := os.Executable()
	if err != nil {
		return false, fmt.Errorf("find this program's file: %w", err)
	}
	if !same(own, Files.Packaged) {
		return false, fmt.Errorf("the package %[1]s has installed the helper already; use %[2]s, or remove the package first: %[3]s",
			packageName, Files.Packaged, removeHint)
	}
	return true, nil
}

func (i Installer) writePolicy(policy authorization.Policy) error {
	if err := os.MkdirAll(filepath.Dir(Files.Policy), 0o755); err != nil {
		return fmt.Errorf("make folder of the access policy: %w", err)
	}
	if err := restore.ReplaceFile(Files.Policy, policy.Marshal(), 0o644, true); err != nil {
		return err
	}
	if err := authorization.Entrust(Files.Policy); err != nil {
		return fmt.Errorf("make the access policy one that the helper trusts: %w", err)
	}
	i.Report("allowed in %s: users %v, groups %v", Files.Policy, policy.Users, policy.Groups)
	return nil
}

// mergePolicy adds to the policy that is there. One that can't be trusted is not added to, nor is an unknown account.
func mergePolicy(policy authorization.Policy) (authorization.Policy, error) {
	if err := policy.Validate(authorization.System{}); err != nil {
		return authorization.Policy{}, err
	}
	merged, err := authorization.Load(Files.Policy)
	if err != nil {
		return authorization.Policy{}, fmt.Errorf("%w; remove the file to start afresh", err)
	}
	for _, user := range policy.Users {
		if !slices.Contains(merged.Users, user) {
			merged.Users = append(merged.Users, user)
		}
	}
	for _, group := range policy.Groups {
		if !slices.Contains(merged.Groups, group) {
			merged.Groups = append(merged.Groups, group)
		}
	}
	return merged, nil
}

// copyProgram puts a copy of this very program in its place.
func copyProgram() error {
	path, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program's file: %w", err)
	}
	if same(path, Files.Program) {
		return nil
	}
	source, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open this program's file: %w", err)
	}
	err = replaceWith(Files.Program, source, 0o755)
	return errors.Join(err, source.Close())
}

func same(a, b string) bool {
	first, err := os.Stat(a)
	if err != nil {
		return false
	}
	second, err := os.Stat(b)
	return err == nil && os.SameFile(first, second)
}

// replaceWith makes path a file with all that source has to give, at once.
func replaceWith(path string, source io.Reader, mode fs.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	file, err := os.CreateTemp(filepath.Dir(path), ".fairlead-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = io.Copy(file, source)
	err = errors.Join(err, file.Chmod(mode), file.Sync(), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", path, err), os.Remove(file.Name()))
	}
	return nil
}

// removeEmpty removes a folder unless there is something in it.
func removeEmpty(folder string) error {
	left, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(left) > 0 {
		return nil
	}
	return errors.Join(err, os.Remove(folder))
}
