// SPDX-License-Identifier: Apache-2.0

// Package daemon is the background program of a user: it holds the one session and serves the local API to every face.
//
// It owns its life: that there is one, how it starts and tells that it is ready, its log, when it ends, and that
// nothing is left when it does. What the API does is the backend's; the package only joins the two. It needs no
// privilege and must not touch the machine itself.
package daemon
