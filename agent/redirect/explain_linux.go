// SPDX-License-Identifier: Apache-2.0

package redirect

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// explain says of a failed BPF call what is missing and what to do.
func explain(action, feature, since string, err error) error {
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		missing := missingCapabilities()
		if missing == "" {
			return fmt.Errorf("%s: the node forbids it though the capabilities are there: look at the seccomp or AppArmor profile "+
				"of the container, or intercept with --redirect unprivileged: %w", action, err)
		}
		return fmt.Errorf("%s: the sidecar lacks %s: the namespace must permit it, or intercept with --redirect unprivileged: %w",
			action, missing, err)
	case errors.Is(err, ebpf.ErrNotSupported), errors.Is(err, unix.EINVAL), errors.Is(err, unix.EOPNOTSUPP):
		return fmt.Errorf("%s: the node's kernel %s does not offer BPF %s, which Linux has since %s: use a newer kernel, or "+
			"intercept with --redirect unprivileged: %w", action, kernelRelease(), feature, since, err)
	default:
		return fmt.Errorf("%s: %w", action, err)
	}
}

// missingCapabilities names those of the needed ones that the process has not, joined by "and".
func missingCapabilities() string {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return "a capability"
	}
	return lacks(string(status))
}

// lacks reads the effective capabilities from what /proc/PID/status says (man capabilities).
func lacks(status string) string {
	var effective uint64
	for line := range strings.Lines(status) {
		if value, ok := strings.CutPrefix(line, "CapEff:"); ok {
			effective, _ = strconv.ParseUint(strings.TrimSpace(value), 16, 64)
		}
	}
	var missing []string
	if effective&(1<<unix.CAP_BPF) == 0 {
		missing = append(missing, "CAP_BPF")
	}
	if effective&(1<<unix.CAP_NET_ADMIN) == 0 {
		missing = append(missing, "CAP_NET_ADMIN")
	}
	return strings.Join(missing, " and ")
}

func kernelRelease() string {
	var name unix.Utsname
	if unix.Uname(&name) != nil {
		return "(unknown)"
	}
	return unix.ByteSliceToString(name.Release[:])
}
