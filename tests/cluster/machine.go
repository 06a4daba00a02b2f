// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

// prepareMachine widens two limits that the kernel keeps for the whole machine. They stay so after Down, because
// another cluster may need them.
func prepareMachine() error {
	if err := allowCongestionControl(); err != nil {
		return err
	}
	return raiseInotifyLimit()
}

// congestionControl is what every TCP sender of a cluster uses. The machine may default to BBR, which hides loss.
const congestionControl = "cubic"

// allowCongestionControl lets network namespaces choose it. The machine's own choice stays as
// it is.
func allowCongestionControl() error {
	const list = "/proc/sys/net/ipv4/tcp_allowed_congestion_control"
	allowed, err := os.ReadFile(list)
	if err != nil {
		return fmt.Errorf("read allowed congestion controls: %w", err)
	}
	if slices.Contains(strings.Fields(string(allowed)), congestionControl) {
		return nil
	}
	if err := os.WriteFile(list, []byte(strings.TrimSpace(string(allowed))+" "+congestionControl), 0o644); err != nil {
		return fmt.Errorf("allow congestion control %[1]s (try: modprobe tcp_%[1]s): %[2]w", congestionControl, err)
	}
	return nil
}

// inotifyInstances is enough for about fifty clusters. A cluster's programs have about twenty, all as root, and kernels
// begin with 128 for each user (inotify(7)).
const inotifyInstances = 1024

func raiseInotifyLimit() error {
	const limit = "/proc/sys/fs/inotify/max_user_instances"
	text, err := os.ReadFile(limit)
	if err != nil {
		return fmt.Errorf("read limit of inotify instances: %w", err)
	}
	if current, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil && current >= inotifyInstances {
		return nil
	}
	if err := os.WriteFile(limit, []byte(strconv.Itoa(inotifyInstances)), 0o644); err != nil {
		return fmt.Errorf("raise limit of inotify instances: %w", err)
	}
	return nil
}
