// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/fairlead-dev/fairlead/app/localapi"
	"github.com/fairlead-dev/fairlead/backend/environment"
	"github.com/fairlead-dev/fairlead/backend/problem"
	"github.com/fairlead-dev/fairlead/backend/session"
)

// sessionCounts are the counts of an intercept.
type sessionCounts = session.InterceptCounts

// leaveWithin bounds how long this program waits for an intercept to be left when its command has ended.
const leaveWithin = 8 * time.Second

// ownVariables are those of this shell that a workload's environment does not replace: a program on this laptop needs them
// as they are.
var ownVariables = []string{"HOME", "PATH", "PWD", "SHELL", "TERM", "USER"}

// runInside runs a command while an intercept is held, and leaves that in the end. The exit status is the command's.
func (p *program) runInside(ctx context.Context, client *localapi.Client, made localapi.Intercept, hold localapi.Hold, command []string, variables []environment.Variable) error {
	holding, release := context.WithCancel(context.WithoutCancel(ctx))
	defer release()
	ended := make(chan struct{})
	var leaving atomic.Bool // from here on it ends because the command has
	go func() {
		defer close(ended)
		last := made
		why, err := hold(holding, func(now localapi.Intercept) {
			if !leaving.Load() {
				p.tell(last, now)
			}
			last = now
		})
		if leaving.Load() {
			return
		}
		if err != nil {
			why = err.Error()
		}
		p.warn("The intercept has ended, and the command goes on without it: %s", sentence(why))
	}()
	err := p.runCommand(ctx, command, mergeEnvironment(os.Environ(), variables))
	select {
	case <-ended:
		return err
	default:
	}
	leaving.Store(true)
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveWithin)
	defer cancel()
	_, leaveErr := client.Leave(limited, localapi.LeaveRequest{Names: []string{made.ID}})
	release()
	<-ended
	if leaveErr != nil {
		p.warn("The intercept could not be left in order: %s", sentence(leaveErr.Error()))
	}
	return err
}

// tell says what has changed of an intercept while a command runs.
func (p *program) tell(last, now localapi.Intercept) {
	if last.Phase != now.Phase {
		text := "The intercept is " + strings.ToLower(now.Phase)
		if now.Message != "" {
			text += ": " + now.Message
		}
		p.warn("%s", sentence(text))
	}
	for i, port := range now.Ports {
		if i < len(last.Ports) && last.Ports[i].Listening != port.Listening {
			if port.Listening {
				p.warn("A program listens on %s now; requests come here.", port.Local)
			} else {
				p.warn("Nothing listens on %s; requests go to the cluster meanwhile.", port.Local)
			}
		}
	}
}

// mergeEnvironment adds a workload's variables to a shell's.
func mergeEnvironment(shell []string, variables []environment.Variable) []string {
	merged := slices.Clone(shell)
	for _, v := range variables {
		if v.Name != "" && !slices.Contains(ownVariables, v.Name) && !strings.ContainsAny(v.Name, "=\x00") && !strings.Contains(v.Value, "\x00") {
			merged = append(merged, v.Name+"="+v.Value) // of several the last counts (os/exec)
		}
	}
	return merged
}

// runCommand runs a command in this terminal, passes signals to it, and returns its exit status as an error.
func (p *program) runCommand(ctx context.Context, command, environment []string) error {
	if ctx.Err() != nil {
		return problem.New(problem.Cancelled, "", "interrupted before the command was run")
	}
	c := exec.Command(command[0], command[1:]...)
	c.Env = environment
	c.Stdin, c.Stdout, c.Stderr = p.stdin, p.stdout, p.stderr
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, passedSignals...) // from here on they are the command's, and don't end this program
	defer signal.Stop(signals)
	if err := c.Start(); err != nil {
		return problem.Wrap(err, problem.Usage, "Check the command behind --; the intercept has been left again.", "run %s", command[0])
	}
	done := make(chan struct{})
	go func() {
		for {
			select {
			case s := <-signals:
				if !fromTerminal(s) { // what comes from the terminal goes to the command by itself
					_ = c.Process.Signal(s)
				}
			case <-done:
				return
			}
		}
	}()
	err := c.Wait()
	close(done)
	if failed, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit(statusOf(failed.ProcessState))
	}
	if err != nil {
		return fmt.Errorf("wait for %s: %w", command[0], err)
	}
	return nil
}
