// SPDX-License-Identifier: Apache-2.0

package programs

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"time"
)

// lookTimeout bounds how long lsof may take.
const lookTimeout = 3 * time.Second

// look asks lsof, which every macOS has; it shows this user's programs.
func look(ctx context.Context) ([]socket, map[int]process, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	// The second -i is for UDP, where a socket that waits has no peer; lsof joins them with "or".
	output, err := exec.CommandContext(ctx, "/usr/sbin/lsof", "-nP", "-iTCP", "-sTCP:LISTEN", "-iUDP", "-F", "pcnPt").Output()
	var exit *exec.ExitError
	if err != nil && !(errors.As(err, &exit) && len(output) > 0) { // it exits with 1 where something could not be looked at
		if errors.As(err, &exit) && len(exit.Stderr) == 0 {
			return nil, nil, nil // nothing listens
		}
		return nil, nil, fmt.Errorf("ask lsof for sockets: %w", err)
	}
	sockets, processes := parseLsof(string(output))
	return sockets, processes, nil
}

// untold says what the system does not tell of programs.
func untold([]Program) string {
	return "Programs of other users of this machine are not shown: the system does not tell them."
}
