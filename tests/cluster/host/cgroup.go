// SPDX-License-Identifier: Apache-2.0

package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// cgroupRoot is where Linux distributions mount control groups.
const cgroupRoot = "/sys/fs/cgroup"

// hierarchies lists the control group hierarchies: one on a cgroup v2 machine, else one for each v1 controller.
func hierarchies() ([]string, error) {
	if _, err := os.Stat(filepath.Join(cgroupRoot, "cgroup.controllers")); err == nil {
		return []string{cgroupRoot}, nil
	}
	entries, err := os.ReadDir(cgroupRoot)
	if err != nil {
		return nil, fmt.Errorf("list control group hierarchies: %w", err)
	}
	var roots []string
	for _, entry := range entries {
		// Names such as "cpu,cpuacct" come with links to them; the links would be the same hierarchy again.
		if entry.IsDir() {
			roots = append(roots, filepath.Join(cgroupRoot, entry.Name()))
		}
	}
	return roots, nil
}

func createCgroups(paths []string) error {
	if len(paths) == 0 {
		return nil
	}
	roots, err := hierarchies()
	if err != nil {
		return err
	}
	for _, root := range roots {
		for _, path := range paths {
			if err := createCgroup(root, path); err != nil {
				return err
			}
		}
	}
	return nil
}

// createCgroup creates path below root from the top down. A new cpuset has no CPUs until told (cgroups v1), and a new
// v2 group no controllers, so each level takes what its parent has.
func createCgroup(root, path string) error {
	current := root
	for element := range strings.SplitSeq(strings.Trim(path, "/"), "/") {
		parent := current
		current = filepath.Join(current, element)
		if controllers, err := os.ReadFile(filepath.Join(parent, "cgroup.controllers")); err == nil && root == cgroupRoot {
			for controller := range strings.FieldsSeq(string(controllers)) {
				// A controller that can't be delegated stays where it is; kubelet names what it misses.
				_ = os.WriteFile(filepath.Join(parent, "cgroup.subtree_control"), []byte("+"+controller), 0o644)
			}
		}
		if err := os.Mkdir(current, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("create control group: %w", err)
		}
		for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
			value, err := os.ReadFile(filepath.Join(parent, file))
			if err != nil || root == cgroupRoot {
				continue
			}
			if err := os.WriteFile(filepath.Join(current, file), value, 0o644); err != nil {
				return fmt.Errorf("copy %s to control group: %w", file, err)
			}
		}
	}
	return nil
}

// RemoveCgroups removes path and everything below it from every hierarchy. Groups that are already gone are fine;
// one that still has processes is an error.
func RemoveCgroups(path string) error {
	roots, err := hierarchies()
	if err != nil {
		return err
	}
	var problems []error
	for _, root := range roots {
		var folders []string
		err := filepath.WalkDir(filepath.Join(root, path), func(folder string, entry fs.DirEntry, err error) error {
			if err == nil && entry.IsDir() {
				folders = append(folders, folder)
			}
			return nil
		})
		if err != nil {
			problems = append(problems, err)
		}
		slices.Reverse(folders)
		for _, folder := range folders {
			if err := os.Remove(folder); err != nil && !errors.Is(err, fs.ErrNotExist) {
				problems = append(problems, fmt.Errorf("remove control group: %w", err))
			}
		}
	}
	return errors.Join(problems...)
}
