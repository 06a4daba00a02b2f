// SPDX-License-Identifier: Apache-2.0

// Package intercept is the laptop's side of intercepts: it creates Intercept objects with the user's own rights, follows
// and leaves them, and takes the flows that the gateway brings through the tunnel to programs on this laptop.
//
// A Manager lives inside a session (session.Hooks). The objects in the cluster are the truth: where each port's traffic
// goes on this laptop is kept in an annotation of the object, so that a daemon that was restarted takes its intercepts
// up again by itself. One TCP listener on the laptop's tunnel addresses serves all of them; it talks to the gateway
// alone (agent/api/wire).
//
// A target on 127.0.0.1 means the program on this laptop: where nothing listens there, [::1] is tried, because many
// development servers listen on whichever of the two "localhost" is.
//
// The package must not decide what the gateway decides: who may intercept what, and when an intercept is active.
package intercept
