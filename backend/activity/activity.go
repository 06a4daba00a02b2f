// SPDX-License-Identifier: Apache-2.0

// Package activity says in plain words what happened, and when.
//
// It owns the events that every face shows and that the window makes notifications of, and how they follow from what
// the session was and is. It must not do anything: what happens is done elsewhere.
package activity

import "time"

// Level says how much an Event matters.
type Level string

const (
	Info    Level = "info"
	Good    Level = "good"    // something that was wanted has come about, or has healed
	Warning Level = "warning" // something is worse than it could be
	Trouble Level = "trouble" // something does not work
)

// Kind is what an Event is about. Kinds are stable: faces choose icons, and people choose notifications, by them.
type Kind string

const (
	Connection Kind = "connection"
	Carrier    Kind = "carrier"
	DNS        Kind = "dns"
	Intercept  Kind = "intercept"
	Gateway    Kind = "gateway"
	Helper     Kind = "helper"
	Settings   Kind = "settings"
)

// Event is one thing that happened. It is plain data.
type Event struct {
	ID     uint64    `json:"id"` // grows with time, from 1, within one life of the daemon
	Time   time.Time `json:"time"`
	Kind   Kind      `json:"kind"`
	Level  Level     `json:"level"`
	Text   string    `json:"text"`             // one sentence
	Hint   string    `json:"hint,omitempty"`   // what to do, where there is something to do
	Where  string    `json:"where,omitempty"`  // context, or namespace/workload
	Name   string    `json:"name,omitempty"`   // stable name of what happened, such as connected, lost, intercept-taken
	Notify bool      `json:"notify,omitempty"` // worth a notification of the desktop
}
