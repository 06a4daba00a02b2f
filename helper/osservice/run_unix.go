// SPDX-License-Identifier: Apache-2.0

//go:build unix

package osservice

import (
	"context"
	"os/signal"
	"syscall"
)

// Run runs the service until the service manager, or a person at a terminal, stops it.
func Run(run func(context.Context) error) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	return run(ctx)
}
