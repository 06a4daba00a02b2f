// SPDX-License-Identifier: Apache-2.0

// Package routes decides which packets of this machine enter the tunnel, and puts that into the operating system's
// routing tables.
//
// It owns the plan (plan.go: what the machine must look like), the steps from one plan to another (step.go: plain data,
// each with its inverse), the search for conflicts with routes that the machine has (conflict.go), and one file per
// operating system that applies a step. The steps are the same everywhere and tested as text; what differs is how
// a step is said to the system.
//
// On Linux the routes live in a table of their own, which one rule per address family consults for what this machine
// itself sends (iif lo), so that packets forwarded for containers or a local cluster never enter the tunnel. An exempt
// address is a throw route in that table: the lookup goes on with the next rule as if Fairlead were not there. No
// route, rule or setting of anybody else is changed.
//
// Every step is in the journal before it is made, and undone from there. The package must not know WireGuard or names.
package routes
