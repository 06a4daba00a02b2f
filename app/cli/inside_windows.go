// SPDX-License-Identifier: Apache-2.0

package main

import "os"

// passedSignals are those that are passed to a command; here they only keep this program from ending before it.
var passedSignals = []os.Signal{os.Interrupt}

// fromTerminal: the console tells all programs in it.
func fromTerminal(os.Signal) bool { return true }

// statusOf is the exit status of a command.
func statusOf(state *os.ProcessState) int { return state.ExitCode() }
