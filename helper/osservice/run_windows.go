// SPDX-License-Identifier: Apache-2.0

package osservice

import (
	"context"
	"os"
	"os/signal"

	"github.com/kardianos/service"
)

// Run runs the service until the service manager, or a person at a terminal, stops it.
func Run(run func(context.Context) error) error {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
	defer cancel()
	if service.Interactive() {
		return run(ctx)
	}
	done := make(chan error, 1)
	s, err := service.New(program{
		start: func() error {
			go func() { done <- run(ctx) }()
			return nil
		},
		stop: func() error {
			cancel()
			return <-done
		},
	}, definition())
	if err != nil {
		return err
	}
	return s.Run()
}
